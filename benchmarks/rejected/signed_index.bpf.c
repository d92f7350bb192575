#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_CPUS 16

struct cpu_stat { __u64 irqs; __u64 ns; };
struct cpu_stat stats[MAX_CPUS];
int wanted_cpu = -1;

SEC("raw_tp/irq_handler_entry")
int irq(void *ctx)
{
	int cpu = wanted_cpu;

#ifdef FIXED
	if (cpu < 0 || cpu >= MAX_CPUS)
#else
	if (cpu >= MAX_CPUS) // <-
#endif
		return 0;
	stats[cpu].irqs++; // <-
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-value-negative, map-value-unbounded
