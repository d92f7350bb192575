// SPDX-License-Identifier: GPL-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define ETH_HLEN 14

SEC("socket")
int socket_handler(struct __sk_buff *skb)
{
	__u8 verlen, proto;
	__u16 tot_len, ethtype;
	__u8 doff;
	char method[8] = {};
	__u32 poff, plen;

	bpf_skb_load_bytes(skb, 12, &ethtype, 2);
	if (bpf_ntohs(ethtype) != ETH_P_IP)
		return 0;
	bpf_skb_load_bytes(skb, ETH_HLEN, &verlen, 1);
	bpf_skb_load_bytes(skb, ETH_HLEN + 2, &tot_len, 2);
	bpf_skb_load_bytes(skb, ETH_HLEN + 9, &proto, 1);
	if (proto != IPPROTO_TCP)
		return 0;
	__u32 hlen = (verlen & 0xf) * 4;
	bpf_skb_load_bytes(skb, ETH_HLEN + hlen + 12, &doff, 1);
	poff = ETH_HLEN + hlen + (doff >> 4) * 4;
	plen = bpf_ntohs(tot_len) - hlen - (doff >> 4) * 4;
#ifdef FIXED
	plen &= 7;
	if (plen == 0)
		return 0;
#endif
	bpf_skb_load_bytes(skb, poff, method, plen); // <-
	return method[0] == 'G' ? skb->len : 0;
}

char _license[] SEC("license") = "GPL";
// cause: helper-size-zero, helper-size-unbounded, helper-size-negative, stack-out-of-bounds
