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
	struct ethhdr copy;
	if (data + sizeof(copy) > data_end)
		return XDP_PASS;
	__builtin_memcpy(&copy, data, sizeof(copy));
	bpf_ringbuf_output(&out, &copy, sizeof(copy), 0);
#else
	bpf_ringbuf_output(&out, data, len, 0); // <-
#endif
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-helper-access, packet-unchecked, helper-size-unbounded, helper-size-negative, packet-offset-unbounded
