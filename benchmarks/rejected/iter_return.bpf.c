/* Sums up to a limit by an open-coded iterator. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
int limit = 10;
int sum;

SEC("tc")
int adds(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *v, verdict = 0;

	bpf_iter_num_new(&it, 0, 100);
	while ((v = bpf_iter_num_next(&it))) {
		sum += *v;
		if (sum > limit) {
#ifdef FIXED
			verdict = 2;
			break;
#else
			return 2; // <-
#endif
		}
	}
	bpf_iter_num_destroy(&it);
	return verdict;
}
char _license[] SEC("license") = "GPL";
// cause: reference-leak, iterator
