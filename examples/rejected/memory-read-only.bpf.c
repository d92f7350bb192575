#include <bpfsmith/helpers.h>

#define __ksym __attribute__((section(".ksyms")))

int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;

SEC("xdp") int change(struct xdp_md *ctx)
{
	struct bpf_dynptr packet;
	char buffer[8] = {};
	bpf_dynptr_from_xdp(ctx, 0, &packet);
	char *bytes = bpf_dynptr_slice(&packet, 0, buffer, sizeof(buffer));
	if (!bytes)
		return XDP_PASS;
#ifdef FIXED
	return bytes[3] ? XDP_DROP : XDP_PASS;
#else
	bytes[3] = 1; // <-
	return XDP_PASS;
#endif
}
char _license[] SEC("license") = "GPL";
