#include <bpfsmith/helpers.h>

struct request { unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di; };

SEC("kprobe/vfs_read") int peek(struct request *regs)
{
#ifdef FIXED
	__u32 mode = 0;
	bpf_probe_read_kernel(&mode, sizeof(mode), (void *)(regs->di + 68));
#else
	__u32 mode = *(__u32 *)(regs->di + 68); // <-
#endif
	return mode == 7;
}
char _license[] SEC("license") = "GPL";
