"""From a solver's model, or a lucky random input, to a counterexample that a person can believe and the kernel can replay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bpfsmith.execution import Counterexample, HelperResult, MapContents, RunInput, RunOutput
from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import DRAWS, Behaviour
from bpfsmith.semantics.concrete_memory import HEADROOM, LIMIT
from bpfsmith.semantics.domain import signed
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.memory import Bytes
from bpfsmith.semantics.terms import Term, Terms, postorder

ARRAY_KEY = b"\0\0\0\0"
LPM_PREFIX_BYTES = 4
"""struct bpf_lpm_trie_key: the length of the prefix in bits stands before the data."""

ENTRIES = mapmodel.HASHES | {"BPF_MAP_TYPE_LPM_TRIE"}
"""Map types whose contents are given entry by entry."""


class TooLarge(Exception):
    """An outcome that cannot be written down: says why."""


@dataclass(slots=True)
class Assignment:
    """Values of inputs by (name, arguments). What was not set comes from `default`, and is remembered when asked for."""

    values: dict[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)
    seed: int | None = None  # None: everything else is 0
    defaults: Mapping[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)

    def __call__(self, name: str, width: int, args: tuple[int, ...]) -> int:
        key = (name, args)
        value = self.values.get(key)
        if value is None:
            value = self.defaults.get(key, 0) if self.seed is None else self._random(name, width, args)
            self.values[key] = value
        return value

    def _random(self, name: str, width: int, args: tuple[int, ...]) -> int:
        """A number that depends on the seed, the name and the arguments only; edge cases are common."""
        digest = hashlib.blake2b(repr((self.seed, name, args)).encode(), digest_size=12).digest()
        choice, raw = digest[0], int.from_bytes(digest[2:10], "little")
        known = self.defaults.get((name, args))
        if known is not None and choice < 160:
            return known
        if width == 0:
            return raw & 1
        top = 1 << width
        edges = (0, 1, 2, top - 1, top >> 1, (top >> 1) - 1)
        if width == 8 and args and (word := self._edge(name, args)) is not None:
            return word
        if choice < 64:
            return edges[digest[1] % len(edges)] % top
        if choice < 96:
            return raw % min(top, 256)
        return raw % top

    def _edge(self, name: str, args: tuple[int, ...]) -> int | None:
        """A byte of an aligned word of 4 or 8 that is an edge case as a whole; None for most words."""
        *place, offset = args
        for size in (8, 4):
            digest = hashlib.blake2b(repr((self.seed, name, place, size, offset // size)).encode(), digest_size=2).digest()
            if digest[0] < 32:
                edge = (-1, -2, 1 << 8 * size - 1, (1 << 8 * size - 1) - 1, 1 << 4 * size, (1 << 4 * size) - 1)[digest[1] % 6]
                return edge >> 8 * (offset % size) & 0xFF
        return None


def monotone_clock(t: Terms, roots: Iterable[Term]) -> list[Term]:
    """Clock readings do not go back: the axiom, for the readings that `roots` mention."""
    clocks = ("bpf_ktime_get_ns", "bpf_ktime_get_boot_ns", "bpf_ktime_get_coarse_ns")
    readings = [term for term in postorder(*roots) if term.op == "app" and term.name in clocks]
    out = []
    for a in readings:
        for b in readings:
            if a.name == b.name and a is not b:
                earlier = t.ult(16, a.args[0], b.args[0])
                out.append(t.any_of(t.negate(earlier), t.negate(t.ult(64, b, a))))
    return [axiom for axiom in out if axiom is not t.true]


def shrink(assignment: Assignment, conditions: list[Term]) -> Assignment:
    """Moves input after input to a simpler value as long as every condition still holds."""

    def holds(candidate: Assignment) -> bool:
        return all(evaluate(conditions, candidate))

    best = Assignment(dict(assignment.values), None, assignment.defaults)
    if not holds(best):
        return assignment
    calm = Assignment(
        {key: value for key, value in best.values.items() if not key[0].startswith("map:")}, None, assignment.defaults
    )
    if holds(calm):
        best = calm
    for key in sorted(best.values, key=repr):
        simples = (64, 128, 512, 1500, 3000) if key == ("packet_length", ()) else (0, 1)
        # Then without its high bits: a clock that reads some hours is more believable than one that reads centuries.
        shorter = (best.values[key] & ((1 << bits) - 1) for bits in (8, 16, 32, 40, 48, 56) if best.values[key] >> bits)
        for simple in dict.fromkeys((assignment.defaults.get(key, simples[0]), *simples, *shorter)):
            if simple == best.values.get(key):
                break
            trial = Assignment({**best.values, key: simple}, None, assignment.defaults)
            if holds(trial):
                best = trial
                break
    return best


TEST_RUN: dict[tuple[str, tuple[int, ...]], int] = {
    ("packet_headroom:", ()): HEADROOM,
    ("packet_limit:", ()): LIMIT,
    ("packet_beyond", ()): 0,
    ("packet_meta_length", ()): 0,
}
"""What a test run in the kernel gives that cannot be chosen (net/bpf/test_run.c): the usual values of these inputs."""

_UNSETTABLE = {
    "pointer-byte": "bytes of an address have chosen values",
    "address:": "an address has a chosen value",
    "ctx": "the context has chosen values",
    "kernel": "memory of the kernel has chosen values",
    "packet:": "a helper leaves a packet with chosen bytes",
    "packet_length:": "a helper leaves a packet of a chosen length",
    "packet_headroom:": "the packet has a chosen headroom",
    "packet_limit:": "the packet has a chosen room behind it",
    "packet_beyond": "a part of the packet is not linear",
    "packet_meta_length": "the packet comes with metadata",
    "skb.out_of_memory": "memory is short",
}


MOST_NEEDS = 6
UNINITIALISED = "depends on uninitialised stack"


def cannot_be_arranged(assignment: Assignment, specs: Mapping[str, MapSpec]) -> tuple[str, ...]:
    """What a model chose that no test run can be given, in words; empty when there is no such thing in it."""
    needs: dict[str, None] = {}
    for (name, args), value in sorted(assignment.values.items(), key=repr):
        words = _need(name, args, value, specs) if assignment.defaults.get((name, args)) != value else None
        if words is not None:
            needs[words] = None
    shown = tuple(needs)[:MOST_NEEDS]
    return (*shown, f"and {len(needs) - len(shown)} more") if len(needs) > len(shown) else shown


def _need(name: str, args: tuple[int, ...], value: int, specs: Mapping[str, MapSpec]) -> str | None:
    if name.startswith("bpf_") and name not in DRAWS:
        helper, dot, part = name.partition(".")
        memory = f" to write {value:#x}" if dot and part[:1].isdigit() else f" to give {value:#x}"
        which = f" (call {args[0] + 1})" if args else ""
        return f"needs helper result: {helper}{which}{memory}"
    if name == "skb.out_of_memory" and not value:
        return None
    if name.startswith("map:"):
        return _map_trouble(name, args, value, specs)
    if name == "packet" and signed(64, args[0]) < 0:  # what lay there before the packet grew at its head
        return f"needs that the byte {-signed(64, args[0])} in front of the packet is {value:#x}" if value else None
    if name.startswith("stack:"):
        side = name.removeprefix("stack:").partition(".")[0]
        return f"{UNINITIALISED} of the {side}: byte r10{signed(64, args[0]):+d} is {value:#x}"
    return next((f"needs that {words}" for prefix, words in _UNSETTABLE.items() if name.startswith(prefix)), None)


def _map_trouble(name: str, args: tuple[int, ...], value: int, specs: Mapping[str, MapSpec]) -> str | None:
    """Why a map cannot be made to hold what an input says."""
    map_name, _, what = name.removeprefix("map:").rpartition(".")
    spec = specs.get(map_name)
    if what == "full":
        return "needs that a map is full at a chosen moment" if value else None
    if what not in ("present", "value", "socket", "error") or (spec is not None and spec.type in mapmodel.HASHES):
        return None
    if len(args) > (2 if what == "value" else 1):
        return f"needs that {map_name} has chosen contents after the program has changed it"
    if spec is not None and spec.type == "BPF_MAP_TYPE_LPM_TRIE":
        # An entry of the full length is found by its own key only; a shorter one is found by others too.
        full = 8 * (spec.key_size - LPM_PREFIX_BYTES)
        return None if args[0] & 0xFFFFFFFF == full else f"needs that {map_name} holds a chosen prefix"
    what_it_is = spec.type if spec else "map inside a map"
    return f"needs that {map_name}, a {what_it_is}, has chosen contents" if value else None


def run_input(assignment: Assignment, behaviours: tuple[Behaviour, ...], packet: bytes) -> RunInput:
    """The run that an assignment describes; `packet` is what stands where the assignment says nothing."""
    specs = {spec.name: spec for behaviour in behaviours for spec in behaviour.maps}
    values = assignment.values
    bytes_set = {args[0]: value for (name, args), value in values.items() if name == "packet"}
    length = max(values.get(("packet_length", ()), len(packet)), 14)
    body = bytearray(packet[:length].ljust(length, b"\0"))
    for offset, value in bytes_set.items():
        if offset < length:
            body[offset] = value
    calls = {(name, args[0]) for name, args in values if name.startswith("bpf_") and args}
    # A call that the difference does not depend on stands in no condition, but takes its turn all the same.
    calls |= {(name, earlier) for name, number in calls for earlier in range(number)}
    helpers = sorted((number, name, values.setdefault((name, (number,)), 0)) for name, number in calls)
    return RunInput(
        packet=bytes(body),
        ctx={name[4:]: value for (name, _), value in values.items() if name.startswith("ctx.") and "@" not in name},
        maps={
            name: _contents_before(assignment, spec)
            for name, spec in specs.items()
            if not spec.frozen and spec.type in ENTRIES | mapmodel.ARRAYS
        },
        helper_results=tuple(HelperResult(name, value) for _, name, value in helpers if name in DRAWS),
        world=dict(values),
    )


def _contents_before(assignment: Assignment, spec: MapSpec) -> MapContents:
    if spec.type in ENTRIES:
        out = {}
        for name, args in list(assignment.values):
            if name in (f"map:{spec.name}.present", f"map:{spec.name}.value") and assignment.values.get(
                (f"map:{spec.name}.present", args[:1]), 0
            ):
                value = bytes(assignment(f"map:{spec.name}.value", 8, (args[0], i)) for i in range(spec.value_size))
                out[args[0].to_bytes(spec.key_size, "little")] = value
        return out
    flat = bytearray(spec.initial) if spec.initial else bytearray(mapmodel.stride(spec) * spec.max_entries)
    for (name, args), byte in assignment.values.items():
        if name == f"map:{spec.name}" and args[0] < len(flat):
            flat[args[0]] = byte
    return _entries(spec, flat)


def _entries(spec: MapSpec, flat: bytes | bytearray) -> MapContents:
    return {ARRAY_KEY: bytes(flat[: spec.value_size])} if spec.max_entries == 1 else mapmodel.elements(spec, flat)


def run_output(t: Terms, behaviour: Behaviour, assignment: Assignment, given: RunInput) -> RunOutput:
    """What the behaviour says that this run gives."""
    calls = sorted(behaviour.calls)
    value, *counts = evaluate([behaviour.return_value, *(behaviour.calls[name] for name in calls)], assignment)
    specs = {spec.name: spec for spec in behaviour.maps}
    after: dict[str, MapContents] = {}
    for name, before in given.maps.items():
        if name in behaviour.data:
            after[name] = _data_after(t, specs[name], behaviour.data[name], assignment, before)
        elif name in behaviour.hashes:
            after[name] = _hash_after(t, specs[name], behaviour, assignment, before)
        elif name in specs:
            after[name] = before
    packet = given.packet
    if behaviour.packet is not None:
        (length,) = evaluate([behaviour.packet.length], assignment)
        packet = bytes(evaluate([behaviour.packet.byte(t, t.const(64, at)) for at in range(length & 0xFFFF)], assignment))
    return RunOutput(value, packet, after, dict(zip(calls, counts, strict=True)))


def _bytes(t: Terms, memory: Bytes, assignment: Assignment, offsets: Sequence[int]) -> list[int]:
    """The bytes at these offsets, evaluated together: what they have in common is computed once."""
    terms = []
    for at in offsets:
        term = memory.load(t, t.const(64, at), 1)
        assert isinstance(term, Term)
        terms.append(term)
    return evaluate(terms, assignment)


def _data_after(t: Terms, spec: MapSpec, memory: Bytes, assignment: Assignment, before: MapContents) -> MapContents:
    step = mapmodel.stride(spec)
    flat = bytearray(step * spec.max_entries)
    for key, value in before.items():
        start = int.from_bytes(key, "little") * step
        flat[start : start + len(value)] = value
    written: Iterable[int] | None = memory.written()
    if written is None and spec.max_entries > mapmodel.LISTED:
        raise TooLarge(f"{spec.name} has {spec.max_entries:,} elements, and any of them may have been written")
    places = [at for at in (range(len(flat)) if written is None else written) if at < len(flat)]
    for at, byte in zip(places, _bytes(t, memory, assignment, places), strict=True):
        flat[at] = byte
    return _entries(spec, flat)


def _hash_after(t: Terms, spec: MapSpec, behaviour: Behaviour, assignment: Assignment, before: MapContents) -> MapContents:
    contents = behaviour.hashes[spec.name]
    width = 8 * spec.key_size
    keys = {int.from_bytes(key, "little") for key in before}
    keys |= {key % (1 << width) for key in evaluate(contents.keys(), assignment)}
    out = {}
    for key in sorted(keys):
        term = t.const(width, key)
        if evaluate([contents.present(t, term)], assignment)[0]:
            parts = [contents.load(t, term, t.const(64, at), 1) for at in range(spec.value_size)]
            out[key.to_bytes(spec.key_size, "little")] = bytes(evaluate(parts, assignment))
    return out


def counterexample(
    t: Terms, observable: str, assignment: Assignment, reference: Behaviour, candidate: Behaviour, packet: bytes
) -> Counterexample:
    """Both outcomes of the run that `assignment` describes."""
    given = run_input(assignment, (candidate, reference), packet)
    seen: dict[tuple[str, tuple[int, ...]], int] = {("packet", (at,)): byte for at, byte in enumerate(given.packet)}
    assignment = Assignment({**assignment.values, **seen}, None, assignment.defaults)
    expected = run_output(t, reference, assignment, given)
    actual = run_output(t, candidate, assignment, given)
    return Counterexample(given, observable, expected, actual)
