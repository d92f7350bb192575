#include <bpfsmith/helpers.h>

SEC("socket")
__attribute__((naked)) int compare(struct __sk_buff *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 0; exit;");
#else
	asm volatile("r0 = 0; if r1 == 7 goto +0; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
