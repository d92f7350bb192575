/* Reads a name into a record, as long as the record is. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct record { __u64 when; __u32 pid; char name[52]; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");
struct args { __u64 common; __u64 nr; const char *name; };

SEC("tp/syscalls/sys_enter_chdir")
int on_chdir(struct args *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct record *r = bpf_map_lookup_elem(&records, &pid);
	if (!r)
		return 0;
	r->when = bpf_ktime_get_ns();
#ifdef FIXED
	bpf_probe_read_user_str(r->name, sizeof(r->name), ctx->name);
#else
	bpf_probe_read_user_str(r->name, sizeof(*r), ctx->name); // <-
#endif
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-too-small
