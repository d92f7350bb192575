"""Pictures in the terminal: curves of a profile, and the break-even of an offload."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bpfsmith.cost.plot import series
from bpfsmith.cost.profile import Section

if TYPE_CHECKING:
    from bpfsmith.cost.advice import Advice

_WIDTH, _HEIGHT = 72, 14
_MARKERS = "o+x*#@"
_LEAST = 0.1  # what is drawn on a logarithmic axis for nothing


def section_chart(section: Section) -> Iterator[str]:
    """The curves of an experiment that has some, over sizes (logarithmic) or skew; nothing for others."""
    curves = series(section)
    if not curves:
        return
    xs = [x for points in curves.values() for x, _ in points]
    wide = max(xs) > 16
    figure = _figure(section.unit, _power if wide else _plain, _power)
    scale: Callable[[float], float] = math.log10 if wide else float
    figure.set_x_limits(scale(min(xs)), scale(max(xs)))
    for (kind, points), marker in zip(curves.items(), _markers(len(curves)), strict=True):
        ys = [math.log10(max(item.value, _LEAST)) for _, item in points]
        figure.plot([scale(x) for x, _ in points], ys, label=kind.replace("_", " "), marker=marker)
    yield from _lines(figure)


def advice_chart(advice: Advice) -> Iterator[str]:
    """The time of a request relative to that without offload, by the share of requests that hit."""
    figure = _figure("x", lambda value: f"{value:.0%}", lambda value: f"{value:.2f}")
    shares = [item / 20 for item in range(21)]
    tops = [advice.relative(share) for share in shares]
    figure.set_x_limits(0.0, 1.0)
    figure.set_y_limits(0.0, 1.1 * max(1.0, *tops))
    figure.plot([0.0, 1.0], [1.0, 1.0], label="not offloaded")
    figure.plot(shares, tops, label="offloaded")
    figure.scatter([advice.hits], [advice.relative(advice.hits)], label=f"this workload, {advice.hits:.0%}", marker="O")
    if advice.break_even is not None:
        figure.scatter([advice.break_even], [1.0], label=f"break-even, {advice.break_even:.0%}", marker="X")
    yield from _lines(figure)


def _figure(unit: str, x_text: Callable[[float], str], y_text: Callable[[float], str]) -> Any:
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height, figure.with_colors, figure.origin = _WIDTH, _HEIGHT, False, False
    figure.x_label, figure.y_label = "", unit
    figure.x_ticks_fkt = lambda value, _: x_text(value)
    figure.y_ticks_fkt = lambda value, _: y_text(value)
    return figure


def _power(value: float) -> str:
    number = 10**value
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _plain(value: float) -> str:
    return f"{value:.2f}"


def _markers(count: int) -> Sequence[str]:
    return [_MARKERS[index % len(_MARKERS)] for index in range(count)]


def _lines(figure: Any) -> Iterator[str]:
    text: str = figure.show(legend=True)
    for line in text.replace("\u2800", " ").splitlines():
        stripped = line.rstrip()
        if stripped not in ("", "Legend:", "-------"):
            yield f"  {stripped}"
