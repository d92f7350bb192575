/* Counts IP router-alert options. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

__u64 alerts;

SEC("xdp")
int count_alerts(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	__u8 *opt = (__u8 *)(ip + 1);
	for (int i = 0; i < 40; i++) {
		if (i >= ip->ihl * 4 - 20)
			break;
#ifdef FIXED
		if ((void *)(opt + 1) > data_end)
#else
		if ((void *)opt > data_end) // <-
#endif
			break;
		if (*opt == 148) // <-
			alerts++;
		opt++;
	}
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
// cause: packet-check-too-small, packet-unchecked
