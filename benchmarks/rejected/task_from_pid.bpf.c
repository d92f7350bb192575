#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;

int wanted = 1;
int found_tgid;

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p)
{
	struct task_struct *t = bpf_task_from_pid(wanted);
#ifdef FIXED
	if (!t)
		return 0;
#endif
	found_tgid = t->tgid; // <-
	bpf_task_release(t); // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: null-unchecked, null-argument
