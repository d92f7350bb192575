#include <bpfsmith/helpers.h>

#define __ksym __attribute__((section(".ksyms")))

void bpf_task_release(void *task) __ksym;
int vfs_fsync(void *file, int datasync) __ksym;

SEC("xdp") int call(struct xdp_md *ctx)
{
#ifndef FIXED
	vfs_fsync(ctx, 0); // <-
#endif
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
