#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct elem { struct bpf_timer t; u64 n; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} timers SEC(".maps");

static int tick(void *map, int *key, struct elem *val)
{
	val->n++;
#ifdef FIXED
	return 0;
#else
	return val->n; // <-
#endif
}

SEC("tc")
int arm(struct __sk_buff *skb)
{
	int key = 0;
	struct elem *e = bpf_map_lookup_elem(&timers, &key);

	if (!e)
		return 0;
	bpf_timer_init(&e->t, &timers, 1);
	bpf_timer_set_callback(&e->t, tick);
	bpf_timer_start(&e->t, 1000000, 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: return-range
