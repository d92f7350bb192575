/* Is it the process that was configured? */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct wanted { char comm[16]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wanted);
} config SEC(".maps");
int hits;

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	char comm[16];
	__u32 zero = 0;
	struct wanted *w = bpf_map_lookup_elem(&config, &zero);
	if (!w)
		return 0;
	bpf_get_current_comm(comm, sizeof(comm));
#ifdef FIXED
	for (int i = 0; i < 16; i++) {
		if (comm[i] != w->comm[i])
			return 0;
		if (!comm[i])
			break;
	}
	hits++;
#else
	if (bpf_strncmp(comm, sizeof(comm), w->comm) == 0) // <-
		hits++;
#endif
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-string, argument-type, map-read-only, helper-constant
