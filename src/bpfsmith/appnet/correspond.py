"""Where an object keeps an element's state: scalar `x` is the global `x`, Map `m` the BPF map `m`, unless the user says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.layout import Layout, rpcs_apart, state_bytes
from bpfsmith.appnet.names import naming
from bpfsmith.appnet.shapes import size_of
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.objfile.object import Object


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a map's value: `--state x=MAP[:OFFSET]`."""

    map: str
    offset: int = 0


def parse_places(texts: list[str]) -> dict[str, Place]:
    """`["count=.bss:8"]` as a mapping; InputError `bad-state-option`."""
    out = {}
    for text in texts:
        name, equals, place = text.partition("=")
        map_name, colon, offset = place.partition(":")
        if not (name and equals and map_name) or (colon and not offset.isdigit()):
            raise InputError(
                Diagnostic(
                    "bad-state-option", f"--state {text} is not of the form x=MAP[:OFFSET]", help="e.g. --state count=.bss:8"
                )
            )
        out[name] = Place(map_name, int(offset or 0))
    return out


def known_places(element: core.Element, places: Mapping[str, Place]) -> None:
    """InputError `bad-state-option` for the place of something that is no state of the element."""
    names = [item.name for item in element.state]
    for name in places:
        if name not in names:
            help = f"its state is: {', '.join(names)}" if names else "leave --state out: it has no state"
            raise InputError(Diagnostic("bad-state-option", f"{element.path} has no state {name}", help=help))


def layout_of(
    element: core.Element, program: Program, obj: Object | None, places: Mapping[str, Place], body: str = "req"
) -> Layout | str:
    """The layout, or a sentence that says which state has no counterpart in the program.

    Constants of the element need none. State that `body` never touches is looked for, but may be missing.
    """
    constants, c_name = facts.constants(element), naming(element)
    scalars: dict[str, tuple[str, int]] = {}
    maps: dict[str, MapSpec] = {}
    sizes = {item.name: state_bytes(item) for item in element.state if item.type.name != "Map"}
    statements = element.body(body)
    looked_up = {expr.map for expr in facts.expressions(statements) if isinstance(expr, core.MapGet)}
    needed = facts.written(statements) | facts.read(statements) | looked_up
    for item in element.state:
        if item.type.name == "Map":
            named = [places[item.name].map] if item.name in places else [c_name(item.name), item.name]
            spec = next((found for name in named if (found := _map(program, name))), None)
            if spec is None and item.name not in needed:
                continue
            if spec is None:
                return f"the program has no map {item.name} for the state {item.name}: {item.type}"
            wrong = _wrong_map(item, spec)
            if wrong:
                return wrong
            maps[item.name] = spec
            continue
        place = places.get(item.name) or _variable(obj, c_name(item.name), item.name)
        if place is None:
            if item.name in constants or item.name not in needed:
                continue
            return f"the program has no global variable {item.name} for the state {item.name}: {item.type}"
        spec = _map(program, place.map)
        if spec is None:
            if item.name in constants or item.name not in needed:
                continue
            return f"the program has no map or data section {place.map}, where its state {item.name} would be"
        if place.offset + state_bytes(item) > spec.value_size:
            return f"{place.map} has {spec.value_size} bytes: no room for {item.name} at offset {place.offset}"
        for other, (section, offset) in scalars.items():
            if section == place.map and offset < place.offset + state_bytes(item) and place.offset < offset + sizes[other]:
                return f"{other} and {item.name} would share bytes of {section}"
        scalars[item.name] = (place.map, place.offset)
    rpcs = rpcs_apart(element, body)
    if rpcs is not None:
        found = _map(program, c_name.fresh(rpcs.name))
        if found is None or (found.type, found.key_size, found.value_size) != (rpcs.type, rpcs.key_size, rpcs.value_size):
            words = f"an LRU hash of {rpcs.key_size} and {rpcs.value_size} bytes"
            return f"the program has no map {rpcs.name}, {words}, to remember RPCs of several packets"
        rpcs = found
    return Layout(scalars, maps, program.maps, rpcs)


def with_state(program: Program, obj: Object | None, element: core.Element) -> Program:
    """The program with the data sections of the element's state among its maps, also those that it never touches."""
    names, c_name = {spec.name for spec in program.maps}, naming(element)
    more: dict[str, MapSpec] = {}
    for item in element.state:
        place = _variable(obj, c_name(item.name), item.name) if item.type.name != "Map" else Place(c_name(item.name))
        for spec in obj.maps if obj and place else ():
            if place is not None and spec.name == place.map and spec.name not in names:
                more[spec.name] = spec
    return replace(program, maps=(*program.maps, *more.values()))


def _map(program: Program, name: str) -> MapSpec | None:
    return next((spec for spec in program.maps if spec.name == name), None)


def _variable(obj: Object | None, *names: str) -> Place | None:
    """The first of `names` that the object has: what the generator calls it, then what anybody else would."""
    for candidate in names:
        for variable in obj.variables if obj else ():
            if variable.name == candidate:
                return Place(variable.section, variable.offset)
    return None


def _wrong_map(item: core.State, spec: MapSpec) -> str | None:
    key, value = item.type.args
    if spec.type != "BPF_MAP_TYPE_HASH":
        return f"the map {spec.name} is a {spec.type}, not a hash, as the state {item.name}: {item.type} needs"
    if (spec.key_size, spec.value_size) != (size_of(key), size_of(value)):
        sizes = f"{spec.key_size} and {spec.value_size} bytes, not {size_of(key)} and {size_of(value)}"
        return f"keys and values of the map {spec.name} have {sizes}"
    if item.sized and spec.max_entries < item.max_entries:
        return f"the map {spec.name} holds {spec.max_entries} entries, and {item.name} needs @size({item.max_entries})"
    return None
