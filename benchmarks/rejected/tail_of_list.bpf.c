/* Follows a list of the kernel's to an end that the verifier does not see. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

int depth;

SEC("raw_tp/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *p)
{
	int n = 0;
	struct task_struct *t = p;

#ifdef FIXED
	for (int i = 0; i < 64; i++) {
		t = BPF_CORE_READ(t, real_parent);
		if (!t || BPF_CORE_READ(t, pid) == 0)
			break;
		n++;
	}
#else
	while (t && BPF_CORE_READ(t, pid) != 0) { // <-
		t = BPF_CORE_READ(t, real_parent); // <-
		n++;
	}
#endif
	depth = n;
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: too-many-jumps, too-many-insns, loop-infinite
