/*
 * The kernel half's part that is the same for every server: taking a request out of a packet, making the reply, and changing
 * shared state in such a way that handing a request over to the user half leaves nothing behind.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __arena __attribute__((address_space(1)))
#define BS_INLINE static inline __attribute__((always_inline, unused))

static __u32 (*const bs_smp_processor_id)(void) = (void *)8;
static long (*const bs_redirect)(__u32 ifindex, __u64 flags) = (void *)23;
static long (*const bs_skb_change_tail)(void *skb, __u32 len, __u64 flags) = (void *)38;
static long (*const bs_skb_pull_data)(void *skb, __u32 len) = (void *)39;
static long (*const bs_xdp_adjust_tail)(void *xdp, int delta) = (void *)65;

#define BS_ETH 14
#define BS_HEADERS 42 /* Ethernet, IPv4 without options, UDP */
#define BS_LOG 400
#define BS_SINK 256
#define BS_FUEL (1 << 14) /* rounds of all loops of one request together */
#define BS_BARRIER() asm volatile("" ::: "memory")

struct bs_change {
	__u64 at, old;
	__u32 size, unused;
};

/* One request under way. It lies in the arena: what the verifier does not track it need not follow path by path. */
struct bs_run {
	__u64 zero; /* always 0, which only we know */
	__u64 version;
	__u64 reply;
	__u32 over; /* 1 + the reason for handing the request over; 0: not yet */
	__u32 locked;
	__u32 changes;
	__u32 fuel;
	__u32 received, replied;
	__u32 reply_bytes;
	__u32 request_bytes;
	__u32 saddr_be;
	__u16 sport_be;
	__u16 unfinished; /* the checksum is left to a device */
	struct bs_counters counters;
	__u64 sink[BS_SINK / 8]; /* takes what is written after the request was handed over */
	struct bs_change log[BS_LOG];
	__u8 whole[BS_LONGEST + 8]; /* a request that is longer than the server's buffer */
	struct bs_locals locals;
};

struct bs_area {
	struct bs_config config;
	struct bs_literals literals;
	struct bs_run runs[BS_CPUS] __attribute__((aligned(64)));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BS_PAGES);
} arena SEC(".maps");

extern struct bs_area __arena bs_area;

typedef struct bs_run __arena *bs_t;
#define CONFIG (&bs_area.config)
#define LOCAL(name) (run->locals.name)

/* --- handing over ---------------------------------------------------------------------------------------------------- */
#define BS_CONFLICT 1
#define BS_ODD_PACKET 2
#define BS_TOO_LONG 3
#define BS_POINTER 4
#define BS_BOUNDS 5
#define BS_LOOP 6
#define BS_CHANGES 7
#define BS_SECOND_REPLY 8
#define BS_LIBRARY 9
#define BS_OTHER_CLIENT 10
#define BS_FIRST_REASON 11 /* those of the server's own source follow */

BS_INLINE int bs_over(bs_t run, __u32 reason)
{
	if (!run->over)
		run->over = reason;
	return 0;
}

/* The condition of every loop: ends it when the request was handed over or takes too long. */
#define BS_MORE(run)                                                                                  \
	({                                                                                            \
		__label__ spent, on;                                                                  \
		int more = 1;                                                                         \
		asm volatile goto("may_goto %l[spent]" :: :: spent);                                  \
		if ((run)->over || !(run)->fuel)                                                      \
			goto spent;                                                                   \
		(run)->fuel--;                                                                        \
		goto on;                                                                              \
	spent:                                                                                        \
		bs_over(run, BS_LOOP);                                                                \
		more = 0;                                                                             \
	on:                                                                                           \
		more;                                                                                 \
	})

/* A loop's variable, so that the verifier need not follow its every value. */
#define BS_ANY(run, variable) ((variable) += (run)->zero)

BS_INLINE int bs_within(__u64 at, __u64 size)
{
	return at - CONFIG->base < CONFIG->size - size;
}

BS_INLINE int bs_private(bs_t run, __u64 at)
{
	return at - (__u64)run < sizeof(struct bs_run);
}

/* An index into an array of `count`: one outside is handed over. */
#define BS_INDEX(run, index, count)                                                                   \
	({                                                                                            \
		__u64 bs_i = (__u64)(index) + (run)->zero;                                            \
		if (bs_i >= (count)) {                                                                \
			bs_over(run, BS_BOUNDS);                                                      \
			bs_i = 0;                                                                     \
		}                                                                                     \
		bs_i;                                                                                 \
	})

