// A cache in front of a memcached server: looks through what clients send over TCP for `set KEY ..`, and makes the cached value
// of that key invalid. The scanner keeps its place in three variables, and each combination is a state for the verifier: how
// many there are depends on how the compiler keeps them.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SLOTS 4096
#define MAX_SCAN 3300

struct entry {
	struct bpf_spin_lock lock;
	__u32 length;
	__u8 valid;
	char value[1000];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct entry);
} cache SEC(".maps");

__u64 invalidated;

SEC("xdp")
int invalidate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	char *payload = (void *)(tcp + 1);
	int in_set = 0, in_key = 0;
	__u32 hash = 0;

	if ((void *)payload > data_end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	if (tcp->dest != bpf_htons(11211))
		return XDP_PASS;

	for (__u16 at = 0; at < MAX_SCAN && (void *)(payload + at + 1) <= data_end; at++) {
		char byte = payload[at];

		if (!in_set) {
			if (byte == 's' && (void *)(payload + at + 4) <= data_end && payload[at + 1] == 'e' && payload[at + 2] == 't') {
				in_set = 1;
				at += 3;
			}
		} else if (!in_key) {
			if (byte == '\r') {
				in_set = 0;
			} else if (byte != ' ') {
				hash = (2166136261u ^ (__u8)byte) * 16777619u;
				in_key = 1;
			}
		} else if (byte == ' ') {
			__u32 slot = hash % SLOTS;
			struct entry *entry = bpf_map_lookup_elem(&cache, &slot);

			if (!entry)
				return XDP_PASS;
			bpf_spin_lock(&entry->lock);
			if (entry->valid) {
				entry->valid = 0;
				invalidated++;
			}
			bpf_spin_unlock(&entry->lock);
			in_set = in_key = 0;
		} else {
			hash = (hash ^ (__u8)byte) * 16777619u;
		}
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
