"""What the maps of a probe program hold, as numbers and strings again."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.execution import MapContents
from bpfsmith.trace.language.syntax import Kind
from bpfsmith.trace.language.tables import Column, Record, Table, layout

Cell = int | str


@dataclass(frozen=True, slots=True)
class Slot:
    """A part of a histogram: values from `low` up to, and not including, `high`; None is without end."""

    low: int | None
    high: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a table. `value` is a number (None: nothing was seen yet), or the slots that are not empty with the empty
    ones between them."""

    key: tuple[Cell, ...]
    value: int | tuple[Slot, ...] | None


def rows(table: Table, contents: MapContents, cpus: int) -> list[Row]:
    """The entries of a table, those of all CPUs taken together, in order of their keys."""
    found = [Row(_columns(table.keys, key), _value(table, list(_copies(table, raw, cpus)))) for key, raw in contents.items()]
    kept = [row for row in found if row.value not in (None, 0, ())]
    return sorted(kept, key=lambda row: tuple((isinstance(cell, str), cell) for cell in row.key))


def _copies(table: Table, raw: bytes, cpus: int) -> Iterator[tuple[int, ...]]:
    size = 8 * table.slots
    for cpu in range(cpus):
        yield struct.unpack_from(f"<{table.slots}q", raw, cpu * size)


def _value(table: Table, copies: list[tuple[int, ...]]) -> int | tuple[Slot, ...] | None:
    match table.kind:
        case Kind.COUNT | Kind.SUM:
            return sum(copy[0] for copy in copies)
        case Kind.MIN | Kind.MAX:
            seen = [copy[1] for copy in copies if copy[0]]
            return (min(seen) if table.kind is Kind.MIN else max(seen)) if seen else None
        case Kind.HIST | Kind.LHIST:
            counts = [sum(copy[index] for copy in copies) for index in range(table.slots)]
            used = [index for index, count in enumerate(counts) if count]
            if not used:
                return ()
            return tuple(Slot(*bounds(table, index), counts[index]) for index in range(used[0], used[-1] + 1))


def bounds(table: Table, slot: int) -> tuple[int | None, int | None]:
    """The values that fall into a slot: from the first up to, and not including, the second."""
    if table.kind is Kind.HIST:
        return (None, 0) if slot == 0 else (0, 1) if slot == 1 else (1 << slot - 2, 1 << slot - 1)
    if slot == 0:
        return None, table.low
    start = table.low + (slot - 1) * table.step
    return start, start + table.step if slot < table.slots - 1 else None


def fields(record: Record, raw: bytes) -> dict[str, Cell]:
    """The values of a record by their labels."""
    return dict(zip((column.label for column in record.columns), _columns(record.columns, raw, 8), strict=True))


def _columns(columns: tuple[Column, ...], raw: bytes, start: int = 0) -> tuple[Cell, ...]:
    places, _ = layout(columns, start)
    return tuple(
        raw[at : at + column.size].partition(b"\0")[0].decode("utf-8", "replace")
        if column.kind == "string"
        else int.from_bytes(raw[at : at + 8], "little", signed=True)
        for column, at in zip(columns, places, strict=True)
    )


def stack(contents: MapContents, number: int) -> tuple[int, ...]:
    """The addresses of a stack by its id, innermost first; empty for an id that is an error."""
    raw = contents.get(number.to_bytes(4, "little")) if number >= 0 else None
    return tuple(word for (word,) in struct.iter_unpack("<Q", raw) if word) if raw else ()