/* A pointer that is about to be followed: one that leads out of the shared memory is handed over. */
#define BS_AT(run, pointer)                                                                           \
	({                                                                                            \
		typeof(pointer) bs_p = (pointer);                                                     \
		if (!bs_within((__u64)bs_p, sizeof(*bs_p)))                                           \
			bs_over(run, BS_POINTER);                                                     \
		bs_p;                                                                                 \
	})

/* --- changing shared state ------------------------------------------------------------------------------------------- */
/* Before the first change: nobody else may be changing it, nor may it have changed since this request began to read. */
BS_INLINE int bs_lock(bs_t run)
{
	if (run->locked)
		return 1;
	if (run->over || __sync_val_compare_and_swap(&CONFIG->version, run->version, run->version + 1) != run->version) {
		bs_over(run, BS_CONFLICT);
		return 0;
	}
	run->locked = 1;
	return 1;
}

#define BS_SAVE(type)                                                                                 \
	({                                                                                            \
		struct bs_change __arena *c = &run->log[run->changes < BS_LOG ? run->changes : 0];    \
		c->at = at;                                                                           \
		c->size = sizeof(type);                                                               \
		c->old = *(type __arena *)at;                                                         \
		run->changes++;                                                                       \
	})

/* Remembers what is there, so that it can be put back. 0: it must not be written. */
__attribute__((noinline)) __u64 gbs_changing(__u64 run_, __u64 at, __u64 size)
{
	bs_t run = (bs_t)run_;

	if (bs_private(run, at))
		return !run->over;
	if (!bs_within(at, size)) {
		bs_over(run, BS_POINTER);
		return 0;
	}
	if (!bs_lock(run))
		return 0;
	while (BS_ANY(run, size) && BS_MORE(run)) {
		BS_ANY(run, at);
		if (run->changes >= BS_LOG) {
			bs_over(run, BS_CHANGES);
			return 0;
		}
		if (size >= 8) {
			BS_SAVE(__u64);
			at += 8, size -= 8;
		} else {
			BS_SAVE(__u8);
			at++, size--;
		}
	}
	return !run->over;
}

#define bs_changing(run, at, size) ((int)gbs_changing((__u64)(run), at, size))

BS_INLINE __u64 bs_changing_word(bs_t run, __u64 at, __u32 size)
{
	if (bs_private(run, at))
		return run->over ? (__u64)run->sink : at;
	if (!bs_within(at, size)) {
		bs_over(run, BS_POINTER);
		return (__u64)run->sink;
	}
	if (!bs_lock(run))
		return (__u64)run->sink;
	if (run->changes >= BS_LOG) {
		bs_over(run, BS_CHANGES);
		return (__u64)run->sink;
	}
	if (size == 8)
		BS_SAVE(__u64);
	else if (size == 4)
		BS_SAVE(__u32);
	else if (size == 2)
		BS_SAVE(__u16);
	else
		BS_SAVE(__u8);
	return at;
}

/* A place that is about to be written. */
#define BS_WRITE(run, pointer)                                                                        \
	({                                                                                            \
		typeof(pointer) bs_w = (pointer);                                                     \
		if (sizeof(*bs_w) <= 8 && !(sizeof(*bs_w) & (sizeof(*bs_w) - 1)))                     \
			bs_w = (typeof(pointer))bs_changing_word(run, (__u64)bs_w, sizeof(*bs_w));    \
		else if (!bs_changing(run, (__u64)bs_w, sizeof(*bs_w)))                               \
			bs_w = (typeof(pointer))run->sink;                                            \
		bs_w;                                                                                 \
	})

BS_INLINE void bs_undo(bs_t run)
{
	__u32 left = run->changes;

	while (BS_ANY(run, left)) {
		struct bs_change __arena *c;

		asm volatile goto("may_goto %l[out]" :: :: out);
		left--;
		c = &run->log[left < BS_LOG ? left : 0];
		if (c->size == 8)
			*(__u64 __arena *)c->at = c->old;
		else if (c->size == 4)
			*(__u32 __arena *)c->at = c->old;
		else if (c->size == 2)
			*(__u16 __arena *)c->at = c->old;
		else
			*(__u8 __arena *)c->at = c->old;
	}
out:;
}

/* Ends the request's use of shared state. The version only grows, also where nothing was changed after all. */
BS_INLINE void bs_unlock(bs_t run)
{
	BS_BARRIER();
	if (run->locked)
		__sync_fetch_and_add(&CONFIG->version, 1);
	run->locked = 0;
}

/* Is all that was read still so? */
BS_INLINE int bs_valid(bs_t run)
{
	BS_BARRIER();
	return run->locked || *(volatile __u64 __arena *)&CONFIG->version == run->version;
}

