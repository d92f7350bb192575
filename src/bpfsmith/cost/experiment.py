"""What is measured, as data: an experiment has cases, what the study found for each, and the orderings that it reports.

"The study" is the measurement study of eBPF at CoNEXT '25; tables, figures and sections are numbered as there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfsmith.cost.bench import Bench

Action = Callable[[], Mapping[str, float]]
"""Takes one sample of one or several cases, by name. What it cannot say in this round it leaves out."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured. `study` is the study's value in the experiment's unit, None where it has none.

    `floor` names the case that is taken off, sample by sample; a case with `is_floor` is not reported by itself. What `waits`
    for one instruction after the other is not expected to slow down when others use the core (`speed.put_right`).
    """

    name: str
    title: str
    study: float | None = None
    floor: str | None = None
    is_floor: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Ordering:
    """A finding: `less` costs less than `more`. `component` is what it depends on, as in the study's Table 7.

    With `similar` the finding is that they do not differ by more than a quarter.
    """

    less: str
    more: str
    text: str
    component: str
    similar: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """A case that this kernel or machine cannot do, and why."""

    case: str
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An experiment that is set up: what takes its samples, and what cannot be done."""

    actions: tuple[Action, ...]
    missing: tuple[Missing, ...] = ()


THROUGH_THE_KERNEL = 0.65
"""The power of round trips and streams, as those were on a machine where a neighbour came and went (0.6 to 0.7)."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One table or figure. `open` sets it up; everything it makes goes when the stack ends.

    `width_power` says how it slows down when others use the core, where its own samples do not tell (`speed.power_of`):
    programs by the whole of what they leave, paths through the kernel, which wait for memory more, by two thirds.
    `rounds` and `seconds` are how many rounds there are, and how long they may take. `higher_is_better` for rates: an
    ordering's `less` then has the higher rate.
    """

    id: str
    table: str
    place: str
    title: str
    unit: str
    cases: tuple[Case, ...]
    open: Callable[[Bench, ExitStack], Opened]
    orderings: tuple[Ordering, ...] = ()
    note: str = ""
    rounds: int = 61
    seconds: float = 4.0
    higher_is_better: bool = False
    width_power: float = 1.0
