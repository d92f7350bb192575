/* Adds up the arguments of a system call in a loop that stays one. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

__u64 total;
const volatile int nargs = 6;
int chosen;

SEC("tracepoint/raw_syscalls/sys_enter")
int enter(struct sys_enter_args *ctx)
{
	int i = chosen;

	if (i < 0 || i >= 6)
		return 0;
#ifdef FIXED
	switch (i) {
	case 0: total += ctx->args[0]; asm volatile("" ::: "memory"); break;
	case 1: total += ctx->args[1]; asm volatile("" ::: "memory"); break;
	case 2: total += ctx->args[2]; asm volatile("" ::: "memory"); break;
	case 3: total += ctx->args[3]; asm volatile("" ::: "memory"); break;
	case 4: total += ctx->args[4]; asm volatile("" ::: "memory"); break;
	case 5: total += ctx->args[5]; asm volatile("" ::: "memory"); break;
	}
#else
	total += ctx->args[i]; // <-
#endif
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: context-variable, context-modified
