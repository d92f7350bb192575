#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int share(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; r0 /= 1; exit;");
#else
	asm volatile("r0 = 2; r0 /= 0; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