/* --- packets --------------------------------------------------------------------------------------------------------- */
struct bs_headers {
	__u8 to[6], from[6];
	__u16 type_be;
	__u8 ihl, tos;
	__u16 bytes_be, id_be, fragment_be;
	__u8 ttl, protocol;
	__u16 check;
	__u32 saddr_be, daddr_be;
	__u16 sport_be, dport_be, udp_bytes_be, udp_check;
} __attribute__((packed, aligned(2)));

BS_INLINE __u32 bs_folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

BS_INLINE __u64 bs_ip_sum(struct bs_headers *h)
{
	__u16 *words = (__u16 *)&h->ihl;
	__u64 sum = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < 10; i++)
		sum += words[i];
	return sum;
}

#define BS_HALVES(word) ((__u32)(word) + ((word) >> 32))
#define BS_HTONS(value) __builtin_bswap16(value)

#ifdef BS_XDP
typedef struct xdp_md bs_packet;
#define BS_SECTION "xdp"
#define BS_PASS XDP_PASS
#define BS_DROP XDP_DROP
#else
typedef struct __sk_buff bs_packet;
#define BS_SECTION "tc"
#define BS_PASS TC_ACT_UNSPEC /* to the next program, and then up the stack */
#define BS_DROP TC_ACT_SHOT
#endif

/* Copies the request to `to`, and adds up its checksum. Gives its length, or hands it over. */
BS_INLINE __s64 bs_payload(bs_packet *ctx, bs_t run, __u8 __arena *to)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bs_headers *h = (void *)data;
	__u64 sum, pseudo;
	__u32 bytes, at = 0;

	if (data + BS_HEADERS > end)
		return bs_over(run, BS_ODD_PACKET);
	bytes = BS_HTONS(h->udp_bytes_be) - 8;
	if (bytes > BS_LONGEST)
		return bs_over(run, BS_TOO_LONG);
	pseudo = (__u64)h->saddr_be + h->daddr_be + ((__u32)17 << 8) + h->udp_bytes_be;
	sum = pseudo + h->sport_be + h->dport_be + h->udp_bytes_be;
	data += BS_HEADERS;
	while (BS_ANY(run, at) + 8 <= bytes) {
		__u8 *p = data + at;

		asm volatile goto("may_goto %l[spent]" :: :: spent);
		if (at > BS_LONGEST || p + 8 > end)
			return bs_over(run, BS_ODD_PACKET);
		sum += BS_HALVES(*(__u64 *)p);
		*(__u64 __arena *)(to + at) = *(__u64 *)p;
		at += 8;
	}
#define BS_TAIL(type)                                                                                 \
	if (bytes & sizeof(type)) {                                                                   \
		__u8 *p = data + at;                                                                  \
                                                                                                      \
		if (at > BS_LONGEST || p + sizeof(type) > end)                                        \
			return bs_over(run, BS_ODD_PACKET);                                           \
		sum += *(type *)p;                                                                    \
		*(type __arena *)(to + at) = *(type *)p;                                              \
		at += sizeof(type);                                                                   \
	}
	BS_TAIL(__u32)
	BS_TAIL(__u16)
	BS_TAIL(__u8)
#undef BS_TAIL
	/* Right, not there, or left to be finished by the sender's device, which holds the sum of the pseudo header until then. */
	if (h->udp_check && bs_folded(sum + h->udp_check) != 0xffff) {
		if (bs_folded(pseudo) != h->udp_check)
			return bs_over(run, BS_ODD_PACKET);
		run->unfinished = 1;
	}
	return bytes;
spent:
	return bs_over(run, BS_TOO_LONG);
}

__u64 gbs_memmove(__u64 run, __u64 to, __u64 from, __u64 bytes);

/* recvfrom(2) and its relatives: the request into `to`, the client's address into `from`. */
BS_INLINE __s64 bs_receive(bs_packet *ctx, bs_t run, void __arena *to, __u64 capacity, void __arena *from,
			   unsigned int __arena *from_bytes)
{
	__s64 bytes;

	if (run->received || !bs_within((__u64)to, capacity)) {
		bs_over(run, run->received ? BS_SECOND_REPLY : BS_POINTER);
		return -1;
	}
	run->received = 1;
	if (run->request_bytes > capacity) { /* cut off, as recvfrom does */
		bs_payload(ctx, run, run->whole);
		if (!run->over)
			gbs_memmove((__u64)run, (__u64)to, (__u64)run->whole, capacity);
		bytes = capacity;
	} else {
		if (!bs_private(run, (__u64)to) && !bs_changing(run, (__u64)to, run->request_bytes))
			return -1;
		bytes = bs_payload(ctx, run, to);
	}
	if (run->over)
		return -1;
	if (from) {
		__u64 __arena *address = (__u64 __arena *)from;

		if (!bs_changing(run, (__u64)from, 16))
			return -1;
		/* struct sockaddr_in: AF_INET, port, address */
		address[0] = 2 | (__u64)run->sport_be << 16 | (__u64)run->saddr_be << 32;
		address[1] = 0;
	}
	if (from_bytes)
		*BS_WRITE(run, from_bytes) = 16;
	return bytes;
}

