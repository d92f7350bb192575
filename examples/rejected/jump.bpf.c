#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int fall(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; exit;");
#else
	asm volatile("r0 = 2; if r0 > 1 goto +20; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
