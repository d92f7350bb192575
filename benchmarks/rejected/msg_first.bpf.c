#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("sk_msg")
int gate(struct sk_msg_md *msg)
{
	char *data = msg->data;
	char *end = msg->data_end;

#ifdef FIXED
	if (data + 4 > end)
		return SK_DROP;
#endif
	if (data[0] == 'Q' && data[3] == '\n') // <-
		return SK_DROP;
	return SK_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-unchecked
