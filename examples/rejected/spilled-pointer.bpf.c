#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int half(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("*(u64 *)(r10 - 8) = r1; r0 = 2; exit;");
#else
	asm volatile("*(u64 *)(r10 - 8) = r1; r0 = *(u32 *)(r10 - 4); exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
