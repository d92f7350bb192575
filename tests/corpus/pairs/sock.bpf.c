#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpfsmith/helpers.h>
SEC("socket") int f(struct __sk_buff *skb) {
  __u8 p; __u16 t; __u32 a[2];
  if (bpf_skb_load_bytes(skb,12,&t,2)<0) return 0;
  if (t!=__builtin_bswap16(0x0800)) return 0;
  if (bpf_skb_load_bytes(skb,23,&p,1)<0) return 0;
  if (p!=6 && p!=17) return 0;
  if (bpf_skb_load_bytes(skb,26,a,8)<0) return 0;
  __u32 h=a[0]*2654435761u ^ a[1];
  h^=h>>13;
  return (h%100)<10 ? skb->len : 0;
}
char _l[] SEC("license")="GPL";
