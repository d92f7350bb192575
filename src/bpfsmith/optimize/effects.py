"""What each instruction reads, writes and may change, for the analyses of this package.

Helpers that are not in the table are taken to do anything: to read and write whatever memory their arguments lead to, and to
change maps, packet and context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpfsmith.ir import ops, registers
from bpfsmith.ir.ops import Op
from bpfsmith.ir.registers import ARGUMENTS as ARGUMENTS
from bpfsmith.ir.registers import defines as defines
from bpfsmith.isa.context import Layout
from bpfsmith.isa.program import MapSpec
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.optimize.graph import Node
from bpfsmith.semantics.recorded import Argument, signature


@dataclass(frozen=True)
class Surroundings:
    """What a function's code depends on beside itself: the context's fields (none where another layout or a subprogram's
    arguments are behind r1), the maps, and which of r1..r5 each subprogram reads."""

    context: Layout = ()
    is_program: bool = True
    maps: Mapping[str, MapSpec] = field(default_factory=dict)
    parameters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    returns: bool = True
    context_known: bool = True
    """False where the section says nothing of the context: any field of it may then be a pointer, whatever its load's size."""
    narrow_pointers: frozenset[int] = frozenset()
    """Offsets at which contexts of this object have pointers that are loaded with 4 bytes."""
    result_bits: int = 64
    """How many bits of the result anybody looks at."""
    cpu: int = 3
    """The instruction set that may be used: 1 to 4, as -mcpu."""
    atomics: bool = False
    """May a load, an addition and a store become one atomic addition? Updates by other CPUs are then not lost."""


@dataclass(frozen=True, slots=True)
class HelperEffect:
    """`arguments` as in `semantics.recorded`; `changes` are the kinds of memory that a call may change beside what its
    arguments say; `pure` helpers give the same result when called again in the same run."""

    arguments: tuple[Argument, ...]
    changes: frozenset[str] = frozenset()
    pure: bool = False


SHARED = frozenset({"ctx", "packet", "map", "data", "any"})
"""All memory but the stack."""

ANYTHING = SHARED | {"ends"}
"""All memory but the stack, and where the packet lies."""

_MAPS = frozenset({"map", "data", "any"})


def _table() -> dict[int, HelperEffect]:
    rows: list[tuple[str, str, frozenset[str], bool]] = [
        (name, "", frozenset(), True)
        for name in (
            "bpf_get_smp_processor_id", "bpf_get_current_pid_tgid", "bpf_get_current_uid_gid", "bpf_get_current_cgroup_id",
            "bpf_get_current_task", "bpf_get_current_task_btf", "bpf_get_numa_node_id",
        )
    ]  # fmt: skip
    rows += [
        (name, "", frozenset(), False)
        for name in (
            "bpf_ktime_get_ns", "bpf_ktime_get_boot_ns", "bpf_ktime_get_coarse_ns", "bpf_ktime_get_tai_ns",
            "bpf_get_prandom_u32", "bpf_jiffies64",
        )
    ]  # fmt: skip
    rows += [
        (name, "out:2 u32 u64", frozenset(), False)
        for name in ("bpf_probe_read", "bpf_probe_read_kernel", "bpf_probe_read_user")
    ]
    rows += [
        ("bpf_probe_read_kernel_str", "text:2 u32 u64", frozenset(), False),
        ("bpf_probe_read_user_str", "text:2 u32 u64", frozenset(), False),
        ("bpf_probe_read_str", "text:2 u32 u64", frozenset(), False),
        ("bpf_get_current_comm", "out:2 u32", frozenset(), False),
        ("bpf_map_lookup_elem", "map in=key", frozenset(), False),
        ("bpf_map_lookup_percpu_elem", "map in=key u32", frozenset(), False),
        ("bpf_map_update_elem", "map in=key in=value u64", _MAPS, False),
        ("bpf_map_delete_elem", "map in=key", _MAPS, False),
        ("bpf_map_push_elem", "map in=value u64", _MAPS, False),
        # A Bloom filter's peek reads the value; a busy queue leaves it alone.
        ("bpf_map_pop_elem", "map inout=value", _MAPS, False),
        ("bpf_map_peek_elem", "map inout=value", frozenset(), False),
        ("bpf_get_stackid", "ctx map u64", frozenset({"map"}), False),
        ("bpf_get_stack", "ctx may:3 u32 u64", frozenset(), False),
        ("bpf_perf_event_output", "ctx map u64 in:5 u64", frozenset(), False),
        ("bpf_skb_load_bytes", "ctx u32 out:4 u32", frozenset(), False),
        ("bpf_skb_load_bytes_relative", "ctx u32 out:4 u32 u32", frozenset(), False),
        ("bpf_xdp_load_bytes", "ctx u32 got:4 u32", frozenset(), False),
        ("bpf_fib_lookup", "ctx inout:3 u32 u32", frozenset(), False),
        ("bpf_csum_diff", "in:2 u32 in:4 u32 u32", frozenset(), False),
        ("bpf_redirect", "u32 u64", frozenset(), False),
        ("bpf_redirect_map", "map u64 u64", frozenset(), False),
        ("bpf_redirect_peer", "u32 u64", frozenset(), False),
        ("bpf_ringbuf_reserve", "map u64 u64", frozenset(), False),
        ("bpf_ringbuf_submit", "u64 u64", frozenset({"any"}), False),
        ("bpf_ringbuf_discard", "u64 u64", frozenset({"any"}), False),
        ("bpf_ringbuf_output", "map in:3 u64 u64", frozenset(), False),
        ("bpf_spin_lock", "u64", SHARED, False),
        ("bpf_spin_unlock", "u64", SHARED, False),
    ]
    return {HELPER_IDS[name]: HelperEffect(signature(words), changes, pure) for name, words, changes, pure in rows}


HELPER_EFFECTS = _table()
LOOKUP = HELPER_IDS["bpf_map_lookup_elem"]
ARRAYS = frozenset({"BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_PERCPU_ARRAY"})
"""Maps whose entries are always there and never move: two lookups of one key give one pointer."""


def uses(node: Node, around: Surroundings) -> tuple[int, ...]:
    """The registers that an instruction reads."""
    match node.op:
        case ops.CallSubprogram(name=name):
            return around.parameters.get(name, ARGUMENTS)
        case ops.Exit():
            return (0,) if around.returns else ()
        case _:
            return registers.uses(node.op)


def is_pure(op: Op) -> bool:
    """Does the instruction do nothing but give its destination a value?"""
    match op:
        case ops.Alu() | ops.Negate() | ops.MoveSigned() | ops.ByteOrder() | ops.LoadImm() | ops.LoadMap() | ops.LoadMapValue():
            return True
        case ops.LoadFunction() | ops.LoadSymbol():
            return True
        case ops.Load(acquire=acquire):
            return not acquire
        case _:
            return False


def is_call(op: Op) -> bool:
    return isinstance(op, ops.CallHelper | ops.CallSubprogram | ops.CallKfunc | ops.LoadSkb)
