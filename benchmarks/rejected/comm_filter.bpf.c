/* Compares the name of the process with one from the configuration, to its end. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct conf { char comm[16]; __u8 len; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct conf);
} conf SEC(".maps");
__u64 hits;

SEC("raw_tp/sys_enter")
int filter(void *ctx)
{
	__u32 k = 0;
	char comm[16];
	struct conf *c = bpf_map_lookup_elem(&conf, &k);

	if (!c)
		return 0;
	bpf_get_current_comm(comm, sizeof(comm));
#ifdef FIXED
	for (__u32 i = 0; i < 16 && i < c->len; i++)
#else
	for (__u32 i = 0; i < c->len; i++) // <-
#endif
		if (comm[i] != c->comm[i]) // <-
			return 0;
	hits++;
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-value-index, stack-out-of-bounds, stack-variable-offset, map-value-unbounded, too-many-insns
