"""What helpers were given and gave, in words: the part of a counterexample that lies outside packet, maps and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bpfsmith.execution import CallRecord, RunInput, RunOutput, World
from bpfsmith.isa.tables import HELPER_IDS, HELPERS
from bpfsmith.packet.decode import hexdump
from bpfsmith.semantics.behaviour import DRAWS

MOST_LINES = 12
"""How much is shown of what a run was told; JSON has all of it."""


class _Told(NamedTuple):
    """Something that a run is told: what it is of, and either a number or bytes at offsets."""

    of: str
    number: int | None
    memory: Mapping[int, int]


# --- what a run is told -----------------------------------------------------------------------------------------------
def world_lines(given: RunInput) -> list[str]:
    """Results of helpers and memory that the difference depends on, one line each."""
    lines = [_told_text(item) for item in _told(given.world)]
    rest = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"and {rest} more (--output-format json has them)"] if rest > 0 else lines


def world_json(world: World) -> list[dict[str, object]]:
    """Everything that a run is told, by the names that it asks for it."""
    return [
        {"name": name, "arguments": list(arguments), "value": value}
        for (name, arguments), value in sorted(world.items(), key=repr)
    ]


def _told(world: World) -> list[_Told]:
    numbers: dict[str, int] = {}
    memory: dict[str, dict[int, int]] = {}
    for (name, arguments), value in sorted(world.items(), key=repr):
        if name.startswith("stack:") and arguments:
            side = name.removeprefix("stack:").partition(".")[0]
            memory.setdefault(f"what was left on the stack of the {side}", {})[_signed(arguments[0])] = value
        elif name == "kernel" and arguments:
            memory.setdefault("memory of the kernel", {})[arguments[0]] = value
        elif name.startswith("bpf_") and name not in DRAWS:
            _of_call(name, arguments, value, numbers, memory)
    told = [_Told(of, number, {}) for of, number in numbers.items()]
    return sorted([*told, *(_Told(of, None, places) for of, places in memory.items())])


def _of_call(
    name: str, arguments: tuple[int, ...], value: int, numbers: dict[str, int], memory: dict[str, dict[int, int]]
) -> None:
    """`bpf_x` is a result, `bpf_x.2+8` and `bpf_x.2.8` are bytes that argument 2 is filled with, `bpf_x.given` is yes or no."""
    call, _, part = name.partition(".")
    # The nth call of what changes from call to call; what stays the same for a run has its arguments there, or nothing.
    call += f" (call {arguments[0] + 1})" if len(arguments) == 1 and arguments[0] < 1 << 16 else ""
    argument, sign, at = part.replace("+", ".").partition(".")
    if argument.isdigit() and at.isdigit():
        places = memory.setdefault(f"{call} fills its argument {argument}", {})
        width = 8 if "+" in part else 1
        places.update(
            {int(at) + i: byte for i, byte in enumerate(value.to_bytes(max(width, (value.bit_length() + 7) // 8), "little"))}
        )
    elif not part:
        numbers[f"{call} returns"] = value
    elif not sign:
        numbers[f"{call}: {part}"] = value


def _signed(offset: int) -> int:
    return offset - (1 << 64) if offset >> 63 else offset


def _told_text(told: _Told) -> str:
    if told.number is not None:
        return f"{told.of} {told.number:#x}"
    places = sorted(told.memory)
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return f"{told.of}: " + ", ".join(f"{bytes(told.memory[at] for at in run).hex(' ')} at {run[0]:#x}" for run in runs[:4])


# --- what a run did ---------------------------------------------------------------------------------------------------
def record_lines(run: RunOutput, other: RunOutput) -> list[str]:
    """The calls of a run that the other run does not make alike, and what else only an interpreter can see."""
    lines: list[str] = []
    for at, record in enumerate(run.records):
        beside = other.records[at] if at < len(other.records) else None
        if record != beside:
            lines += [f"call {at + 1}: {call_text(record)}", *_seen(record, beside)]
    if len(run.records) < len(other.records):
        lines.append(f"makes {len(run.records)} such calls")
    if run.context != other.context:
        lines.append(f"leaves in the context {_places(run.context)}")
    if run.metadata != other.metadata:
        lines.append(f"leaves the metadata {run.metadata.hex(' ') or 'empty'}")
    return lines


def call_text(record: CallRecord) -> str:
    """The call as C writes it: bpf_redirect(ifindex=7, flags=0). Pointers stand for what they lead to, as hex."""
    name, _, maps = record.call.partition(":")
    known = HELPERS[HELPER_IDS[name]].args if name in HELPER_IDS else ()
    shown = [maps] if maps else []
    for at, (kind, raw) in enumerate(record.arguments):
        if raw:
            label = known[at].name if at < len(known) else f"argument {at + 1}"
            shown.append(f"{label}={int.from_bytes(raw, 'little'):#x}" if kind[0] == "u" else f"{label}={{{raw.hex(' ')}}}")
    return f"{name}({', '.join(shown)})"


def _seen(record: CallRecord, beside: CallRecord | None) -> Sequence[str]:
    out = []
    if record.packet is not None and (beside is None or record.packet != beside.packet):
        out += ["  which sees the packet", *(f"  {line}" for line in hexdump(record.packet).splitlines())]
    if record.context and (beside is None or record.context != beside.context):
        out.append(f"  which sees in the context {_places(record.context)}")
    return out


def _places(memory: Mapping[int, int]) -> str:
    return ", ".join(f"{value:#04x} at byte {at}" for at, value in sorted(memory.items())) or "nothing changed"


def records_json(records: Sequence[CallRecord]) -> list[dict[str, object]]:
    return [
        {
            "call": record.call,
            "arguments": [raw.hex() for _, raw in record.arguments],
            "packet": record.packet.hex() if record.packet is not None else None,
            "context": {str(at): value for at, value in sorted(record.context.items())} if record.context is not None else None,
        }
        for record in records
    ]
