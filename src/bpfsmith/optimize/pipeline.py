"""The passes over one function, round and round until none finds anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple

from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Graph
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.passes import control
from bpfsmith.optimize.passes.atomics import form_atomics
from bpfsmith.optimize.passes.combine import combined
from bpfsmith.optimize.passes.dead import remove_dead
from bpfsmith.optimize.passes.duplicate import Detour, detours, skip_useless, take
from bpfsmith.optimize.passes.early import early_copies
from bpfsmith.optimize.passes.missing import unmissed
from bpfsmith.optimize.passes.parallel import share_parallel
from bpfsmith.optimize.passes.registers import coalesce
from bpfsmith.optimize.passes.select import selections
from bpfsmith.optimize.passes.share import share
from bpfsmith.optimize.passes.simplify import simplify
from bpfsmith.optimize.passes.sink import Sunk, sink, sink_stores, sinkable
from bpfsmith.optimize.passes.stores import merge_stores
from bpfsmith.optimize.passes.windows import replace_windows
from bpfsmith.optimize.passes.words import form_words
from bpfsmith.optimize.simulate import Simulated, simulate
from bpfsmith.optimize.state import TooHard
from bpfsmith.optimize.values import Values

MAX_ROUNDS = 12
MAX_SHARED = 8
MAX_SUNK = 12
TRIED_SLOTS = 2400
"""Slots of all trials of one kind together."""

SMALL, LARGE = 40, 120
"""Slots of functions of which more trials, or fewer, are followed up."""

MAX_SPLIT = 12
MAX_MISSING = 8
MAX_COMBINED = 4
MAX_SELECTED = 8
MAX_EARLY = 4


def analysed(graph: Graph, around: Surroundings) -> Flow:
    """What the places of a function hold."""
    return Flow(Values(), ((graph, around),)).run()


@dataclass(frozen=True, slots=True)
class Stage:
    """What one pass made of a graph: its steps are `ledger.steps[first:end]`, and `asked` were asked for before it. `again`
    does the same to another copy of `before`, as far as a ledger lets it; `is_proved` if `after` was proved to do the same."""

    before: Graph
    after: Graph
    first: int
    end: int
    asked: int
    again: Callable[[Graph, Ledger], object] | None = None
    is_proved: bool = False


@dataclass(slots=True)
class Work:
    """The best form of a function so far, and the stages that led there."""

    best: Graph
    around: Surroundings
    ledger: Ledger
    trail: list[Stage] = field(default_factory=list)

    def analysed(self) -> Flow:
        return analysed(self.best, self.around)

    def settle(self, graph: Graph) -> Graph:
        return settled(graph, self.around, self.ledger, trail=self.trail)

    def mark(self) -> Mark:
        return Mark(len(self.ledger.steps), self.ledger.asked, len(self.trail))

    def back(self, mark: Mark) -> None:
        """Takes back the steps since the mark."""
        del self.ledger.steps[mark.steps :]
        del self.trail[mark.stages :]

    def tries(self, trial: Graph, mark: Mark, at_least: bool = False, prove: bool = False) -> bool:
        """Takes what the passes make of `trial` if that is shorter (`at_least`: or as short) and, if wanted, proved; else takes
        back the steps since `mark`, from which on `trial` was made."""
        self.trail.append(Stage(self.best, trial.copy(), mark.steps, len(self.ledger.steps), mark.asked))
        try:
            after = self.settle(trial)
        except TooHard:
            after = self.best
        taken = after is not self.best and after.slots() < self.best.slots() + at_least
        if taken and prove:
            taken = isinstance(simulate(self.best, after, self.around), Simulated)
            self.trail[mark.stages :] = [
                Stage(self.best, after, mark.steps, len(self.ledger.steps), mark.asked, is_proved=True)
            ]
        if taken:
            self.best = after
        else:
            self.back(mark)
        return taken

    def rounds(self, trials: int) -> Iterator[Mark]:
        """As many rounds as the function is worth, each of which is a fixed point over all of it, while steps may be made."""
        for _ in range(max(2, min(trials, TRIED_SLOTS // max(self.best.slots(), 1)))):
            if self.ledger.exhausted:
                return
            yield self.mark()


class Mark(NamedTuple):
    """How far a ledger and a trail were."""

    steps: int
    asked: int
    stages: int


def optimise(graph: Graph, around: Surroundings, ledger: Ledger, trail: list[Stage] | None = None) -> Graph:
    """The best form that the passes reach, and in `trail` how. Raises `TooHard` when the function cannot be analysed."""
    work = Work(graph, around, ledger, trail if trail is not None else [])
    work.best = work.settle(graph.copy())
    for stage in (_sink, _split, _lead_missing, _select, _combine, _copy_early, _share):
        stage(work)
    return work.best


def _sink(work: Work) -> None:
    """Constants made on the ways that need them, where that is shorter in the end. Each is tried once."""
    tried: set[object] = set()
    for mark in work.rounds(MAX_SUNK):
        left = [item for item in sinkable(work.best, work.analysed(), work.around) if _key(item) not in tried]
        if not left:
            break
        tried.add(_key(left[0]))
        trial = sink(work.best, left[0], work.ledger)
        if trial is None:
            continue
        # What made the constant before goes first, or it would be found there already.
        remove_dead(trial, analysed(trial, work.around), work.around, work.ledger)
        slots = work.best.slots()
        if trial.slots() > slots + (slots < SMALL) - (slots > LARGE):
            work.back(mark)
        else:
            work.tries(trial, mark)


def _key(sunk: Sunk) -> tuple[object, ...]:
    return sunk.insn.dst_reg, sunk.insn.imm, sunk.target, len(sunk.ways)


def _split(work: Work) -> None:
    """Ways led past branches that they decide, where that is shorter in the end, or no longer and nothing is copied. Values
    may depend on the way then, which the proof may have forgotten where the original's ways meet: it is asked at once."""
    tried: set[object] = set()
    for mark in work.rounds(MAX_SPLIT):
        found = [item for item in detours(work.best, work.analysed(), work.around) if _is_promising(item)]
        left = [item for item in found if item not in tried]
        if not left:
            break
        tried.add(left[0])
        trial = take(work.best, left[0], work.ledger)
        if trial is not None:
            work.tries(trial, mark, at_least=not left[0].nodes, prove=True)


