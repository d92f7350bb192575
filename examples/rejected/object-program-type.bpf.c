#include <bpfsmith/helpers.h>

#ifdef FIXED
struct count { __u64 calls; };
#else
struct count { struct bpf_spin_lock lock; __u64 calls; };
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

SEC("raw_tp/sys_enter") int enter(void *ctx) // <-
{
	__u32 zero = 0;
	struct count *count = bpf_map_lookup_elem(&counts, &zero);
	if (count)
		__sync_fetch_and_add(&count->calls, 1);
	return 0;
}
char _license[] SEC("license") = "GPL";
