"""The passes over one function, round and round until none finds anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.flow import Flow
from bpfsmith.optimize.graph import Graph
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.passes import control
from bpfsmith.optimize.passes.atomics import form_atomics
from bpfsmith.optimize.passes.dead import remove_dead
from bpfsmith.optimize.passes.duplicate import Detour, detours, skip_useless, take
from bpfsmith.optimize.passes.early import early_copies
from bpfsmith.optimize.passes.parallel import share_parallel
from bpfsmith.optimize.passes.registers import coalesce
from bpfsmith.optimize.passes.select import selections
from bpfsmith.optimize.passes.share import share
from bpfsmith.optimize.passes.simplify import simplify
from bpfsmith.optimize.passes.sink import Sunk, sink, sink_stores, sinkable
from bpfsmith.optimize.passes.stores import merge_stores
from bpfsmith.optimize.passes.windows import replace_windows
from bpfsmith.optimize.passes.words import form_words
from bpfsmith.optimize.simulate import NotSimulated, Simulated, simulate
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
MAX_SELECTED = 8
MAX_EARLY = 4


def analysed(graph: Graph, around: Surroundings) -> Flow:
    """What the places of a function hold."""
    return Flow(Values(), ((graph, around),)).run()


@dataclass(slots=True)
class Work:
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


def optimise(graph: Graph, around: Surroundings, ledger: Ledger) -> Graph:
    """The best form that the passes reach. Raises `TooHard` when the function cannot be analysed."""
    best = _sunk(settled(graph.copy(), around, ledger), around, ledger)
    best = _split(graph, best, around, ledger)
    best = _selected(graph, best, around, ledger)
    best = _early(best, around, ledger)
    for _ in range(_most(MAX_SHARED, best)):
        mark = len(ledger.steps)
        after = _better(best, share(best, analysed(best, around), around, ledger), around, ledger, mark)
        if after is best:
            break
        best = after
    return best


def _most(trials: int, graph: Graph) -> int:
    """How many trials a function is worth: each is a fixed point over all of it."""
    return max(2, min(trials, TRIED_SLOTS // max(graph.slots(), 1)))


def _sunk(best: Graph, around: Surroundings, ledger: Ledger) -> Graph:
    """Constants made on the ways that need them, where that is shorter in the end. Each is tried once."""
    tried: set[object] = set()
    for _ in range(_most(MAX_SUNK, best)):
        left = [item for item in sinkable(best, analysed(best, around), around) if _key(item) not in tried]
        if not left:
            break
        tried.add(_key(left[0]))
        mark = len(ledger.steps)
        trial = sink(best, left[0], ledger)
        if trial is not None:  # what made the constant before goes first, or it would be found there already
            remove_dead(trial, analysed(trial, around), around, ledger)
            if trial.slots() > best.slots() + (best.slots() < SMALL) - (best.slots() > LARGE):
                trial = None
        best = _better(best, trial, around, ledger, mark)
    return best


def _key(sunk: Sunk) -> tuple[object, ...]:
    return sunk.insn.dst_reg, sunk.insn.imm, sunk.target, len(sunk.ways)


def _split(original: Graph, best: Graph, around: Surroundings, ledger: Ledger) -> Graph:
    """Ways led past branches that they decide, where that is shorter in the end, or no longer and nothing is copied. Values
    may depend on the way then, which the proof may have forgotten where the original's ways meet: it is asked at once."""
    tried: set[object] = set()
    for _ in range(_most(MAX_SPLIT, best)):
        found = [item for item in detours(best, analysed(best, around), around) if _is_promising(item, best)]
        left = [item for item in found if item not in tried]
        if not left:
            break
        tried.add(left[0])
        mark = len(ledger.steps)
        after = _better(best, take(best, left[0], ledger), around, ledger, mark, at_least=not left[0].nodes)
        if after is not best and isinstance(simulate(original, after, around), NotSimulated):
            del ledger.steps[mark:]
            after = best
        best = after
    return best


def _selected(original: Graph, best: Graph, around: Surroundings, ledger: Ledger) -> Graph:
    """Numbers that branches choose made in another way, where that is shorter in the end, and proved at once."""
    for _ in range(_most(MAX_SELECTED, best)):
        mark = len(ledger.steps)
        shorter = None
        for trial in selections(best, analysed(best, around), around, ledger):
            step = ledger.steps[-1]
            del ledger.steps[mark:]
            remove_dead(trial, analysed(trial, around), around, ledger)
            if trial.slots() <= best.slots() + (best.slots() < SMALL):
                after = _better(best, trial, around, ledger, mark)
                if after is not best and isinstance(simulate(original, after, around), Simulated):
                    ledger.steps.insert(mark, step)
                    shorter = after
                    break
            del ledger.steps[mark:]
        if shorter is None:
            return best
        best = shorter
    return best


def _early(best: Graph, around: Surroundings, ledger: Ledger) -> Graph:
    """Copies made earlier, where moves go for that."""
    for _ in range(_most(MAX_EARLY, best)):
        shorter = None
        mark = len(ledger.steps)
        for trial in early_copies(best, around, ledger):
            try:
                coalesce(trial, analysed(trial, around), around, ledger)
            except TooHard:
                continue
            if trial.slots() < best.slots():
                shorter = trial
                break
            del ledger.steps[mark:]
        if shorter is None:
            return best
        best = shorter
    return best


def _is_promising(detour: Detour, graph: Graph) -> bool:
    """Nothing to copy, or a block that nobody needs any more, or little."""
    return not detour.nodes or detour.alone or detour.cost <= 2


def _better(best: Graph, trial: Graph | None, around: Surroundings, ledger: Ledger, mark: int, at_least: bool = False) -> Graph:
    """What the passes make of `trial`, if that is shorter (`at_least`: or as short); the steps since `mark` are taken back if
    it is not."""
    try:
        after = settled(trial, around, ledger) if trial is not None else best
    except TooHard:
        after = best
    if after.slots() < best.slots() + at_least and after is not best:
        return after
    del ledger.steps[mark:]
    return best


Pass = Callable[[Work], bool]

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


def settled(graph: Graph, around: Surroundings, ledger: Ledger, passes: Sequence[Pass] = PASSES) -> Graph:
    """All passes until nothing changes; the shortest form on the way."""
    work = Work(graph, around, ledger)
    control.clean(graph, ledger)
    best, best_slots = graph.copy(), graph.slots()
    for _ in range(MAX_ROUNDS):
        changed = False
        for each in passes:
            changed |= each(work)
            changed |= work.did(control.clean(graph, ledger))
        if graph.slots() <= best_slots:
            best, best_slots = graph.copy(), graph.slots()
        if not changed:
            break
    return best
