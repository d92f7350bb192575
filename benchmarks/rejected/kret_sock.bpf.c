#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct sock *);
} sockets SEC(".maps");
u32 last_daddr;

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(connected, int ret)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct sock **skpp = bpf_map_lookup_elem(&sockets, &tid);
	if (!skpp)
		return 0;
	if (ret)
		return 0;
	struct sock *sk = *skpp;
#ifdef FIXED
	last_daddr = BPF_CORE_READ(sk, __sk_common.skc_daddr);
#else
	last_daddr = sk->__sk_common.skc_daddr; // <-
#endif
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: number-as-pointer
