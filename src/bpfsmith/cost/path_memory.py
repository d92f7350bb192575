"""What is known of memory while a path is walked: the stack, the packet, the context, data that never changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bpfsmith.cost.path_state import State, known_value, operand_of
from bpfsmith.cost.values import Names, Pointer, Unknown, Value
from bpfsmith.ir import ops
from bpfsmith.isa.context import FieldKind
from bpfsmith.isa.program import MapSpec
from bpfsmith.isa.progtype import ProgramType
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.domain import CONCRETE

EVERYWHERE = ((-(1 << 30), 1 << 30),)
"""Of a packet: any byte of it may have been written."""


@dataclass(frozen=True)
class Memory:
    """What loads and stores of a walk do to its states. `packet` is None where any may come."""

    names: Names
    packet: bytes | None
    kind: ProgramType
    specs: Mapping[str, MapSpec]

    def load(self, state: State, op: ops.Load) -> Value:
        base = state.registers[op.base]
        if not isinstance(base, Pointer):
            return self.names.fresh()
        at = None if base.offset is None else base.offset + op.offset
        match base.kind:
            case "ctx":
                return self._context(op.offset if at is None else at)
            case "stack" if at is not None:
                held = state.stack.get((base.region, at))
                return held[1] if held is not None and held[0] == op.size else self.names.fresh()
            case "packet" if at is not None and base.region is None:
                if any(start < at + op.size and at < end for start, end in state.written):
                    return self.names.fresh()
                if self.packet is not None and at + op.size <= len(self.packet):
                    value = int.from_bytes(self.packet[at : at + op.size], "little")
                    return meaning.move_signed(CONCRETE, 64, 8 * op.size, value) if op.signed else value
                return Unknown(("packet", at, op.size, op.signed))
            case "value" if at is not None:
                return self._constant(base, at, op)
            case _:
                return self.names.fresh()

    def _context(self, offset: int) -> Value:
        for item in self.kind.context:
            if item.offset == offset:
                match item.kind:
                    case FieldKind.PACKET:
                        return Pointer("packet")
                    case FieldKind.PACKET_END:
                        return Pointer("end")
                    case FieldKind.POINTER:
                        return Pointer("other", ("ctx", offset), 0, nullable=True)
                    case _:
                        return Unknown(("ctx", offset))
        return Unknown(("ctx", offset))

    def _constant(self, base: Pointer, at: int, op: ops.Load) -> Value:
        """A frozen data section holds what it will always hold."""
        name = base.region[0] if isinstance(base.region, tuple) else None
        spec = self.specs.get(str(name))
        if spec is not None and spec.frozen and spec.initial is not None and at + op.size <= len(spec.initial):
            value = int.from_bytes(spec.initial[at : at + op.size], "little")
            return meaning.move_signed(CONCRETE, 64, 8 * op.size, value) if op.signed else value
        return self.names.fresh()

    def overwritten(self, state: State, base: Pointer, offset: int, size: int) -> None:
        """What was known of these bytes holds no longer."""
        if base.kind == "packet":
            known = base.offset is not None and base.region is None
            start = (base.offset or 0) + offset
            state.written = (*state.written, (start, start + size)) if known else EVERYWHERE
        elif base.kind == "stack" and base.offset is None:
            state.stack.clear()
        elif base.kind == "stack":
            assert base.offset is not None
            at = base.offset + offset
            for near in range(at - 7, at + size):
                held = state.stack.get((base.region, near))
                if held is not None and near + held[0] > at:
                    del state.stack[(base.region, near)]

    def store(self, state: State, op: ops.Store) -> None:
        base = state.registers[op.base]
        if not isinstance(base, Pointer):
            return
        self.overwritten(state, base, op.offset, op.size)
        if base.kind != "stack" or base.offset is None:
            return
        at = base.offset + op.offset
        value = known_value(state, operand_of(state, op.src))
        if isinstance(value, int):
            value &= (1 << 8 * op.size) - 1
        state.stack[(base.region, at)] = (op.size, value)

    def bytes_at(self, state: State, where: Value, size: int) -> bytes | None:
        """What lies on the stack, if all of it is known."""
        if not isinstance(where, Pointer) or where.kind != "stack" or where.offset is None:
            return None
        out = bytearray()
        while len(out) < size:
            held = state.stack.get((where.region, where.offset + len(out)))
            if held is None or not isinstance(held[1], int):
                return None
            out += held[1].to_bytes(8, "little")[: held[0]]
        return bytes(out[:size])

    def given_away(self, state: State, arguments: Sequence[Value]) -> None:
        """A helper may write what it is given a pointer to: what was known of that is gone."""
        for item in arguments:
            if isinstance(item, Pointer) and item.kind == "stack":
                state.stack = {
                    key: held for key, held in state.stack.items() if key[0] != item.region or key[1] < (item.offset or 0)
                }
