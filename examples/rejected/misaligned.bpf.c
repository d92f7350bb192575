#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int half(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r1 = 0; *(u64 *)(r10 - 8) = r1; r0 = 2; exit;");
#else
	asm volatile("r1 = 0; *(u64 *)(r10 - 12) = r1; r0 = 2; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
