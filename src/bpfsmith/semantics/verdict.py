"""The three answers of an equivalence check. Nothing hedges."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.execution import Counterexample


@dataclass(frozen=True, slots=True)
class Equal:
    """Proved for every input that the assumptions admit. `evidence` says how each observable was decided."""

    assumptions: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Different:
    """Not equal, and here is an input that shows it, seen to reproduce."""

    counterexample: Counterexample


@dataclass(frozen=True, slots=True)
class Unknown:
    """Neither proved nor refuted. `gap` names the reason (kebab case), `detail` says it in a sentence, `evidence` what was
    tried all the same."""

    gap: str
    detail: str
    evidence: tuple[str, ...] = ()


Verdict = Equal | Different | Unknown
