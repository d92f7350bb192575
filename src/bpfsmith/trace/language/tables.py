"""Tables, records and the C that does not depend on a probe: what aggregates become."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.source import Span
from bpfsmith.trace.language.syntax import Kind

STACK_FRAMES, HIST_SLOTS = 24, 66


@dataclass(frozen=True, slots=True)
class Column:
    """A part of a key or of a record: a number, a string of so many bytes, or a stack ("kstack", "ustack")."""

    label: str
    kind: str
    size: int = 8


@dataclass(frozen=True, slots=True)
class Table:
    """An aggregate: the map that holds it, and how to read that."""

    name: str
    kind: Kind
    keys: tuple[Column, ...]
    low: int = 0
    high: int = 0
    step: int = 0

    @property
    def slots(self) -> int:
        match self.kind:
            case Kind.HIST:
                return HIST_SLOTS
            case Kind.LHIST:
                return (self.high - self.low) // self.step + 2
            case Kind.MIN | Kind.MAX:
                return 2
            case Kind.COUNT | Kind.SUM:
                return 1

    @property
    def map(self) -> str:
        return f"{self.name}_table"


@dataclass(frozen=True, slots=True)
class Record:
    """What an `emit` sends: its number stands in the first word."""

    name: str
    number: int
    columns: tuple[Column, ...]
    span: Span | None = None  # of the `emit`


def layout(columns: tuple[Column, ...], start: int = 0) -> tuple[tuple[int, ...], int]:
    """Where columns stand that follow `start` bytes, and the size of it all, as C lays it out: numbers on multiples of 8."""
    places, at, numbers = [], start, start > 0
    for column in columns:
        if column.kind != "string":
            at, numbers = (at + 7) // 8 * 8, True
        places.append(at)
        at += column.size
    return tuple(places), (at + 7) // 8 * 8 if numbers else at


def member_c(name: str, column: Column) -> str:
    return f"char {name}[{column.size}];" if column.kind == "string" else f"__s64 {name};"


def table_c(table: Table) -> str:
    value = f"struct {table.name}_value {{ __s64 slots[{table.slots}]; }};\n"
    key = "__u32"
    if table.keys:
        members = " ".join(member_c(f"k{index}", column) for index, column in enumerate(table.keys))
        value += f"struct {table.name}_key {{ {members} }};\n"
        if table.kind not in (Kind.COUNT, Kind.SUM):
            value += f'static const struct {table.name}_value {table.name}_zero SEC(".rodata.zero");\n'
        key = f"struct {table.name}_key"
        value += f"PER_CPU_HASH({table.map}, {key}, struct {table.name}_value);\n"
        make = (
            f"\tif (!v) {{\n\t\tbpf_map_update_elem(&{table.map}, key, &{table.name}_zero, BPF_NOEXIST);\n"
            f"\t\tv = bpf_map_lookup_elem(&{table.map}, key);\n\t}}\n"
        )
        if table.kind in (
            Kind.COUNT,
            Kind.SUM,
        ):  # a new entry begins with the number: another thread's run may have made it, though
            make = (
                f"\tif (!v) {{\n\t\tstruct {table.name}_value first = {{{{x}}}};\n"
                f"\t\tif (bpf_map_update_elem(&{table.map}, key, &first, BPF_NOEXIST) != EEXIST)\n\t\t\treturn;\n"
                f"\t\tv = bpf_map_lookup_elem(&{table.map}, key);\n\t}}\n"
            )
    else:
        value += f"PER_CPU_ARRAY({table.map}, struct {table.name}_value);\n"
        make = ""
    return (
        f"{value}static __always_inline void keep_{table.name}({key} *key, __s64 x)\n{{\n"
        f"\tstruct {table.name}_value *v = bpf_map_lookup_elem(&{table.map}, key);\n{make}\tif (!v)\n\t\treturn;\n"
        f"{_keeping(table)}}}\n"
    )


def _keeping(table: Table) -> str:
    """Atomic, although each CPU has a table of its own: a uprobe's program may be preempted by another thread's on its CPU."""
    match table.kind:
        case Kind.COUNT | Kind.SUM:
            return "\t__sync_fetch_and_add(&v->slots[0], x);\n"
        case Kind.MIN | Kind.MAX:
            test = "<" if table.kind is Kind.MIN else ">"
            return f"\tif (!v->slots[0] || x {test} v->slots[1])\n\t\tv->slots[1] = x;\n\tv->slots[0] = 1;\n"
        case Kind.HIST:
            return f"\t__u32 slot = log2_slot(x);\n\tif (slot < {table.slots})\n\t\t__sync_fetch_and_add(&v->slots[slot], 1);\n"
        case Kind.LHIST:
            inside = f"1 + (__u64)(x - {table.low}LL) / {table.step}"
            return (
                f"\t__u64 slot = x < {table.low}LL ? 0 : x >= {table.high}LL ? {table.slots - 1} : {inside};\n"
                f"\tif (slot < {table.slots})\n\t\t__sync_fetch_and_add(&v->slots[slot], 1);\n"
            )


PROLOGUE = """\
/* Written by bpfsmith from a probe program. */
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>

#define HASH(name, k, v) struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 10240); __type(key, k); __type(value, v); } name SEC(".maps")
#define PER_CPU_HASH(name, k, v) struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 10240); __type(key, k); __type(value, v); } name SEC(".maps")
#define PER_CPU_ARRAY(name, v) struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, v); } name SEC(".maps")

#define EEXIST -17

const volatile __u32 target_pid = 0;

static __always_inline __u64 size_s64(__s64 a) { return a < 0 ? 0 - (__u64)a : (__u64)a; }
static __always_inline __s64 div_s64(__s64 a, __s64 b)
{
	__u64 q = b ? size_s64(a) / size_s64(b) : 0;
	return (a ^ b) < 0 ? (__s64)(0 - q) : (__s64)q;
}
static __always_inline __s64 rem_s64(__s64 a, __s64 b)
{
	__u64 r = b ? size_s64(a) % size_s64(b) : size_s64(a);
	return a < 0 ? (__s64)(0 - r) : (__s64)r;
}
/* 0: negative, 1: zero, n: from 1 << (n - 2) up to the next power of two. */
static __always_inline __u32 log2_slot(__s64 x)
{
	__u64 v = x;
	__u32 slot = 2;

	if (x <= 0)
		return x == 0;
	if (v >> 32) { v >>= 32; slot += 32; }
	if (v >> 16) { v >>= 16; slot += 16; }
	if (v >> 8) { v >>= 8; slot += 8; }
	if (v >> 4) { v >>= 4; slot += 4; }
	if (v >> 2) { v >>= 2; slot += 2; }
	if (v >> 1) slot += 1;
	return slot;
}
"""  # noqa: E501 (C, which is not read at this width)
EVENTS_C = """\
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 18); } events SEC(".maps");
"""
STACKS_C = f"""\
struct {{ __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 4096); __uint(key_size, 4);
	__uint(value_size, {8 * STACK_FRAMES}); }} stacks SEC(".maps");
"""
EPILOGUE = 'char LICENSE[] SEC("license") = "GPL";\n'
