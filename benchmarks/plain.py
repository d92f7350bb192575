"""The baseline: symbolic execution into terms that are only folded where everything is constant, and z3 for every question."""

from __future__ import annotations

from bpfsmith.execution import Counterexample, RunInput, RunOutput
from bpfsmith.isa.program import Program
from bpfsmith.semantics.behaviour import of_program
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.observables import observables
from bpfsmith.semantics.solver import Limits, NoAnswer, Satisfiable, satisfiable
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import BOOL, Term, Terms
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.semantics.witness import Assignment


class Folded(Terms):
    """Terms without normal forms. Constants are folded, and what is added to, or chosen by, a constant goes: symbolic execution
    needs addresses as numbers."""

    def __init__(self) -> None:
        super().__init__(rewrite=False)

    def _make(self, op: str, width: int, args: tuple[Term, ...], number: int = 0, name: str = "") -> Term:
        term = super()._make(op, width, args, number, name)
        if not args or op == "app":
            return term
        if all(arg.op in ("const", "truth") for arg in args):
            (value,) = evaluate([term], Assignment())
            return self.const(width, value) if width else self.truth(bool(value))
        match op:
            case "add" | "or" | "xor":
                left = tuple(arg for arg in args if not (arg.is_const and arg.number == 0))
                return left[0] if len(left) == 1 else term
            case "shl" | "lshr" | "ashr" if args[1].is_const and args[1].number == 0:
                return args[0]
            case "and" if any(arg.is_const and arg.number == 0 for arg in args):
                return self.const(width, 0)
            case "ite" if args[0].op == "truth" or args[1] is args[2]:
                return args[1] if args[0] is not self.false else args[2]
            case "not" if args[0].op == "not":
                return args[0].args[0]
            case "eq" if args[0] is args[1]:
                return self.true
            case "conj" | "disj":
                neutral, absorbing = (self.true, self.false) if op == "conj" else (self.false, self.true)
                left = tuple(dict.fromkeys(arg for arg in args if arg is not neutral))
                if absorbing in left:
                    return absorbing
                return (
                    self._make(op, BOOL, left)
                    if len(left) < len(args) and len(left) > 1
                    else left[0]
                    if len(left) == 1
                    else term
                )
            case _:
                return term


def prove_plainly(reference: Program, candidate: Program, limits: Limits) -> Verdict:
    """One question an observable, all to the solver that `limits` name. A Different is a model, and was not replayed."""
    t = Folded()
    try:
        first, second = of_program(t, reference, "reference"), of_program(t, candidate, "candidate")
    except Unmodelled as gap:
        return Unknown(gap.gap, gap.detail)
    given = [*first.preconditions, *second.preconditions, t.negate(t.ult(16, t.app("packet_length", 16), t.const(16, 14)))]
    for obligation in (*first.obligations, *second.obligations):
        if not _impossible([*given, obligation.condition], limits):
            return Unknown(obligation.gap, obligation.detail)
    evidence = []
    for item in observables(t, first, second):
        match satisfiable([*given, item.differs(t)], limits):
            case Satisfiable():
                return Different(Counterexample(RunInput(), item.name, RunOutput(0), RunOutput(0)))
            case NoAnswer(reason=reason):
                return Unknown("solver-limit", f"{item.name}: {reason}")
            case _:
                evidence.append(f"{item.name}: proved by z3")
    return Equal((), tuple(evidence))


def _impossible(conditions: list[Term], limits: Limits) -> bool:
    return not isinstance(satisfiable(conditions, limits), Satisfiable | NoAnswer)
