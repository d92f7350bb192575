"""Counterexamples in the user's words: state by name and type, draws as numbers, actions by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bpfsmith.appnet import core, fixed
from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, State, Type
from bpfsmith.appnet.evaluation import CLOCK, RANDOM
from bpfsmith.appnet.layout import VEC_ITEMS, Layout, state_bytes, stride
from bpfsmith.appnet.packets import described
from bpfsmith.appnet.shapes import offsets, size_of
from bpfsmith.execution import Counterexample, MapContents, RunOutput
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.objfile.object import Object, Variable
from bpfsmith.packet.decode import hexdump
from bpfsmith.semantics.equiv import NULL_ACCESS
from bpfsmith.source import SourceText
from bpfsmith.workflow.calls import record_lines, records_json, world_json, world_lines
from bpfsmith.workflow.parting import Parting, parting, parting_json, parting_lines
from bpfsmith.workflow.values import typed_text

FLAT_KEY = b"\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What turns bytes into words: the program's actions, the element's state where there is one, else the C types of its
    object; and what to run for the lines that two runs took."""

    program: Program
    element: core.Element | None = None
    layout: Layout | None = None
    obj: Object | None = None
    reference: tuple[Program, Object | None] | None = None  # None where the reference is a meaning, which runs no lines
    source: SourceText | None = None  # the program's own, where it is in no file


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
            "records": records_json(run.records),
            "context": {str(at): value for at, value in sorted(run.context.items())},
            "metadata": run.metadata.hex(),
        }

    given, parted = example.input, parted_runs(example, words)
    return {
        "observable": example.observable,
        "packet": given.packet.hex(),
        "ctx": dict(given.ctx),
        "maps": _maps_json(given.maps),
        "state": state(given.maps, words),
        "helper_results": [{"helper": item.helper, "value": item.value} for item in given.helper_results],
        "world": world_json(given.world),
        "expected": output(example.expected),
        "actual": output(example.actual),
        "replayed_on": list(example.replayed_on),
        "traces": parting_json(parted) if parted is not None else None,
        "notes": list(example.notes),
    }


def parted_runs(example: Counterexample, words: Vocabulary) -> Parting | None:
    """Both runs line by line; None where there are no two programs, or the interpreter does not do what was seen."""
    if words.reference is None or example.observable == NULL_ACCESS:
        return None
    found = parting(words.reference, (words.program, words.obj), example.input, words.source)
    for side, told in ((found.reference, example.expected), (found.candidate, example.actual)):
        if side.output is not None and side.output.return_value != told.return_value:
            return None
    return found


def _maps_json(maps: Mapping[str, MapContents]) -> dict[str, dict[str, str]]:
    return {
        name: {key.hex(): value.hex() for key, value in sorted(contents.items())} for name, contents in sorted(maps.items())
    }


def counterexample_text(example: Counterexample, words: Vocabulary) -> list[str]:
    """The counterexample as lines for a terminal: input, both outcomes, and where they part."""
    fault, parted = example.observable == NULL_ACCESS, parted_runs(example, words)
    the = "" if example.observable.startswith("what ") else "the "
    lines = ["the candidate reaches memory through NULL" if fault else f"they differ in {the}{example.observable}", "", "input"]
    given = example.input
    before = state(given.maps, words)
    lines += [f"  {name} = {value}" for name, value in before.items()]
    for number, item in enumerate(given.helper_results):
        lines.append(f"  {_draw(item.helper, item.value, number)}")
    lines += [f"  {line}" for line in world_lines(given)]
    if example.observable == "packet" or (words.element is None and (parted is None or _reads_packet(parted))):
        lines += [f"  {line}" for line in hexdump(given.packet).splitlines()]
    else:
        lines.append(f"  packet: {len(given.packet)} bytes, not read by the difference")
    runs = [("expected (reference)", example.expected, example.actual)]
    if not fault:
        runs.append(("actual (candidate)", example.actual, example.expected))
    for title, run, other in runs:
        lines += ["", title, f"  returns {action(run.return_value, words)}"]
        after = state(run.maps, words)
        lines += [f"  {name} = {value}{_was(before.get(name), value)}" for name, value in after.items()]
        if example.observable.startswith("number of calls"):
            lines += [f"  calls {helper} {count} time{'s' * (count != 1)}" for helper, count in run.calls.items()]
        lines += [f"  {line}" for line in record_lines(run, other)] if not fault else []
        if run.packet != given.packet:
            lines += [f"  {line}" for line in hexdump(run.packet).splitlines()]
    if parted is not None and parted.parts:
        lines += ["", "where they part", *(f"  {line}" for line in parting_lines(parted))]
    lines += ["", "replayed on " + ", ".join(example.replayed_on) if example.replayed_on else "not replayed: no bpf(2) here"]
    return lines + [f"note: {note}" for note in example.notes]


