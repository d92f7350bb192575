"""The plug-in protocol of public test suites for the instruction set (bpf_conformance): memory and bytecode in, r0 out.

The suite's programs are not the kernel's: r1 points to the test's memory, r2 is its length, registers that nobody has set read
as zero, and all 64 bits of r0 count. Addresses are numbers, of which a program may do with as it likes, and helpers 0 to 5 are
those that uBPF's own test driver registers (vm/test.c). Everything else is the interpreter as it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

from bpfsmith.diagnostic import Diagnostic, InputError, Unsupported
from bpfsmith.execution import RunInput
from bpfsmith.ir.ops import Reg
from bpfsmith.isa import flat
from bpfsmith.isa import insn as isa
from bpfsmith.isa.asm_ubpf import CALLX
from bpfsmith.isa.encoding import decode
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import Program
from bpfsmith.semantics.concrete import INSN_BUDGET, BudgetExceeded, Fault, Machine, Observer
from bpfsmith.semantics.concrete_memory import Pointer, Region, Value
from bpfsmith.semantics.domain import CONCRETE, signed
from bpfsmith.semantics.state import Unmodelled

_SECTION = "socket"  # decides nothing here but the context, which r1 does not point to


def run_vector(bytecode: str, memory: str) -> int:
    """r0 after a run of the program on the memory, both given as hexadecimal digits with any white space.

    Raises InputError `bad-hex`, `malformed-bytecode`, `run-fault` or `run-too-long`, and Unsupported `run-not-modelled`.
    """
    code = hex_bytes(bytecode, "the program on stdin")
    if not code:
        raise InputError(
            Diagnostic("bad-hex", "there is no program on stdin", help="give the bytecode in hexadecimal digits, 16 an insn")
        )
    program = flat.program(tuple(map(_direct, decode(code))), "main", _SECTION)
    machine = _Machine(program, RunInput(), INSN_BUDGET, None)
    given = Region("memory", data=bytearray(hex_bytes(memory, "the memory")))
    machine.registers[:10] = [0] * 10
    if given.data:
        machine.registers[1:3] = [Pointer(given, 0), len(given.data)]
    try:
        if any(insn.is_wide and insn.src_reg for insn in program.linked()):
            raise Unmodelled("unmodelled-map", "an instruction that names a map, a variable or a function")
        machine.call(program.name)
        return machine.scalar(Reg(0))
    except _Unwound:
        return 0
    except Unmodelled as stopped:
        raise stopped_run(stopped, "keep to memory, the stack, numbers and helpers 0 to 5: a vector has nothing else") from None


_BY_REGISTER = 0x4000_0000
"""Helper numbers from here on stand for the number that a register holds."""


def _direct(insn: Insn) -> Insn:
    """`callx` as a call: clang has the register in dst_reg, before version 19 in imm."""
    if insn.opcode != CALLX:
        return insn
    register = insn.dst_reg or insn.imm
    if not 0 <= register <= 9:
        raise InputError(Diagnostic("malformed-bytecode", f"callx r{register}: the registers that can be called are r0 to r9"))
    return replace(insn, opcode=isa.BPF_JMP | isa.BPF_CALL, dst_reg=0, imm=_BY_REGISTER + register)


_FIRST_ADDRESS, _DISTANCE = 0x7F00_0000_0000, 1 << 20


class _Unwound(Exception):
    """Helper 5 was given 0: the run ends there."""


class _Machine(Machine):
    """The interpreter on numbers alone: a register never holds anything else, and an address says what lies there."""

    def __init__(self, program: Program, given: RunInput, budget: int, observe: Observer | None) -> None:
        super().__init__(program, given, budget, observe)
        self._regions: list[Region] = []

    def register(self, register: Reg) -> int:
        value = super().register(register)
        if isinstance(value, int):
            return value
        if not any(region is value.region for region in self._regions):
            self._regions.append(value.region)
        number = next(index for index, region in enumerate(self._regions) if region is value.region)
        return CONCRETE.const(64, _FIRST_ADDRESS + number * _DISTANCE + signed(64, value.offset))

    def _place(self, pointer: Value, offset: int, size: int) -> tuple[Region, int]:
        if isinstance(pointer, int):
            number, at = divmod(CONCRETE.const(64, pointer + offset) - _FIRST_ADDRESS, _DISTANCE)
            # The stack is addressed from its end, so what is below a region's first byte is looked for there too.
            if 0 <= number < len(self._regions) and at <= len(self._regions[number].data):
                pointer, offset = Pointer(self._regions[number], at), 0
        return super()._place(pointer, offset, size)

    def _helper(self, helper_id: int) -> bool:
        if helper_id >= _BY_REGISTER:
            helper_id = self.register(Reg(helper_id - _BY_REGISTER))
        function = _SUITE_HELPERS.get(helper_id)
        if function is None:
            raise self.unmodelled("unmodelled-helper", f"helper {helper_id} is called, and the suite's are 0 to 5")
        result = function(self, *(self._argument(number) for number in range(1, 6)))
        self.registers[0] = CONCRETE.const(64, result)
        return False

    def _argument(self, number: int) -> int:
        return 0 if self.registers[number] is None else self.register(Reg(number))


def _gather_bytes(machine: _Machine, *values: int) -> int:
    return int.from_bytes(bytes(value & 0xFF for value in values), "big")


def _memfrob(machine: _Machine, start: int, count: int, *_: int) -> int:
    for at in range(count):
        machine.store(start, at, 1, machine.read(start + at, 1)[0] ^ 42)
    return 0


def _trash_registers(machine: _Machine, *_: int) -> int:
    machine.registers[1:6] = [0xF1, 0xF2, 0xF3, 0xF4, 0xF5]
    return 0xF0


def _square_root(machine: _Machine, value: int, *_: int) -> int:
    return math.isqrt(value & 0xFFFFFFFF)


def _compare_strings(machine: _Machine, left: int, right: int, *_: int) -> int:
    for at in itertools.count():
        a, b = machine.read(left + at, 1)[0], machine.read(right + at, 1)[0]
        if a != b or not a:
            return a - b
    raise AssertionError("strings end, or memory does")


def _unwind(machine: _Machine, value: int, *_: int) -> int:
    if not value:
        raise _Unwound
    return value


_SUITE_HELPERS: dict[int, Callable[..., int]] = {
    0: _gather_bytes, 1: _memfrob, 2: _trash_registers, 3: _square_root, 4: _compare_strings, 5: _unwind,
}  # fmt: skip


def stopped_run(stopped: Unmodelled, way_out: str) -> InputError | Unsupported:
    """Why a run has no end, as what the user is told; `way_out` is the help where the interpreter lacks a meaning."""
    match stopped:
        case Fault():
            help_text = "the kernel's verifier accepts no such program: check before the access"
            return InputError(Diagnostic("run-fault", f"the run faults at {stopped.detail}", help=help_text))
        case BudgetExceeded():
            message = f"the run has not ended after {INSN_BUDGET:,} insns: {stopped.detail}"
            return InputError(Diagnostic("run-too-long", message, help="bound the loop, or give an input that ends it sooner"))
        case _:
            return Unsupported(
                Diagnostic(
                    "run-not-modelled",
                    f"the interpreter does not know what happens at {stopped.detail}",
                    notes=(f"gap: {stopped.gap}",),
                    help=way_out,
                )
            )


def hex_bytes(text: str, what: str) -> bytes:
    """Hexadecimal digits with any white space as bytes; a leading 0x does no harm. Raises InputError `bad-hex`."""
    digits = "".join(text.split())
    try:
        return bytes.fromhex(digits.removeprefix("0x").removeprefix("0X"))
    except ValueError:
        wrong = next((char for char in digits.removeprefix("0x") if char not in "0123456789abcdefABCDEF"), None)
        reason = f"{wrong!r} is no hexadecimal digit" if wrong else f"{len(digits)} digits are not whole bytes"
        raise InputError(
            Diagnostic(
                "bad-hex", f"{what} is not given in hexadecimal: {reason}", help="write two digits a byte: `b7000000 2a000000`"
            )
        ) from None
