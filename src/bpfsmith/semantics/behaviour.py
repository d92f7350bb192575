"""Behaviour, the common currency: what a program does to its inputs, as terms, whatever the program was written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.semantics.memory import Bytes, HashMap, Region
from bpfsmith.semantics.state import Access
from bpfsmith.semantics.symbolic import Executor, Obligation
from bpfsmith.semantics.terms import Term, Terms


class Field(NamedTuple):
    """A part of a data section that a reference speaks of, under the name that a person knows it by."""

    label: str
    offset: int
    size: int


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
    packet: Bytes | None
    calls: Mapping[str, Term]
    maps: tuple[MapSpec, ...]
    accesses: tuple[Access, ...] = ()
    sections_taken: Term | None = None  # how many critical sections a run goes through (8 bits)
    obligations: tuple[Obligation, ...] = ()
    preconditions: tuple[Term, ...] = ()
    assumptions: tuple[str, ...] = ()
    # The state that the behaviour speaks of, by map (hash maps with no fields); None: every byte of every map. What a candidate
    # keeps beside it is its own affair, as the proof is over all of its values.
    observed: Mapping[str, tuple[Field, ...]] | None = None
    # Set where a step cannot be kept atomic across CPUs at all: the words that an Equal must then carry.
    concedes_atomicity: str = ""


def of_program(
    t: Terms,
    program: Program,
    side: str,
    never_full: frozenset[str] = frozenset(),
    settle: Callable[[Term], Term] = lambda value: value,
) -> Behaviour:
    """The behaviour of a bytecode program. Raises `Unmodelled`. `side` is any name that the other program does not use;
    `never_full` names maps that, by a precondition of the caller's, have room for every new key; `settle` may put an equal
    term in the place of a value that the program computes."""
    run = Executor(t, program, side, never_full, settle=settle).run()
    state = run.state
    data = {region.name: memory for region, memory in state.regions.items() if region.kind == "data"}
    return Behaviour(
        name=program.name,
        return_value=t.extract(run.return_value, 64, 31, 0),
        data=data,
        hashes={name: contents for name, contents in state.maps.items() if contents.touched},
        packet=state.regions.get(Region("packet")),
        calls={name: count for name, count in state.calls.items() if name.startswith("bpf_")},
        maps=program.maps,
        accesses=tuple(run.accesses),
        sections_taken=state.locks_taken,
        obligations=tuple(run.obligations),
    )
