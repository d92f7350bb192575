"""What a function's places hold at one point."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.optimize.kinds import CLASSES
from bpfsmith.semantics.terms import Term

STACK_BYTES = 512

VERSIONS = (*CLASSES, "ends")
"""What has a version: the kinds of memory, and where the packet lies."""

Event = tuple[object, ...]
"""Something that can be seen from outside, or that everything after depends on: what it is, and the terms that it is given."""


class TooHard(Exception):
    """The analysis does not cover this function; says why."""


@dataclass(slots=True, eq=False)
class State:
    """Registers (None: no value that may be read), stack bytes by offset from r10, other memory by base and offset, the
    version of each kind of memory, and the stores since the versions were last settled (base, offset -> byte)."""

    regs: list[Term | None]
    stack: dict[int, Term] = field(default_factory=dict)
    mem: dict[tuple[Term, int], Term] = field(default_factory=dict)
    versions: dict[str, Term] = field(default_factory=dict)
    stores: list[tuple[Term, dict[int, Term]]] = field(default_factory=list)
    # What made stack bytes that `stack` does not list (None: nothing has, they are as the function found them).
    rest: Term | None = None

    def copy(self) -> State:
        stores = [(base, dict(written)) for base, written in self.stores]
        return State(list(self.regs), dict(self.stack), dict(self.mem), dict(self.versions), stores, self.rest)

    def same(self, other: State) -> bool:
        return (
            self.regs == other.regs
            and self.stack == other.stack
            and self.mem == other.mem
            and self.versions == other.versions
            and self.rest is other.rest
        )
