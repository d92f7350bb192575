#include <bpfsmith/helpers.h>

SEC("socket")
__attribute__((naked)) int twice(struct __sk_buff *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 0; exit;");
#else
	asm volatile("r0 = 2; r0 += -1; if r0 != 0 goto -2; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
