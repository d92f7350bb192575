// SPDX-License-Identifier: GPL-2.0
// A recorder of system calls as security monitors write them: events are packed, so that clang reads and writes bytes.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

struct header {
	__u64 time;
	__u64 thread;
	__u32 length;
	__u16 type;
	__u32 count;
} __attribute__((packed));

struct scratch {
	__u8 bytes[256];
};

struct settings {
	__u64 boot;
	__u32 snap;
	__u8 dropping;
	__u32 ratio;
	__u16 port;
	__u8 active;
	__u64 filter;
} __attribute__((packed));

struct state {
	__u64 offset;
	__u32 number;
	__u16 flags;
	__u64 lost;
	__u64 events;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} configuration SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} output SEC(".maps");

struct arguments {
	__u64 common;
	__s64 number;
	__u64 given[6];
};

struct event {
	struct header header;
	__u16 lengths[4];
	__s64 result;
	__u64 address;
	__u32 size;
	__u64 flags;
} __attribute__((packed));

static __always_inline int record(struct arguments *ctx, __u16 type)
{
	__u32 zero = 0;
	struct settings *settings = bpf_map_lookup_elem(&configuration, &zero);
	struct state *state = bpf_map_lookup_elem(&states, &zero);
	struct event *event = bpf_map_lookup_elem(&frames, &zero);

	if (!settings || !state || !event)
		return 0;
	if (!settings->active || settings->dropping)
		return 0;
	if (settings->filter && settings->filter != ctx->given[0]) {
		state->lost += 1;
		return 0;
	}
	event->header.time = settings->boot + bpf_ktime_get_ns();
	event->header.thread = bpf_get_current_pid_tgid();
	event->header.type = type;
	event->header.count = 4;
	event->header.length = sizeof(*event);
	event->lengths[0] = 8;
	event->lengths[1] = 8;
	event->lengths[2] = 4;
	event->lengths[3] = 8;
	event->result = ctx->number;
	event->address = ctx->given[1];
	event->size = ctx->given[2] > settings->snap ? settings->snap : ctx->given[2];
	event->flags = ctx->given[3];
	state->events += 1;
	state->number += 1;
	state->offset = state->offset + sizeof(*event);
	bpf_perf_event_output(ctx, &output, BPF_F_CURRENT_CPU, event, sizeof(*event));
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_read")
int on_read(struct arguments *ctx)
{
	return record(ctx, 6);
}

SEC("tracepoint/syscalls/sys_enter_write")
int on_write(struct arguments *ctx)
{
	return record(ctx, 8);
}

char _license[] SEC("license") = "GPL";
