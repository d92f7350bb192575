"""`trace`: a probe program compiled to its best form, proved, attached to a command, its maps read and shown."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.kernel.cache import cache_directory
from bpfsmith.kernel.maps import MapSet, possible_cpus
from bpfsmith.kernel.ringbuf import RingBuffer
from bpfsmith.kernel.symbols import addresses
from bpfsmith.objfile.object import read_object
from bpfsmith.report import Outcome, Report
from bpfsmith.semantics.verdict import Equal, Unknown, Verdict
from bpfsmith.trace import fuse as fusing
from bpfsmith.trace.forms import running_kernel
from bpfsmith.trace.language import reading
from bpfsmith.trace.language.body import EVENTS, STACKS, TARGET
from bpfsmith.trace.language.lower import Lowered, event_programs, lower
from bpfsmith.trace.language.meaning import BUDGET, proved
from bpfsmith.trace.language.parse import parse
from bpfsmith.trace.language.tables import Column, Table
from bpfsmith.trace.running import PID, Places, Waiting, attached
from bpfsmith.workflow.inputs import Toolchain, can_bpf_here, write_output

_POLL_SECONDS, _BAR = 0.05, 40
_MOST_RECORDS = 100_000


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled probe program: the object that runs, whether each program means the text, and the form of each pair."""

    lowered: Lowered
    data: bytes
    meanings: Mapping[str, str]
    forms: Mapping[str, Mapping[str, str]]


@dataclass(slots=True)
class Seen:
    """What a trace has gathered. `records` are (name, fields) in the order they came."""

    tables: dict[str, list[reading.Row]] = field(default_factory=dict)
    records: list[tuple[str, dict[str, reading.Cell]]] = field(default_factory=list)
    stacks: dict[int, tuple[int, ...]] = field(default_factory=dict)
    status: int = 0


def compiled(
    path: str,
    toolchain: Toolchain,
    *,
    fuse: bool = True,
    say: Callable[[str], None] = lambda text: None,
    inline: bool = False,
    budget: int = BUDGET,
) -> Program:
    """The program of a probe file, or of the text itself (`inline`). InputError at its place in the text."""
    lowered = lower(parse(path, "program") if inline else parse(_text(path), path))
    name = "program" if inline else Path(path).stem
    say("compiling")
    plain = toolchain.compile_generated(lowered.c_text, f"{name}.bpf.c")
    kept = _kept(plain, lowered, fuse)
    known = _known(kept)
    if known is not None:
        return Program(lowered, *known)
    say("proving that the programs mean the text")
    meanings = {
        program: _verdict_words(verdict) for program, verdict in proved(lowered, read_object(plain), budget=budget).items()
    }
    only = frozenset(fusing.MADE if fuse else ())
    made = fusing.fuse(plain, name, running_kernel(platform.release()), here=can_bpf_here(), only=only, progress=say)
    forms = {
        outcome.pair.name: {"form": str(outcome.form or "hash"), "verifier": outcome.loaded or "as it was"}
        for outcome in made.outcomes
    }
    _keep(kept, made.data, meanings, forms)
    return Program(lowered, made.data, meanings, forms)


def _kept(plain: bytes, lowered: Lowered, fuse: bool) -> Path:
    """Where the proved form of a program is kept: by the program, its text, this kernel and this version."""
    parts = (plain, repr(lowered.file).encode(), platform.release().encode(), __version__.encode(), bytes([fuse]))
    key = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:24]
    return cache_directory("probes") / f"{key}.json"


def _known(kept: Path) -> tuple[bytes, dict[str, str], dict[str, dict[str, str]]] | None:
    try:
        found = json.loads(kept.read_text())
        return bytes.fromhex(found["data"]), found["meanings"], found["forms"]
    except (OSError, ValueError, KeyError):
        return None


def _keep(kept: Path, data: bytes, meanings: Mapping[str, str], forms: Mapping[str, Mapping[str, str]]) -> None:
    """What cannot be written is proved again next time."""
    with suppress(InputError):
        write_output(str(kept), json.dumps({"data": data.hex(), "meanings": meanings, "forms": forms}).encode())


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InputError(Diagnostic("unreadable-file", f"{path} cannot be read: {reason}", help="check the path")) from error


def trace(
    program: Program,
    command: Sequence[str],
    file: str | None,
    seconds: float | None,
    shown: Callable[[Seen], None],
    *,
    quiet: bool,
) -> Seen:
    """Runs the command with the probes on it; `shown` is called with what is new every second or so, and at the end."""
    obj, seen = read_object(program.data), Seen()
    constants = {TARGET: PID} if any(item.name == TARGET for item in obj.variables) else {}
    multi = running_kernel(platform.release()).uprobe_session
    places = Places(path=file, constants=constants, everywhere=event_programs(program.lowered.file), multi=multi)
    with ExitStack() as stack:
        process = stack.enter_context(Waiting(command, quiet=quiet))
        maps = stack.enter_context(attached(obj, process, places))
        ring = stack.enter_context(RingBuffer(maps.fd(EVENTS), maps.spec(EVENTS).max_entries)) if EVENTS in maps else None
        process.go()
        started = last = time.monotonic()
        done = False
        while not done:
            done = process.wait(_POLL_SECONDS) or (seconds is not None and time.monotonic() - started > seconds)
            _take(program, ring, seen)
            if time.monotonic() - last > 1:
                _read(program, maps, seen)
                shown(seen)
                last = time.monotonic()
        _take(program, ring, seen)
        _read(program, maps, seen)
        seen.status = process.status
    return seen


