/* Walks type-length-value options behind UDP. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

struct tlv { __u8 type, len; };

SEC("xdp")
int options(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct tlv *o = data + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr);

	if ((void *)(o + 1) > data_end)
		return XDP_PASS;
	for (int i = 0; i < 8; i++) {
		if (o->type == 9) // <-
			return XDP_DROP;
		if (o->len < 2)
			break;
		o = (void *)o + o->len;
#ifdef FIXED
		if ((void *)(o + 1) > data_end)
			break;
#endif
	}
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-elsewhere, packet-unchecked
