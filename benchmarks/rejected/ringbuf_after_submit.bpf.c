#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sample { __u64 ts; __u32 pid; __u32 cpu; };

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} last SEC(".maps");

SEC("perf_event")
int on_sample(void *ctx)
{
	__u32 zero = 0;
	struct sample *s = bpf_ringbuf_reserve(&ring, sizeof(*s), 0);
	if (!s)
		return 0;
	s->ts = bpf_ktime_get_ns();
	s->pid = bpf_get_current_pid_tgid() >> 32;
	s->cpu = bpf_get_smp_processor_id();
#ifdef FIXED
	bpf_map_update_elem(&last, &zero, &s->ts, BPF_ANY);
	bpf_ringbuf_submit(s, 0);
#else
	bpf_ringbuf_submit(s, 0); // <-
	bpf_map_update_elem(&last, &zero, &s->ts, BPF_ANY); // <-
#endif
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: use-after-release
