"""Helpers whose effect is known: bytes copied in and out of packets, maps of every kind, callbacks, iterators.

Each case is two programs, `a` and `b`, and what is said of them: equal; told apart, and a run has shown it; or neither.
"""

from __future__ import annotations

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.gate.prove import prove_equal
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict

PRELUDE = """
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
#define KIND(name, entries) __uint(type, BPF_MAP_TYPE_##name); __uint(max_entries, entries)
struct prefix { __u32 length; __u32 address; };
struct { KIND(LPM_TRIE, 8); __type(key, struct prefix); __type(value, __u64); __uint(map_flags, 1); } routes SEC(".maps");
struct { KIND(HASH, 8); __type(key, __u32); __type(value, __u64); } flows SEC(".maps");
struct { KIND(PERCPU_HASH, 8); __type(key, __u32); __type(value, __u64); } own SEC(".maps");
struct { KIND(ARRAY, 4); __type(key, __u32); __type(value, __u64); } four SEC(".maps");
struct { KIND(DEVMAP, 4); __type(key, __u32); __type(value, __u32); } ports SEC(".maps");
struct { KIND(XSKMAP, 4); __type(key, __u32); __type(value, __u32); } sockets SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, 1); __type(key, int); __type(value, __u64);
} tasks SEC(".maps");
struct inner { KIND(LRU_HASH, 8); __type(key, __u32); __type(value, __u64); } in0 SEC(".maps");
struct { KIND(ARRAY_OF_MAPS, 2); __uint(key_size, 4); __array(values, struct inner); } outer SEC(".maps") = {.values = {&in0}};
struct { KIND(PERF_EVENT_ARRAY, 0); __uint(key_size, 4); __uint(value_size, 4); } out SEC(".maps");
struct { KIND(RINGBUF, 4096); } rb SEC(".maps");
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __attribute__((section(".ksyms")));
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __attribute__((section(".ksyms")));
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __attribute__((section(".ksyms")));
static long add(__u64 i, __u64 *sum) { *sum += i; return 0; }
static long add_to_two(__u64 i, __u64 *sum) { *sum += i; return i == 2; }
static long total(void *map, __u32 *key, __u64 *value, __u64 *sum) { *sum += *value; return 0; }
"""
HEAD = "void *d = (void *)(long)ctx->data, *e = (void *)(long)ctx->data_end; if (d + 20 > e) return 1; __u8 *p = d; "
BYTE = (
    '__u32 r; asm volatile("r6 = %1; r0 = *(u8 *)skb[{}]; %0 = r0" : "=r"(r) : "r"(ctx) : '
    '"r0", "r1", "r2", "r3", "r4", "r5", "r6"); return r;'
)
INNER = "__u32 k = 0; void *m = bpf_map_lookup_elem(&outer, &k); if (!m) return 1; "
TWO_INNER = (
    "__u32 k = 0, l = 1; void *m = bpf_map_lookup_elem(&outer, &k), *n = bpf_map_lookup_elem(&outer, &l); "
    "if (!m || !n) return 1; __u64 *v = bpf_map_lookup_elem(m, &k), *w = bpf_map_lookup_elem(n, &k); "
    "if (!v || !w) return 1; *v = 1; *w = 2; "
)
FLOW = "__u32 k = 1; __u64 *v = bpf_map_lookup_elem(&flows, &k); if (!v) return 1; "

TC, XDP = ("tc", "struct __sk_buff"), ("xdp", "struct xdp_md")
FILTER, RAW = ("socket", "struct __sk_buff"), ("raw_tp/sys_enter", "struct bpf_raw_tracepoint_args")


def compared(section: str, context: str, a: str, b: str) -> Verdict:
    functions = "".join(f'SEC("{section}") int {name}({context} *ctx) {{ {body} }}\n' for name, body in (("a", a), ("b", b)))
    text = PRELUDE + functions + 'char LICENSE[] SEC("license") = "GPL";\n'
    obj = read_object(Compiler.default().compile(text, name="case.bpf.c"))
    return prove_equal(obj.program("a"), obj, obj.program("b"), obj)


