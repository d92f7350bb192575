#include <bpfsmith/helpers.h>

SEC("cgroup_skb/egress") int mark(struct __sk_buff *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	if (data + 20 > data_end)
		return 1;
#ifdef FIXED
	__u8 tos = 0x10;
	bpf_skb_load_bytes(ctx, 1, &tos, 1);
#else
	*(__u8 *)(data + 1) = 0x10; // <-
#endif
	return 1;
}
char _license[] SEC("license") = "GPL";
