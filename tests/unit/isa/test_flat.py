"""A flat sequence of instructions becomes a program with its functions, and goes back."""

from __future__ import annotations

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.isa import flat
from bpfsmith.isa.asm import assemble_insns
from bpfsmith.isa.encoding import encode

TEXT = """
        r1 = 0x1 ll
        call pc+4
        call pc+1
        exit
        r0 = 1
        exit
        call pc-3
        exit
"""


def test_each_target_of_a_call_starts_a_function() -> None:
    program = flat.program(assemble_insns(TEXT), "main", "socket")
    assert [(sub.name, len(sub.insns)) for sub in program.subprograms] == [("func_5", 2), ("func_7", 2)]
    assert [insn.symbol for insn in program.insns] == [None, "func_7", "func_5", None]


def test_linking_gives_the_same_bytes_again() -> None:
    """Law: `linked` undoes what `flat.program` does."""
    insns = assemble_insns(TEXT)
    assert encode(flat.program(insns, "main", "socket").linked()) == encode(insns)


def test_a_program_may_call_itself() -> None:
    program = flat.program(assemble_insns("call pc-1\nexit"), "main", "socket")
    assert (program.insns[0].symbol, program.subprograms) == ("main", ())


@pytest.mark.parametrize(
    "text", ["call pc+5\nexit", "call pc+1\nexit\n r1 = 0x1 ll\ncall pc-2\nexit", "r0 = 1", ".insn opcode=0\nexit"]
)
def test_what_is_not_well_formed_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        flat.program(assemble_insns(text), "main", "socket")
    assert {item.id for item in caught.value.diagnostics} == {"malformed-bytecode"}
