#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
struct ev { __u32 pid; __u32 n; __u64 ts; char comm[16]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);} rb SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u32); __uint(max_entries, 64);} n SEC(".maps");
SEC("raw_tp/sys_enter") int f(struct bpf_raw_tracepoint_args *c) {
  __u32 pid=bpf_get_current_pid_tgid()>>32;
  __u32 *v=bpf_map_lookup_elem(&n,&pid), one=1, cnt=1;
  if (v) { cnt=*v+1; *v=cnt; } else bpf_map_update_elem(&n,&pid,&one,BPF_ANY);
  if (c->args[1]!=59 && cnt%16) return 0;
  struct ev *e=bpf_ringbuf_reserve(&rb,sizeof *e,0);
  if (!e) return 0;
  e->pid=pid; e->n=cnt; e->ts=bpf_ktime_get_ns();
  bpf_get_current_comm(e->comm,16);
  if (e->comm[0]=='x') { bpf_ringbuf_discard(e,0); return 0; }
  bpf_ringbuf_submit(e,0);
  return 0;
}
char _l[] SEC("license")="GPL";
