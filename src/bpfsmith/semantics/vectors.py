"""The same inputs for many terms: what differs on one of them is different, and what never does is worth a question."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.semantics.evaluate import evaluate, step
from bpfsmith.semantics.terms import Term, postorder, postorder_until
from bpfsmith.semantics.witness import Assignment

VECTORS = 40


@dataclass(slots=True)
class Vectors:
    """Inputs, and the values of terms on each of them."""

    inputs: list[Assignment]
    _values: dict[Term, list[int]] = field(default_factory=dict)

    @classmethod
    def random(cls, given: list[Term], usual: dict[tuple[str, tuple[int, ...]], int]) -> Vectors:
        """Random inputs under which every condition in `given` holds."""
        inputs: list[Assignment] = []
        for seed in range(4 * VECTORS):
            vector = Assignment({}, seed, usual)
            if all(evaluate(given, vector)):
                inputs.append(vector)
            if len(inputs) == VECTORS:
                break
        return cls(inputs)

    def values(self, term: Term) -> list[int]:
        """The term's value on each input."""
        for part in postorder_until(term, self._values):
            known = [self._values[arg] for arg in part.args]
            self._values[part] = [step(part, [column[i] for column in known], v) for i, v in enumerate(self.inputs)]
        return self._values[term]

    def signature(self, term: Term) -> tuple[int, ...]:
        """Differs for terms that are known to differ."""
        return (term.width, *self.values(term))

    def add(self, vector: Assignment) -> None:
        """Another input that tells terms apart: every signature grows by one."""
        self.inputs.append(vector)
        for term in postorder(*self._values):
            if term in self._values:
                args = [self._values[arg][-1] for arg in term.args]
                self._values[term].append(step(term, args, vector))

    def define(self, variable: Term, definition: Term) -> None:
        """Gives an input, which nothing has asked for yet, the value of a term."""
        for vector, value in zip(self.inputs, self.values(definition), strict=True):
            vector.values[variable.name, ()] = value
