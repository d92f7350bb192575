"""Where an object keeps an element's state: scalars and Vecs by data section and offset, Maps by BPF map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.core import Element
from bpfsmith.appnet.packets import PARTS
from bpfsmith.appnet.shapes import size_of
from bpfsmith.isa.program import MapSpec


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an object keeps an element's state: scalars by (data section, offset), Maps by BPF map."""

    scalars: Mapping[str, tuple[str, int]]
    maps: Mapping[str, MapSpec]
    specs: tuple[MapSpec, ...]
    rpcs: MapSpec | None = None  # what is remembered of RPCs that take several packets


def layout_apart(element: Element, body: str = "req") -> Layout:
    """Places for an element's state where there is no object to look at: every scalar and every Map by itself."""
    scalars, at = {}, 0
    for item in element.state:
        if item.type.name != "Map":
            scalars[item.name] = ("state", at)
            at += (state_bytes(item) + 15) // 16 * 16
    maps = {item.name: _map_apart(item) for item in element.state if item.type.name == "Map"}
    rpcs = rpcs_apart(element, body)
    return Layout(scalars, maps, (*maps.values(), *((rpcs,) if rpcs else ())), rpcs)


def rpcs_apart(element: Element, body: str) -> MapSpec | None:
    """The map in which a step remembers RPCs, where they take several packets."""
    binding = element.binding
    if binding is None or binding.packets is None or body == "init":
        return None
    statements = element.body(body)
    size = PARTS + binding.parts(body, facts.fields_read(statements) | facts.fields_set(statements)).size
    return MapSpec(f"rpcs_{body}", "BPF_MAP_TYPE_LRU_HASH", binding.key_size, size, binding.packets.entries)


def _map_apart(item: core.State) -> MapSpec:
    key, value = (size_of(part) for part in item.type.args)
    return MapSpec(item.name, "BPF_MAP_TYPE_HASH", key, value, item.max_entries)


VEC_ITEMS = 8
"""Where the items of a Vec begin; before them stands their number, in 32 bits."""


def state_bytes(item: core.State) -> int:
    """Bytes that a scalar or a Vec takes in its data section."""
    if item.type.name == "Vec":
        return VEC_ITEMS + item.max_entries * stride(item)
    return size_of(item.type)


def stride(item: core.State) -> int:
    """Bytes from one item of a Vec to the next."""
    return (size_of(item.type) + 7) // 8 * 8
