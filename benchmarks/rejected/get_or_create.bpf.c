/* A helper function that creates an element and gives back what may be NULL. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct stats {
	__u64 calls;
	__u64 last_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct stats);
} by_pid SEC(".maps");

static __always_inline struct stats *get_stats(__u32 pid)
{
	struct stats *s = bpf_map_lookup_elem(&by_pid, &pid);
	if (!s) {
		struct stats zero = {};
		bpf_map_update_elem(&by_pid, &pid, &zero, BPF_ANY);
		s = bpf_map_lookup_elem(&by_pid, &pid);
	}
	return s;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int trace_openat(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct stats *s = get_stats(pid);

#ifdef FIXED
	if (!s)
		return 0;
#endif
	s->calls++; // <-
	s->last_ns = bpf_ktime_get_ns(); // <-
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
// cause: null-unchecked
