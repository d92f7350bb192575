#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
struct ev { __u32 pid, uid; char comm[16]; char path[64]; long ret; };
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size,4); __uint(value_size,4);} out SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1024);} start SEC(".maps");
struct args { __u64 pad; int nr; int pad2; __u64 a0,a1,a2,a3; };
int target;
SEC("tracepoint/syscalls/sys_enter_openat") int f(struct args *c) {
  __u64 id=bpf_get_current_pid_tgid(); __u32 pid=id>>32;
  if (target && pid!=target) return 0;
  struct ev e={};
  e.pid=pid; e.uid=bpf_get_current_uid_gid();
  bpf_get_current_comm(e.comm,sizeof e.comm);
  e.ret=bpf_probe_read_user_str(e.path,sizeof e.path,(void*)c->a1);
  __u64 ts=bpf_ktime_get_ns();
  bpf_map_update_elem(&start,&pid,&ts,BPF_ANY);
  if (e.ret>0) bpf_perf_event_output(c,&out,BPF_F_CURRENT_CPU,&e,sizeof e);
  return 0;
}
char _l[] SEC("license")="GPL";
