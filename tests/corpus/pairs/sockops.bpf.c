#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
struct key { __u32 sip,dip,sport,dport; };
struct { __uint(type, BPF_MAP_TYPE_SOCKHASH); __type(key, struct key); __type(value, int); __uint(max_entries, 64);} socks SEC(".maps");
SEC("sockops") int f(struct bpf_sock_ops *s) {
  struct key k={};
  switch(s->op){
  case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
  case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
    if (s->family!=2) return 0;
    k.sip=s->local_ip4; k.dip=s->remote_ip4; k.sport=s->local_port; k.dport=__builtin_bswap32(s->remote_port);
    bpf_sock_hash_update(s,&socks,&k,BPF_NOEXIST);
    s->reply=1;
    break;
  case BPF_SOCK_OPS_TIMEOUT_INIT: s->reply=10; break;
  default: s->reply=-1;
  }
  return 0;
}
char _l[] SEC("license")="GPL";
