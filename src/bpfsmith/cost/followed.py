"""The path of one run, step by step: the interpreter goes it, and what it passes is written down.

Where a packet and the contents of all maps are known, this says more than `paths`: every branch is decided.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from bpfsmith.cost.path_state import Path
from bpfsmith.cost.steps import ARGUMENTS, Address, Call, Step
from bpfsmith.execution import HelperResult, MapContents, RunInput, World
from bpfsmith.ir import ops
from bpfsmith.ir.cfg import BPF_TAIL_CALL
from bpfsmith.ir.ops import Op
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.isa.tables import HELPER_IDS, HELPERS
from bpfsmith.kernel.testrun import header_bytes
from bpfsmith.semantics import concrete
from bpfsmith.semantics.concrete import Machine
from bpfsmith.semantics.concrete_memory import HashMap, Pointer, ReadMap, Value
from bpfsmith.semantics.domain import signed
from bpfsmith.semantics.state import Unmodelled

_REDIRECTED = {"BPF_PROG_TYPE_XDP": 4, "BPF_PROG_TYPE_SCHED_CLS": 7}  # XDP_REDIRECT, TC_ACT_REDIRECT
_DELETE = HELPER_IDS["bpf_map_delete_elem"]
_MOST_STEPS = 100_000
_CLOCKS = ("bpf_ktime_get_ns", "bpf_ktime_get_boot_ns", "bpf_ktime_get_coarse_ns")
_DRAWS = 16
_GOLDEN = 0x9E3779B9  # draws that are spread evenly (Knuth, The Art of Computer Programming, 6.4)


def run_input(program: Program, packet: bytes, maps: Mapping[str, MapContents]) -> RunInput:
    """A run now: the frame `packet`, from the Ethernet header on, and the clock and random numbers that helpers say."""
    kind = for_section(program.section)
    now = time.monotonic_ns()
    clocks = [HelperResult(name, now) for name in _CLOCKS for _ in range(_DRAWS)]
    draws = [HelperResult("bpf_get_prandom_u32", _GOLDEN * n & 0xFFFFFFFF) for n in range(1, _DRAWS + 1)]
    fields = {"protocol": int.from_bytes(packet[12:14], "little")} if kind.context_type == "struct __sk_buff" else {}
    redirected = _REDIRECTED.get(kind.name, 0)
    world: World = {
        (helper.name, (n,)): redirected for helper in HELPERS.values() if "redirect" in helper.name for n in range(_DRAWS)
    }
    return RunInput(packet[header_bytes(kind) :], fields, maps, (*clocks, *draws), world)


def followed(program: Program, given: RunInput) -> Path | None:
    """What a run on this input passes; None where the interpreter cannot go it to its end."""
    taken = _Steps()
    try:
        output = concrete.run(program, given, budget=_MOST_STEPS, observe=taken)
    except Unmodelled:
        return None
    last = taken.steps[-1].op
    ends_in_tail_call = isinstance(last, ops.CallHelper) and last.helper_id == BPF_TAIL_CALL
    return Path(tuple(taken.steps), (), None if ends_in_tail_call else output.return_value, ends_in_tail_call)


class _Steps:
    """The observer of a run."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, machine: Machine) -> None:
        self._returned(machine)
        code = machine.functions[machine.function]
        if machine.insn_idx < len(code):
            op = code[machine.insn_idx]
            call = _call(machine) if isinstance(op, ops.CallHelper | ops.CallKfunc) else None
            self.steps.append(Step(machine.function, machine.insn_idx, op, _address(machine, op), call))

    def _returned(self, machine: Machine) -> None:
        """A call that has just come back has found its key, or has not."""
        if not self.steps or (call := self.steps[-1].call) is None or call.map is None:
            return
        last = self.steps[-1]
        if (machine.function, machine.insn_idx) == (last.function, last.insn_idx + 1):
            deletes = (
                isinstance(last.op, ops.CallHelper) and last.op.helper_id == _DELETE
            )  # 0 where it was there; others: a pointer
            self.steps[-1] = replace(last, call=replace(call, found=(machine.registers[0] == 0) == deletes))


def _address(machine: Machine, op: Op) -> Address | None:
    match op:
        case ops.Load(base=base, offset=offset) | ops.Store(base=base, offset=offset) | ops.Atomic(base=base, offset=offset):
            return _place(machine.registers[base], offset)
        case _:
            return None


def _place(value: Value | None, offset: int = 0) -> Address | None:
    if not isinstance(value, Pointer):
        return None
    return value.region.kind, id(value.region), signed(64, value.offset) + offset


def _call(machine: Machine) -> Call:
    arguments = machine.registers[1 : ARGUMENTS + 1]
    named = next((item.region.name for item in arguments if isinstance(item, Pointer) and item.region.kind == "map"), None)
    held = machine.maps.get(named or "")
    empty = isinstance(held, HashMap | ReadMap) and not held.entries()
    return Call(named, tuple(item if isinstance(item, int) else None for item in arguments), None, _place(arguments[1]), empty)
