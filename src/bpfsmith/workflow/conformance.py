"""The plug-in protocol of public test suites for the instruction set (bpf_conformance): memory and bytecode in, r0 out.

The suite's programs are not the kernel's: r1 points to the test's memory, r2 is its length, registers that nobody has set read
as zero, and all 64 bits of r0 count. Everything else is the interpreter as it is.
"""

from __future__ import annotations

from bpfsmith.diagnostic import Diagnostic, InputError, Unsupported
from bpfsmith.execution import RunInput
from bpfsmith.ir import ops
from bpfsmith.ir.ops import Reg
from bpfsmith.isa import flat
from bpfsmith.isa.encoding import decode
from bpfsmith.semantics.concrete import INSN_BUDGET, BudgetExceeded, Fault, Machine
from bpfsmith.semantics.concrete_memory import Pointer, Region
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
    program = flat.program(decode(code), "main", _SECTION)
    machine = Machine(program, RunInput(), INSN_BUDGET, _refuse_helpers)
    given = Region("memory", data=bytearray(hex_bytes(memory, "the memory")))
    machine.registers[:10] = [0] * 10
    if given.data:
        machine.registers[1:3] = [Pointer(given, 0), len(given.data)]
    try:
        machine.call(program.name)
        return machine.scalar(Reg(0))
    except Unmodelled as stopped:
        raise stopped_run(stopped, "keep to memory, the stack and numbers: a vector has nothing else") from None


def _refuse_helpers(machine: Machine) -> None:
    """A suite's helpers are its own: number 5 there is not the kernel's."""
    op = machine.functions[machine.function][machine.insn_idx : machine.insn_idx + 1]
    if op and isinstance(op[0], ops.CallHelper):
        raise machine.unmodelled("unmodelled-helper", f"helper {op[0].helper_id} is called, and a conformance run has none")


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
