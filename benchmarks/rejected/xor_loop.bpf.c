/* Unmasks a payload in place. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int unmask(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct udphdr *udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	if ((void *)(udp + 1) > data_end)
		return XDP_PASS;
	__u8 *payload = (void *)(udp + 1);
#pragma clang loop unroll(disable)
	for (int i = 0; i < 32; i++) {
#ifdef FIXED
		if ((void *)(payload + i + 1) > data_end)
			break;
#endif
		payload[i] ^= 0x5a; // <-
	}
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small, packet-unchecked
