"""How map types behave: which are hashes, which are flat arrays, and what a lookup in each gives."""

from __future__ import annotations

from bpfsmith.isa import tables
from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics.memory import HashMap
from bpfsmith.semantics.terms import Terms

EVICTING = frozenset({"BPF_MAP_TYPE_LRU_HASH", "BPF_MAP_TYPE_LRU_PERCPU_HASH"})
"""Maps that make room by themselves. When they do is not a function of the program: a run is taken to be too short for it."""

PER_CPU = frozenset({"BPF_MAP_TYPE_PERCPU_HASH", "BPF_MAP_TYPE_LRU_PERCPU_HASH", "BPF_MAP_TYPE_PERCPU_ARRAY"})
"""Maps of which a program sees the copy of the CPU that it runs on."""

HASHES = frozenset({"BPF_MAP_TYPE_HASH", "BPF_MAP_TYPE_PERCPU_HASH"}) | EVICTING
"""Maps of entries that come and go."""

ARRAYS = frozenset({"BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_PERCPU_ARRAY"})
"""Maps whose values always exist, one behind the other, each rounded up to 8 bytes."""


def initial(t: Terms, spec: MapSpec) -> HashMap:
    return HashMap.initial(t, spec.name, spec.key_size, spec.value_size)


def stride(spec: MapSpec) -> int:
    """Bytes from one array value to the next (kernel/bpf/arraymap.c: elem_size)."""
    return (spec.value_size + 7) // 8 * 8


def helper_name(helper_id: int) -> str:
    helper = tables.HELPERS.get(helper_id)
    return f"{helper.name}#{helper_id}" if helper else f"#{helper_id}"
