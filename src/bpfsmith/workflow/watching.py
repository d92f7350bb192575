"""What is to be seen of a run on the interpreter: where it is, values in words, and the helpers it called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bpfsmith.ir import ops
from bpfsmith.ir.ops import Reg
from bpfsmith.isa.disasm import disassemble
from bpfsmith.isa.helper import Helper
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.isa.tables import HELPERS
from bpfsmith.semantics.concrete import STACK_BYTES, Machine
from bpfsmith.semantics.concrete_memory import Pointer, Value
from bpfsmith.semantics.domain import signed
from bpfsmith.semantics.state import Unmodelled

_MAP_HELPERS = (1, 2, 3)  # lookup, update, delete: what they are pointed at are the map's keys and values


@dataclass(frozen=True, slots=True)
class Place:
    """One instruction of a linked program. `slot` is the number that `disasm` and the verifier's log give it."""

    function: str
    insn_idx: int
    slot: int
    insn: Insn

    @property
    def line(self) -> tuple[str, int] | None:
        """File and number of the source line, None where nobody knows."""
        return (self.insn.span.path, self.insn.span.line) if self.insn.span else None

    @property
    def text(self) -> str:
        return f"{self.slot:4}: {disassemble(self.insn)}"


@dataclass(frozen=True, slots=True)
class Call:
    """A helper call that was made: arguments and result in words, `result` None where the helper has none."""

    helper: str
    arguments: Mapping[str, str]
    result: str | None
    slot: int

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.helper}({given})" + ("" if self.result is None else f" = {self.result}")


class Code:
    """The places of a program, in the order of `Program.linked`."""

    def __init__(self, program: Program) -> None:
        bodies = {program.name: program.insns} | {sub.name: sub.insns for sub in program.subprograms}
        self._places: dict[str, tuple[Place, ...]] = {}
        start = 0
        for name, insns in bodies.items():
            starts = [start + slot for slot in slot_starts(insns)]
            self._places[name] = tuple(
                Place(name, index, slot, insn) for index, (slot, insn) in enumerate(zip(starts, insns, strict=False))
            )
            start = starts[-1]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        return tuple(place for places in self._places.values() for place in places)

    def at(self, machine: Machine) -> Place | None:
        """The instruction that comes next; None behind the last of a function."""
        places = self._places[machine.function]
        return places[machine.insn_idx] if machine.insn_idx < len(places) else None


class Recorder:
    """Watches a run: `calls` are the helper calls in their order, `executed` counts instructions, `place` is the last one."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.calls: list[Call] = []
        self.executed = 0
        self.place: Place | None = None
        self._pending: tuple[Helper, dict[str, str], int] | None = None

    def __call__(self, machine: Machine) -> None:
        if self._pending is not None:  # r0 holds the result now
            helper, arguments, slot = self._pending
            result = None if helper.returns == "void" else value_text(machine.registers[0])
            self.calls.append(Call(helper.name, arguments, result, slot))
            self._pending = None
        place = self.code.at(machine)
        if place is None:
            return
        self.executed += 1
        self.place = place
        op = machine.functions[place.function][place.insn_idx]
        if isinstance(op, ops.CallHelper) and op.helper_id in HELPERS:
            self._pending = HELPERS[op.helper_id], _arguments(machine, op.helper_id), place.slot


def _arguments(machine: Machine, helper_id: int) -> dict[str, str]:
    """The arguments by the names that the kernel's header has for them; keys and values of maps as bytes."""
    found: dict[str, str] = {}
    for number, arg in enumerate(HELPERS[helper_id].args, 1):
        value = machine.registers[number]
        found[arg.name] = value_text(value).removeprefix("map ")
        if helper_id in _MAP_HELPERS and arg.name in ("key", "value") and isinstance(value, Pointer):
            try:
                spec = machine.map_argument().spec
                size = spec.key_size if arg.name == "key" else spec.value_size
                found[arg.name] = machine.read(machine.register(Reg(number)), size).hex()
            except Unmodelled:
                continue  # the call itself fails for the same reason, and says it better
    return found


def value_text(value: Value | None) -> str:
    """A register in words: a number, `packet+14`, `fp-8`, `map counts`, or `unset`."""
    match value:
        case None:
            return "unset"
        case int():
            return f"{value:#x}"
        case Pointer(region, offset):
            distance = signed(64, offset)
            match region.kind:
                case "stack":
                    return f"fp{distance - STACK_BYTES:+d}" if distance != STACK_BYTES else "fp"
                case "map":
                    return f"map {region.name}"
                case "data":
                    where = region.name
                case "value":
                    where = f"value of {region.name}"
                case kind:
                    where = kind
            return f"{where}{distance:+d}" if distance else where


def registers_text(machine: Machine) -> dict[str, str]:
    """Every register that holds something."""
    return {f"r{number}": value_text(value) for number, value in enumerate(machine.registers) if value is not None}
