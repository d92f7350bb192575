"""Names for the values that two programs both compute on their way, so that a proof may take one step at a time.

The reference names a value (`define`); wherever the candidate computes the same one, it goes on with the name (`settle`). What
is built on a name cannot be rewritten together with what the name stands for, and needs not be: two behaviours that agree for
every value of their names agree for the values that the names have. The other way round nothing follows: where they differ over
names, the question has to be asked again without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bpfsmith.semantics.cut import light
from bpfsmith.semantics.solver import QUICK, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms
from bpfsmith.semantics.vectors import Vectors

WIDTH = 64
"""Values of this width are named: those that fill a register."""

_INPUTS = frozenset({"app", "concat"})


@dataclass(slots=True)
class Names:
    """The named values of one pair of programs; `given` holds of all inputs."""

    t: Terms
    given: list[Term]
    vectors: Vectors
    definitions: dict[Term, Term] = field(default_factory=dict)
    _by_signature: dict[tuple[int, ...], list[Term]] = field(default_factory=dict)
    _settled: dict[Term, Term] = field(default_factory=dict)

    @classmethod
    def under(cls, t: Terms, given: Iterable[Term], usual: Mapping[tuple[str, tuple[int, ...]], int]) -> Names:
        conditions = list(given)
        return cls(t, conditions, Vectors.random(conditions, dict(usual)))

    def define(self, value: Term) -> Term:
        """The name of a value. Constants and plain inputs are names already."""
        if value.width != WIDTH or value.is_const or self._is_input(value):
            return value
        known = self.settle(value)
        if known is not value:
            return known
        name = self.t.app(f"value#{len(self.definitions)}", WIDTH)
        self.vectors.define(name, value)
        self.definitions[name] = value
        self._by_signature.setdefault(self.vectors.signature(value), []).append(name)
        self._settled.clear()
        return name

    def settle(self, value: Term) -> Term:
        """The name of this value if it has one, or else the value."""
        if value.width != WIDTH or value.is_const or self._is_input(value):
            return value
        known = self._settled.get(value)
        if known is None:
            alike = self._by_signature.get(self.vectors.signature(value), ())
            known = self._settled[value] = next((name for name in alike if self._equal(name, value)), value)
        return known

    def _is_input(self, value: Term) -> bool:
        return value.op == "app" or (value.op == "concat" and all(part.op in _INPUTS for part in value.args))

    def _equal(self, name: Term, value: Term) -> bool:
        definition = self.definitions[name]
        if value is definition:
            return True
        conditions = light(self.t, [*self.given, self.t.negate(self.t.same(definition, value))])
        return isinstance(satisfiable(conditions, QUICK), Unsatisfiable)
