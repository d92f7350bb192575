#include <bpfsmith/helpers.h>

SEC("tc") int peek(struct __sk_buff *ctx)
{
#ifdef FIXED
	return ctx->mark;
#else
	__u32 *words = (__u32 *)ctx + 2;
	asm volatile("" : "+r"(words));
	return *words; // <-
#endif
}
char _license[] SEC("license") = "GPL";
