/* Filters, parsers, rewriters. */
#include "headers.h"

__u64 seen, bytes;
__u32 blocked_port = 0x5000;

SEC("xdp") int udp_only(struct xdp_md *ctx) { PARSE(1); return 2; }

SEC("xdp") int port_range(struct xdp_md *ctx)
{
	PARSE(2);
	__u16 port = __builtin_bswap16(udp->dst);
	return port >= 1000 && port < 2000 ? 1 : 2;
}

SEC("xdp") int vlan_walk(struct xdp_md *ctx)
{
	__u8 *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 at = 12;
#pragma clang loop unroll(full)
	for (int i = 0; i < 3; i++) {
		if (p + at + 2 > end)
			return 1;
		if (*(__u16 *)(p + at) != 0x0081)
			break;
		at += 4;
	}
	if (p + at + 2 > end)
		return 1;
	return *(__u16 *)(p + at) == 0x0008 ? 2 : 1;
}

SEC("xdp") int options_skipped(struct xdp_md *ctx)
{
	PARSE(2);
	__u32 ihl = (ip->vihl & 15) * 4;
	__u8 *l4 = (__u8 *)ip + ihl;
	if (ihl < 20 || l4 + 8 > (__u8 *)end)
		return 1;
	return *(__u16 *)(l4 + 2) == blocked_port ? 1 : 2;
}

SEC("tc") int accounting(struct __sk_buff *ctx)
{
	seen++;
	bytes += ctx->len;
	return 0;
}

SEC("tc") int decrement_ttl(struct __sk_buff *ctx)
{
	PARSE(0);
	if (ip->ttl < 2)
		return 2;
	__u32 sum = ip->check;
	sum += 0x0100;
	ip->check = sum + (sum >= 0xffff);
	ip->ttl = 64;
	return 0;
}

SEC("xdp") int mark_dscp(struct xdp_md *ctx)
{
	PARSE(2);
	ip->tos = (ip->tos & 3) | (46 << 2);
	__u16 *w = (__u16 *)ip;
	__u32 sum = 0;
	ip->check = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < 10; i++)
		sum += w[i];
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	ip->check = ~sum;
	return 2;
}

SEC("xdp") int magic(struct xdp_md *ctx)
{
	PARSE(2);
	if (body + 16 > (__u8 *)end)
		return 2;
	return body[0] == 'h' && body[1] == 'e' && body[2] == 'l' && body[3] == 'l' && body[4] == 'o' ? 1 : 2;
}

SEC("tc") int find_byte(struct __sk_buff *ctx)
{
	PARSE(0);
	if (body + 128 > (__u8 *)end)
		return 0;
	__u32 at = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 128; i++)
		if (body[i] == 0xff) {
			at = i;
			break;
		}
	bytes = at;
	return 0;
}

SEC("xdp") int xor_body(struct xdp_md *ctx)
{
	PARSE(2);
	if (body + 64 > (__u8 *)end)
		return 2;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 64; i++)
		body[i] ^= 0x5a;
	return 2;
}