/* sendto(2) to the client: remembered, and sent when the request has come to its end. */
BS_INLINE __s64 bs_reply(bs_t run, const void __arena *from, __u64 bytes, const void __arena *client)
{
	const __u32 __arena *address = client;

	if (!bs_within((__u64)client, 16) || (address[0] >> 16) != run->sport_be || address[1] != run->saddr_be) {
		bs_over(run, BS_OTHER_CLIENT);
		return -1;
	}
	if (run->replied) {
		bs_over(run, BS_SECOND_REPLY);
		return -1;
	}
	if (bytes > BS_LONGEST || !bs_within((__u64)from, bytes)) {
		bs_over(run, BS_TOO_LONG);
		return -1;
	}
	run->replied = 1;
	run->reply = (__u64)from;
	run->reply_bytes = bytes;
	return bytes;
}

/* Is this a request to the server? Everything unusual is left to the stack. */
BS_INLINE int bs_is_request(bs_packet *ctx, bs_t run)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bs_headers *h = (void *)data;
	__u32 i, own = 0, bytes;

	if (data + BS_HEADERS > end)
		return 0;
	if (h->type_be != BS_HTONS(0x0800) || h->ihl != 0x45 || h->protocol != 17 || h->dport_be != CONFIG->port_be || !h->sport_be)
		return 0;
	if (h->fragment_be & ~BS_HTONS(0x4000)) /* all but "don't fragment" */
		return 0;
	bytes = BS_HTONS(h->bytes_be);
	if (bytes < 28 || BS_HTONS(h->udp_bytes_be) != bytes - 20 || bytes > BS_LONGEST + 28)
		return 0;
	if (data + BS_ETH + bytes > end)
		return 0;
	if (bs_folded(bs_ip_sum(h)) != 0xffff)
		return 0;
	/* From one host, not from ourselves, nor from a network or from 0.0.0.0/8 and 127.0.0.0/8. */
	if (!(h->saddr_be & 0xff) || (h->saddr_be & 0xff) == 127 || (h->saddr_be & 0xff) >= 224)
		return 0;
	for (i = 0; i < BS_ADDRESSES; i++) {
		if (i >= CONFIG->address_count)
			break;
		if (CONFIG->addresses_be[i] == h->saddr_be)
			return 0;
		own |= CONFIG->addresses_be[i] == h->daddr_be;
	}
	run->saddr_be = h->saddr_be;
	run->sport_be = h->sport_be;
	run->request_bytes = bytes - 28;
	return own;
}

BS_INLINE int bs_resized(bs_packet *ctx, __u32 bytes)
{
#ifdef BS_XDP
	__u64 data = ctx->data, end = ctx->data_end, now = end - data;

	asm volatile("" : "+r"(now)); /* a number from here on, no pointer */
	return bs_xdp_adjust_tail(ctx, (int)bytes - (int)now);
#else
	return bytes == ctx->len ? 0 : bs_skb_change_tail(ctx, bytes, 0);
#endif
}

/* Writes the reply over the request. The packet has its new length already. */
BS_INLINE int bs_written(bs_packet *ctx, bs_t run, __u32 bytes)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bs_headers *h = (void *)data;
	__u8 __arena *from = (__u8 __arena *)run->reply;
	__u64 sum = 0, pseudo;
	__u32 at = 0, address;
	__u16 port, check;
	__u8 mac[6];

	if (data + BS_HEADERS > end)
		return 0;
	data += BS_HEADERS;
	while (BS_ANY(run, at) + 8 <= bytes) {
		__u8 *p = data + at;
		__u64 word;

		asm volatile goto("may_goto %l[spent]" :: :: spent);
		if (at > BS_LONGEST || p + 8 > end)
			return 0;
		word = *(__u64 __arena *)(from + at);
		sum += BS_HALVES(word);
		*(__u64 *)p = word;
		at += 8;
	}