def _is_promising(detour: Detour) -> bool:
    """Nothing to copy, or a block that nobody needs any more, or little."""
    return not detour.nodes or detour.alone or detour.cost <= 2


def _lead_missing(work: Work) -> None:
    """What is done without an entry that is always there."""
    for mark in work.rounds(MAX_MISSING):
        slots = work.best.slots()
        trials = unmissed(work.best, work.analysed(), work.around, work.ledger)
        if not any(_tried(work, mark, trial) for trial in trials if trial.slots() <= slots - (slots > LARGE)):
            work.back(mark)
            break


def _tried(work: Work, mark: Mark, trial: Graph) -> bool:
    """Of several trials from one mark, all but this one are off the record."""
    step = work.ledger.steps[-1]
    work.back(mark)
    work.ledger.steps.append(step)
    return work.tries(trial, mark, prove=True)


def _select(work: Work) -> None:
    """Numbers that branches choose made in another way, where that is shorter in the end, and proved at once."""
    for mark in work.rounds(MAX_SELECTED):
        for trial in selections(work.best, work.analysed(), work.around, work.ledger):
            step = work.ledger.steps[-1]
            work.back(mark)
            work.ledger.steps.append(step)
            remove_dead(trial, analysed(trial, work.around), work.around, work.ledger)
            slots = work.best.slots()
            if trial.slots() <= slots + (slots < SMALL) and work.tries(trial, mark, prove=True):
                break
            work.back(mark)
        else:
            return


def _combine(work: Work) -> None:
    """Two comparisons that lead to the same place as one."""
    for mark in work.rounds(MAX_COMBINED):
        if not any(_tried(work, mark, trial) for trial in combined(work.best, work.analysed(), work.around, work.ledger)):
            break


