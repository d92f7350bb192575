/* RECORDS records of RECORD bytes into each kind of channel. */
#include "walk.h"

#ifndef RECORD
#define RECORD 64
#endif
#define RECORDS 256

struct record {
	__u64 words[RECORD / 8];
};
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 64);
} perf SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, struct record);
} queue SEC(".maps");
struct record record;

#define SENDS(name, body)                                            \
	SEC("xdp") int name(struct xdp_md *ctx)                      \
	{                                                            \
		_Pragma("clang loop unroll(disable)")                \
		for (__u32 i = 0; i < RECORDS; i++) {                \
			body;                                        \
		}                                                    \
		return XDP_PASS;                                     \
	}

SENDS(ring_output, bpf_ringbuf_output(&ring, &record, RECORD, BPF_RB_NO_WAKEUP))
SENDS(ring_reserve, __u64 *r = bpf_ringbuf_reserve(&ring, RECORD, 0); if (r) { r[0] = i; bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP); })
SENDS(perf_output, bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &record, RECORD))
SENDS(queue_push, bpf_map_push_elem(&queue, &record, BPF_ANY))
