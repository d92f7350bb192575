"""What a run did, as lines for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bpfsmith.packet.decode import hexdump
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.workflow.debugger import Stop
from bpfsmith.workflow.describe import FLAT_KEY, action, state
from bpfsmith.workflow.trying import NotLoaded, Subject, Tried

_MOST_LINES = 16
_DRAWN = ("bpf_ktime_get_ns", "bpf_get_prandom_u32", "bpf_ktime_get_boot_ns", "bpf_ktime_get_coarse_ns")


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of a map that is other after the run; None where there is no entry."""

    map: str
    key: bytes
    before: bytes | None
    after: bytes | None


def changes(tried: Tried) -> tuple[Change, ...]:
    """The entries that changed, in the order of map names and keys."""
    if tried.output is None:
        return ()
    found: list[Change] = []
    for name in sorted(tried.output.maps):
        before, after = tried.given.maps.get(name, {}), tried.output.maps[name]
        found += [
            Change(name, key, before.get(key), after.get(key))
            for key in sorted({*before, *after})
            if before.get(key) != after.get(key)
        ]
    return tuple(found)


def try_lines(tried: Tried, concise: bool = False) -> Iterator[str]:
    """What the run did: return value, packet, state, helper calls."""
    subject, output = tried.subject, tried.output
    executed = f", {tried.executed} insn{'s' * (tried.executed != 1)} executed" if tried.executed is not None else ""
    if output is None:
        yield f"{subject.program.name} was left on the {tried.engine} before its end{executed}"
        return
    returned = action(output.return_value, subject.words)
    if concise:
        yield f"{subject.program.name} {returned}"
        return
    yield f"{subject.program.name} ({subject.program.section}) on {_engine(tried)}{executed}"
    yield f"{'returns':<12}{returned}"
    if subject.has_packet:
        yield from _packet_lines(tried.given.packet, output.packet)
    yield from _labelled("state" if subject.words.layout else "maps", _state_lines(tried), "nothing changed")
    if tried.calls is not None:
        yield from _labelled("calls", [str(call) for call in tried.calls], "no helper")
        if any(call.helper in _DRAWN for call in tried.calls):
            yield "note: the interpreter's clocks and random words are 0; --engine kernel has real ones"
    else:
        yield "note: the kernel does not say which helpers were called"
    if tried.init_ran:
        yield "note: init() has run before"


def _engine(tried: Tried) -> str:
    return "the interpreter" if tried.engine == "interpreter" else tried.engine


def _labelled(label: str, lines: Sequence[str], nothing: str) -> Iterator[str]:
    for index, line in enumerate(lines[:_MOST_LINES] or [nothing]):
        yield f"{label if index == 0 else '':<12}{line}"
    if len(lines) > _MOST_LINES:
        yield f"{'':<12}.. and {len(lines) - _MOST_LINES} more; --output-format json has all"


def _packet_lines(before: bytes, after: bytes) -> Iterator[str]:
    if before == after:
        yield f"{'packet':<12}{len(before)} bytes, unchanged"
        yield from (f"  {line}" for line in hexdump(before).splitlines())
        return
    yield f"{'packet':<12}{len(before)} bytes before"
    yield from (f"  {line}" for line in hexdump(before).splitlines())
    yield f"{'':<12}{len(after)} bytes after"
    yield from (f"  {line}" for line in hexdump(after, before).splitlines())


def _state_lines(tried: Tried) -> list[str]:
    """An AppNet program's state by its names, variables of data sections by theirs, other entries as bytes."""
    subject, output = tried.subject, tried.output
    assert output is not None
    if subject.words.layout is not None:
        before, after = state(tried.given.maps, subject.words), state(output.maps, subject.words)
        return [f"{name} = {value}  (was {before.get(name)})" for name, value in after.items() if before.get(name) != value]
    lines: list[str] = []
    for change in changes(tried):
        lines += _variables(subject, change) or [_entry(change)]
    return lines


def _variables(subject: Subject, change: Change) -> list[str]:
    """The variables that differ, where the entry is a data section whose variables are known."""
    if subject.obj is None or change.before is None or change.after is None or change.key != FLAT_KEY:
        return []
    found = []
    for item in subject.obj.variables:
        old, new = (value[item.offset : item.offset + item.size] for value in (change.before, change.after))
        if item.section == change.map and old != new:
            found.append(f"{item.name} = {_number(new)}  (was {_number(old)})")
    return found


def _number(raw: bytes) -> str:
    return str(int.from_bytes(raw, "little")) if len(raw) in (1, 2, 4, 8) else raw.hex()


def _entry(change: Change) -> str:
    place = f"{change.map}[{change.key.hex()}]"
    if change.after is None:
        return f"{place} deleted  (was {_bytes(change.before)})"
    return f"{place} = {_bytes(change.after)}  ({'new' if change.before is None else f'was {_bytes(change.before)}'})"


def _bytes(raw: bytes | None, most: int = 32) -> str:
    assert raw is not None
    return raw.hex() if len(raw) <= most else f"{raw[:most].hex()}.. ({len(raw)} bytes)"


def try_report(tried: Tried | NotLoaded, stops: Sequence[Stop] = ()) -> Report:
    """The run as the envelope that JSON prints."""
    program = tried.subject.program
    reports = (ProgramReport(program.name, program.section, len(program.linked())),)
    if isinstance(tried, NotLoaded):
        return Report("try", Outcome.REJECTED, programs=reports, diagnostics=(tried.diagnostic,))
    output, words = tried.output, tried.subject.words
    details: dict[str, object] = {"engine": tried.engine, "executed_insns": tried.executed}
    details["packet_before"] = tried.given.packet.hex() if tried.subject.has_packet else None
    if output is not None:
        details |= {
            "return_value": output.return_value,
            "action": action(output.return_value, words),
            "packet_after": output.packet.hex() if tried.subject.has_packet else None,
            "state": state(output.maps, words) if words.layout else None,
            "map_changes": [
                {"map": item.map, "key": item.key.hex(), "before": _hex(item.before), "after": _hex(item.after)}
                for item in changes(tried)
            ],
        }
    details["calls"] = tried.calls and [_call_json(item.helper, item.arguments, item.result, item.slot) for item in tried.calls]
    details["stops"] = [stop.json() for stop in stops]
    return Report("try", Outcome.DONE, programs=reports, details=details)


def _hex(raw: bytes | None) -> str | None:
    return None if raw is None else raw.hex()


def _call_json(helper: str, arguments: Mapping[str, str], result: str | None, slot: int) -> dict[str, object]:
    return {"helper": helper, "arguments": dict(arguments), "result": result, "slot": slot}
