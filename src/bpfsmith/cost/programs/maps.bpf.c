/* A lookup in each kind of map, over a sequence of keys that userspace lays out: its length and skew are the footprint's. */
#include "walk.h"

#define MAP(name, kind, how)                                   \
	struct {                                                     \
		__uint(type, BPF_MAP_TYPE_##kind);                   \
		__uint(max_entries, 131072);                         \
		__uint(map_flags, how);                        \
		__type(key, __u32);                                  \
		__type(value, __u64);                                \
	} name SEC(".maps")

struct prefix {
	__u32 bits;
	__u32 address;
};

MAP(array, ARRAY, 0);
MAP(percpu_array, PERCPU_ARRAY, 0);
MAP(hash, HASH, 0);
MAP(percpu_hash, PERCPU_HASH, 0);
MAP(lru_hash, LRU_HASH, 0);
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u64);
} lpm SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} task SEC(".maps");

__u32 order[ORDER]; /* the keys that are looked up, in this order */
__u32 at;           /* where the next walk begins */
__u32 from, until;  /* fill: the first key of this run, and the first that is none */

#define NEXT_KEY __u32 key = order[(begin + i) & (ORDER - 1)]

#define WALK(name, lookup)                                           \
	SEC("xdp") int walk_##name(struct xdp_md *ctx)               \
	{                                                            \
		__u32 begin = at;                                    \
		at = begin + STEPS;                                  \
		return TIMED({                                       \
			NEXT_KEY;                                    \
			lookup;                                      \
		});                                                  \
	}

#define LOOKUP(map)                                                  \
	__u64 *value = bpf_map_lookup_elem(&map, &key);              \
	if (value)                                                   \
		sum += *value

#define FILL(name, insert)                                           \
	SEC("xdp") int fill_##name(struct xdp_md *ctx)               \
	{                                                            \
		__u64 value = 1;                                     \
		__u32 begin = from, end = until;                     \
		_Pragma("clang loop unroll(disable)")                \
		for (__u32 i = 0; i < STEPS; i++) {                  \
			__u32 key = begin + i;                       \
			if (key >= end)                              \
				break;                               \
			insert;                                      \
		}                                                    \
		return XDP_PASS;                                     \
	}

WALK(floor, sum += key)
WALK(array, LOOKUP(array))
WALK(percpu_array, LOOKUP(percpu_array))
WALK(hash, LOOKUP(hash))
WALK(percpu_hash, LOOKUP(percpu_hash))
WALK(lru_hash, LOOKUP(lru_hash))
WALK(lpm, struct prefix where = { .bits = 32 }; where.address = __builtin_bswap32(key);
	__u64 *value = bpf_map_lookup_elem(&lpm, &where); if (value) sum += *value)
WALK(hash_update, __u64 value = i; bpf_map_update_elem(&hash, &key, &value, BPF_ANY))
WALK(array_update, __u64 value = i; bpf_map_update_elem(&array, &key, &value, BPF_ANY))
WALK(percpu_array_update, __u64 value = i; bpf_map_update_elem(&percpu_array, &key, &value, BPF_ANY))
WALK(percpu_hash_update, __u64 value = i; bpf_map_update_elem(&percpu_hash, &key, &value, BPF_ANY))
WALK(lru_hash_update, __u64 value = i; bpf_map_update_elem(&lru_hash, &key, &value, BPF_ANY))
WALK(hash_delete, __u64 value = i; bpf_map_delete_elem(&hash, &key); bpf_map_update_elem(&hash, &key, &value, BPF_ANY))
WALK(hash_delete_nothing, key |= 1u << 31; sum += bpf_map_delete_elem(&hash, &key))
WALK(lru_hash_delete, __u64 value = i; bpf_map_delete_elem(&lru_hash, &key); bpf_map_update_elem(&lru_hash, &key, &value, BPF_ANY))
FILL(array, bpf_map_update_elem(&array, &key, &value, BPF_ANY))
FILL(percpu_array, bpf_map_update_elem(&percpu_array, &key, &value, BPF_ANY))
FILL(hash, bpf_map_update_elem(&hash, &key, &value, BPF_ANY))
FILL(percpu_hash, bpf_map_update_elem(&percpu_hash, &key, &value, BPF_ANY))
FILL(lru_hash, bpf_map_update_elem(&lru_hash, &key, &value, BPF_ANY))
FILL(lpm, struct prefix where = { .bits = 32 }; where.address = __builtin_bswap32(key);
	bpf_map_update_elem(&lpm, &where, &value, BPF_ANY))

/* Which of two maps is decided at run time, so that the verifier knows no map and inlines nothing (section 4.1). */
MAP(array_b, ARRAY, 0);
MAP(hash_b, HASH, 0);
MAP(lru_hash_b, LRU_HASH, 0);
volatile __u32 second;

#define WALK_CALLED(name)                                            \
	SEC("xdp") int walk_##name##_called(struct xdp_md *ctx)      \
	{                                                            \
		__u32 begin = at;                                    \
		at = begin + STEPS;                                  \
		void *map = second ? (void *)&name##_b : (void *)&name; \
		return TIMED({                                       \
			NEXT_KEY;                                    \
			__u64 *value = bpf_map_lookup_elem(map, &key); \
			if (value)                                   \
				sum += *value;                       \
		});                                                  \
	}
WALK_CALLED(array)
WALK_CALLED(hash)
WALK_CALLED(lru_hash)

SEC("raw_tp") int walk_task(void *ctx)
{
	void *current = (void *)bpf_get_current_task_btf();
	return TIMED({
		__u64 *value = bpf_task_storage_get(&task, current, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (value)
			sum += ++*value;
	});
}

SEC("raw_tp") int walk_task_floor(void *ctx)
{
	return TIMED(sum += i);
}

/* Longer keys: they are hashed and compared. */
#define LONG_KEY(bytes)                                              \
	struct key##bytes {                                          \
		__u32 words[bytes / 4];                              \
	};                                                           \
	struct {                                                     \
		__uint(type, BPF_MAP_TYPE_HASH);                     \
		__uint(max_entries, 2048);                           \
		__type(key, struct key##bytes);                      \
		__type(value, __u64);                                \
	} hash_key##bytes SEC(".maps");                              \
	SEC("xdp") int walk_key##bytes(struct xdp_md *ctx)           \
	{                                                            \
		__u32 begin = at;                                    \
		struct key##bytes where = {};                        \
		at = begin + STEPS;                                  \
		return TIMED({                                       \
			NEXT_KEY;                                    \
			where.words[0] = key;                        \
			__u64 *value = bpf_map_lookup_elem(&hash_key##bytes, &where); \
			if (value)                                   \
				sum += *value;                       \
		});                                                  \
	}                                                            \
	FILL(key##bytes, struct key##bytes where = {}; where.words[0] = key; \
		bpf_map_update_elem(&hash_key##bytes, &where, &value, BPF_ANY))
LONG_KEY(4)
LONG_KEY(8)
LONG_KEY(16)
LONG_KEY(32)
LONG_KEY(64)
