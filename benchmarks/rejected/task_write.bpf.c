/* Lowers a priority by hand. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

int lowered;

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p)
{
	if (p->prio < 100) {
#ifdef FIXED
		lowered++;
#else
		p->prio = 120; // <-
#endif
	}
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: struct-write, kernel-object-access
