#include <bpfsmith/helpers.h>

#define __ksym __attribute__((section(".ksyms")))

int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;

SEC("xdp") int sum(struct xdp_md *ctx)
{
	struct bpf_iter_num it;
	int total = 0, *i;
#ifdef FIXED
	bpf_iter_num_new(&it, 0, 10);
#endif
	while ((i = bpf_iter_num_next(&it))) // <-
		total += *i;
	bpf_iter_num_destroy(&it);
	return total ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
