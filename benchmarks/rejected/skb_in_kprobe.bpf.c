/* Takes the kernel's sk_buff for the __sk_buff of a classifier. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 total_len;

SEC("kprobe/ip_rcv")
int on_ip_rcv(struct pt_regs *ctx)
{
	struct __sk_buff *skb = (struct __sk_buff *)PT_REGS_PARM1(ctx);
#ifdef FIXED
	__u32 len = 0;
	bpf_probe_read_kernel(&len, sizeof(len), &skb->len);
	total_len += len;
#else
	total_len += skb->len; // <-
#endif
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: number-as-pointer
