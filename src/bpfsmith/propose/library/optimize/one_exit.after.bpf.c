#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 2);
} kinds SEC(".maps");

SEC("xdp")
int by_kind(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 key;
	__u64 *count;

	if (data + 14 > data_end)
		return XDP_PASS;
	key = *(__u16 *)(data + 12) != 0x8;
	count = bpf_map_lookup_elem(&kinds, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
