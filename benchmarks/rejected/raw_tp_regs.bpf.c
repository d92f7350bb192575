#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

__u64 opens;

SEC("raw_tp/sys_enter")
int on_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	unsigned long flags;
#ifdef FIXED
	flags = BPF_CORE_READ(regs, dx);
#else
	flags = regs->dx; // <-
#endif
	if (ctx->args[1] == 257 && (flags & 1))
		opens++;
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: number-as-pointer
