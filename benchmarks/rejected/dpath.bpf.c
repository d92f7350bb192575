/* The name of what is closed. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char name[128];

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p, int old, struct linux_binprm *bprm)
{
	struct file *f = bprm->file;
#ifdef FIXED
	if (f)
		name[0] = f->f_flags;
#else
	bpf_d_path(&f->f_path, name, sizeof(name)); // <-
#endif
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-program-type, attach-target, helper-unknown
