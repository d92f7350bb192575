"""Is a fused form that somebody else has made the pair that it was made of?"""

from __future__ import annotations

from collections.abc import Iterator

from bpfsmith.objfile.object import Object
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Unknown, Verdict
from bpfsmith.trace import proof
from bpfsmith.trace.forms import COOKIE_BYTES, state_map
from bpfsmith.trace.pairs import Pair, find_pairs
from bpfsmith.trace.relation import Side
from bpfsmith.trace.sharing import users_of


def compared(original: Object, other: Object, limits: Limits | None = None) -> Iterator[tuple[Pair, Verdict]]:
    """Is what another object has in the place of each pair the same? Sessions that keep their state in the cookie are compared
    with both halves, programs of the halves' names each with its own."""
    found = find_pairs(original)
    sessions = {program.name: program for program in other.programs if program.section.partition("/")[0].endswith("session")}
    programs = {program.name: program for program in other.programs}
    for pair in found.pairs:
        halves = Side(pair.entry.program, original), Side(pair.exit.program, original)
        names = [side.program.name for side in halves]
        program = sessions.get(names[0])
        if program is None and len(sessions) == len(found.pairs) == 1:
            (program,) = sessions.values()
        item = state_map(pair)
        if program is None and set(names) <= programs.keys() and not sessions:
            theirs = (Side(programs[name], other) for name in names)
            steps = [proof.same_run(side, their, item.spec) for side, their in zip(halves, theirs, strict=True)]
            yield pair, proof.summary(steps)
            continue
        if program is None:
            yield pair, Unknown("no-session", f"{other.path} has no session program called {names[0]}")
            continue
        if len(pair.maps) != 1 or item.spec.value_size > COOKIE_BYTES:
            yield pair, Unknown("pair-state", "the state of the pair does not fit a cookie")
            continue
        early_out = not program.section.startswith("fsession")
        users = users_of(found, original, item.spec.name)
        yield pair, proof.summary(proof.session(users, *halves, Side(program, other), None, limits, early_out=early_out))
