// Files that a process opens: the name that it asked for, sent to userspace with the result when the call returns.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

// What the tracepoints sys_enter_openat and sys_exit_openat hand over (their `format` files in tracefs).
struct enter_args {
	__u64 common, nr, dfd, filename, flags, mode;
};
struct exit_args {
	__u64 common, nr;
	__s64 ret;
};

struct asked {
	__u64 filename;
	__u32 flags;
};

struct event {
	__u32 pid, flags;
	__s64 ret;
	char name[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct asked);
} starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

__u64 opened, failed;

SEC("tracepoint/syscalls/sys_enter_openat")
int open_enter(struct enter_args *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct asked asked = {};

	asked.filename = ctx->filename;
	asked.flags = ctx->flags;
	bpf_map_update_elem(&starts, &tid, &asked, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int open_exit(struct exit_args *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	struct asked *asked = bpf_map_lookup_elem(&starts, &tid);
	struct event event = {};

	if (!asked)
		return 0;
	event.pid = id >> 32;
	event.flags = asked->flags;
	event.ret = ctx->ret;
	bpf_probe_read_user_str(event.name, sizeof(event.name), (void *)asked->filename);
	__sync_fetch_and_add(ctx->ret < 0 ? &failed : &opened, 1);
	bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
