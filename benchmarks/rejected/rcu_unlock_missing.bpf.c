/* Looks at a parent, and leaves in the middle. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
int by_init;

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p)
{
	struct task_struct *parent;
	int tgid;

	bpf_rcu_read_lock();
	parent = p->real_parent;
	if (!parent) {
#ifdef FIXED
		bpf_rcu_read_unlock();
#endif
		return 0; // <-
	}
	tgid = parent->tgid;
	bpf_rcu_read_unlock();
	if (tgid == 1)
		by_init++;
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: lock-missing-unlock
