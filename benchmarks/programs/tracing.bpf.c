/* Tools in the manner of bcc's: what happened, how long it took, how often. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpfsmith/helpers.h>

struct event { __u32 pid, uid; long ret; __u64 ns; char comm[16], name[64]; };
struct start { __u64 ns; const char *name; int flags; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, struct start); __uint(max_entries, 1024); } starts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1024); } since SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } out SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 32); } latency SEC(".maps");
struct stack_key { __u32 pid; int kernel, user; char comm[16]; };
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(key_size, 4); __uint(value_size, 1016); __uint(max_entries, 1024); } stacks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, struct stack_key); __type(value, __u64); __uint(max_entries, 1024); } counts SEC(".maps");
struct sizes { __u64 slots[24]; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, struct sizes); __uint(max_entries, 64); } by_device SEC(".maps");
const volatile __u32 only_pid = 0, only_uid = 0xffffffff;
const volatile __u64 least_ns = 1000;
__u64 lost;
struct enter { __u64 common; long nr; unsigned long args[6]; };
struct leave { __u64 common; long nr, ret; };

SEC("tracepoint/syscalls/sys_enter_openat") int open_enter(struct enter *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 pid = id >> 32, tid = id, uid = bpf_get_current_uid_gid();
	if (only_pid && only_pid != pid)
		return 0;
	if (only_uid != 0xffffffff && only_uid != uid)
		return 0;
	struct start start = { bpf_ktime_get_ns(), (const char *)ctx->args[1], (int)ctx->args[2] };
	bpf_map_update_elem(&starts, &tid, &start, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat") int open_exit(struct leave *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	struct start *start = bpf_map_lookup_elem(&starts, &tid);
	if (!start)
		return 0;
	if (ctx->ret >= 0 && start->flags & 0x40)
		goto done;
	struct event event = {};
	event.pid = id >> 32;
	event.uid = bpf_get_current_uid_gid();
	event.ret = ctx->ret;
	event.ns = bpf_ktime_get_ns() - start->ns;
	bpf_get_current_comm(&event.comm, sizeof event.comm);
	bpf_probe_read_user_str(&event.name, sizeof event.name, start->name);
	bpf_perf_event_output(ctx, &out, BPF_F_CURRENT_CPU, &event, sizeof event);
done:
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

static __always_inline __u32 log2_of(__u64 value)
{
	__u32 r = 0;
	if (value >> 32) { r += 32; value >>= 32; }
	if (value >> 16) { r += 16; value >>= 16; }
	if (value >> 8) { r += 8; value >>= 8; }
	if (value >> 4) { r += 4; value >>= 4; }
	if (value >> 2) { r += 2; value >>= 2; }
	return r + (value >> 1);
}

SEC("raw_tp/sched_wakeup") int woken(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 pid = 0;
	bpf_probe_read_kernel(&pid, sizeof pid, (void *)ctx->args[0] + 1234);
	if (!pid || (only_pid && pid != only_pid))
		return 0;
	__u64 now = bpf_ktime_get_ns();
	bpf_map_update_elem(&since, &pid, &now, BPF_ANY);
	return 0;
}

SEC("raw_tp/sched_switch") int switched(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 pid = 0;
	void *next = (void *)ctx->args[2];
	bpf_probe_read_kernel(&pid, sizeof pid, next + 1234);
	__u64 *from = bpf_map_lookup_elem(&since, &pid);
	if (!from)
		return 0;
	__u64 delta = bpf_ktime_get_ns() - *from;
	if ((__s64)delta < 0)
		goto out;
	delta /= 1000;
	__u32 slot = log2_of(delta);
	if (slot > 31)
		slot = 31;
	__u64 *count = bpf_map_lookup_elem(&latency, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
out:
	bpf_map_delete_elem(&since, &pid);
	return 0;
}

SEC("kprobe/tcp_v4_connect") int connect_enter(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	if (only_pid && only_pid != id >> 32)
		return 0;
	struct start start = { bpf_ktime_get_ns(), (const char *)ctx->rdi, 0 };
	bpf_map_update_elem(&starts, &tid, &start, BPF_ANY);
	return 0;
}

SEC("kretprobe/tcp_v4_connect") int connect_exit(struct pt_regs *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct start *start = bpf_map_lookup_elem(&starts, &tid);
	if (!start)
		return 0;
	int ret = ctx->rax;
	__u64 took = bpf_ktime_get_ns() - start->ns;
	if (!ret && took >= least_ns) {
		struct event *event = bpf_ringbuf_reserve(&ring, sizeof *event, 0);
		if (event) {
			event->pid = bpf_get_current_pid_tgid() >> 32;
			event->uid = bpf_get_current_uid_gid();
			event->ret = ret;
			event->ns = took;
			bpf_get_current_comm(event->comm, sizeof event->comm);
			bpf_probe_read_kernel_str(event->name, sizeof event->name, start->name);
			bpf_ringbuf_submit(event, 0);
		} else
			__sync_fetch_and_add(&lost, 1);
	}
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

SEC("perf_event") int profile(struct bpf_perf_event_data *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct stack_key key = { id >> 32 };
	if (only_pid && key.pid != only_pid)
		return 0;
	bpf_get_current_comm(key.comm, sizeof key.comm);
	key.kernel = bpf_get_stackid(ctx, &stacks, 0);
	key.user = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	__u64 one = 1, *count = bpf_map_lookup_elem(&counts, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST);
	return 0;
}

struct issue { __u64 common; __u32 dev, pad; __u64 sector; __u32 nr_sector, bytes; };
SEC("tracepoint/block/block_rq_issue") int block_sizes(struct issue *ctx)
{
	__u32 dev = ctx->dev, slot = log2_of(ctx->bytes / 1024);
	struct sizes *sizes = bpf_map_lookup_elem(&by_device, &dev);
	if (!sizes) {
		struct sizes empty = {};
		bpf_map_update_elem(&by_device, &dev, &empty, BPF_NOEXIST);
		sizes = bpf_map_lookup_elem(&by_device, &dev);
		if (!sizes)
			return 0;
	}
	if (slot > 23)
		slot = 23;
	__sync_fetch_and_add(&sizes->slots[slot], 1);
	return 0;
}

SEC("raw_tp/sys_enter") int count_syscalls(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 number = ctx->args[1];
	if (number >= 32)
		number = 31;
	__u64 *count = bpf_map_lookup_elem(&latency, &number);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

SEC("uprobe") int line_read(struct pt_regs *ctx)
{
	struct event event = {};
	event.pid = bpf_get_current_pid_tgid() >> 32;
	if (bpf_probe_read_user_str(event.name, sizeof event.name, (void *)ctx->rax) < 0)
		return 0;
	bpf_get_current_comm(event.comm, sizeof event.comm);
	bpf_ringbuf_output(&ring, &event, sizeof event, 0);
	return 0;
}

SEC("kprobe/do_unlinkat") int print_unlink(struct pt_regs *ctx)
{
	char name[16] = {};
	bpf_get_current_comm(name, sizeof name);
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	static const char format[] = "unlink by %d (%s)";
	bpf_trace_printk(format, sizeof format, pid, (long)name);
	return 0;
}

char _license[] SEC("license") = "GPL";
