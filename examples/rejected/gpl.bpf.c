#include <bpfsmith/helpers.h>

SEC("kprobe/vfs_read") int look(void *ctx)
{
	__u64 word = 0;
	bpf_probe_read_kernel(&word, sizeof(word), ctx);
	return word == 7;
}

#ifdef FIXED
char _license[] SEC("license") = "GPL";
#else
char _license[] SEC("license") = "Proprietary"; // <-
#endif