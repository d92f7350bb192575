/* How a guest makes a program run: numbers that plan.py writes. */
#include <stdint.h>

enum how {
	NOT_AT_ALL, BY_RAW_TRACEPOINT, BY_TRACEPOINT, BY_KPROBE, BY_KRETPROBE, BY_KPROBE_MULTI, BY_KRETPROBE_MULTI, BY_ITERATOR,
	BY_CGROUP, BY_SOCKET, BY_DEVICE, BY_NETNS, BY_NETFILTER, BY_CLOCK, BY_TEST_RUN, BY_TEST_RUN_BARE,
};

/* `error` is the errno of the attachment, 0 where it succeeded; `runs` the kernel's count, -1 where it has none. */
struct ran {
	uint32_t how;
	int error;
	long runs;
	uint32_t result;
};

void guest_network(void);
struct ran guest_run(int prog, uint32_t how, uint32_t attach_type, const char *target);
