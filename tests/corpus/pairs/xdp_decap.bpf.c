#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpfsmith/helpers.h>
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 4);} stats SEC(".maps");
static void count(__u32 i){ __u64*v=bpf_map_lookup_elem(&stats,&i); if(v) *v+=1; }
SEC("xdp") int f(struct xdp_md *ctx) {
  void *data=(void*)(long)ctx->data, *end=(void*)(long)ctx->data_end;
  struct ethhdr *eth=data;
  if ((void*)(eth+1)>end) return XDP_DROP;
  struct iphdr *ip=(void*)(eth+1);
  if ((void*)(ip+1)>end) { count(0); return XDP_PASS; }
  if (ip->protocol != 4) { count(1); return XDP_PASS; }
  struct ethhdr old=*eth;
  if (bpf_xdp_adjust_head(ctx, 20)) { count(2); return XDP_DROP; }
  data=(void*)(long)ctx->data; end=(void*)(long)ctx->data_end;
  eth=data;
  if ((void*)(eth+1)>end) return XDP_DROP;
  *eth=old;
  count(3);
  return XDP_TX;
}
char _l[] SEC("license")="GPL";
