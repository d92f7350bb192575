#include <bpfsmith/helpers.h>

#ifdef FIXED
SEC("tc")
#else
SEC("socket")
#endif
int peek(struct __sk_buff *ctx)
{
	return ctx->data_end != 0; // <-
}
char _license[] SEC("license") = "GPL";
