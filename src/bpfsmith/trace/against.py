"""Is a fused form that somebody else has made the pair that it was made of?"""

from __future__ import annotations

from collections.abc import Iterator

from bpfsmith.objfile.object import Object
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Unknown, Verdict
from bpfsmith.trace import proof
from bpfsmith.trace.forms import COOKIE_BYTES, state_map
from bpfsmith.trace.pairs import Pair, find_pairs
from bpfsmith.trace.relation import Side, State


def compared(original: Object, other: Object, limits: Limits | None = None) -> Iterator[tuple[Pair, Verdict]]:
    """Is what another object has in the place of each pair the same? For sessions that keep their state in the cookie."""
    found = find_pairs(original)
    sessions = {program.name: program for program in other.programs if ".session" in program.section.partition("/")[0]}
    for pair in found.pairs:
        program = sessions.get(pair.entry.program.name)
        if program is None and len(sessions) == len(found.pairs) == 1:
            (program,) = sessions.values()
        if program is None:
            yield pair, Unknown("no-session", f"{other.path} has no session program called {pair.entry.program.name}")
            continue
        item = state_map(pair)
        if len(pair.maps) != 1 or item.spec.value_size > COOKIE_BYTES:
            yield pair, Unknown("pair-state", "the state of the pair does not fit a cookie")
            continue
        sides = (Side(half.program, original) for half in (pair.entry, pair.exit))
        entry, exit_ = sides
        state = State(item.spec, item.key_class)
        yield pair, proof.summary(proof.session(entry, exit_, Side(program, other), state, None, limits))
