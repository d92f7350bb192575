#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpfsmith/helpers.h>
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(key_size,4); __uint(value_size,4); __uint(max_entries,16);} dev SEC(".maps");
SEC("xdp") int f(struct xdp_md *ctx) {
  void *data=(void*)(long)ctx->data, *end=(void*)(long)ctx->data_end;
  struct ethhdr *eth=data; struct iphdr *ip=(void*)(eth+1);
  struct bpf_fib_lookup p={};
  if ((void*)(ip+1)>end) return XDP_PASS;
  if (eth->h_proto!=__builtin_bswap16(0x0800)) return XDP_PASS;
  if (ip->ttl<=1) return XDP_PASS;
  p.family=2; p.tos=ip->tos; p.l4_protocol=ip->protocol; p.tot_len=__builtin_bswap16(ip->tot_len);
  p.ipv4_src=ip->saddr; p.ipv4_dst=ip->daddr; p.ifindex=ctx->ingress_ifindex;
  long rc=bpf_fib_lookup(ctx,&p,sizeof p,0);
  if (rc!=0) return rc==1||rc==2||rc==3 ? XDP_DROP : XDP_PASS;
  __u32 c=ip->check; c+=__builtin_bswap16(0x0100); ip->check=(__u16)(c+(c>=0xffff)); ip->ttl--;
  __builtin_memcpy(eth->h_dest,p.dmac,6); __builtin_memcpy(eth->h_source,p.smac,6);
  return bpf_redirect_map(&dev,p.ifindex,0);
}
char _l[] SEC("license")="GPL";
