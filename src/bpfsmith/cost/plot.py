"""The profile as a picture: bars with their intervals and the study's values, curves where there is something to run along."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfsmith.cost.profile import Profile, Quantity, Section
from bpfsmith.diagnostic import Diagnostic, InputError

if TYPE_CHECKING:
    from bpfsmith.cost.advice import Advice

FORMATS = {".svg": "svg", ".png": "png"}
_HERE, _STUDY, _GRID = "#2a6f97", "#e07a2f", "#d9d9d9"
_SERIES = re.compile(r"^(?P<kind>.+)[@~](?P<x>[0-9.]+)$")


def check_suffix(path: str) -> str:
    """The format for a file name; InputError `unknown-file-type`."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            Diagnostic("unknown-file-type", f"{path}: a picture is .svg or .png", help="give the file one of these endings")
        )
    return FORMATS[suffix]


def picture(profile: Profile, path: str) -> bytes:
    """Every experiment of the profile that has values, one below the other, as SVG or PNG by the ending of `path`."""
    sections = [section for section in profile.experiments.values() if section.cases]
    if not sections:
        raise InputError(
            Diagnostic(
                "nothing-to-plot", "no experiment of this profile has values", help="measure as root: `bpfsmith measure`"
            )
        )
    heights = [2.6 if series(section) else 0.9 + 0.24 * len(section.cases) for section in sections]
    figure, axes = _figure(heights)
    for axis, section in zip(axes, sections, strict=True):
        if found := series(section):
            _curves(axis, section, found)
        else:
            _bars(axis, section)
    where = profile.provenance
    origin = "shipped with bpfsmith, measured elsewhere: " if where.origin == "shipped" else ""
    figure.suptitle(f"{origin}{where.cpu or where.machine}, kernel {where.kernel}, {where.measured_at}", fontsize=9)
    return _rendered(figure, path)


def advice_picture(advice: Advice, path: str) -> bytes:
    """What offloading gains by the share of requests that hit, with the break-even and where the workload stands."""
    figure, (axis,) = _figure([3.4])
    shares = [item / 100 for item in range(101)]
    axis.plot([100 * s for s in shares], [advice.relative(s) for s in shares], color=_HERE, label="offloaded")
    axis.axhline(1.0, color=_STUDY, label="not offloaded")
    if advice.break_even is not None:
        axis.axvline(100 * advice.break_even, color="black", linestyle=":", label=f"break-even {advice.break_even:.0%}")
    axis.plot([100 * advice.hits], [advice.relative(advice.hits)], "o", color="black", label=f"this workload {advice.hits:.0%}")
    axis.set_xlabel("share of requests on the fast path, %")
    axis.set_ylabel("time a request, relative")
    axis.set_ylim(bottom=0)
    axis.grid(color=_GRID, linewidth=0.6)
    axis.legend(fontsize=8, frameon=False)
    axis.set_title(advice.headline, fontsize=10, loc="left")
    return _rendered(figure, path)


def _figure(heights: Sequence[float]) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "bpfsmith", "font.size": 8, "font.family": "DejaVu Sans"})
    figure, axes = pyplot.subplots(
        len(heights), 1, figsize=(9, sum(heights) + 0.5), squeeze=False, height_ratios=list(heights), layout="constrained"
    )
    return figure, [row[0] for row in axes]


def _rendered(figure: Any, path: str) -> bytes:
    from matplotlib import pyplot

    out = io.BytesIO()
    # Without a date the same numbers make the same bytes.
    metadata = {"Date": None} if check_suffix(path) == "svg" else {}
    figure.savefig(out, format=check_suffix(path), dpi=130, metadata=metadata)
    pyplot.close(figure)
    return out.getvalue()


def series(section: Section) -> dict[str, list[tuple[float, Quantity]]]:
    """Cases named `kind@size` or `kind~skew`, by kind, when every case has such a name and there are three sizes or more."""
    found: dict[str, list[tuple[float, Quantity]]] = {}
    for name, item in section.cases.items():
        match = _SERIES.match(name)
        if match is None:
            return {}
        found.setdefault(match["kind"], []).append((float(match["x"]), item))
    return found if all(len(points) >= 3 for points in found.values()) else {}


def _curves(axis: Any, section: Section, curves: dict[str, list[tuple[float, Quantity]]]) -> None:
    for kind, points in curves.items():
        xs = [x for x, _ in points]
        axis.plot(xs, [item.value for _, item in points], marker="o", markersize=3, label=kind.replace("_", " "))
        axis.fill_between(xs, [item.low for _, item in points], [item.high for _, item in points], alpha=0.2)
    if max(x for points in curves.values() for x, _ in points) > 16:
        axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylabel(section.unit)
    axis.grid(color=_GRID, linewidth=0.6)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_title(_title(section), fontsize=9, loc="left")


def _bars(axis: Any, section: Section) -> None:
    names = [item.title for item in section.cases.values()]
    values = [item.value for item in section.cases.values()]
    errors = [
        [max(item.value - item.low, 0) for item in section.cases.values()],
        [max(item.high - item.value, 0) for item in section.cases.values()],
    ]
    axis.barh(names, values, xerr=errors, color=_HERE, height=0.7, error_kw={"elinewidth": 0.8}, label="here")
    studies = [(name, item.study) for name, item in zip(names, section.cases.values(), strict=True) if item.study is not None]
    if studies:
        axis.plot(
            [study for _, study in studies], [name for name, _ in studies], "D", color=_STUDY, markersize=5, label="study"
        )
        axis.legend(fontsize=7, frameon=False)
    axis.invert_yaxis()
    axis.set_xlabel(section.unit)
    axis.grid(axis="x", color=_GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_title(_title(section), fontsize=9, loc="left")


def _title(section: Section) -> str:
    return f"{section.place}: {section.title}" if section.place else section.title
