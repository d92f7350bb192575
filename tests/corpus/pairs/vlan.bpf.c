#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpfsmith/helpers.h>
struct vh { __u16 tci, proto; };
SEC("tc") int f(struct __sk_buff *skb) {
  if (skb->vlan_present) { bpf_skb_vlan_pop(skb); }
  void *data=(void*)(long)skb->data, *end=(void*)(long)skb->data_end;
  struct ethhdr *e=data;
  if ((void*)(e+1)>end) return 2;
  __u16 p=e->h_proto; 
  if (p==__builtin_bswap16(0x8100)) return 0;
  if (skb->priority>3) { bpf_skb_vlan_push(skb,__builtin_bswap16(0x8100),100+skb->priority%8);
     data=(void*)(long)skb->data; end=(void*)(long)skb->data_end; e=data; if ((void*)(e+1)>end) return 2; e->h_dest[5]^=1; }
  return 0;
}
char _l[] SEC("license")="GPL";
