"""Does the candidate do what the reference does? Compares two behaviours and knows nothing of their origin.

One question per observable, each up a ladder: equal by rewriting; told apart by random inputs; equal by cutpoints; the solvers.
A difference becomes a counterexample that is shrunk and handed to a replayer before anyone sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bpfsmith.diagnostic import Diagnostic, InternalError
from bpfsmith.execution import Counterexample
from bpfsmith.semantics import witness
from bpfsmith.semantics.atomicity import lost_atomicity
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.chance import toss_coins
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.observables import Observable, observables
from bpfsmith.semantics.solver import Limits, NoAnswer, Satisfiable, Unsatisfiable, satisfiable
from bpfsmith.semantics.sweep import Sweep
from bpfsmith.semantics.symbolic import NULL_POINTER, Obligation
from bpfsmith.semantics.terms import Term, Terms
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.semantics.witness import Assignment

RANDOM_RUNS = 48
Replayer = Callable[[Counterexample], Counterexample | None]
"""Runs the candidate on a counterexample's input: gives it back with `replayed_on` filled, or None if it did something else."""

NULL_ACCESS = "memory access through NULL"
"""The observable of a candidate that reaches memory through NULL; replaying it means that the verifier rejects the program."""

SINGLE_THREAD = "one run at a time: the proof follows one CPU, and the atomicity of the step carries it to many"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a check may use: the solvers' limits, who replays counterexamples, and what makes them believable: the packet to
    start from, and the usual values of inputs, such as the initial state."""

    limits: Limits | None = None
    replay: Replayer | None = None
    packet: bytes = bytes(64)
    usual: dict[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)


def equiv(t: Terms, reference: Behaviour, candidate: Behaviour, setting: Setting | None = None) -> Verdict:
    """Equal for every input that both sides' preconditions admit, Different with a replayed counterexample, or Unknown."""
    return _Check(t, reference, candidate, setting or Setting()).verdict()


@dataclass(slots=True)
class _Check:
    t: Terms
    reference: Behaviour
    candidate: Behaviour
    setting: Setting
    given: list[Term] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def verdict(self) -> Verdict:
        t, reference, candidate = self.t, self.reference, self.candidate
        self.given = [*reference.preconditions, *candidate.preconditions]
        for obligation in (*reference.obligations, *candidate.obligations):
            answer = satisfiable([*self.given, obligation.condition], self.setting.limits)
            if isinstance(answer, Satisfiable) and obligation.gap == NULL_POINTER and obligation in candidate.obligations:
                return self._faulty(obligation, Assignment(dict(answer.values), None, self.setting.usual))
            if not isinstance(answer, Unsatisfiable):
                return Unknown(obligation.gap, obligation.detail)
        seen = observables(t, reference, candidate)
        evidence = [f"{item.name}: equal by rewriting" for item in seen if item.differs(t) is t.false]
        left = [item for item in seen if item.differs(t) is not t.false]
        self.given += witness.monotone_clock(t, [*self.given, *(item.differs(t) for item in left)])
        assumptions: tuple[str, ...] = ()
        tossed = toss_coins(t, [(item.left, item.right) for item in left], self.setting.limits)
        self.notes = tossed.notes
        for way in tossed.ways:
            counted = [replace(item, left=a, right=b) for item, (a, b) in zip(left, way.pairs, strict=True)]
            if self._by_solver(counted, [], decisive=False) is None:
                evidence += [f"{item.name}: proved with draws counted" for item in left]
                left, assumptions = [], way.assumptions
                break
        found = self._by_chance(left)
        if found is not None:
            return found
        told = self._by_solver(left, evidence)
        if told is not None:
            return told
        # Asked last: a difference that a packet can show says more than a lost lock.
        lost = None if lost_atomicity(t, reference) else lost_atomicity(t, candidate)
        if lost is not None and not reference.concedes_atomicity:
            return Unknown("lost-atomicity", lost)
        threads = reference.concedes_atomicity if lost is not None else SINGLE_THREAD
        return Equal(
            tuple(dict.fromkeys((*reference.assumptions, *candidate.assumptions, *assumptions, threads))), tuple(evidence)
        )

    def _by_chance(self, left: list[Observable]) -> Different | None:
        """Random inputs find half of all differences without a solver."""
        if not left:
            return None
        differences = [item.differs(self.t) for item in left]
        for seed in range(RANDOM_RUNS):
            assignment = Assignment({}, seed, self.setting.usual)
            values = evaluate([*self.given, *differences], assignment)
            if all(values[: len(self.given)]):
                for item, differs in zip(left, values[len(self.given) :], strict=True):
                    if differs:
                        return self._different(item, assignment)
        return None

    def _by_solver(self, left: list[Observable], evidence: list[str], decisive: bool = True) -> Verdict | None:
        """Cutpoints, then the solvers; adds to `evidence` what was proved. None when everything was. What is not `decisive`
        stops at the first observable that is not proved, and shows no counterexample."""
        t, undecided = self.t, []
        swept = Sweep(t, self.given, self.setting.usual).run([(item.left, item.right) for item in left])
        for item, (a, b) in zip(left, swept, strict=True):
            differs = t.all_of(item.where, t.negate(t.same(a, b)))
            match satisfiable([*self.given, differs], self.setting.limits):
                case Unsatisfiable(solver=solver):
                    evidence.append(f"{item.name}: proved by {'cutpoints' if solver == 'rewriting' else solver}")
                case Satisfiable() | NoAnswer() if not decisive:
                    return Unknown("draws-not-counted", item.name)
                case Satisfiable(values=values):
                    return self._different(item, Assignment(dict(values), None, self.setting.usual))
                case NoAnswer(reason=reason):
                    undecided.append(f"{item.name}: {reason}")
        if undecided:
            return Unknown("solver-limit", f"{'; '.join(undecided)}; {RANDOM_RUNS} random runs found no difference")
        return None

    def _faulty(self, obligation: Obligation, assignment: Assignment) -> Verdict:
        """The candidate reaches memory through NULL: no accepted program does, so there is no run of it to compare."""
        found = witness.shrink(assignment, [*self.given, obligation.condition])
        example = witness.counterexample(self.t, NULL_ACCESS, found, self.reference, self.candidate, self.setting.packet)
        example = replace(example, actual=replace(example.expected, maps={}), notes=(f"the candidate: {obligation.detail}",))
        return self._replayed(example)

    def _different(self, item: Observable, assignment: Assignment) -> Different:
        t = self.t
        found = witness.shrink(assignment, [*self.given, item.differs(t)])
        example = witness.counterexample(t, item.name, found, self.reference, self.candidate, self.setting.packet)
        return self._replayed(replace(example, notes=self.notes))

    def _replayed(self, example: Counterexample) -> Different:
        if self.setting.replay is None:
            return Different(example)
        replayed = self.setting.replay(example)
        if replayed is None:
            raise InternalError(
                Diagnostic(
                    id="witness-not-reproduced",
                    message=f"the prover says that {example.observable} differs, but running the candidate does not show it",
                    notes=(f"input: {example.input}", f"the prover expects of the candidate: {example.actual}"),
                    help="this is a bug of bpfsmith, never a finding about your program; please report it with both inputs",
                )
            )
        return Different(replayed)
