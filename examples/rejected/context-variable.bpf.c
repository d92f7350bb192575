#include <bpfsmith/helpers.h>

SEC("tc") int pick(struct __sk_buff *ctx)
{
	__u32 i = bpf_get_prandom_u32() & 3;
#ifdef FIXED
	return i > 1 ? ctx->cb[1] : 0;
#else
	return ctx->cb[i]; // <-
#endif
}
char _license[] SEC("license") = "GPL";
