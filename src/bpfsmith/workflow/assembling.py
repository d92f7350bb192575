"""`asm`: text to bytecode, in the kernel's syntax or in that of public test vectors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bpfsmith.appnet.parse import decode, read_source
from bpfsmith.isa.encoding import SLOT_BYTES, encode
from bpfsmith.isa.program import Program
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.source import SourceText
from bpfsmith.workflow.inputs import BytecodeInput, Toolchain, open_bytecode, split_program

STDIN = "-"


def assembled(path: str, dialect: str) -> tuple[Program, ...]:
    """The programs of a file, or of stdin for `-`; a file of test-vector text is one program.

    In the kernel's dialect any other input that holds bytecode will do. Raises InputError and Unsupported.
    """
    file, wanted = (path, None) if path == STDIN else split_program(path)
    if dialect == "ubpf":
        # here, as `inputs` does: the tables take time that other inputs need not pay
        from bpfsmith.isa.asm_ubpf import assemble as assemble_vector

        source = _source(file)
        name = "stdin" if file == STDIN else Path(file).stem
        opened = BytecodeInput(file, (Program(name, "socket", assemble_vector(source.text, source.path)),), None)
    elif file == STDIN:
        from bpfsmith.isa.asm import assemble

        source = _source(file)
        opened = BytecodeInput(source.path, assemble(source.text, source.path), None)
    else:
        opened = open_bytecode(file, Toolchain())
    return opened.programs if wanted is None else (opened.only(wanted),)


def _source(path: str) -> SourceText:
    if path != STDIN:
        return read_source(path)
    return decode("<stdin>", sys.stdin.buffer.read() if sys.stdin else b"")  # None where it was closed


def bytecode(programs: Sequence[Program], path: str) -> bytes:
    """The bytes of the one program there is; InputError `ambiguous-program` where there are more."""
    return encode(BytecodeInput(path, tuple(programs), None).only(None).linked())


def slots_in_hex(code: bytes) -> list[str]:
    """A line for each slot: its 8 bytes."""
    return [code[at : at + SLOT_BYTES].hex(" ") for at in range(0, len(code), SLOT_BYTES)]


def asm_report(programs: Sequence[Program]) -> Report:
    """The programs as the envelope that JSON prints, `bytecode` in hex by program name."""
    reports = tuple(ProgramReport(program.name, program.section, len(program.linked())) for program in programs)
    code = {program.name: encode(program.linked()).hex() for program in programs}
    return Report("asm", Outcome.DONE, programs=reports, details={"bytecode": code})
