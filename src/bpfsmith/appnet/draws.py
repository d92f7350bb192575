"""Draws that are compared: a draw beside a number is decided by its 32-bit word, whatever the range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.appnet.core import Expr


@dataclass(frozen=True, slots=True)
class DrawComparison:
    """`draw` compared with `other`: true iff the word is below the threshold (`below`) or not below it.

    With word w, the real that was drawn lies uniformly in [w, w + 1) / 2**32 of the range, so `<` and `<=` are "w < T" and `>`
    and `>=` are "w >= T". `constant` is T when `other` is constant, else T is fx_threshold(other)."""

    draw: Expr
    other: Expr
    draw_first: bool
    below: bool
    constant: int | None


def draw_comparison(expr: core.Binary, draws: Mapping[str, facts.DrawRange]) -> DrawComparison | None:
    """Recognises a draw (or a local that is one) beside a constant, or beside any float for a draw from [0, 1)."""
    for draw, other, first in ((expr.left, expr.right, True), (expr.right, expr.left, False)):
        bounds = _draw_range(draw, draws)
        if bounds is None or _draw_range(other, draws) is not None:
            continue
        below = expr.op in ("lt", "le") if first else expr.op in ("gt", "ge")
        if isinstance(other, core.Const) and not isinstance(other.value, bytes):
            share = (Fraction(other.value) - bounds.low) / (bounds.high - bounds.low)
            return DrawComparison(draw, other, first, below, fixed.exact_threshold(share))
        if bounds == facts.DrawRange(Fraction(0), Fraction(1)):
            return DrawComparison(draw, other, first, below, None)
    return None


def _draw_range(expr: Expr, draws: Mapping[str, facts.DrawRange]) -> facts.DrawRange | None:
    if isinstance(expr, core.Draw):
        return facts.DrawRange(expr.low, expr.high)
    return draws.get(expr.name) if isinstance(expr, core.Local) else None
