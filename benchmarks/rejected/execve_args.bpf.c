/* Appends the arguments of execve to one buffer. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ARGSIZE 128
#define TOTAL_ARGS 16
#define FULL (ARGSIZE * TOTAL_ARGS)
#define LAST_ARG (FULL - ARGSIZE)

struct event {
	int pid;
	unsigned int args_size;
	char args[FULL];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event);
} scratch SEC(".maps");

struct sys_enter_args { __u64 pad; long id; unsigned long args[6]; };

SEC("tracepoint/syscalls/sys_enter_execve")
int enter_execve(struct sys_enter_args *ctx)
{
	__u32 zero = 0;
	const char **argv = (const char **)ctx->args[1];
	const char *arg;
	struct event *e = bpf_map_lookup_elem(&scratch, &zero);
	int i, ret;

	if (!e)
		return 0;
	e->args_size = 0;
	for (i = 1; i < TOTAL_ARGS; i++) {
		bpf_probe_read_user(&arg, sizeof(arg), &argv[i]);
		if (!arg)
			return 0;
#ifdef FIXED
		if (e->args_size > LAST_ARG)
			return 0;
#endif
		ret = bpf_probe_read_user_str(&e->args[e->args_size], ARGSIZE, arg); // <-
		if (ret < 0)
			return 0;
		e->args_size += ret; // <-
	}
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
// cause: map-value-unbounded, map-value-index
