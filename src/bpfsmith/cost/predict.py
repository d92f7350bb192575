"""What a program will cost: its paths, what each takes, and which source lines and instructions that time is spent in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bpfsmith.cost.followed import followed, run_input
from bpfsmith.cost.model import Model, PathCost
from bpfsmith.cost.path_state import Path
from bpfsmith.cost.paths import paths
from bpfsmith.execution import MapContents
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.source import Span

# What a program returns when it has dealt with the packet itself; everything else goes on to the stack, or to the next program.
_ANSWERS = frozenset(
    (
        "XDP_TX", "XDP_REDIRECT", "XDP_DROP", "TC_ACT_REDIRECT", "TC_ACT_SHOT", "TC_ACT_STOLEN", "TCX_REDIRECT", "TCX_DROP",
        "SK_DROP", "redirected",
    )
)  # fmt: skip
_FRESH = frozenset(("BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_PERCPU_ARRAY"))
_REDIRECTED = {"BPF_PROG_TYPE_XDP": "XDP_REDIRECT", "BPF_PROG_TYPE_SCHED_CLS": "TC_ACT_REDIRECT"}


@dataclass(frozen=True, slots=True)
class CostedPath:
    """A path and its cost. `outcome` names what it returns ("XDP_TX", "returns 7", "returns what is computed")."""

    path: Path
    cost: PathCost
    outcome: str

    @property
    def answers(self) -> bool:
        """Does the program deal with the packet itself, so that nothing after it sees it?"""
        return self.outcome in _ANSWERS


@dataclass(frozen=True, slots=True)
class LineCost:
    """ns that a path spends on one source line."""

    span: Span
    ns: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The paths of a program, the likely one first; `complete` says that there are no others."""

    program: Program
    paths: tuple[CostedPath, ...]
    complete: bool

    @property
    def likely(self) -> CostedPath:
        """The path of an ordinary packet: long enough, keys found, helpers that succeed."""
        return self.paths[0]

    @property
    def cheapest(self) -> CostedPath:
        return min(self.paths, key=lambda item: item.cost.ns)

    @property
    def dearest(self) -> CostedPath:
        return max(self.paths, key=lambda item: item.cost.ns)

    @property
    def guesses(self) -> tuple[str, ...]:
        """What was assumed on any path, each once."""
        said = {text: None for item in self.paths for text in (*item.cost.guesses, *item.path.notes)}
        return tuple(said)


def predict(
    program: Program,
    model: Model,
    *,
    packet: bytes | None = None,
    maps: Mapping[str, MapContents] | None = None,
) -> Prediction:
    """The cost of every path of `program`, or of those that `packet` and these map contents leave open.

    Where these decide everything but the clock and random numbers, the first path is the one that the interpreter goes; arrays
    that `maps` does not name hold what a fresh load puts into them.
    """
    found = paths(program, packet=packet, maps=maps)
    likely = None
    if packet is not None and all(spec.name in (maps or {}) or spec.type in _FRESH for spec in program.maps):
        likely = followed(program, run_input(program, packet, maps or {}))
    others = [path for path in found.paths if likely is None or _same(path) != _same(likely)]
    ways = others if likely is None else [likely, *others]
    return Prediction(program, tuple(costed(program, model, path) for path in ways), found.complete)


def _same(path: Path) -> list[tuple[str, int]]:
    return [(step.function, step.insn_idx) for step in path.steps]


def costed(program: Program, model: Model, path: Path) -> CostedPath:
    """A path with its cost."""
    return CostedPath(path, model.cost(program, path.steps), _outcome(program, path))


def _outcome(program: Program, path: Path) -> str:
    if path.tail_call:
        return "tail call"
    if path.redirects:
        return _REDIRECTED.get(for_section(program.section).name, "redirected")
    if path.result is None:
        return "returns what is computed"
    name = for_section(program.section).action_name(path.result)
    return name or f"returns {path.result}"


def by_line(program: Program, cost: PathCost) -> list[LineCost]:
    """The cost of a path by source line, in the order of the source; instructions without a line are left out."""
    bodies = {program.name: program.insns} | {sub.name: sub.insns for sub in program.subprograms}
    lines: dict[tuple[str, int], LineCost] = {}
    for (function, index), ns in cost.per_insn.items():
        span = bodies[function][index].span
        if span is not None:
            key = span.path, span.line
            before = lines[key].ns if key in lines else 0.0
            lines[key] = LineCost(span, before + ns)
    return [lines[key] for key in sorted(lines)]


def decisions(program: Program, path: Path) -> Iterator[tuple[Span | None, bool]]:
    """Where the path took a side, and which: the place, and whether the branch was taken."""
    bodies: Mapping[str, Sequence[object]] = {program.name: program.insns} | {s.name: s.insns for s in program.subprograms}
    for item in path.decisions:
        insn = bodies[item.function][item.insn_idx]
        yield getattr(insn, "span", None), item.taken
