/* Fills a table in a bpf_loop. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u32 table[128];
__u32 wanted = 128;

static long fill(__u32 i, void *unused)
{
#ifdef FIXED
	if (i >= 128)
		return 1;
#endif
	table[i] = i * i; // <-
	return 0;
}

SEC("syscall")
int init(void *ctx)
{
	bpf_loop(wanted, fill, 0, 0);
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
