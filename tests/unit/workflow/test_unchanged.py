"""A change is called unchanged only where it leaves alone all that the refused program could handle."""

from __future__ import annotations

import pytest

from bpfsmith.objfile.object import Object, read_object
from bpfsmith.semantics.verdict import Different, Equal, Verdict
from bpfsmith.workflow.repairing import added_maps, compared
from tests.support.bpfc import compile_c

START = "void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; u8 *p = data;"
ARRAY = """
struct { __uint(type, 2); __uint(max_entries, 1); __type(key, u32); __type(value, u64[8]); } table SEC(".maps");
u64 seen;
"""
RING = """
struct { __uint(type, 27); __uint(max_entries, 4096); } ring SEC(".maps");
static void *(*bpf_ringbuf_reserve)(void *, u64, u64) = (void *)131;
static void (*bpf_ringbuf_submit)(void *, u64) = (void *)132;
static void (*bpf_ringbuf_discard)(void *, u64) = (void *)133;
static void *(*bpf_sk_lookup_udp)(void *, void *, u32, u64, u64) = (void *)85;
static long (*bpf_sk_release)(void *) = (void *)86;
static long (*bpf_xdp_load_bytes)(void *, u32, void *, u32) = (void *)189;
"""
RESERVE = "u64 *e = bpf_ringbuf_reserve(&ring, 8, 0); if (!e) return 0; *e = 1;"
SOCKET = "u32 to[3] = {}; void *sk = bpf_sk_lookup_udp(ctx, &to, 12, 0, 0); if (!sk) return 0;"
COUNTED = "u32 i = ctx->rx_queue_index, n = ctx->ingress_ifindex & 7;"
LOADED = "bpf_xdp_load_bytes(ctx, 0, (char *)v + i, n);"
LOOKUP = "u32 zero = 0; u64 *v = bpf_map_lookup_elem(&table, &zero);"

# What was refused, a change, and whether that leaves alone what the program could do.
CHANGES = {
    "a check of what is read": (
        f"{START} if (p[40] == 7) return 1; return 2;",
        f"{START} if (data + 41 > end) return 2; if (p[40] == 7) return 1; return 2;",
        True,
    ),
    "a check of more than is read": (
        f"{START} if (p[40] == 7) return 1; return 2;",
        f"{START} if (data + 60 > end) return 2; if (p[40] == 7) return 1; return 2;",
        False,
    ),
    "a check before a read that one path lacks": (
        f"{START} if (p[12] == 8 && p[40] == 7) return 1; return 2;",
        f"{START} if (data + 41 > end) return 0; if (p[12] == 8 && p[40] == 7) return 1; return 2;",
        False,
    ),
    "NULL is refused": (
        f"{LOOKUP} v[1]++; return 2;",
        f"{LOOKUP} if (!v) return 0; v[1]++; return 2;",
        True,
    ),
    "what is not NULL is refused": (
        f"{LOOKUP} v[1]++; return 2;",
        f"{LOOKUP} if (v) return 2; return 2;",
        False,
    ),
    "an index checked against the length": (
        f"{LOOKUP} u32 i = ctx->rx_queue_index; if (v) v[i]++; return 2;",
        f"{LOOKUP} u32 i = ctx->rx_queue_index; if (i >= 8) return 2; if (v) v[i]++; return 2;",
        True,
    ),
    "an index checked against less": (
        f"{LOOKUP} u32 i = ctx->rx_queue_index; if (v) v[i]++; return 2;",
        f"{LOOKUP} u32 i = ctx->rx_queue_index; if (i >= 7) return 2; if (v) v[i]++; return 2;",
        False,
    ),
    "less is allowed than a call with a size that varies could handle": (
        f"{LOOKUP} if (!v) return 0; {COUNTED} {LOADED} return 2;",
        f"{LOOKUP} if (!v) return 0; {COUNTED} if (i >= 60) return 2; {LOADED} return 2;",
        False,
    ),
    "what was held is given back": (
        f"{RESERVE} if (ctx->rx_queue_index) return 1; bpf_ringbuf_submit(e, 0); return 2;",
        f"{RESERVE} if (ctx->rx_queue_index) {{ bpf_ringbuf_discard(e, 0); return 1; }} bpf_ringbuf_submit(e, 0); return 2;",
        True,
    ),
    "what was submitted is discarded": (
        f"{RESERVE} if (ctx->rx_queue_index == 5) return 1; bpf_ringbuf_submit(e, 0); return 2;",
        f"{RESERVE} bpf_ringbuf_discard(e, 0); return ctx->rx_queue_index == 5 ? 1 : 2;",
        False,
    ),
    "a record that is no longer ours is not read": (
        f"{RESERVE} bpf_ringbuf_submit(e, 0); if (ctx->rx_queue_index == 5) seen = *e; return 2;",
        f"{RESERVE} u64 got = *e; bpf_ringbuf_submit(e, 0); if (ctx->rx_queue_index == 5) seen = got; return 2;",
        True,
    ),
    "a record is submitted once, and another value with it": (
        f"{RESERVE} bpf_ringbuf_submit(e, 0); if (ctx->rx_queue_index == 5) bpf_ringbuf_submit(e, 0); return 2;",
        f"{RESERVE} *e = 2; bpf_ringbuf_submit(e, 0); return 2;",
        False,
    ),
    "a socket is given back": (
        f"{SOCKET} if (ctx->rx_queue_index == 5) return 1; bpf_sk_release(sk); return 2;",
        f"{SOCKET} bpf_sk_release(sk); return ctx->rx_queue_index == 5 ? 1 : 2;",
        True,
    ),
    "a socket is given back, and the result is another": (
        f"{SOCKET} if (ctx->rx_queue_index == 5) return 1; bpf_sk_release(sk); return 2;",
        f"{SOCKET} bpf_sk_release(sk); return ctx->rx_queue_index == 5 ? 1 : 3;",
        False,
    ),
    "the access is gone": (
        f"{LOOKUP} u32 i = ctx->rx_queue_index; if (v) v[i]++; return 2;",
        "return 2;",
        False,
    ),
    "a global is no longer written": (
        f"{START} seen += p[40]; return 2;",
        "return 2;",
        False,
    ),
    "another result": (
        f"{START} if (p[40] == 7) return 1; return 2;",
        f"{START} if (data + 41 > end) return 2; if (p[40] == 7) return 0; return 2;",
        False,
    ),
}  # fmt: skip


