#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym;
int seen;

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_new, struct task_struct *p)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();
	if (!mask)
		return 0;
	bpf_cpumask_set_cpu(0, mask);
	if (!bpf_cpumask_test_cpu(p->wake_cpu, (struct cpumask *)mask)) {
#ifdef FIXED
		bpf_cpumask_release(mask);
#endif
		return 0; // <-
	}
	seen++;
	bpf_cpumask_release(mask);
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: reference-leak
