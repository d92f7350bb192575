/* Sends headers of the packet to userspace straight from the packet. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } out SEC(".maps");

SEC("xdp")
int sniff(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 len = data_end - data;

#ifdef FIXED
	if (data + sizeof(struct ethhdr) > data_end)
		return XDP_PASS;
	bpf_ringbuf_output(&out, data, sizeof(struct ethhdr), 0);
#else
	bpf_ringbuf_output(&out, data, len, 0); // <-
#endif
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked, helper-size-unbounded, helper-size-negative, packet-offset-unbounded
