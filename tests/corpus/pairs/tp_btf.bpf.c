#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
struct task { char pad[1200]; int pid; int tgid; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1024);} runs SEC(".maps");
SEC("tp_btf/sched_switch") int f(__u64 *c) {
  struct task *prev=(void*)c[1], *next=(void*)c[2];
  __u32 a=prev->pid, b=next->tgid;
  if (a==0) return 0;
  __u64 *v=bpf_map_lookup_elem(&runs,&a);
  if (v) *v += 1; else { __u64 z=1; bpf_map_update_elem(&runs,&a,&z,BPF_NOEXIST);}
  if (c[0]) bpf_map_delete_elem(&runs,&b);
  return 0;
}
char _l[] SEC("license")="GPL";
