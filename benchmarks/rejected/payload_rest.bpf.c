/* Copies the rest of the packet behind the headers for inspection. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct scratch { __u8 bytes[512]; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");
__u64 gets;

SEC("tc")
int inspect(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return TC_ACT_OK;
	__u32 len = skb->len - 54; // <-
#ifdef FIXED
	if (len == 0 || len > sizeof(s->bytes))
		return TC_ACT_OK;
#endif
	if (bpf_skb_load_bytes(skb, 54, s->bytes, len) < 0) // <-
		return TC_ACT_OK;
	if (s->bytes[0] == 'G')
		gets++;
	return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
// cause: helper-size-unbounded
