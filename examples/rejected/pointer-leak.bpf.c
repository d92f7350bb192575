#include <bpfsmith/helpers.h>

SEC("socket")
__attribute__((naked)) int tell(struct __sk_buff *ctx)
{
#ifdef FIXED
	asm volatile("r0 = 0; exit;");
#else
	asm volatile("r0 = 0; *(u64 *)(r1 + 48) = r10; exit;"); // <-
#endif
}
char _license[] SEC("license") = "GPL";
