"""A call of a helper or kernel function, as its model sees it, and what a model is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics.memory import Pointer, Region, Target, Value
from bpfsmith.semantics.state import Access, State, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

if TYPE_CHECKING:
    from bpfsmith.semantics.symbolic import Executor


@dataclass(frozen=True, slots=True)
class HelperCall:
    """One call: the arguments as they stand in r1.., and the run it belongs to."""

    executor: Executor
    state: State
    name: str
    args: tuple[Value, ...]

    @property
    def t(self) -> Terms:
        return self.executor.t

    def key(self, spec: MapSpec, pointer: Value) -> Term:
        """The key bytes that an argument points to."""
        key = self.executor.load(self.state, pointer, 0, spec.key_size)
        if not isinstance(key, Term):
            raise Unmodelled("leaked-pointer", f"{self.name} with a pointer as key")
        return key

    def number(self, index: int) -> Term:
        """An argument (from 0) that is a number."""
        value = self.args[index]
        if not isinstance(value, Term):
            raise Unmodelled("leaked-pointer", f"{self.name} is given a pointer as a number")
        return value

    def constant(self, index: int) -> int:
        """An argument (from 0) that must be a constant to be understood."""
        value = self.args[index]
        if not (isinstance(value, Term) and value.is_const):
            raise Unmodelled("unmodelled-helper", f"{self.name} whose argument {index + 1} is not constant")
        return value.number

    def touch(self, kind: str, spec: MapSpec, guard: Term) -> None:
        """Says that memory that CPUs share is touched."""
        condition = self.t.all_of(self.state.condition, guard)
        lock, section = self.state.lock, self.state.locks_taken
        self.executor.accesses.append(Access(kind, spec.name, None, spec.value_size, condition, lock, section=section))


Effect = Callable[[HelperCall], Value | None]
"""What a call does to the state, and what r0 holds afterwards; None for a void function."""


@dataclass(frozen=True, slots=True)
class CallModel:
    """`arity` is how many of r1..r5 the function reads."""

    name: str
    arity: int
    effect: Effect


def maybe(t: Terms, found: Term, region: Region, offset: Term) -> Pointer:
    """A pointer to a place where `found` holds, else NULL."""
    targets = (Target(found, region, offset), Target(t.negate(found), None, t.const(64, 0)))
    return Pointer(tuple(target for target in targets if target.guard is not t.false))
