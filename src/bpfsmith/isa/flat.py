"""A flat sequence of instructions, as a suite or a loaded image has it, cut into the functions that its calls name.

program(decode(code), "name", "socket").linked() == decode(code)       but for the names that calls have got
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from bpfsmith.diagnostic import InputError
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.program import Program, Subprogram, is_subprogram_reference
from bpfsmith.isa.validate import problems


def program(insns: tuple[Insn, ...], name: str, section: str) -> Program:
    """The program that starts at the first insn; each target of a local call starts a subprogram `func_SLOT`.

    Raises InputError `malformed-bytecode` for what is no instruction and for calls that lead to none. As in the kernel
    (kernel/bpf/verifier.c: check_subprogs), a function ends where the next begins, and jumps stay inside.
    """
    found = problems(insns)
    if found:
        raise InputError(*(problem.diagnostic() for problem in found))
    starts = slot_starts(insns)
    targets = {index: starts[index] + 1 + insn.imm for index, insn in enumerate(insns) if is_subprogram_reference(insn)}
    names = {0: name} | {slot: f"func_{slot}" for slot in sorted(set(targets.values()) - {0})}
    named = [replace(insn, symbol=names[targets[index]]) if index in targets else insn for index, insn in enumerate(insns)]
    cuts = [starts.index(slot) for slot in names] + [len(insns)]
    bodies = [tuple(named[begin:end]) for begin, end in pairwise(cuts)]
    entry, *called = zip(names.values(), bodies, strict=True)
    return Program(entry[0], section, entry[1], subprograms=tuple(Subprogram(*item) for item in called))
