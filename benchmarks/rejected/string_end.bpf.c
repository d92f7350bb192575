/* Where does the name end? */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct name { char text[64]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct name);
} names SEC(".maps");
int length;

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	__u32 zero = 0;
	int i = 0;
	struct name *n = bpf_map_lookup_elem(&names, &zero);
	if (!n)
		return 0;
#ifdef FIXED
	while (i < 64 && n->text[i])
#else
	while (n->text[i]) // <-
#endif
		i++;
	length = i;
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-index, map-value-too-small, map-value-unbounded
