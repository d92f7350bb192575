"""How map types behave: which are hashes, which are flat arrays, and what a lookup in each gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bpfsmith.isa import tables
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.semantics.memory import HashMap
from bpfsmith.semantics.terms import Terms

EVICTING = frozenset({"BPF_MAP_TYPE_LRU_HASH", "BPF_MAP_TYPE_LRU_PERCPU_HASH"})
"""Maps that make room by themselves. When they do is not a function of the program: a run is taken to be too short for it."""

PER_CPU = frozenset({"BPF_MAP_TYPE_PERCPU_HASH", "BPF_MAP_TYPE_LRU_PERCPU_HASH", "BPF_MAP_TYPE_PERCPU_ARRAY"})
"""Maps of which a program sees the copy of the CPU that it runs on."""

HASHES = frozenset({"BPF_MAP_TYPE_HASH", "BPF_MAP_TYPE_PERCPU_HASH"}) | EVICTING
"""Maps of entries that come and go."""

LOCAL = frozenset(
    {
        "BPF_MAP_TYPE_TASK_STORAGE",
        "BPF_MAP_TYPE_SK_STORAGE",
        "BPF_MAP_TYPE_INODE_STORAGE",
        "BPF_MAP_TYPE_CGRP_STORAGE",
    }
)
"""Maps whose keys are objects of the kernel: followed like hashes, with the object's address as the key."""

OF_MAPS = frozenset({"BPF_MAP_TYPE_ARRAY_OF_MAPS", "BPF_MAP_TYPE_HASH_OF_MAPS"})
"""Maps whose values are maps."""

READ_ONLY = frozenset({"BPF_MAP_TYPE_LPM_TRIE", "BPF_MAP_TYPE_DEVMAP", "BPF_MAP_TYPE_DEVMAP_HASH", "BPF_MAP_TYPE_CPUMAP"})
"""Maps of which a lookup is some function of the key, and of the calls that changed the map before: values are not written to
in place, as two keys may lead to one value."""

OF_SOCKETS = frozenset({"BPF_MAP_TYPE_SOCKMAP", "BPF_MAP_TYPE_SOCKHASH", "BPF_MAP_TYPE_XSKMAP"})
"""The same with sockets in the place of values."""

ARRAYS = frozenset({"BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_PERCPU_ARRAY"})
"""Maps whose values always exist, one behind the other, each rounded up to 8 bytes."""


ADDRESS_BYTES = 8


def entry_specs(maps: Iterable[MapSpec]) -> Iterator[MapSpec]:
    """The maps whose entries are followed one by one, under the names that they have in a run: the maps inside a map of maps
    are taken together as one, whose keys begin with the outer one's key and end with the inner one's."""
    for spec in maps:
        if spec.type in HASHES:
            yield spec
        elif spec.type in LOCAL:
            yield replace(spec, key_size=ADDRESS_BYTES)
        elif spec.type in OF_MAPS and spec.inner is not None and spec.inner.type in HASHES | ARRAYS:
            yield inner(spec)


def inner(spec: MapSpec) -> MapSpec:
    """The maps inside a map of maps, as one map."""
    assert spec.inner is not None
    return replace(spec.inner, name=f"{spec.name}[]", key_size=spec.key_size + spec.inner.key_size)


def value_spec(program: Program, name: str) -> MapSpec:
    return next(spec for spec in entry_specs(program.maps) if spec.name == name)


def initial(t: Terms, spec: MapSpec) -> HashMap:
    return HashMap.initial(t, spec.name, spec.key_size, spec.value_size)


def stride(spec: MapSpec) -> int:
    """Bytes from one array value to the next (kernel/bpf/arraymap.c: elem_size)."""
    return (spec.value_size + 7) // 8 * 8


LISTED = 1 << 20
"""Elements from which on an array is written down by those that are not zero; maps are that large for rings and ports."""

_AT_ONCE = 1 << 16
"""Bytes that are looked at together for one that is not zero: whole elements."""


def elements(spec: MapSpec, flat: bytes | bytearray) -> dict[bytes, bytes]:
    """The values of an array by their keys, from its bytes."""
    step = stride(spec)
    indices: Iterable[int] = range(spec.max_entries)
    if spec.max_entries > LISTED:
        span, whole = max(_AT_ONCE // step, 1), memoryview(flat)
        zeros = bytes(span * step)
        starts = (
            at
            for at in range(0, spec.max_entries, span)
            if whole[at * step : (at + span) * step] != zeros[: (spec.max_entries - at) * step]
        )
        each = (index for at in starts for index in range(at, min(at + span, spec.max_entries)))
        indices = (index for index in each if any(whole[index * step : (index + 1) * step]))
    return {index.to_bytes(4, "little"): bytes(flat[index * step : index * step + spec.value_size]) for index in indices}


def helper_name(helper_id: int) -> str:
    helper = tables.HELPERS.get(helper_id)
    return f"{helper.name}#{helper_id}" if helper else f"#{helper_id}"
