/*
 * The hit path of a cache in four stages, chained in the ways there are: the work is the same in all of them.
 * For tc: the test run of XDP waits for RCU each time.
 */
#include "walk.h"
#include <linux/pkt_cls.h>

struct key {
	__u8 bytes[16];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct key);
	__type(value, __u64);
} cache SEC(".maps");
struct scratch {
	struct key key;
	__u32 hash;
	__u32 found;
	__u64 value;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#define KEY_AT 42
#define STAGE static __always_inline int

static __always_inline struct scratch *state(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Stage 1: headers and key. */
STAGE parse(struct __sk_buff *ctx)
{
	__u8 *packet = (void *)(long)ctx->data;
	struct scratch *s = state();
	if (!s || packet + KEY_AT + sizeof(struct key) > (__u8 *)(long)ctx->data_end || packet[12] != 8 || packet[23] != 17)
		return -1;
	__builtin_memcpy(&s->key, packet + KEY_AT, sizeof(struct key));
	return 0;
}

/* Stage 2: a hash over the key. */
STAGE digest(struct __sk_buff *ctx)
{
	struct scratch *s = state();
	if (!s)
		return -1;
	__u32 h = 0x811c9dc5;
#pragma clang loop unroll(full)
	for (int i = 0; i < 16; i++)
		h = (h ^ s->key.bytes[i]) * 0x01000193;
	s->hash = h;
	return 0;
}

/* Stage 3: the cache. */
STAGE find(struct __sk_buff *ctx)
{
	struct scratch *s = state();
	if (!s)
		return -1;
	__u64 *value = bpf_map_lookup_elem(&cache, &s->key);
	s->found = value != 0;
	s->value = value ? *value : 0;
	return 0;
}

/* Stage 4: the answer, into the packet. */
STAGE answer(struct __sk_buff *ctx)
{
	__u8 *packet = (void *)(long)ctx->data;
	struct scratch *s = state();
	if (!s || packet + KEY_AT + sizeof(struct key) > (__u8 *)(long)ctx->data_end)
		return -1;
	*(__u32 *)(packet + 28) = (__u32)s->value ^ s->hash;
	return s->found ? TC_ACT_REDIRECT : TC_ACT_OK;
}

SEC("tc") int inlined(struct __sk_buff *ctx)
{
	if (parse(ctx) < 0 || digest(ctx) < 0 || find(ctx) < 0)
		return TC_ACT_OK;
	return answer(ctx);
}

static __noinline int parse_static(struct __sk_buff *ctx) { return parse(ctx); }
static __noinline int digest_static(struct __sk_buff *ctx) { return digest(ctx); }
static __noinline int find_static(struct __sk_buff *ctx) { return find(ctx); }
static __noinline int answer_static(struct __sk_buff *ctx) { return answer(ctx); }

SEC("tc") int bpf_to_bpf(struct __sk_buff *ctx)
{
	if (parse_static(ctx) < 0 || digest_static(ctx) < 0 || find_static(ctx) < 0)
		return TC_ACT_OK;
	return answer_static(ctx);
}

__attribute__((weak)) __noinline int parse_global(struct __sk_buff *ctx) { return parse(ctx); }
__attribute__((weak)) __noinline int digest_global(struct __sk_buff *ctx) { return digest(ctx); }
__attribute__((weak)) __noinline int find_global(struct __sk_buff *ctx) { return find(ctx); }
__attribute__((weak)) __noinline int answer_global(struct __sk_buff *ctx) { return answer(ctx); }

SEC("tc") int global_functions(struct __sk_buff *ctx)
{
	if (parse_global(ctx) < 0 || digest_global(ctx) < 0 || find_global(ctx) < 0)
		return TC_ACT_OK;
	return answer_global(ctx);
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} stages SEC(".maps");
volatile __u32 shift; /* 0: the verifier does not know which element a tail call takes, and the JIT cannot jump straight to it */

#define TAIL(name, work, call)                                       \
	SEC("tc") int name(struct __sk_buff *ctx)                      \
	{                                                            \
		if (work(ctx) < 0)                                   \
			return TC_ACT_OK;                             \
		call;                                                \
		return TC_ACT_SHOT;                                  \
	}

TAIL(tail_calls, parse, bpf_tail_call(ctx, &stages, 1))
TAIL(tail_1, digest, bpf_tail_call(ctx, &stages, 2))
TAIL(tail_2, find, bpf_tail_call(ctx, &stages, 3))
SEC("tc") int tail_3(struct __sk_buff *ctx) { return answer(ctx); }

TAIL(tail_calls_unknown, parse, bpf_tail_call(ctx, &stages, 1 + shift))
TAIL(unknown_1, digest, bpf_tail_call(ctx, &stages, 2 + shift))
TAIL(unknown_2, find, bpf_tail_call(ctx, &stages, 3 + shift))
