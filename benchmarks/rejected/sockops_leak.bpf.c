#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} start SEC(".maps");

SEC("sockops")
int track(struct bpf_sock_ops *skops)
{
	__u64 *ts;

	switch (skops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
#ifdef FIXED
		if (!skops->sk)
			return 1;
#endif
		ts = bpf_sk_storage_get(&start, skops->sk, 0, BPF_SK_STORAGE_GET_F_CREATE); // <-
		if (ts)
			*ts = bpf_ktime_get_ns();
		break;
	}
	return 1;
}
char _license[] SEC("license") = "GPL";
// cause: null-argument, argument-type