#define BS_TAIL(type)                                                                                 \
	if (bytes & sizeof(type)) {                                                                   \
		__u8 *p = data + at;                                                                  \
		type word;                                                                            \
                                                                                                      \
		if (at > BS_LONGEST || p + sizeof(type) > end)                                        \
			return 0;                                                                     \
		word = *(type __arena *)(from + at);                                                  \
		sum += word;                                                                          \
		*(type *)p = word;                                                                    \
		at += sizeof(type);                                                                   \
	}
	BS_TAIL(__u32)
	BS_TAIL(__u16)
	BS_TAIL(__u8)
#undef BS_TAIL
	__builtin_memcpy(mac, h->to, 6);
	__builtin_memcpy(h->to, h->from, 6);
	__builtin_memcpy(h->from, mac, 6);
	address = h->saddr_be;
	h->saddr_be = h->daddr_be;
	h->daddr_be = address;
	port = h->sport_be;
	h->sport_be = h->dport_be;
	h->dport_be = port;
	h->tos = 0;
	h->bytes_be = BS_HTONS((__u16)(bytes + 28));
	h->id_be = 0;
	h->fragment_be = BS_HTONS(0x4000);
	h->ttl = 64;
	h->check = 0;
	h->check = ~bs_folded(bs_ip_sum(h));
	h->udp_bytes_be = BS_HTONS((__u16)(bytes + 8));
	pseudo = (__u64)h->saddr_be + h->daddr_be + ((__u32)17 << 8) + h->udp_bytes_be;
#ifndef BS_XDP
	if (run->unfinished) { /* still to be finished by a device */
		h->udp_check = bs_folded(pseudo);
		return 1;
	}
#endif
	sum += pseudo + h->sport_be + h->dport_be + h->udp_bytes_be;
	check = ~bs_folded(sum);
	h->udp_check = check ? check : 0xffff; /* RFC 768: 0 says that there is none */
	return 1;
spent:
	return 0;
}

/* The packet that was taken is not a whole one any more: it is lost, as datagrams may be, and has changed nothing. */
BS_INLINE int bs_lost(bs_t run)
{
	bs_undo(run);
	bs_unlock(run);
	return BS_DROP;
}

BS_INLINE int bs_handed_over(bs_t run)
{
	bs_undo(run);
	bs_unlock(run);
	run->counters.handed_over++;
	if (run->over == BS_CONFLICT)
		run->counters.conflicts++;
	if (run->over < BS_REASONS)
		run->counters.reasons[run->over]++;
	return BS_PASS;
}

BS_INLINE int bs_finish(bs_packet *ctx, bs_t run)
{
	__u32 bytes = run->reply_bytes;

	if (!run->over && !bs_valid(run))
		bs_over(run, BS_CONFLICT);
	if (run->over || bytes > BS_LONGEST || !run->received)
		return bs_handed_over(run);
	if (!run->replied) {
		bs_unlock(run);
		run->counters.consumed++;
		return BS_DROP;
	}
	if (bs_resized(ctx, bytes + BS_HEADERS)) {
		bs_over(run, BS_ODD_PACKET);
		return bs_handed_over(run);
	}
#ifndef BS_XDP
	if ((char *)(long)ctx->data + BS_HEADERS + bytes > (char *)(long)ctx->data_end &&
	    bs_skb_pull_data(ctx, BS_HEADERS + bytes))
		return bs_lost(run);
#endif
	if (!bs_written(ctx, run, bytes))
		return bs_lost(run);
	bs_unlock(run);
	run->counters.answered++;
#ifdef BS_XDP
	return XDP_TX;
#else
	return bs_redirect(ctx->ifindex, 0);
#endif
}

/* Takes the first look at a packet. 0: it is not for us. */
BS_INLINE bs_t bs_begin(bs_packet *ctx)
{
	__u32 cpu = bs_smp_processor_id();
	bs_t run;

	if (cpu >= BS_CPUS || CONFIG->paused)
		return 0;
#ifndef BS_XDP
	if (ctx->gso_size || ctx->vlan_present || ctx->pkt_type || ctx->len > BS_LONGEST + 64)
		return 0;
	if ((char *)(long)ctx->data + ctx->len > (char *)(long)ctx->data_end && bs_skb_pull_data(ctx, ctx->len))
		return 0;
#endif
	run = &bs_area.runs[cpu];
	if (!bs_is_request(ctx, run))
		return 0;
	run->over = run->locked = run->changes = run->received = run->replied = run->reply_bytes = run->unfinished = 0;
	run->fuel = BS_FUEL;
	run->version = *(volatile __u64 __arena *)&CONFIG->version;
	BS_BARRIER();
	if (run->version & 1)
		bs_over(run, BS_CONFLICT);
	return run;
}

#include "offload_libc.h"
