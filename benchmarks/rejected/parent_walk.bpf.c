/* Is the shell among the ancestors? */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

int shell = 100;
__u64 under_shell;

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p)
{
	struct task_struct *t = p;
#ifdef FIXED
	for (int i = 0; i < 32; i++) {
#else
	for (;;) { // <-
#endif
		int tgid = BPF_CORE_READ(t, tgid);
		if (tgid == shell) {
			under_shell++;
			break;
		}
		if (tgid <= 1)
			break;
		t = BPF_CORE_READ(t, real_parent);
	}
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: loop-infinite, too-many-insns, too-many-jumps, loop
