#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("sk_msg")
int proxy(struct sk_msg_md *msg)
{
	void *data = (void *)(long)msg->data;
	void *data_end = (void *)(long)msg->data_end;

	if (data + 8 > data_end) {
		if (bpf_msg_pull_data(msg, 0, 8, 0))
			return SK_DROP;
#ifdef FIXED
		data = (void *)(long)msg->data;
		data_end = (void *)(long)msg->data_end;
		if (data + 8 > data_end)
			return SK_DROP;
#endif
	}
	if (*(__u32 *)data == 0x20544547) // <-
		return SK_PASS;
	return SK_DROP;
}
char _license[] SEC("license") = "GPL";
// cause: packet-stale-pointer, packet-unchecked, packet-check-too-small
