"""Which share of requests takes which way: from counters, from a list of outcomes, or from captured packets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.cost.model import Model
from bpfsmith.cost.predict import CostedPath, Prediction, predict
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.execution import MapContents
from bpfsmith.isa.program import Program
from bpfsmith.packet.pcap import frames, is_capture

MOST_PACKETS = 2_000
_EXAMPLE = '{"XDP_TX": 6100, "XDP_PASS": 3900}'
_WORDS = {"hit": True, "fast": True, "miss": False, "slow": False, "pass": False}


@dataclass(frozen=True, slots=True)
class Workload:
    """`hits` is the share (0 to 1) of requests that the program answers; `fast_ns` and `slow_ns` the mean time in the program
    of those it answers and of those it passes, None where there are none. `source` says where that comes from."""

    hits: float
    fast_ns: float | None
    slow_ns: float | None
    source: str

    @property
    def program_ns(self) -> float:
        """The mean time in the program."""
        return self.hits * (self.fast_ns or 0.0) + (1 - self.hits) * (self.slow_ns or 0.0)


def of_share(prediction: Prediction, hits: float, source: str) -> Workload:
    """A share of hits; the likely path of each side is taken for all of it. InputError `bad-command` for hits where no path
    answers a request, and for others where none passes one."""
    for share, answers, verb in ((hits, True, "answers"), (1 - hits, False, "passes")):
        if share > 0 and _typical(prediction, answers) is None:
            message = f"{source} says that {share:.0%} of requests take a path that {prediction.program.name} does not have"
            note = f"no path of it {verb} a request; their outcomes: {_outcomes(prediction)}"
            help_text = f"give --hits {0 if answers else 1}"
            raise InputError(Diagnostic("bad-command", message, notes=(note,), help=help_text))
    return Workload(hits, _typical(prediction, True), _typical(prediction, False), source)


def _typical(prediction: Prediction, answers: bool) -> float | None:
    """The first path of that side in the order of likelihood."""
    return next((item.cost.ns for item in prediction.paths if item.answers is answers), None)


def read_workload(
    path: str, program: Program, prediction: Prediction, model: Model, maps: Mapping[str, MapContents]
) -> Workload:
    """A file with counters (JSON), a capture (pcap), or outcomes one a line. InputError `bad-workload` or `unreadable-file`."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InputError(Diagnostic("unreadable-file", message, help="check the path and its permissions")) from error
    if is_capture(data):
        return _of_packets(path, data, program, model, maps)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _bad(path, "it is neither text nor a capture") from None
    if text.lstrip().startswith(("{", "[")):
        return _of_counters(path, text, prediction)
    words = Counter(line.split()[0] for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return _of_counts(path, words, prediction, "outcomes")


def _of_counters(path: str, text: str, prediction: Prediction) -> Workload:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"it is not JSON: {error}") from None
    counts = read.get("counters", read) if isinstance(read, dict) else None
    if not isinstance(counts, dict):
        raise _bad(path, "it is no object with counters")
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count < 1e18:
            raise _bad(path, f"the counter of {name} is no number from 0 on")
    return _of_counts(path, counts, prediction, "counters")


def _of_counts(path: str, counts: Mapping[str, float], prediction: Prediction, what: str) -> Workload:
    """Names are outcomes (XDP_TX), paths (path 3), or the words hit and miss."""
    total = sum(counts.values())
    if not total:
        raise _bad(path, "it counts nothing")
    fast: list[tuple[float, float]] = []
    slow: list[tuple[float, float]] = []
    for name, count in counts.items():
        answers, ns = _side(path, name, prediction)
        (fast if answers else slow).append((count, ns))
    hits = sum(count for count, _ in fast) / total
    source = f"{total:,.0f} {what} in {path}"
    return Workload(hits, _mean(fast, _typical(prediction, True)), _mean(slow, _typical(prediction, False)), source)


def _side(path: str, name: str, prediction: Prediction) -> tuple[bool, float]:
    word = _WORDS.get(name.lower())
    if word is not None:
        ns = _typical(prediction, word)
        if ns is None:
            raise _bad(
                path, f"no path of {prediction.program.name} {'answers' if word else 'passes'} a request, as `{name}` says"
            )
        return word, ns
    number = name.lower().removeprefix("path").strip()
    if number.isdigit() and 1 <= int(number) <= len(prediction.paths):
        item = prediction.paths[int(number) - 1]
        return item.answers, item.cost.ns
    same = [item for item in prediction.paths if item.outcome == name]
    if not same:
        note = f"its outcomes are: {_outcomes(prediction)}; path 1, hit and miss will do too"
        raise _bad(path, f"{prediction.program.name} has no outcome {name}", note)
    return same[0].answers, same[0].cost.ns


def _outcomes(prediction: Prediction) -> str:
    return ", ".join(dict.fromkeys(item.outcome for item in prediction.paths))


def _of_packets(path: str, data: bytes, program: Program, model: Model, maps: Mapping[str, MapContents]) -> Workload:
    """Each packet's likely path. What is in the maps decides, where it is given; lookups are taken to find otherwise."""
    seen: dict[bytes, CostedPath] = {}
    fast: list[tuple[float, float]] = []
    slow: list[tuple[float, float]] = []
    try:
        for number, frame in enumerate(frames(data)):
            if number == MOST_PACKETS:
                break
            if frame not in seen:
                seen[frame] = predict(program, model, packet=frame, maps=maps).likely
            (fast if seen[frame].answers else slow).append((1, seen[frame].cost.ns))
    except ValueError as error:
        raise _bad(path, f"it gives no packet: {error}") from None
    total = len(fast) + len(slow)
    if not total:
        raise _bad(path, "it holds no packet")
    return Workload(
        len(fast) / total,
        _mean(fast, None),
        _mean(slow, None),
        f"{total:,} packets in {path}" + ("" if maps else ", lookups taken to find"),
    )


def _mean(weighted: Iterable[tuple[float, float]], otherwise: float | None) -> float | None:
    items = [(count, ns) for count, ns in weighted if count]
    total = sum(count for count, _ in items)
    return sum(count * ns for count, ns in items) / total if total else otherwise


def _bad(path: str, reason: str, note: str = "") -> InputError:
    return InputError(
        Diagnostic(
            "bad-workload",
            f"{path} is no workload: {reason}",
            notes=(note,) if note else (),
            help=f"give counters by outcome, {_EXAMPLE}, a pcap file, or one outcome (hit, miss) a line",
        )
    )
