/* The first bytes of a message decide. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct header { __u32 magic; __u16 version, kind; __u64 id; };

SEC("sk_msg")
int verdict(struct sk_msg_md *msg)
{
	void *data = msg->data, *data_end = msg->data_end;
	struct header *h = data;
#ifdef FIXED
	if (data + sizeof(*h) > data_end)
#else
	if (data + sizeof(h) > data_end) // <-
#endif
		return SK_PASS;
	if (h->magic != 0x1234)
		return SK_DROP;
	return h->id == 0 ? SK_DROP : SK_PASS; // <-
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small
