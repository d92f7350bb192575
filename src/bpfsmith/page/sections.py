"""What the report of any command has, as sections of its page: made from the envelope that JSON prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bpfsmith.diagnostic import Diagnostic
from bpfsmith.packet.decode import decode, describe
from bpfsmith.page.model import Bar, Chart, Example, Findings, Headers, Items, Outcome, Section, Table
from bpfsmith.render import diagnostic_text
from bpfsmith.report import ProgramReport, Report

_BYTES_A_ROW = 16


def number(value: float | None) -> str:
    """Three digits that count; a dash for what is not known."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def urgent(report: Report) -> Iterator[Section]:
    """What is to be read first where there is any: the counterexample, why it is unknown, diagnostics."""
    if report.counterexample is not None:
        yield example(report.counterexample)
    if report.unknown:
        yield Items("Why it is unknown", (report.unknown,))
    if report.diagnostics:
        yield findings(report.diagnostics)


def proof(report: Report) -> Iterator[Section]:
    """What a proof takes for granted, and how it went."""
    if report.assumptions:
        note = "What is proved holds where these hold; nothing here checked them."
        yield Items("Assumptions", tuple(report.assumptions), note)
    if report.evidence:
        yield Items("How each observable was decided", tuple(report.evidence))


def findings(diagnostics: Iterable[Diagnostic]) -> Findings:
    return Findings("Diagnostics", tuple((str(item.severity), item.id, diagnostic_text(item)) for item in diagnostics))


# --- the counterexample -----------------------------------------------------------------------------------------------
def example(found: Mapping[str, Any]) -> Example:
    """A counterexample in its JSON form: the input, and what either side made of it."""
    packet = bytes.fromhex(found["packet"])
    state = dict(found["state"])
    inputs = [
        *state.items(),
        *((f"{item['helper']}() call {at + 1}", f"{item['value']:#x}") for at, item in enumerate(found["helper_results"])),
        *((f"ctx->{name}", f"{value:#x}") for name, value in found["ctx"].items()),
    ]
    traces = found.get("traces") or {}
    common_lines = int(traces.get("common_lines", 0))
    sides = []
    for title, key, side in (("Expected (reference)", "expected", "reference"), ("Actual (candidate)", "actual", "candidate")):
        run = found[key]
        changed = [(name, value, state.get(name, "")) for name, value in run["state"].items()]
        after = bytes.fromhex(run["packet"])
        trace = tuple((line["place"], line["text"], at >= common_lines) for at, line in enumerate(traces.get(side, ())))
        sides.append(
            Outcome(
                title,
                run["action"],
                tuple((name, value, "" if old == value else old) for name, value, old in changed),
                headers(after, packet) if after != packet else (),
                trace,
            )
        )
    replayed = ", ".join(found["replayed_on"])
    note = f"Replayed on {replayed}." if replayed else "Not replayed: there is no bpf(2) here."
    return Example(
        "Counterexample", found["observable"], tuple(inputs), headers(packet), tuple(sides), tuple(found["notes"]), note
    )


def headers(packet: bytes, before: bytes | None = None) -> tuple[Headers, ...]:
    """A packet in rows of up to 16 bytes, each header with what it says; with `before`, bytes that are other than there."""
    out = []
    for layer in decode(packet):
        text = f"{layer.name}  {describe(layer, packet)}"
        for at in range(layer.offset, layer.offset + layer.size, _BYTES_A_ROW):
            data = packet[at : min(at + _BYTES_A_ROW, layer.offset + layer.size)]
            changed = {i for i in range(len(data)) if before is not None and before[at + i : at + i + 1] != data[i : i + 1]}
            out.append(Headers(at, data, text, frozenset(changed)))
            text = ""
    return tuple(out)


# --- counts and times -------------------------------------------------------------------------------------------------
_COUNTS = (
    ("insns", "instructions", "in the object"),
    ("xlated_slots", "slots", "after the verifier, 8 bytes each"),
    ("jited_bytes", "bytes", "of machine code"),
    ("processed_insns", "instructions", "processed by the verifier"),
)


def counts(pairs: Sequence[tuple[ProgramReport, ProgramReport | None]]) -> Iterator[Chart]:
    """Sizes of programs: as they are, or before and after."""
    for name, unit, words in _COUNTS:
        bars = []
        for after, before in pairs:
            old = getattr(before, name) if before is not None else None
            new = getattr(after, name)
            if old is not None:
                bars.append(Bar("before", old, number(old), group=after.name))
            if new is not None:
                saved = f"{number(new)} ({100 * (new - old) / old:+.1f} %)" if old else number(new)
                bars.append(Bar("after" if before is not None else after.name, new, saved, group=after.name if before else ""))
        if bars:
            yield Chart(f"{unit.capitalize()} {words}", unit, tuple(bars))


def times(pairs: Sequence[tuple[ProgramReport, ProgramReport | None]]) -> Iterator[Chart]:
    """Time of a run with its spread, the floor marked."""
    bars = []
    for after, before in pairs:
        for label, item in (("before", before), ("after" if before is not None else after.name, after)):
            if item is None or item.run_ns is None:
                continue
            floor = item.floor_ns if item.floor_ns is not None else after.floor_ns
            spread = item.run_spread_ns or 0
            above = f", {number(item.run_ns - floor)} above the floor" if floor is not None else ""
            text = f"{number(item.run_ns)} ns{above}, spread {number(spread)}"
            group = after.name if before is not None else ""
            bars.append(Bar(label, item.run_ns, text, item.run_ns, item.run_ns + spread, floor, group=group))
    if bars:
        note = (
            "The least mean of many rounds; the line behind a bar reaches as far as other rounds did. "
            "The floor is an empty program, measured in the same rounds."
        )
        yield Chart("Time of a run", "ns", tuple(bars), note)


_COLUMNS = (
    ("name", "program"), ("section", "section"), ("kernel", "kernel"), ("cpu", "-mcpu"), ("verdict", "verdict"),
    ("insns", "#insns"), ("xlated_slots", "#xlated slots"), ("jited_bytes", "#JITed bytes"), ("jited_insns", "#JITed insns"),
    ("processed_insns", "#processed"), ("states", "#states"), ("stack_depth", "#stack"), ("load_ms", "#load ms"),
    ("run_ns", "#run ns"), ("floor_ns", "#floor ns"), ("runs", "#runs"), ("reason", "reason"),
)  # fmt: skip


def programs(reports: Sequence[ProgramReport], title: str = "Programs") -> Iterator[Table]:
    """The programs as a table with the columns that have something in them."""
    shown = [(name, head) for name, head in _COLUMNS if any(getattr(item, name) not in (None, "") for item in reports)]
    if reports:
        rows = tuple(tuple(_cell(getattr(item, name)) for name, _ in shown) for item in reports)
        yield Table(title, tuple(head for _, head in shown), rows)


def _cell(value: object) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value or "-")