def _take(program: Program, ring: RingBuffer | None, seen: Seen) -> None:
    for raw in ring.records() if ring is not None else ():
        number = int.from_bytes(raw[:8], "little")
        record = program.lowered.records[number]
        if len(seen.records) < _MOST_RECORDS:
            seen.records.append((record.name, reading.fields(record, raw)))


def _read(program: Program, maps: MapSet, seen: Seen) -> None:
    for table in program.lowered.tables:
        seen.tables[table.name] = reading.rows(table, maps.read(table.map), possible_cpus())
    if STACKS in maps:
        contents = maps.read(STACKS)
        for table in program.lowered.tables:
            for at, column in enumerate(table.keys):
                if column.kind in ("kstack", "ustack"):
                    ids = {row.key[at] for row in seen.tables[table.name]}
                    seen.stacks |= {number: reading.stack(contents, number) for number in ids if isinstance(number, int)}


# --- reports ----------------------------------------------------------------------------------------------------------
def trace_report(program: Program, seen: Seen, command: Sequence[str]) -> Report:
    """The envelope: tables, records, and how the programs were proved."""
    details: dict[str, object] = {
        "command_line": list(command),
        "status": seen.status,
        "tables": {table.name: _table_json(table, seen) for table in program.lowered.tables},
        "records": [{"record": name, **values} for name, values in seen.records],
        "meaning": dict(program.meanings),
        "forms": {name: dict(found) for name, found in program.forms.items()},
    }
    return Report("trace", Outcome.DONE, details=details)


def _verdict_words(verdict: Verdict) -> str:
    match verdict:
        case Equal():
            return "equal"
        case Unknown(gap=gap, detail=detail):
            return f"unknown ({gap}): {detail}"
        case different:
            return f"different in the {different.counterexample.observable}"


def _table_json(table: Table, seen: Seen) -> dict[str, object]:
    return {
        "kind": str(table.kind),
        "keys": [column.label for column in table.keys],
        "rows": [
            {"key": _key_json(table.keys, row.key, seen), "value": _value_json(row.value)}
            for row in seen.tables.get(table.name, ())
        ],
    }


def _key_json(columns: Sequence[Column], key: Sequence[reading.Cell], seen: Seen) -> list[object]:
    return [
        [hex(address) for address in seen.stacks.get(cell, ())]
        if column.kind in ("kstack", "ustack") and isinstance(cell, int)
        else cell
        for column, cell in zip(columns, key, strict=True)
    ]


def _value_json(value: int | tuple[reading.Slot, ...] | None) -> object:
    if isinstance(value, tuple):
        return [{"low": slot.low, "high": slot.high, "count": slot.count} for slot in value]
    return value


def proof_lines(program: Program) -> Iterator[str]:
    """One line for each program and pair."""
    for name, words in program.meanings.items():
        yield f"{name}: means the text: {words}"
    for name, found in program.forms.items():
        if found["form"] == "hash":
            yield f"{name}: a hash, as written"
        else:
            yield f"{name}: {found['form']}, proved equal; verifier: {found['verifier']}"


def seen_lines(program: Program, seen: Seen, first_record: int = 0) -> Iterator[str]:
    """Records, then tables: counts by descending value, histograms with bars."""
    for name, values in seen.records[first_record:]:
        yield f"{name}  " + "  ".join(f"{label}={value}" for label, value in values.items())
    for table in program.lowered.tables:
        found = seen.tables.get(table.name, [])
        if table.kind in ("hist", "lhist"):
            for row in found:
                yield _title(table, row, seen)
                assert isinstance(row.value, tuple)
                yield from _bars(row.value)
        else:
            yield f"{table.name}:" if table.keys else f"{table.name}: {found[0].value if found else 0}"
            ordered = sorted(found, key=lambda row: -row.value if isinstance(row.value, int) else 0)
            if table.keys:
                yield from (f"  {_key_text(table, row, seen)}: {row.value}" for row in ordered)


def _title(table: Table, row: reading.Row, seen: Seen) -> str:
    return f"{table.name} [{_key_text(table, row, seen)}]:" if table.keys else f"{table.name}:"


def _key_text(table: Table, row: reading.Row, seen: Seen) -> str:
    parts = []
    for column, cell in zip(table.keys, row.key, strict=True):
        if column.kind in ("kstack", "ustack") and isinstance(cell, int):
            frames = seen.stacks.get(cell, ())
            parts.append(" < ".join(_frame(address, column.kind) for address in frames) or "no stack")
        else:
            parts.append(str(cell))
    return ", ".join(parts)


def _frame(address: int, kind: str) -> str:
    if kind == "ustack":
        return hex(address)
    known = [(start, name) for name, start in addresses().items() if start <= address]
    return max(known)[1] if known else hex(address)


def _bars(slots: Sequence[reading.Slot]) -> Iterator[str]:
    most = max(slot.count for slot in slots)
    labels = [_range(slot) for slot in slots]
    wide, digits = max(map(len, labels)), len(str(most))
    for label, slot in zip(labels, slots, strict=True):
        bar = "#" * round(_BAR * slot.count / most)
        yield f"  {label:<{wide}}  {slot.count:>{digits}}  |{bar:<{_BAR}}|"


def _range(slot: reading.Slot) -> str:
    low = "(.." if slot.low is None else f"[{_short(slot.low)}"
    high = "..)" if slot.high is None else f"{_short(slot.high)})"
    return f"{low}, {high}"


def _short(value: int) -> str:
    for unit, letter in ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if value and value % unit == 0:
            return f"{value // unit}{letter}"
    return str(value)
