"""Programs whose nondeterministic helpers give what a list says.

What a helper returns cannot be chosen in the kernel, so the calls are replaced by calls of a small subprogram that hands out
values one after the other from a map. Everything else runs as it is: the kernel's own verifier, JIT and maps.
"""

from __future__ import annotations

from dataclasses import replace

from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import MapSpec, Program, Subprogram
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.semantics.behaviour import DRAWS

SCRIPTED = {HELPER_IDS[name]: name for name in sorted(DRAWS)}
"""Helpers whose results a script chooses, by id."""

SCRIPT_LENGTH = 64


def script(program: Program) -> tuple[Program, list[str]]:
    """The program with its nondeterministic helpers replaced, and the names of those that were."""
    used: dict[str, None] = {}

    def rewrite(insns: tuple[Insn, ...]) -> tuple[Insn, ...]:
        out = []
        for insn in insns:
            helper = SCRIPTED.get(insn.imm) if _is_helper_call(insn) else None
            if helper is not None:
                used[helper] = None
                insn = replace(insn, src_reg=isa.BPF_PSEUDO_CALL, symbol=_function_name(helper))
            out.append(insn)
        return tuple(out)

    insns = rewrite(program.insns)
    subprograms = [replace(sub, insns=rewrite(sub.insns)) for sub in program.subprograms]
    maps = list(program.maps)
    for helper in used:
        subprograms.append(Subprogram(_function_name(helper), _next_value(helper)))
        maps.append(MapSpec(map_name(helper), "BPF_MAP_TYPE_ARRAY", 4, 8 * (1 + SCRIPT_LENGTH), 1))
    return replace(program, insns=insns, subprograms=tuple(subprograms), maps=tuple(maps)), list(used)


def _is_helper_call(insn: Insn) -> bool:
    return insn.opcode == isa.BPF_JMP | isa.BPF_CALL and insn.src_reg == 0


def _function_name(helper: str) -> str:
    return f"scripted_{helper}"


def map_name(helper: str) -> str:
    return f".script.{helper.removeprefix('bpf_')}"


def _next_value(helper: str) -> tuple[Insn, ...]:
    """u64 next(void): the counter stands at 0 of the map's value, the values behind it; past the end it gives 0."""
    ldx = isa.BPF_LDX | isa.BPF_MEM | isa.BPF_DW
    alu = isa.BPF_ALU64
    return (
        Insn(isa.LD_IMM64, 1, isa.BPF_PSEUDO_MAP_VALUE, symbol=map_name(helper)),
        Insn(ldx, 2, 1),
        Insn(alu | isa.BPF_MOV | isa.BPF_X, 3, 2),
        Insn(alu | isa.BPF_ADD | isa.BPF_K, 3, imm=1),
        Insn(isa.BPF_STX | isa.BPF_MEM | isa.BPF_DW, 1, 3),
        Insn(alu | isa.BPF_MOV | isa.BPF_K, 0, imm=0),
        Insn(isa.BPF_JMP | isa.BPF_JGT | isa.BPF_K, 2, offset=3, imm=SCRIPT_LENGTH - 1),
        Insn(alu | isa.BPF_LSH | isa.BPF_K, 2, imm=3),
        Insn(alu | isa.BPF_ADD | isa.BPF_X, 1, 2),
        Insn(ldx, 0, 1, offset=8),
        Insn(isa.BPF_JMP | isa.BPF_EXIT),
    )