def _reads_packet(parted: Parting) -> bool:
    return parted.reference.reads_packet or parted.candidate.reads_packet


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
    """State variables in the user's terms; or variables and maps as their C types say."""
    if words.element is None or words.layout is None:
        return _by_type(maps, words)
    out: dict[str, str] = {}
    for item in words.element.state:
        if item.name in words.layout.scalars:
            section, offset = words.layout.scalars[item.name]
            raw = maps.get(section, {}).get(FLAT_KEY, b"")[offset : offset + state_bytes(item)]
            if raw:
                out[item.name] = _items(item, raw) if item.type.name == "Vec" else number(item.type, raw)
        elif item.name in words.layout.maps:
            key_type, value_type = item.type.args
            entries = maps.get(words.layout.maps[item.name].name, {})
            shown = ", ".join(f"{number(key_type, key)}: {number(value_type, value)}" for key, value in sorted(entries.items()))
            out[item.name] = f"{{{shown}}}"
    if words.layout.rpcs is not None and words.element.binding is not None:
        size = words.element.binding.envelope.address_size
        kept = sorted(maps.get(words.layout.rpcs.name, {}).items())
        listed = [described(key, value, size) for key, value in kept[:_FEW]] + [".."] * (len(kept) > _FEW)
        count = f"{len(kept)} RPC{'' if len(kept) == 1 else 's'}"
        out[words.layout.rpcs.name] = f"{count}: {'; '.join(listed)}" if kept else count
    return out


def _by_type(maps: Mapping[str, MapContents], words: Vocabulary) -> dict[str, str]:
    """Variables by name and entries of maps by C type, as far as the object says; else as bytes."""
    out: dict[str, str] = {}
    for name, contents in sorted(maps.items()):
        variables = _variables(name, words.obj)
        if variables and FLAT_KEY in contents:
            raw = contents[FLAT_KEY]
            out |= {
                item.name: _typed(words.obj, item.btf_type, raw[item.offset : item.offset + item.size]) for item in variables
            }
            continue
        spec = next((spec for spec in words.program.maps if spec.name == name), None)
        key_type, value_type = (spec.key_btf_id, spec.value_btf_id) if spec else (0, 0)
        entries = [(key, value) for key, value in sorted(contents.items()) if any(value) or len(contents) <= 4]
        shown = [f"{_typed(words.obj, key_type, key)}: {_typed(words.obj, value_type, value)}" for key, value in entries[:8]]
        out[f"map {name}"] = "{" + ", ".join(shown) + (", .." if len(entries) > 8 else "") + "}"
    return out


def _variables(section: str, obj: Object | None) -> list[Variable]:
    return [item for item in obj.variables if item.section == section] if obj else []


def _typed(obj: Object | None, type_id: int, raw: bytes) -> str:
    if obj is None or obj.btf is None or not type_id:
        return raw.hex()
    return typed_text(obj.btf, type_id, raw)


_FEW = 8


def _items(item: State, raw: bytes) -> str:
    """A Vec, by its last items."""
    count = min(int.from_bytes(raw[:4], "little"), item.max_entries)
    starts = [VEC_ITEMS + index * stride(item) for index in range(max(0, count - _FEW), count)]
    shown = [number(item.type.args[0], raw[at : at + size_of(item.type)]) for at in starts]
    return f"{count} items [{'.., ' if count > _FEW else ''}{', '.join(shown)}]"


def number(kind: Type, raw: bytes) -> str:
    """A value as the user would write it."""
    if kind.name == "string":
        return repr(raw[1 : 1 + raw[0]].decode(errors="backslashreplace"))
    if kind.name == "Pair":
        parts = zip(offsets(kind), kind.args, strict=True)
        return "(" + ", ".join(number(part, raw[at : at + size_of(part)]) for at, part in parts) + ")"
    value = int.from_bytes(raw, "little", signed=kind == INT)
    if kind == BOOL:
        return str(bool(value)).lower()
    if kind == FLOAT:
        exact = fixed.to_fraction(value)
        return f"{float(exact):.10g}"
    return f"{value} ns" if kind == INSTANT else str(value)
