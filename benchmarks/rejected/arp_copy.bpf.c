/* Copies more of the ARP body than was checked. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_arp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct arp_eth {
	struct arphdr hdr;
	__u8 sha[6];
	__u8 sip[4];
	__u8 tha[6];
	__u8 tip[4];
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__uint(key_size, 4);
	__uint(value_size, 6);
} seen SEC(".maps");

SEC("xdp")
int learn(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct arp_eth *arp;
	__u8 ip[4], mac[6];

	if (data + sizeof(*eth) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_ARP))
		return XDP_PASS;
	arp = data + sizeof(*eth);
#ifdef FIXED
	if ((void *)arp + sizeof(*arp) > data_end)
#else
	if ((void *)arp + sizeof(struct arphdr) > data_end) // <-
#endif
		return XDP_PASS;
	__builtin_memcpy(ip, arp->sip, 4); // <-
	__builtin_memcpy(mac, arp->sha, 6); // <-
	bpf_map_update_elem(&seen, ip, mac, BPF_ANY);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
