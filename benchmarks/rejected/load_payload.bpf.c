/* Copies as many bytes as the packet has. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define SNAP 128

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, SNAP);
} snap SEC(".maps");

SEC("tc")
int snapshot(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u32 len = skb->len;
	void *buf = bpf_map_lookup_elem(&snap, &key);

	if (!buf)
		return TC_ACT_OK;
	if (len > SNAP)
		len = SNAP;
#ifdef FIXED
	if (len == 0)
		return TC_ACT_OK;
#endif
	bpf_skb_load_bytes(skb, 0, buf, len); // <-
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: helper-size-zero
