"""Does the candidate do what the reference does? Compares two behaviours and knows nothing of their origin.

One question per observable, each up a ladder: equal by rewriting; told apart by random inputs; equal by cutpoints; the solvers.
A difference becomes a counterexample that is shrunk and handed to a replayer before anyone sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from bpfsmith.diagnostic import Diagnostic, InternalError
from bpfsmith.execution import Counterexample
from bpfsmith.semantics import witness
from bpfsmith.semantics.access import NULL_POINTER, Obligation
from bpfsmith.semantics.atomicity import lost_atomicity, weakened
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.chance import toss_coins
from bpfsmith.semantics.cut import light
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.observables import Observable, observables
from bpfsmith.semantics.solver import Answer, Limits, NoAnswer, Satisfiable, Unsatisfiable, satisfiable
from bpfsmith.semantics.sweep import Sweep
from bpfsmith.semantics.terms import Term, Terms, postorder
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.semantics.witness import Assignment

RANDOM_RUNS = 48
MANY_TERMS = 64
"""From here on the solvers may take longer than some hundred runs of both programs do."""

A_BYTE = 4
"""A byte of a word that was not soon decided gets so many times the solver's steps: what comes after it takes far longer."""

UNDECISIVE = 4
"""An attempt whose failure says nothing gets this part of the solvers' resources."""

Replayer = Callable[[Counterexample], Counterexample | None]
"""Runs the candidate on a counterexample's input: gives it back with `replayed_on` filled, or None if it did something else."""


class Unreplayable(Exception):
    """Raised by a replayer that cannot arrange the input, or has no candidate to run: says why."""


class NotAccepted(Unreplayable):
    """Raised by a replayer whose kernel does not accept the candidate: nothing is to be said of such a program."""


NULL_ACCESS = "memory access through NULL"
"""The observable of a candidate that reaches memory through NULL; replaying it means that the verifier rejects the program."""

