#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpfsmith/helpers.h>
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(key_size,4); __uint(value_size,4); __uint(max_entries,8);} jmp SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key,__u32); __type(value,__u64); __uint(max_entries,2);} cnt SEC(".maps");
SEC("xdp") int f(struct xdp_md *ctx) {
  void *data=(void*)(long)ctx->data, *end=(void*)(long)ctx->data_end;
  struct ethhdr *eth=data; struct iphdr *ip=(void*)(eth+1);
  if ((void*)(ip+1)>end) return XDP_DROP;
  __u32 z=0; __u64*v=bpf_map_lookup_elem(&cnt,&z); if(v) __sync_fetch_and_add(v,1);
  switch(ip->protocol){ case 6: bpf_tail_call(ctx,&jmp,1); break; case 17: bpf_tail_call(ctx,&jmp,2); break; default: bpf_tail_call(ctx,&jmp,0);}
  z=1; v=bpf_map_lookup_elem(&cnt,&z); if(v) *v+=1;
  return XDP_PASS;
}
char _l[] SEC("license")="GPL";
