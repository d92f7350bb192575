#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define MAX 26
struct hist { u64 latency; u64 cnt; u32 slots[MAX]; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 100); __type(key, u64); __type(value, struct hist); } hists SEC(".maps");

SEC("kprobe/tcp_rcv_established")
int BPF_KPROBE(tcp_rcv, struct sock *sk)
{
	struct tcp_sock *ts = (struct tcp_sock *)sk;
	u64 key = 0, slot;
	struct hist *h = bpf_map_lookup_elem(&hists, &key);
	if (!h)
		return 0;
#ifdef FIXED
	u32 srtt = BPF_CORE_READ(ts, srtt_us) >> 3;
#else
	u32 srtt = ts->srtt_us >> 3; // <-
#endif
	slot = srtt >> 10;
	if (slot >= MAX)
		slot = MAX - 1;
	__sync_fetch_and_add(&h->slots[slot], 1);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: number-as-pointer