ONE_CPU = "neither program is one indivisible step over shared state: compared for one CPU only"
CLOCK = "clock readings do not go back"
PACKET = "packets have at least 14 bytes"
SINGLE_THREAD = "one run at a time: the proof follows one CPU, and the atomicity of the step carries it to many"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a check may use: the solvers' limits, who replays counterexamples, and what makes them believable: the packet to
    start from, and the usual values of inputs, such as the initial state."""

    limits: Limits | None = None
    replay: Replayer | None = None  # in the kernel
    interpret: Replayer | None = None  # where no kernel can be made to show it
    packet: bytes = bytes(64)
    usual: dict[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)
    # The two behaviours again, over names for values that both compute (`naming.Names`): tried before the solvers.
    over_names: Callable[[], tuple[Behaviour, Behaviour]] | None = None
    # Runs both programs, and gives a difference that was seen: asked before the solvers where these have much to do.
    try_runs: Callable[[], Counterexample | None] | None = None


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
    preconditions: int = 0

    def __post_init__(self) -> None:
        self.setting = replace(self.setting, usual={**witness.TEST_RUN, **self.setting.usual})

    def verdict(self) -> Verdict:
        t, reference, candidate = self.t, self.reference, self.candidate
        self.given = [*reference.preconditions, *candidate.preconditions]
        self.given.append(t.negate(t.ult(16, t.app("packet_length", 16), t.const(16, 14))))
        self.preconditions = len(self.given)
        if isinstance(satisfiable(self.given, self.setting.limits), Unsatisfiable):
            return Unknown(
                "contradictory-state", "no state satisfies the invariant: two parts of it say different things of one place"
            )
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
        for items, assumed, how in self._easier(seen) if left else ():
            if self._by_solver(items, [], decisive=False) is None:
                evidence += [f"{item.name}: {how}" for item in left]
                left, assumptions = [], assumed
                break
        found = self._by_chance(left)
        if found is not None:
            return found
        seen_apart = self._by_running(left)
        if seen_apart is not None:
            return seen_apart
        told = self._by_solver(left, evidence)
        if told is not None:
            return told
        # Asked last: a difference that a packet can show says more than a lost lock.
        threads = SINGLE_THREAD
        lost = lost_atomicity(t, candidate, reference.elsewhere)
        if lost_atomicity(t, reference) is not None:
            threads = ONE_CPU
        if lost is None or threads == ONE_CPU:
            lost = weakened(t, reference, candidate, self._possible, is_step=lost is None)
        if lost is not None and not reference.concedes_atomicity:
            return Unknown("lost-atomicity", lost)
        if lost is not None:
            threads = reference.concedes_atomicity
        assumptions = (*assumptions, *self._used(seen))
        return Equal(
            tuple(dict.fromkeys((*reference.assumptions, *candidate.assumptions, *assumptions, threads))), tuple(evidence)
        )

    def _easier(self, seen: list[Observable]) -> Iterator[tuple[list[Observable], tuple[str, ...], str]]:
        """Other forms of the questions whose proof is a proof of the questions, what that assumes, and words for it."""
        t, over_names = self.t, self.setting.over_names
        if over_names is not None:
            named = observables(t, *over_names())
            yield named, (), "proved over names of common values"
            for counted, assumed in self._counted(named):
                yield counted, assumed, "proved over names of common values, with draws counted"
        for counted, assumed in self._counted(seen):
            yield counted, assumed, "proved with draws counted"

    def _counted(self, seen: list[Observable]) -> Iterator[tuple[list[Observable], tuple[str, ...]]]:
        tossed = toss_coins(self.t, [(item.left, item.right) for item in seen], self.setting.limits)
        self.notes = tossed.notes
        for way in tossed.ways:
            yield [replace(item, left=a, right=b) for item, (a, b) in zip(seen, way.pairs, strict=True)], way.assumptions

    def _used(self, seen: list[Observable]) -> Iterator[str]:
        """The standing assumptions that this check leans on."""
        names = {term.name for item in seen for term in postorder(item.left, item.right, item.where) if term.op == "app"}
        if "packet_length" in names:
            yield PACKET
        if len(self.given) > self.preconditions and not any("not go back" in text for text in self.reference.assumptions):
            yield CLOCK

    def _by_chance(self, left: list[Observable]) -> Verdict | None:
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

    def _by_running(self, left: list[Observable]) -> Verdict | None:
        """Runs are quick beside the questions that long programs raise, and beside them only."""
        if self.setting.try_runs is None or len(postorder(*(item.differs(self.t) for item in left))) < MANY_TERMS:
            return None
        found = self.setting.try_runs()
        return Different(found) if found is not None else None

    def _by_solver(self, left: list[Observable], evidence: list[str], decisive: bool = True) -> Verdict | None:
        """Cutpoints, then the solvers; adds to `evidence` what was proved. None when everything was. What is not `decisive`
        stops at the first observable that is not proved, and shows no counterexample."""
        t, limits, undecided = self.t, self.setting.limits or Limits(), []
        if not decisive:
            steps, rlimit = limits.bitwuzla_steps // UNDECISIVE, limits.z3_rlimit // UNDECISIVE
            limits = replace(limits, bitwuzla_steps=steps, z3_rlimit=rlimit)
        hard: list[tuple[Observable, list[Observable]]] = []
        for item in left:
            parts = [*(item.parts or (item,))]
            if decisive and limits.solver != "z3":
                parts = self._not_soon(parts, limits)
            if parts:
                hard.append((item, parts))
            else:
                evidence.append(f"{item.name}: proved by bitwuzla")
        asked = [(part.left, part.right) for _, parts in hard for part in parts]
        swept = iter(Sweep(t, self.given, self.setting.usual).run(asked))
        for item, parts in hard:
            parts = [replace(part, left=a, right=b) for part, (a, b) in zip(parts, swept, strict=False)]
            match self._ask_whole(item, parts, limits) if item.parts else self._ask([*self.given, parts[0].differs(t)], limits):
                case Unsatisfiable(solver=solver):
                    evidence.append(f"{item.name}: proved by {'cutpoints' if solver == 'rewriting' else solver}")
                case Satisfiable() | NoAnswer() if not decisive:
                    return Unknown("not-proved-in-this-form", item.name)
                case Satisfiable(values=values):
                    return self._different(item, Assignment(dict(values), None, self.setting.usual))
                case NoAnswer(reason=reason):
                    # The verdict will not be Equal any more: what is left is asked for a difference that is found soon.
                    limits = replace(limits, solver="bitwuzla")
                    undecided.append(f"{item.name}: {reason}")
        if undecided:
            return Unknown("solver-limit", f"{'; '.join(undecided)}; {RANDOM_RUNS} random runs found no difference")
        return None

    def _not_soon(self, parts: list[Observable], limits: Limits) -> list[Observable]:
        """Without what is proved as it stands, products and quotients cut off: much that looks large is soon answered so, and
        sooner than its inner terms."""
        soon = replace(limits, solver="bitwuzla")
        left = self._open(parts, soon)
        if not left or len(parts) == 1:
            return left
        # One byte of a word is a smaller question, and most of them are as easy as the other words.
        longer = replace(soon, bitwuzla_steps=A_BYTE * soon.bitwuzla_steps)
        return self._open([byte for part in left for byte in part.by_bytes(self.t)], longer)

    def _open(self, parts: list[Observable], limits: Limits) -> list[Observable]:
        """Those that are not proved as they stand."""
        asked = [light(self.t, [*self.given, part.differs(self.t)]) for part in parts]
        answers = [satisfiable(conditions, limits) for conditions in asked]
        return [part for part, answer in zip(parts, answers, strict=True) if not isinstance(answer, Unsatisfiable)]

    def _possible(self, condition: Term) -> bool:
        return not isinstance(self._ask([*self.given, condition], self.setting.limits or Limits()), Unsatisfiable)

    def _ask_whole(self, item: Observable, parts: list[Observable], limits: Limits) -> Answer:
        """The question by its parts, and where one of them asks too much or differs, as it stands."""
        for part in parts:
            answer = self._ask([*self.given, part.differs(self.t)], limits)
            if not isinstance(answer, Unsatisfiable):
                break
        else:
            return answer
        ((a, b),) = Sweep(self.t, self.given, self.setting.usual).run([(item.left, item.right)])
        return self._ask([*self.given, replace(item, left=a, right=b).differs(self.t)], limits)

    def _ask(self, conditions: list[Term], limits: Limits) -> Answer:
        """Without products and quotients first: that is soon answered, and often enough."""
        lighter = light(self.t, conditions)
        if any(a is not b for a, b in zip(lighter, conditions, strict=True)):
            answer = satisfiable(lighter, limits)
            if isinstance(answer, Unsatisfiable):
                return answer
        return satisfiable(conditions, limits)

    def _faulty(self, obligation: Obligation, assignment: Assignment) -> Verdict:
        """The candidate reaches memory through NULL: no accepted program does, so there is no run of it to compare."""
        found = witness.shrink(assignment, [*self.given, obligation.condition])
        example = witness.counterexample(self.t, NULL_ACCESS, found, self.reference, self.candidate, self.setting.packet)
        example = replace(example, actual=replace(example.expected, maps={}), notes=(f"the candidate: {obligation.detail}",))
        return self._replayed(example, in_kernel=True)

    def _different(self, item: Observable, assignment: Assignment) -> Verdict:
        found = witness.shrink(assignment, [*self.given, item.differs(self.t)])
        specs = {spec.name: spec for spec in (*self.reference.maps, *self.candidate.maps)}
        needs = witness.cannot_be_arranged(found, specs)
        try:
            example = witness.counterexample(self.t, item.name, found, self.reference, self.candidate, self.setting.packet)
        except witness.TooLarge as why:
            return Unknown("not-replayable", f"{item.name} differs, but that cannot be shown by a run: {why}")
        return self._replayed(replace(example, notes=self.notes), item.shown, needs)

    def _replayed(self, example: Counterexample, in_kernel: bool, needs: tuple[str, ...] = ()) -> Verdict:
        """The counterexample as a replayer has seen it: the kernel where it can be made to show it, else the interpreter.
        What it `needs` that no test run can be given may be there by chance, or not matter."""
        reason = "; ".join((*needs, *example.notes)) or "no test run shows it"
        for replayer in (self.setting.replay if in_kernel else None, self.setting.interpret):
            if replayer is None:
                continue
            try:
                replayed = replayer(example)
            except NotAccepted as why:
                reason = str(why)
                break
            except Unreplayable as why:
                reason = str(why)
                continue
            if replayed is None and needs:
                # Neither can be given everything: that it does not show is no proof that the prover is wrong.
                reason = "; ".join((*needs, "no run shows it without"))
                continue
            if replayed is None:
                raise InternalError(
                    Diagnostic(
                        id="witness-not-reproduced",
                        message=f"the prover says that {example.observable} differs, but a run does not show it",
                        notes=(f"input: {example.input}", f"the prover expects of the candidate: {example.actual}"),
                        help="this is a bug of bpfsmith, never a finding about your program; please report it with both inputs",
                    )
                )
            shown = replayer is self.setting.replay
            told = tuple(words for words in needs if not shown or words.startswith(witness.UNINITIALISED))
            return Different(replace(replayed, notes=(*replayed.notes, *told)))
        if self.setting.replay is None and self.setting.interpret is None:
            return Different(example)
        return Unknown("not-replayable", f"{example.observable} differs, but that cannot be shown by a run: {reason}")