def _copy_early(work: Work) -> None:
    """Copies made earlier, where moves go for that."""
    for mark in work.rounds(MAX_EARLY):
        few = max(2, TRIED_SLOTS // max(work.best.slots(), 1))
        for trial in islice(early_copies(work.best, work.around, work.ledger), few):
            try:
                coalesce(trial, analysed(trial, work.around), work.around, work.ledger)
            except TooHard:
                trial = work.best
            if trial.slots() < work.best.slots():
                work.trail.append(Stage(work.best, trial, mark.steps, len(work.ledger.steps), mark.asked))
                work.best = trial
                break
            work.back(mark)
        else:
            return


def _share(work: Work) -> None:
    """Values that take two slots made once."""
    for mark in work.rounds(MAX_SHARED):
        trial = share(work.best, work.analysed(), work.around, work.ledger)
        if trial is None or not work.tries(trial, mark):
            break


@dataclass(slots=True)
class Analysed:
    """A graph in work, and its analysis as long as that holds."""

    graph: Graph
    around: Surroundings
    ledger: Ledger
    _flow: Flow | None = None

    @property
    def flow(self) -> Flow:
        if self._flow is None:
            self._flow = analysed(self.graph, self.around)
        return self._flow

    def did(self, changed: bool) -> bool:
        """Notes whether the last pass changed the graph."""
        if changed:
            self._flow = None
        return changed

    def with_flow(self, run: Callable[[Graph, Flow, Surroundings, Ledger], bool]) -> bool:
        return self.did(run(self.graph, self.flow, self.around, self.ledger))


Pass = Callable[[Analysed], bool]

PASSES: tuple[Pass, ...] = (
    lambda work: work.with_flow(simplify),
    lambda work: work.with_flow(remove_dead),
    lambda work: work.with_flow(form_words),
    lambda work: work.with_flow(merge_stores),
    lambda work: work.with_flow(sink_stores) and False,  # what it moves makes nothing shorter by itself
    lambda work: work.with_flow(form_atomics),
    lambda work: work.with_flow(replace_windows),
    lambda work: work.did(control.thread(work.graph, work.flow, work.ledger)),
    lambda work: work.with_flow(skip_useless),
    lambda work: work.with_flow(coalesce),
    lambda work: work.did(control.hoist(work.graph, work.around, work.ledger)),
    lambda work: work.did(control.merge_same(work.graph, work.ledger)),
    lambda work: work.did(control.merge_tails(work.graph, work.ledger)),
    lambda work: work.with_flow(share_parallel),
)
"""In the order in which they are run; what comes out does not hang on it, as they are run until none finds anything."""


def settled(
    graph: Graph,
    around: Surroundings,
    ledger: Ledger,
    passes: Sequence[Pass] = PASSES,
    trail: list[Stage] | None = None,
) -> Graph:
    """All passes until nothing changes; the shortest form on the way, to which `trail` then leads."""
    work = Analysed(graph, around, ledger)
    trail = trail if trail is not None else []
    control.clean(graph, ledger)
    best, best_slots, best_steps, best_stages = graph.copy(), graph.slots(), len(ledger.steps), len(trail)
    for _ in range(MAX_ROUNDS):
        changed = False
        for each in passes:
            if ledger.exhausted:
                break
            before, first, asked = graph.copy(), len(ledger.steps), ledger.asked
            moved = each(work)
            if len(ledger.steps) > first:
                moved |= work.did(control.clean(graph, ledger))
                trail.append(Stage(before, graph.copy(), first, len(ledger.steps), asked, partial(_once, each, around)))
            changed |= moved
        if graph.slots() <= best_slots:
            best, best_slots, best_steps, best_stages = graph.copy(), graph.slots(), len(ledger.steps), len(trail)
        if not changed:
            break
    del ledger.steps[best_steps:]
    del trail[best_stages:]
    return best


def _once(each: Pass, around: Surroundings, graph: Graph, ledger: Ledger) -> None:
    """One pass over a graph."""
    each(Analysed(graph, around, ledger))
    control.clean(graph, ledger)
