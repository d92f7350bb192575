#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int early(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; *(u64 *)(r10 - 8) = r0; r0 = *(u64 *)(r10 - 8); exit;");
#else
	asm volatile("r0 = *(u64 *)(r10 - 8); exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
