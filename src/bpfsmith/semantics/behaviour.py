"""Behaviour, the common currency: what a program does to its inputs, as terms, whatever the program was written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.access import Obligation
from bpfsmith.semantics.memory import Bytes, HashMap
from bpfsmith.semantics.recorded import PacketView, View, between, packet_view, untouched_packet
from bpfsmith.semantics.state import COOKIE, CTX, Access
from bpfsmith.semantics.symbolic import Executor
from bpfsmith.semantics.terms import Term, Terms

Snapshots = Mapping[tuple[str, int], list[tuple[Term, View]]]
"""What the nth call of a channel could see, path by path."""


class Field(NamedTuple):
    """A part of a data section that a reference speaks of, under the name that a person knows it by."""

    label: str
    offset: int
    size: int


class Elsewhere(NamedTuple):
    """A part of shared memory that other programs of the same object touch: `place` names the map, `offset` and `size` are
    bytes into it. `adds` when all that they do to it is to add, in a way that commutes with other additions."""

    place: str
    offset: int
    size: int
    adds: bool


DRAWS = frozenset({"bpf_ktime_get_ns", "bpf_get_prandom_u32", "bpf_ktime_get_boot_ns", "bpf_ktime_get_coarse_ns"})
"""Helpers whose results and calls a replay can arrange and count."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one run does, for every input.

    Inputs are apps of the term layer, named alike on both sides: "packet"(offset), "packet_length", "ctx.FIELD",
    "map:NAME"(offset) for arrays and data sections, "map:NAME.present"(key), "map:NAME.value"(key, offset) for hashes, and a
    helper's name applied to the number of the call.

    `return_value` has 32 bits. `data` and `hashes` hold final map contents (maps that were not touched are left out).
    `calls` is how often each nondeterministic helper was called. `preconditions` restrict the inputs on which the behaviour is
    claimed; each comes with words in `assumptions`. `accesses` are the touches of memory that CPUs share: a behaviour without
    any (a meaning) is one indivisible step.
    """

    name: str
    return_value: Term
    data: Mapping[str, Bytes]
    hashes: Mapping[str, HashMap]
    packet: PacketView | None  # None: as it came
    calls: Mapping[str, Term]
    maps: tuple[MapSpec, ...]
    context: Bytes | None = None  # None: not written
    cookie: Bytes | None = None  # of a session; None: not touched
    # What the calls of recorded helpers were given, by channel (`recorded`), and the packets that they saw.
    recorded: Mapping[str, Bytes] = field(default_factory=dict)
    snapshots: Mapping[str, PacketView] = field(default_factory=dict)
    contexts: Mapping[str, tuple[tuple[Term, Bytes], ...]] = field(default_factory=dict)
    metadata: PacketView | None = None  # None: not looked at
    accesses: tuple[Access, ...] = ()
    sections_taken: Term | None = None  # how many critical sections a run goes through (16 bits)
    obligations: tuple[Obligation, ...] = ()
    preconditions: tuple[Term, ...] = ()
    assumptions: tuple[str, ...] = ()
    # The state that the behaviour speaks of, by map (hash maps with no fields); None: every byte of every map. What a candidate
    # keeps beside it is its own affair, as the proof is over all of its values.
    observed: Mapping[str, tuple[Field, ...]] | None = None
    ignored: frozenset[str] = frozenset()  # maps of which nothing is observed: scratch memory of one side
    # Set where a step cannot be kept atomic across CPUs at all: the words that an Equal must then carry.
    concedes_atomicity: str = ""
    # What other steps, which may run at the same time, do to the state (they are proved apart).
    elsewhere: tuple[Elsewhere, ...] = ()


def _seen_packets(t: Terms, snapshots: Snapshots) -> dict[str, PacketView]:
    """The packet that each call saw; where a path had not changed it, it is the one that came."""
    out = {}
    for (channel, number), seen in snapshots.items():
        views = [(condition, view.packet) for condition, view in seen if view.packet is not None]
        if not views:
            continue
        untouched = untouched_packet(t)
        length, parts = untouched.length, list(untouched.parts)
        for condition, packet in views:
            length = t.ite(64, condition, packet.length, length)
            parts += [(t.all_of(condition, guard), memory, start) for guard, memory, start in packet.parts]
        out[f"{channel}, call {number + 1}"] = PacketView(tuple(parts), length)
    return out


def _seen_contexts(snapshots: Snapshots) -> dict[str, tuple[tuple[Term, Bytes], ...]]:
    """The contexts that each call saw, where they had been written, each on its condition."""
    out = {}
    for (channel, number), seen in snapshots.items():
        contexts = tuple((condition, view.context) for condition, view in seen if view.context is not None)
        if contexts:
            out[f"{channel}, call {number + 1}"] = contexts
    return out


def _map_assumptions(program: Program) -> Iterator[str]:
    for spec in program.maps:
        if spec.type in mapmodel.EVICTING:
            yield f"{spec.name}: nothing is evicted during the run"
        if spec.type in mapmodel.PER_CPU:
            yield f"{spec.name}: the copy of the CPU that the run is on"


def of_program(
    t: Terms,
    program: Program,
    side: str,
    never_full: frozenset[str] = frozenset(),
    settle: Callable[[Term], Term] = lambda value: value,
    initial: Mapping[str, HashMap] | None = None,
    accepted: bool = True,
) -> Behaviour:
    """The behaviour of a bytecode program. Raises `Unmodelled`. `side` is any name that the other program does not use;
    `never_full` names maps that, by a precondition of the caller's, have room for every new key; `settle` may put an equal
    term in the place of a value that the program computes; `initial` are contents that maps of entries start with. Of a program
    that the verifier has not `accepted`, the behaviour is claimed where it stays inside its memory and follows no NULL."""
    executor = Executor(t, program, side, never_full=never_full, settle=settle, initial=initial or {})
    executor.faults = None if accepted else {}
    run = executor.run()
    state = run.state
    data = {region.name: memory for region, memory in state.regions.items() if region.kind == "data"}
    return Behaviour(
        name=program.name,
        return_value=t.extract(run.return_value, 64, 31, 0),
        data=data,
        hashes={name: contents for name, contents in state.maps.items() if contents.touched},
        packet=replace(packet_view(t, state), length=executor.whole_length(state)) if state.packet_touched else None,
        metadata=between(t, state, state.packet_meta, state.packet) if executor.uses_metadata else None,
        context=state.regions.get(CTX),
        cookie=state.regions.get(COOKIE),
        recorded={region.name: memory for region, memory in state.regions.items() if region.kind == "calls"},
        snapshots=_seen_packets(t, run.snapshots),
        contexts=_seen_contexts(run.snapshots),
        assumptions=(*_map_assumptions(program), *run.assumed),
        calls={name: count for name, count in state.calls.items() if name.startswith("bpf_")},
        maps=program.maps,
        accesses=tuple(run.accesses),
        sections_taken=state.locks_taken,
        obligations=tuple(run.obligations),
        preconditions=(*executor.facts, *(t.negate(fault) for fault in executor.faults or ())),
    )
