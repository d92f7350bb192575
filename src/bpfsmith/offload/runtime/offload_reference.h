/*
 * What a server's calls mean, for the proof of its kernel half: a request is a packet's payload, a reply takes its place.
 *
 * Written apart from the kernel half's runtime, and as plainly as can be: it never runs, and is only compared with. What it does
 * not say is what `bs_ref_stop` stands for: a kernel half that answers nevertheless is not proved.
 */
#pragma once

typedef unsigned char bs_ref_byte;
typedef unsigned short bs_ref_half;
typedef unsigned int bs_ref_word;
typedef unsigned long bs_ref_long;

#define BS_REF_INLINE static inline __attribute__((always_inline, unused))
#define BS_REF_LONGEST 1472
#define BS_REF_ELSEWHERE 0x5e17 /* the result of a run that does what only the process can do */

static long (*const bs_ref_skb_change_tail)(void *skb, bs_ref_word len, bs_ref_long flags) = (void *)38;
static long (*const bs_ref_skb_pull_data)(void *skb, bs_ref_word len) = (void *)39;
static long (*const bs_ref_redirect)(bs_ref_word ifindex, bs_ref_long flags) = (void *)23;
static long (*const bs_ref_xdp_adjust_tail)(void *xdp, int delta) = (void *)65;

#ifdef BS_XDP
struct bs_ref_context {
	bs_ref_word data, data_end, data_meta, ifindex, rx_queue, egress;
};
#define BS_REF_SECTION "xdp"
#define BS_REF_DROP 1
#define BS_REF_ANSWERED 3
#else
struct bs_ref_context {
	bs_ref_word len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex;
	bs_ref_word ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};
#define BS_REF_SECTION "tc"
#define BS_REF_DROP 2
#endif

/* The prover's: the packet that the run is about. */
static __attribute__((noinline)) struct bs_ref_context *bs_ref_packet(void)
{
	struct bs_ref_context *packet;

	asm volatile("%0 = 0" : "=r"(packet));
	return packet;
}

/* Ends the run with this result: all of the server is one function here. */
#define bs_ref_stop(result)                                                                           \
	do {                                                                                          \
		asm volatile("r0 = %0\n\texit" : : "r"((long)(result)) : "r0", "memory");             \
		__builtin_unreachable();                                                              \
	} while (0)

struct bs_ref_headers {
	bs_ref_byte to[6], from[6];
	bs_ref_half type_be;
	bs_ref_byte ihl, tos;
	bs_ref_half bytes_be, id_be, fragment_be;
	bs_ref_byte ttl, protocol;
	bs_ref_half check;
	bs_ref_word saddr_be, daddr_be;
	bs_ref_half sport_be, dport_be, udp_bytes_be, udp_check;
} __attribute__((packed, aligned(2)));

struct bs_ref_client {
	bs_ref_half family, port_be;
	bs_ref_word address_be;
	bs_ref_long zero;
};

/* One run. It is set up by the entry and seen by nobody else. */
static struct {
	int received, replied;
	bs_ref_word reply_bytes;
	bs_ref_word address_be;
	bs_ref_half port_be;
	bs_ref_half unfinished;
	bs_ref_byte reply[BS_REF_LONGEST];
} bs_ref;

BS_REF_INLINE bs_ref_half bs_ref_swapped(bs_ref_half value)
{
	return __builtin_bswap16(value);
}