CASES = {
    "bytes of an skb by helper or by pointer": (
        TC, HEAD + "__u8 x = 0; bpf_skb_load_bytes(ctx, 12, &x, 1); return x;", HEAD + "return p[12];", Equal,
    ),
    "other bytes of an skb": (
        TC, HEAD + "__u8 x = 0; bpf_skb_load_bytes(ctx, 12, &x, 1); return x;", HEAD + "return p[13];", Different,
    ),
    "bytes that are not there are zero": (
        TC,
        "__u32 x = 7; if (bpf_skb_load_bytes(ctx, 0xfffffff0, &x, 4)) return x; return 9;", "return 0;", Equal,
    ),
    "a packet load and a helper": (
        FILTER,
        "__u8 x = 0; if (bpf_skb_load_bytes(ctx, 9, &x, 1)) return 0; return x;",
        BYTE.format(9),
        Equal,
    ),
    "a packet load of the next byte": (
        FILTER,
        "__u8 x = 0; if (bpf_skb_load_bytes(ctx, 9, &x, 1)) return 0; return x;",
        BYTE.format(10),
        Different,
    ),
    "bytes of an skb that were stored": (
        TC,
        "__u8 x = 5, y = 0; if (bpf_skb_store_bytes(ctx, 3, &x, 1, 0)) return 0; bpf_skb_load_bytes(ctx, 3, &y, 1); return y;",
        "__u8 x = 5; if (bpf_skb_store_bytes(ctx, 3, &x, 1, 0)) return 0; return 5;",
        Equal,
    ),
    "another byte stored to an skb": (
        TC,
        "__u8 x = 5; bpf_skb_store_bytes(ctx, 3, &x, 1, 0); return 0;",
        "__u8 x = 6; bpf_skb_store_bytes(ctx, 3, &x, 1, 0); return 0;",
        Different,
    ),
    "bytes of XDP that are not there stay": (
        XDP, "__u32 x = 7; bpf_xdp_load_bytes(ctx, 0xffff, &x, 4); return x;", "return 7;", Equal,
    ),
    "bytes stored to XDP": (
        XDP,
        "__u8 x = 5; bpf_xdp_store_bytes(ctx, 3, &x, 1); return 2;",
        HEAD.replace("return 1", "{ __u8 x = 5; bpf_xdp_store_bytes(ctx, 3, &x, 1); return 2; }") + "p[3] = 5; return 2;",
        Equal,
    ),
    "the length of an XDP packet": (
        XDP, "return bpf_xdp_get_buff_len(ctx) & 1;", "return (ctx->data_end - ctx->data) & 1;", Equal,
    ),
    "a tail cut off by a length that varies": (
        XDP,
        "int n = ctx->data_end - ctx->data; if (n < 64) return 1; bpf_xdp_adjust_tail(ctx, 64 - n); return 2;",
        "int n = ctx->data_end - ctx->data; if (n < 64) return 1; bpf_xdp_adjust_tail(ctx, 65 - n); return 2;",
        Different,
    ),
    "metadata": (
        XDP,
        "if (bpf_xdp_adjust_meta(ctx, -4)) return 1; __u32 *m = (void *)(long)ctx->data_meta; "
        "if ((void *)(m + 1) > (void *)(long)ctx->data) return 1; *m = 7; return 2;",
        "if (bpf_xdp_adjust_meta(ctx, -4)) return 1; __u32 *m = (void *)(long)ctx->data_meta; "
        "if ((void *)(m + 1) > (void *)(long)ctx->data) return 1; *m = 8; return 2;",
        Different,
    ),
    "a route is looked up once or twice": (
        XDP,
        "struct prefix k = {32, 5}; __u64 *v = bpf_map_lookup_elem(&routes, &k); return v ? *v & 1 : 0;",
        "struct prefix k = {32, 5}; __u64 *v = bpf_map_lookup_elem(&routes, &k); if (!v) return 0; "
        "v = bpf_map_lookup_elem(&routes, &k); return v ? *v & 1 : 0;",
        Equal,
    ),
    "another route": (
        XDP,
        "struct prefix k = {32, 5}; __u64 *v = bpf_map_lookup_elem(&routes, &k); return v ? *v & 1 : 0;",
        "struct prefix k = {32, 6}; __u64 *v = bpf_map_lookup_elem(&routes, &k); return v ? *v & 1 : 0;",
        Different,
    ),
    "a route before and after it is changed": (
        XDP,
        "struct prefix k = {32, 5}; __u64 n = 1, *v = bpf_map_lookup_elem(&routes, &k); int r = v ? *v & 1 : 0; "
        "bpf_map_update_elem(&routes, &k, &n, 0); return r;",
        "struct prefix k = {32, 5}; __u64 n = 1; bpf_map_update_elem(&routes, &k, &n, 0); "
        "__u64 *v = bpf_map_lookup_elem(&routes, &k); return v ? *v & 1 : 0;",
        Different,
    ),
    "what a route is changed to": (
        XDP,
        "struct prefix k = {32, 5}; __u64 n = 1; bpf_map_update_elem(&routes, &k, &n, 0); return 2;",
        "struct prefix k = {32, 5}; __u64 n = 2; bpf_map_update_elem(&routes, &k, &n, 0); return 2;",
        Different,
    ),
    "ports and sockets are looked up": (
        XDP,
        "__u32 k = 1; if (bpf_map_lookup_elem(&ports, &k)) return 3; "
        "if (bpf_map_lookup_elem(&sockets, &k)) return 4; return 2;",
        "__u32 k = 1; void *a = bpf_map_lookup_elem(&ports, &k); void *b = bpf_map_lookup_elem(&sockets, &k); "
        "return a ? 3 : b ? 4 : 2;",
        Equal,
    ),
    "a map inside a map": (
        XDP,
        INNER + "__u32 f = 9; __u64 one = 1, *v = "
        "bpf_map_lookup_elem(m, &f); if (v) *v += 1; else bpf_map_update_elem(m, &f, &one, 0); return 2;",
        INNER + "__u32 f = 9; __u64 one = 1, *v = "
        "bpf_map_lookup_elem(m, &f); if (!v) { bpf_map_update_elem(m, &f, &one, 0); return 2; } *v = *v + 1; return 2;",
        Equal,
    ),
    "another count in a map inside a map": (
        XDP,
        INNER + "__u32 f = 9; __u64 *v = "
        "bpf_map_lookup_elem(m, &f); if (v) *v += 1; return 2;",
        INNER + "__u32 f = 9; __u64 *v = "
        "bpf_map_lookup_elem(m, &f); if (v) *v += 2; return 2;",
        Different,
    ),
    "two maps inside a map may be one": (XDP, TWO_INNER + "return *v;", TWO_INNER + "return 1;", Unknown),
    "storage of a task": (
        ("tp_btf/sys_enter", "void"),
        "__u64 *v = bpf_task_storage_get(&tasks, (void *)bpf_get_current_task_btf(), 0, 1); if (v) *v += 1; return 0;",
        "__u64 *v = bpf_task_storage_get(&tasks, (void *)bpf_get_current_task_btf(), 0, 1); if (!v) return 0; "
        "__u64 x = *v; *v = x + 1; return 0;",
        Equal,
    ),
    "another count in the storage of a task": (
        ("tp_btf/sys_enter", "void"),
        "__u64 *v = bpf_task_storage_get(&tasks, (void *)bpf_get_current_task_btf(), 0, 1); if (v) *v += 1; return 0;",
        "__u64 *v = bpf_task_storage_get(&tasks, (void *)bpf_get_current_task_btf(), 0, 1); if (v) *v += 2; return 0;",
        Different,
    ),
    "a pointer to another entry outlives a delete": (
        XDP,
        "__u32 k = 1, l = 2; __u64 *v = bpf_map_lookup_elem(&flows, &k); if (!v) return 1; bpf_map_delete_elem(&flows, &l); "
        "return *v & 1;",
        "__u32 k = 1, l = 2; __u64 *v = bpf_map_lookup_elem(&flows, &k); if (!v) return 1; __u64 x = *v; "
        "bpf_map_delete_elem(&flows, &l); return x & 1;",
        Equal,
    ),
    "the bytes of an entry that was just deleted": (
        XDP,
        FLOW + "bpf_map_delete_elem(&flows, &k); return *v & 1;",
        FLOW + "__u64 x = *v; bpf_map_delete_elem(&flows, &k); return x & 1;",
        Equal,
    ),
    "an entry that was deleted, and whose place may be taken": (
        XDP,
        FLOW + "__u32 l = 2; __u64 n = 3; bpf_map_delete_elem(&flows, &k); bpf_map_update_elem(&flows, &l, &n, 0); "
        "return *v & 1;",
        FLOW + "__u32 l = 2; __u64 n = 3, x = *v; bpf_map_delete_elem(&flows, &k); bpf_map_update_elem(&flows, &l, &n, 0); "
        "return x & 1;",
        Unknown,
    ),
    "an entry that was replaced": (
        XDP,
        FLOW + "__u64 n = 3; bpf_map_update_elem(&flows, &k, &n, 0); return *v & 1;",
        FLOW + "__u64 n = 3, x = *v; bpf_map_update_elem(&flows, &k, &n, 0); return x & 1;",
        Unknown,
    ),
    "an entry that was deleted and made anew": (
        XDP,
        FLOW + "__u64 n = 3, *w; bpf_map_delete_elem(&flows, &k); bpf_map_update_elem(&flows, &k, &n, 0); "
        "w = bpf_map_lookup_elem(&flows, &k); return w ? *w : 9;",
        FLOW + "__u64 n = 3; bpf_map_delete_elem(&flows, &k); return bpf_map_update_elem(&flows, &k, &n, 0) ? 9 : 3;",
        Equal,
    ),
    "an entry that was deleted is written": (
        XDP,
        FLOW + "bpf_map_delete_elem(&flows, &k); *v = 5; return bpf_map_lookup_elem(&flows, &k) ? 3 : 2;",
        FLOW + "bpf_map_delete_elem(&flows, &k); return 2;",
        Equal,
    ),
    "an entry of this CPU that was deleted and made anew elsewhere": (
        XDP,
        "__u32 k = 1; __u64 n = 5, *v = bpf_map_lookup_elem(&own, &k); if (!v) return 1; bpf_map_delete_elem(&own, &k); "
        "bpf_map_update_elem(&own, &k, &n, 0); return *v;",
        "__u32 k = 1; __u64 n = 5, *v = bpf_map_lookup_elem(&own, &k); if (!v) return 1; bpf_map_delete_elem(&own, &k); "
        "bpf_map_update_elem(&own, &k, &n, 0); return 5;",
        Unknown,
    ),
    "a value of this CPU is overwritten where it is": (
        XDP,
        "__u32 k = 1; __u64 n = 5, *v = bpf_map_lookup_elem(&own, &k); if (!v) return 1; bpf_map_update_elem(&own, &k, &n, 0); "
        "return *v;",
        "__u32 k = 1; __u64 n = 5, *v = bpf_map_lookup_elem(&own, &k); if (!v) return 1; bpf_map_update_elem(&own, &k, &n, 0); "
        "return 5;",
        Equal,
    ),
    "a loop by callback": (XDP, "__u64 s = 0; bpf_loop(5, add, &s, 0); return s;", "return 10;", Equal),
    "a loop by callback that is left": (
        XDP, "__u64 s = 0; long n = bpf_loop(5, add_to_two, &s, 0); return s + n * 16;", "return 3 + 3 * 16;", Equal,
    ),
    "a loop by callback of a number that varies": (
        XDP,
        "__u64 s = 0; bpf_loop(ctx->ingress_ifindex & 3, add, &s, 0); return s;",
        "__u32 n = ctx->ingress_ifindex & 3; return n == 3 ? 3 : n == 2 ? 1 : 0;",
        Equal,
    ),
    "every value of an array": (
        XDP,
        "__u64 s = 0; bpf_for_each_map_elem(&four, total, &s, 0); return s & 0xff;",
        "__u64 s = 0, *v; for (int i = 0; i < 4; i++) { __u32 k = i; v = bpf_map_lookup_elem(&four, &k); if (v) s += *v; } "
        "return s & 0xff;",
        Equal,
    ),
    "an iterator over numbers": (
        XDP,
        "struct bpf_iter_num it; int *i, s = 0; bpf_iter_num_new(&it, 2, 5); while ((i = bpf_iter_num_next(&it))) s += *i; "
        "bpf_iter_num_destroy(&it); return s;",
        "return 9;",
        Equal,
    ),
    "a loop of many rounds": (
        XDP,
        "__u32 s = ctx->ingress_ifindex; for (int i = 0; i < 300; i++) { s = s * 5 + 1; "
        "asm volatile(\"\" : \"+r\"(s)); } return s;",
        "__u32 s = ctx->ingress_ifindex; for (int i = 0; i < 100; i++) { s = s * 5 + 1; s = s * 5 + 1; s = s * 5 + 1; "
        "asm volatile(\"\" : \"+r\"(s)); } return s;",
        Equal,
    ),
    "a size that varies": (
        RAW,
        "char t[16] = {}; __u64 n = ctx->args[0] & 15; bpf_probe_read_user(t, n, (void *)ctx->args[1]); "
        "bpf_perf_event_output(ctx, &out, 0, t, n + 1); return 0;",
        "char t[16] = {}; __u64 n = ctx->args[0] & 15; bpf_probe_read_user(t, n, (void *)ctx->args[1]); "
        "t[15] = n == 15 ? t[15] : 9; bpf_perf_event_output(ctx, &out, 0, t, n + 1); return 0;",
        Equal,  # what lies behind the size is not seen
    ),
    "a size that varies, and a byte before its end": (
        RAW,
        "char t[16] = {}; __u64 n = ctx->args[0] & 15; bpf_perf_event_output(ctx, &out, 0, t, n + 1); return 0;",
        "char t[16] = {}; __u64 n = ctx->args[0] & 15; t[3] = 1; bpf_perf_event_output(ctx, &out, 0, t, n + 1); return 0;",
        Different,
    ),
    "another size": (
        RAW,
        "char t[16] = {}; __u64 n = ctx->args[0] & 7; bpf_perf_event_output(ctx, &out, 0, t, n + 1); return 0;",
        "char t[16] = {}; __u64 n = ctx->args[0] & 7; bpf_perf_event_output(ctx, &out, 0, t, n + 2); return 0;",
        Different,
    ),
    "reservations on some paths only": (
        RAW,
        "__u64 *e; if (ctx->args[0]) { e = bpf_ringbuf_reserve(&rb, 8, 0); if (e) { *e = 1; bpf_ringbuf_submit(e, 0); } } "
        "e = bpf_ringbuf_reserve(&rb, 8, 0); if (e) { *e = ctx->args[1]; bpf_ringbuf_submit(e, 0); } return 0;",
        "__u64 *e; if (ctx->args[0]) { e = bpf_ringbuf_reserve(&rb, 8, 0); if (e) { *e = 1; bpf_ringbuf_submit(e, 0); } } "
        "e = bpf_ringbuf_reserve(&rb, 8, 0); if (!e) return 0; *e = ctx->args[1]; bpf_ringbuf_submit(e, 0); return 0;",
        Equal,
    ),
    "a context field written before a call that sees it": (
        TC,
        "ctx->mark = 1; bpf_clone_redirect(ctx, 3, 0); return 0;",
        "ctx->mark = 2; ctx->mark = 1; bpf_clone_redirect(ctx, 3, 0); return 0;",
        Equal,
    ),
    "a pointer that was found to be NULL is zero": (
        XDP,
        "__u32 k = 1; __u64 *v = bpf_map_lookup_elem(&flows, &k); if (!v) return (long)v; return 2;",
        "__u32 k = 1; return bpf_map_lookup_elem(&flows, &k) ? 2 : 0;",
        Equal,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_two_programs(name: str) -> None:
    (section, context), a, b, wanted = CASES[name]
    verdict = compared(section, context, a, b)
    assert isinstance(verdict, wanted), verdict
    assert not isinstance(verdict, Unknown) or verdict.gap != "unmodelled-helper", verdict
