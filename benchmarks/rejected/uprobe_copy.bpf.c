/* Reads a buffer that may be swapped out. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char text[64];

#ifdef FIXED
SEC("uprobe.s")
#else
SEC("uprobe") // <-
#endif
int on_call(struct pt_regs *ctx)
{
	bpf_copy_from_user(text, sizeof(text), (void *)ctx->rdi); // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: sleepable, helper-program-type
