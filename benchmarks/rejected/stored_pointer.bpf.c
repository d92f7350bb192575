/* Remembers a pointer at entry and follows it at exit. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct file *);
} reads SEC(".maps");

u64 total_ino;

SEC("kprobe/vfs_read")
int BPF_KPROBE(vfs_read_enter, struct file *file)
{
	u32 tid = bpf_get_current_pid_tgid();
	bpf_map_update_elem(&reads, &tid, &file, BPF_ANY);
	return 0;
}

SEC("kretprobe/vfs_read")
int BPF_KRETPROBE(vfs_read_exit, long ret)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct file **fp = bpf_map_lookup_elem(&reads, &tid);

	if (!fp)
		return 0;
#ifdef FIXED
	total_ino += BPF_CORE_READ(*fp, f_inode, i_ino);
#else
	total_ino += (*fp)->f_inode->i_ino; // <-
#endif
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: number-as-pointer
