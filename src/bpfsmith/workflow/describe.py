"""Counterexamples in the user's words: state by name and type, draws as numbers, actions by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bpfsmith.appnet import core, fixed
from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, Type
from bpfsmith.appnet.meaning import CLOCK, RANDOM, SIZES, Layout
from bpfsmith.execution import Counterexample, MapContents, RunOutput
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.packet.decode import hexdump
from bpfsmith.semantics.equiv import NULL_ACCESS

FLAT_KEY = b"\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What turns bytes into words: the program's actions, and the element's state where there is one."""

    program: Program
    element: core.Element | None = None
    layout: Layout | None = None


def counterexample_json(example: Counterexample, words: Vocabulary) -> dict[str, object]:
    """The counterexample as JSON: bytes in hex, and state by name where it is known."""

    def output(run: RunOutput) -> dict[str, object]:
        return {
            "return_value": run.return_value,
            "action": action(run.return_value, words),
            "packet": run.packet.hex(),
            "maps": _maps_json(run.maps),
            "state": state(run.maps, words),
            "calls": dict(run.calls),
        }

    given = example.input
    return {
        "observable": example.observable,
        "packet": given.packet.hex(),
        "ctx": dict(given.ctx),
        "maps": _maps_json(given.maps),
        "state": state(given.maps, words),
        "helper_results": [{"helper": item.helper, "value": item.value} for item in given.helper_results],
        "expected": output(example.expected),
        "actual": output(example.actual),
        "replayed_on": list(example.replayed_on),
        "notes": list(example.notes),
    }


def _maps_json(maps: Mapping[str, MapContents]) -> dict[str, dict[str, str]]:
    return {
        name: {key.hex(): value.hex() for key, value in sorted(contents.items())} for name, contents in sorted(maps.items())
    }


def counterexample_text(example: Counterexample, words: Vocabulary) -> list[str]:
    """The counterexample as lines for a terminal: input, both outcomes, and where they part."""
    fault = example.observable == NULL_ACCESS
    lines = ["the candidate reaches memory through NULL" if fault else f"they differ in the {example.observable}", "", "input"]
    given = example.input
    before = state(given.maps, words)
    lines += [f"  {name} = {value}" for name, value in before.items()]
    for number, item in enumerate(given.helper_results):
        lines.append(f"  {_draw(item.helper, item.value, number)}")
    if example.observable == "packet" or (words.element is None and not before):
        lines += [f"  {line}" for line in hexdump(given.packet).splitlines()]
    else:
        lines.append(f"  packet: {len(given.packet)} bytes, not read by the difference")
    runs = [("expected (reference)", example.expected)]
    if not fault:
        runs.append(("actual (candidate)", example.actual))
    for title, run in runs:
        lines += ["", title, f"  returns {action(run.return_value, words)}"]
        after = state(run.maps, words)
        lines += [f"  {name} = {value}{_was(before.get(name), value)}" for name, value in after.items()]
        if example.observable.startswith("number of calls"):
            lines += [f"  calls {helper} {count} time{'s' * (count != 1)}" for helper, count in run.calls.items()]
        if run.packet != given.packet:
            lines += [f"  {line}" for line in hexdump(run.packet).splitlines()]
    lines += ["", "replayed on " + ", ".join(example.replayed_on) if example.replayed_on else "not replayed: no bpf(2) here"]
    return lines + [f"note: {note}" for note in example.notes]


def _was(before: str | None, after: str) -> str:
    return "" if before in (None, after) else f"  (was {before})"


def _draw(helper: str, value: int, number: int) -> str:
    if helper == RANDOM:
        return f"random word {value:#010x}: a draw of {value / 2**32:.9g} from [0, 1)"
    if helper == CLOCK:
        return f"the clock reads {value} ns"
    return f"{helper} returns {value:#x} (call {number})"


def action(value: int, words: Vocabulary) -> str:
    """XDP_DROP (1) and the like."""
    name = for_section(words.program.section).action_name(value)
    return f"{name} ({value})" if name else f"{value:#x}"


def state(maps: Mapping[str, MapContents], words: Vocabulary) -> dict[str, str]:
    """State variables in the user's terms; raw words of every map where nothing is known of them."""
    if words.element is None or words.layout is None:
        return _raw(maps)
    out: dict[str, str] = {}
    for item in words.element.state:
        if item.name in words.layout.scalars:
            section, offset = words.layout.scalars[item.name]
            raw = maps.get(section, {}).get(FLAT_KEY, b"")[offset : offset + SIZES[item.type]]
            if raw:
                out[item.name] = number(item.type, raw)
        elif item.name in words.layout.maps:
            key_type, value_type = item.type.args
            entries = maps.get(words.layout.maps[item.name].name, {})
            shown = ", ".join(f"{number(key_type, key)}: {number(value_type, value)}" for key, value in sorted(entries.items()))
            out[item.name] = f"{{{shown}}}"
    return out


def _raw(maps: Mapping[str, MapContents]) -> dict[str, str]:
    out = {}
    for name, contents in sorted(maps.items()):
        shown = [f"{key.hex()}: {value.hex()}" for key, value in sorted(contents.items()) if any(value) or len(contents) <= 4]
        out[f"map {name}"] = "{" + ", ".join(shown[:8]) + (", .." if len(shown) > 8 else "") + "}"
    return out


def number(kind: Type, raw: bytes) -> str:
    """A value as the user would write it."""
    value = int.from_bytes(raw, "little", signed=kind == INT)
    if kind == BOOL:
        return str(bool(value)).lower()
    if kind == FLOAT:
        exact = fixed.to_fraction(value)
        return f"{float(exact):.10g}"
    return f"{value} ns" if kind == INSTANT else str(value)
