/* Prints a load as a person would like it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char line[64];
__u64 load = 5;

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
#ifdef FIXED
	static const char fmt[] = "load %llu";
#else
	static const char fmt[] = "load %5.2f"; // <-
#endif
	__u64 args[] = {load};
	bpf_snprintf(line, sizeof(line), fmt, args, sizeof(args)); // <-
	return 0;
}
char _license[] SEC("license") = "GPL";
// cause: helper-string
