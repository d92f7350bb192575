#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct job { struct bpf_list_node link; __u32 number; };
struct queue { struct bpf_spin_lock lock; struct bpf_list_head head __attribute__((btf_decl_tag("contains:job:link"))); };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct queue);
} queues SEC(".maps");

struct job *unused; /* so that the type is described */

extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;

SEC("tc") int drain(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct bpf_list_node *first;
	struct queue *queue = bpf_map_lookup_elem(&queues, &zero);
	if (!queue)
		return 0;
#ifdef FIXED
	bpf_spin_lock(&queue->lock);
	first = bpf_list_pop_front(&queue->head);
	bpf_spin_unlock(&queue->lock);
#else
	first = bpf_list_pop_front(&queue->head); // <-
#endif
	if (first)
		bpf_obj_drop_impl((void *)first - __builtin_offsetof(struct job, link), 0);
	return 0;
}
char _license[] SEC("license") = "GPL";
