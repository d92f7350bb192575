/* Programs that read kernel structures with relocated accesses. */
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct { int pid, tgid; unsigned int flags; char comm[16]; struct task_struct *real_parent; long exit_code; int prio; };
#pragma clang attribute pop
struct exec { __u32 pid, ppid; long code; char comm[16]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1024); } runs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, __u64); } started SEC(".maps");

SEC("tp_btf/sched_switch") int count_runs(unsigned long long *ctx)
{
	struct task_struct *next = (void *)ctx[2];
	__u32 pid = next->pid;
	if (!pid)
		return 0;
	__u64 one = 1, *count = bpf_map_lookup_elem(&runs, &pid);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&runs, &pid, &one, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exit") int task_exit(unsigned long long *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	if (task->pid != task->tgid)
		return 0;
	struct exec *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
	if (!event)
		return 0;
	event->pid = task->tgid;
	event->ppid = task->real_parent->tgid;
	event->code = task->exit_code >> 8 & 0xff;
	bpf_get_current_comm(event->comm, sizeof event->comm);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("raw_tp/sched_process_exec") int task_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct exec event = {};
	bpf_probe_read_kernel(&event.pid, 4, &task->tgid);
	struct task_struct *parent = 0;
	bpf_probe_read_kernel(&parent, 8, &task->real_parent);
	bpf_probe_read_kernel(&event.ppid, 4, &parent->tgid);
	bpf_probe_read_kernel_str(event.comm, 16, &task->comm);
	bpf_ringbuf_output(&events, &event, sizeof event, 0);
	return 0;
}

SEC("tp_btf/sched_wakeup") int mark_start(unsigned long long *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	__u64 *ns = bpf_task_storage_get(&started, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (ns)
		*ns = bpf_ktime_get_ns();
	return 0;
}

char _license[] SEC("license") = "GPL";
