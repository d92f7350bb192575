/* A field that has another name now. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#ifdef FIXED
struct task_struct { unsigned int __state; } __attribute__((preserve_access_index));
#else
struct task_struct { long state; } __attribute__((preserve_access_index));
#endif
long last;

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct task_struct *t = (void *)bpf_get_current_task();
#ifdef FIXED
	last = BPF_CORE_READ(t, __state);
#else
	last = BPF_CORE_READ(t, state); // <-
#endif
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: core-relocation
