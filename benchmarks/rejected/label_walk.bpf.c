/* Counts the labels of a name. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

__u64 labels;

SEC("xdp")
int name(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u8 *pos = data + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr) + 12;
	int count = 0;

	if ((void *)(pos + 1) > data_end)
		return XDP_PASS;
	for (int i = 0; i < 10; i++) {
		__u8 len = *pos; // <-
		if (!len)
			break;
		count++;
		pos += len + 1;
#ifdef FIXED
		if ((void *)(pos + 1) > data_end)
			break;
#endif
	}
	labels += count;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-elsewhere, packet-unchecked