BS_REF_INLINE bs_ref_long bs_ref_folded(bs_ref_long sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* So many bytes as a number. */
BS_REF_INLINE bs_ref_long bs_ref_load(const bs_ref_byte *from, int bytes)
{
	bs_ref_long word = 0;

	for (int i = 0; i < bytes; i++)
		word |= (bs_ref_long)from[i] << 8 * i;
	return word;
}

/* The reply as the stack would send it: from the server's address to the client's, checksums right (RFC 768, RFC 791). */
BS_REF_INLINE void bs_ref_answer(void)
{
	struct bs_ref_context *packet = bs_ref_packet();
	bs_ref_word bytes = bs_ref.reply_bytes, at, i;
	bs_ref_byte *data, *end;
	struct bs_ref_headers *h;
	bs_ref_long sum, pseudo;
	bs_ref_half check;

#ifdef BS_XDP
	{
		bs_ref_long now = (bs_ref_byte *)(long)packet->data_end - (bs_ref_byte *)(long)packet->data;

		if (bs_ref_xdp_adjust_tail(packet, (int)(bytes + sizeof *h) - (int)now))
			bs_ref_stop(BS_REF_ELSEWHERE);
	}
#else
	if (packet->len != bytes + sizeof *h && bs_ref_skb_change_tail(packet, bytes + sizeof *h, 0))
		bs_ref_stop(BS_REF_ELSEWHERE);
	if ((bs_ref_byte *)(long)packet->data + sizeof *h + bytes > (bs_ref_byte *)(long)packet->data_end &&
	    bs_ref_skb_pull_data(packet, sizeof *h + bytes))
		bs_ref_stop(BS_REF_ELSEWHERE);
#endif
	data = (void *)(long)packet->data;
	end = (void *)(long)packet->data_end;
	if (data + sizeof *h + bytes > end)
		bs_ref_stop(BS_REF_ELSEWHERE);
	h = (void *)data;
	struct bs_ref_headers was = *h;

	for (i = 0; i < 6; i++) {
		h->to[i] = was.from[i];
		h->from[i] = was.to[i];
	}
	h->tos = 0;
	h->bytes_be = bs_ref_swapped(bytes + 28);
	h->id_be = 0;
	h->fragment_be = bs_ref_swapped(0x4000); /* don't fragment */
	h->ttl = 64;
	h->saddr_be = was.daddr_be;
	h->daddr_be = was.saddr_be;
	h->check = 0;
	sum = 0;
	for (i = 0; i < 10; i++)
		sum += ((bs_ref_half *)&h->ihl)[i];
	h->check = ~bs_ref_folded(sum);
	h->sport_be = was.dport_be;
	h->dport_be = was.sport_be;
	h->udp_bytes_be = bs_ref_swapped(bytes + 8);
	pseudo = (bs_ref_long)h->saddr_be + h->daddr_be + ((bs_ref_word)17 << 8) + h->udp_bytes_be;
	sum = 0;
	for (at = 0; at < bytes; at++)
		data[sizeof *h + at] = bs_ref.reply[at];
	for (at = 0; at + 8 <= bytes; at += 8)
		sum += bs_ref_load(bs_ref.reply + at, 4) + bs_ref_load(bs_ref.reply + at + 4, 4);
	if (bytes & 4) {
		sum += bs_ref_load(bs_ref.reply + at, 4);
		at += 4;
	}
	if (bytes & 2) {
		sum += bs_ref_load(bs_ref.reply + at, 2);
		at += 2;
	}
	if (bytes & 1)
		sum += bs_ref.reply[at];
#ifndef BS_XDP
	if (bs_ref.unfinished) { /* the sender's device finishes it: it holds the pseudo header's sum until then */
		h->udp_check = bs_ref_folded(pseudo);
		bs_ref_stop(bs_ref_redirect(packet->ifindex, 0));
	}
#endif
	check = ~bs_ref_folded(sum + pseudo + h->sport_be + h->dport_be + h->udp_bytes_be);
	h->udp_check = check ? check : 0xffff;
#ifdef BS_XDP
	bs_ref_stop(BS_REF_ANSWERED);
#else
	bs_ref_stop(bs_ref_redirect(packet->ifindex, 0));
#endif
}

/* A packet that lies in pieces is made whole, as the kernel half does: of that the server sees nothing. */
BS_REF_INLINE void bs_ref_begin(struct bs_ref_context *packet)
{
#ifndef BS_XDP
	if ((bs_ref_byte *)(long)packet->data + packet->len > (bs_ref_byte *)(long)packet->data_end &&
	    bs_ref_skb_pull_data(packet, packet->len))
		bs_ref_stop(BS_REF_ELSEWHERE);
#endif
	bs_ref.received = bs_ref.replied = 0;
}

/* The request has come to its end: the server waits for the next one. */
BS_REF_INLINE void bs_ref_end(void)
{
	if (bs_ref.replied)
		bs_ref_answer();
	bs_ref_stop(BS_REF_DROP);
}

BS_REF_INLINE long bs_ref_receive(void *to, bs_ref_long capacity, int flags, void *from, bs_ref_word *from_bytes)
{
	struct bs_ref_context *packet = bs_ref_packet();
	bs_ref_byte *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
	struct bs_ref_headers *h = (void *)data;
	bs_ref_word bytes, at;
	bs_ref_long sum;

	if (bs_ref.received)
		bs_ref_end();
	if (flags & ~0x40 || data + sizeof *h > end)
		bs_ref_stop(BS_REF_ELSEWHERE);
	bs_ref.received = 1;
	bs_ref.address_be = h->saddr_be;
	bs_ref.port_be = h->sport_be;
	bytes = bs_ref_swapped(h->udp_bytes_be) - 8;
	if (data + sizeof *h + bytes > end)
		bs_ref_stop(BS_REF_ELSEWHERE);
	/* A checksum that is not right is one that the sender's device was to finish; others never get to a socket. */
	sum = (bs_ref_long)h->saddr_be + h->daddr_be + ((bs_ref_word)17 << 8) + h->udp_bytes_be;
	sum += h->sport_be + h->dport_be + h->udp_bytes_be;
	for (at = 0; at + 8 <= bytes; at += 8)
		sum += bs_ref_load(data + sizeof *h + at, 4) + bs_ref_load(data + sizeof *h + at + 4, 4);
	if (bytes & 4) {
		sum += bs_ref_load(data + sizeof *h + at, 4);
		at += 4;
	}
	if (bytes & 2) {
		sum += bs_ref_load(data + sizeof *h + at, 2);
		at += 2;
	}
	if (bytes & 1)
		sum += data[sizeof *h + at];
	bs_ref.unfinished = h->udp_check && bs_ref_folded(sum + h->udp_check) != 0xffff;
	if (bytes > capacity)
		bytes = capacity; /* cut off */
	for (at = 0; at < bytes; at++)
		((bs_ref_byte *)to)[at] = data[sizeof *h + at];
	if (from) {
		struct bs_ref_client *client = from;

		client->family = 2; /* AF_INET */
		client->port_be = h->sport_be;
		client->address_be = h->saddr_be;
		client->zero = 0;
	}
	if (from_bytes)
		*from_bytes = 16;
	return bytes;
}

BS_REF_INLINE long bs_ref_reply(const void *from, bs_ref_long bytes, int flags, const void *to)
{
	const struct bs_ref_client *client = to;
	bs_ref_word at;

	if (bs_ref.replied || flags & ~0x4040 || bytes > BS_REF_LONGEST)
		bs_ref_stop(BS_REF_ELSEWHERE);
	if (client->port_be != bs_ref.port_be || client->address_be != bs_ref.address_be)
		bs_ref_stop(BS_REF_ELSEWHERE);
	for (at = 0; at < bytes; at++)
		bs_ref.reply[at] = ((const bs_ref_byte *)from)[at];
	bs_ref.replied = 1;
	bs_ref.reply_bytes = bytes;
	return bytes;
}

/* --- the C library ---------------------------------------------------------------------------------------------------- */
BS_REF_INLINE int bs_ref_memcmp(const void *a, const void *b, bs_ref_long bytes)
{
	const bs_ref_byte *p = a, *q = b;

	for (bs_ref_long i = 0; i < bytes; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

BS_REF_INLINE void *bs_ref_memcpy(void *to, const void *from, bs_ref_long bytes)
{
	for (bs_ref_long i = 0; i < bytes; i++)
		((bs_ref_byte *)to)[i] = ((const bs_ref_byte *)from)[i];
	return to;
}

BS_REF_INLINE void *bs_ref_memset(void *to, int byte, bs_ref_long bytes)
{
	for (bs_ref_long i = 0; i < bytes; i++)
		((bs_ref_byte *)to)[i] = byte;
	return to;
}

BS_REF_INLINE bs_ref_long bs_ref_strlen(const char *text)
{
	bs_ref_long i = 0;

	while (text[i])
		i++;
	return i;
}

BS_REF_INLINE int bs_ref_strncmp(const char *a, const char *b, bs_ref_long most)
{
	const bs_ref_byte *p = (const bs_ref_byte *)a, *q = (const bs_ref_byte *)b;

	for (bs_ref_long i = 0; i < most; i++) {
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
		if (!p[i])
			return 0;
	}
	return 0;
}

BS_REF_INLINE int bs_ref_strcmp(const char *a, const char *b)
{
	return bs_ref_strncmp(a, b, ~0ul);
}

BS_REF_INLINE char *bs_ref_strchr(const char *text, int c)
{
	for (;; text++) {
		if (*text == (char)c)
			return (char *)text;
		if (!*text)
			return 0;
	}
}

BS_REF_INLINE void *bs_ref_memchr(const void *in, int byte, bs_ref_long bytes)
{
	for (bs_ref_long i = 0; i < bytes; i++)
		if (((const bs_ref_byte *)in)[i] == (bs_ref_byte)byte)
			return (bs_ref_byte *)in + i;
	return 0;
}

BS_REF_INLINE int bs_ref_isdigit(int c)
{
	return c >= '0' && c <= '9';
}
BS_REF_INLINE int bs_ref_isupper(int c)
{
	return c >= 'A' && c <= 'Z';
}
BS_REF_INLINE int bs_ref_islower(int c)
{
	return c >= 'a' && c <= 'z';
}
BS_REF_INLINE int bs_ref_isalpha(int c)
{
	return bs_ref_isupper(c) || bs_ref_islower(c);
}
BS_REF_INLINE int bs_ref_isspace(int c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}
BS_REF_INLINE int bs_ref_toupper(int c)
{
	return bs_ref_islower(c) ? c - 'a' + 'A' : c;
}
BS_REF_INLINE int bs_ref_tolower(int c)
{
	return bs_ref_isupper(c) ? c - 'A' + 'a' : c;
}

#define bs_ref_htons(value) ((bs_ref_half)__builtin_bswap16(value))
#define bs_ref_ntohs bs_ref_htons
#define bs_ref_htonl(value) ((bs_ref_word)__builtin_bswap32(value))
#define bs_ref_ntohl bs_ref_htonl

/* --- calls of sockets, and what stands for all others ------------------------------------------------------------------ */
#define bs_ref_recvfrom(fd, to, capacity, flags, from, from_bytes)                                    \
	bs_ref_receive(to, capacity, flags, (void *)(from), (bs_ref_word *)(from_bytes))
#define bs_ref_recv(fd, to, capacity, flags) bs_ref_receive(to, capacity, flags, 0, 0)
#define bs_ref_read(fd, to, capacity) bs_ref_receive(to, capacity, 0, 0, 0)
#define bs_ref_sendto(fd, from, bytes, flags, to, to_bytes) bs_ref_reply(from, bytes, flags, (const void *)(to))
#define bs_ref_waits(name, ...)                                                                       \
	({                                                                                            \
		bs_ref_end();                                                                         \
		(__typeof__(name(__VA_ARGS__)))0;                                                     \
	})
#define bs_ref_elsewhere(name, ...)                                                                   \
	({                                                                                            \
		bs_ref_stop(BS_REF_ELSEWHERE);                                                        \
		(__typeof__(name(__VA_ARGS__)))0;                                                     \
	})
