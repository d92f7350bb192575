#include <bpfsmith/helpers.h>

SEC("xdp")
__attribute__((naked)) int tomorrow(struct xdp_md *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 2; exit;");
#else
	asm volatile("r0 = 2; .quad 0x00000000000000ef; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