def object_of(body: str, extra: str = ARRAY) -> Object:
    return read_object(compile_c(f'{extra}\nSEC("xdp") int f(struct xdp_md *ctx) {{ {body} }}\n'))


def verdict(refused: Object, changed: Object) -> Verdict:
    own = added_maps(refused, changed)
    return compared(refused.program("f"), refused, changed.program("f"), changed, accepted=False, ignored=own)


@pytest.mark.parametrize("name", CHANGES)
def test_unchanged_is_what_leaves_accepted_inputs_alone(name: str) -> None:
    before, after, unchanged = CHANGES[name]
    found = verdict(object_of(before, ARRAY + RING), object_of(after, ARRAY + RING))
    assert isinstance(found, Equal if unchanged else Different), found


def test_a_map_that_the_change_takes_away_is_compared() -> None:
    before = object_of(f"{LOOKUP} if (v) v[1]++; {START} return p[40];")
    after = object_of("return 2;", extra="")
    assert not added_maps(before, after)
    assert not isinstance(verdict(before, after), Equal)


def test_a_map_that_the_change_brings_is_its_own() -> None:
    scratch = ARRAY.replace("table", "scratch").replace("u64 seen;", "")
    use = "u32 zero = 0; u64 *s = bpf_map_lookup_elem(&scratch, &zero); if (!s) return 0; s[3] = 5;"
    before = object_of(f"{START} return p[40];")
    kept = object_of(f"{use} {START} if (data + 41 > end) return 0; return p[40];", ARRAY + scratch)
    assert added_maps(before, kept) == {"scratch"}
    assert isinstance(verdict(before, kept), Equal)
    shown = object_of(f"{use} {START} if (data + 41 > end) return 0; return p[40] + s[4];", ARRAY + scratch)
    assert isinstance(verdict(before, shown), Different), "what lies in it may come from another run"


def test_a_program_that_leaves_its_stack_is_compared_with_nothing() -> None:
    flows = 'struct { __uint(type, 1); __uint(max_entries, 8); __type(key, u64); __type(value, u64); } flows SEC(".maps");'
    before = object_of("u32 key = 1; return bpf_map_lookup_elem(&flows, &key) ? 1 : 2;", flows)
    after = object_of("u64 key = 1; return bpf_map_lookup_elem(&flows, &key) ? 1 : 2;", flows)
    assert not isinstance(verdict(before, after), Equal | Different)
