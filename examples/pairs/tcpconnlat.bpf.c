// How long TCP connections take to be made, by socket: a connection begins on one thread and is made, or refused, wherever the
// answer arrives. The entry of a socket waits in a hash under its address.
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

#define SLOTS 32
#define TCP_ESTABLISHED 1 // include/net/tcp_states.h
#define TCP_SYN_SENT 2

struct start {
	__u64 ts;
	__u32 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u64);
	__type(value, struct start);
} starts SEC(".maps");

__u64 latency_us[SLOTS];
__u64 made, refused;

static __always_inline __u32 log2_slot(__u64 value)
{
	__u32 slot = 0;

	for (int step = 32; step; step >>= 1) {
		if (value >> step) {
			value >>= step;
			slot += step;
		}
	}
	return slot < SLOTS ? slot : SLOTS - 1;
}

SEC("tp_btf/inet_sock_set_state")
int connect_begins(__u64 *ctx) // struct sock *sk, int oldstate, int newstate
{
	__u64 sk = ctx[0];
	struct start start = {};

	if ((int)ctx[2] != TCP_SYN_SENT)
		return 0;
	start.ts = bpf_ktime_get_ns();
	start.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_map_update_elem(&starts, &sk, &start, BPF_ANY);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int connect_ends(__u64 *ctx)
{
	__u64 sk = ctx[0];
	struct start *start;

	if ((int)ctx[1] != TCP_SYN_SENT)
		return 0;
	start = bpf_map_lookup_elem(&starts, &sk);
	if (!start)
		return 0;
	if ((int)ctx[2] == TCP_ESTABLISHED) {
		__sync_fetch_and_add(&made, 1);
		__sync_fetch_and_add(&latency_us[log2_slot((bpf_ktime_get_ns() - start->ts) / 1000)], 1);
	} else {
		__sync_fetch_and_add(&refused, 1);
	}
	bpf_map_delete_elem(&starts, &sk);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
