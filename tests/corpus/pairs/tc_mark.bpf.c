#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpfsmith/helpers.h>
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1024);} seen SEC(".maps");
SEC("tc") int f(struct __sk_buff *skb) {
  void *data=(void*)(long)skb->data, *end=(void*)(long)skb->data_end;
  struct ethhdr *eth=data;
  if ((void*)(eth+1)>end) return 0;
  if (eth->h_proto != __builtin_bswap16(0x0800)) return 0;
  struct iphdr *ip=(void*)(eth+1);
  if ((void*)(ip+1)>end) return 2;
  __u32 k=ip->saddr; __u64 one=1;
  __u64 *v=bpf_map_lookup_elem(&seen,&k);
  if (v) __sync_fetch_and_add(v,1); else bpf_map_update_elem(&seen,&k,&one,BPF_ANY);
  skb->mark = ip->tos & 0x3;
  skb->cb[1] = skb->len;
  if (ip->ttl <= 1) return 2;
  ip->ttl--;
  if (skb->ifindex == 3) return bpf_redirect(7, 0);
  return 0;
}
char _l[] SEC("license")="GPL";
