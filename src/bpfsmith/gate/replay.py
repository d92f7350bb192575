"""Runs a candidate on a counterexample's input, so that nobody is shown a difference that was not seen to happen.

What a helper returns cannot be chosen in the kernel, so the calls of nondeterministic helpers are replaced by calls of a small
subprogram that hands out the counterexample's values one after the other from a map. Everything else runs as it is: the
kernel's own verifier, JIT and maps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from bpfsmith.diagnostic import KernelError
from bpfsmith.execution import Counterexample, MapContents, RunInput, RunOutput
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import MapSpec, Program, Subprogram
from bpfsmith.isa.progtype import for_section
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.kernel import load as kernel_load
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.kernel.probe import Available, can_bpf, kernel_release, pinned
from bpfsmith.objfile.object import Object
from bpfsmith.semantics import concrete
from bpfsmith.semantics.behaviour import DRAWS
from bpfsmith.semantics.equiv import NULL_ACCESS, NotAccepted, Replayer, Unreplayable
from bpfsmith.semantics.state import Unmodelled

SCRIPTED = {HELPER_IDS[name]: name for name in sorted(DRAWS)}
"""Helpers whose results a replay chooses, by id."""

SCRIPT_LENGTH = 64

LINK_HEADER = bytes(12) + b"\x08\x00"
"""The Ethernet header, of an IPv4 packet, that a test run takes off for hooks above the link layer."""


def kernel_replayer(program: Program, obj: Object | None = None) -> Replayer | None:
    """A replayer in this machine's kernel, or None where bpf(2) cannot be used. `obj` is where the program's BTF is."""
    if not isinstance(can_bpf(), Available):
        return None

    def replay(example: Counterexample) -> Counterexample | None:
        actual = run_in_kernel(program, obj, example.input)
        if actual is not None and for_section(program.section).name == "BPF_PROG_TYPE_SYSCALL":
            actual = replace(
                actual, packet=example.actual.packet
            )  # it has no packet: what the test run gives back means nothing
        if example.observable == NULL_ACCESS:
            rejected = (f"kernel {kernel_release()}, whose verifier rejects the candidate",)
            return replace(example, replayed_on=rejected) if actual is None else None
        if actual is None:
            raise NotAccepted("the kernel's verifier rejects the candidate")
        if not shows_difference(example, actual):
            return None
        return replace(example, replayed_on=(*example.replayed_on, f"kernel {kernel_release()}"))

    return replay


def interpreter_replayer(reference: Program | None, candidate: Program) -> Replayer:
    """A replayer on the interpreter, which can be told what helpers give and what memory holds. Both programs are run where
    there are two; a candidate alone is held against what the reference is said to do."""

    def replay(example: Counterexample) -> Counterexample | None:
        replayed_on = (*example.replayed_on, "interpreter")
        try:
            actual = concrete.run(candidate, example.input, side="candidate")
        except concrete.Fault as fault:
            if example.observable == NULL_ACCESS:
                return replace(example, replayed_on=replayed_on)
            raise Unreplayable(f"the interpreter stops: {fault.detail}") from fault
        except Unmodelled as gap:
            raise Unreplayable(f"the interpreter does not know what happens: {gap.detail}") from gap
        if reference is None:
            return replace(example, replayed_on=replayed_on) if shows_difference(example, actual) else None
        try:
            expected = concrete.run(reference, example.input, side="reference")
        except Unmodelled as gap:
            raise Unreplayable(f"the interpreter does not know what happens: {gap.detail}") from gap
        if expected == actual:
            return None
        return replace(example, expected=expected, actual=actual, replayed_on=replayed_on)

    return replay


def run_in_kernel(program: Program, obj: Object | None, given: RunInput) -> RunOutput | None:
    """One run of `program` in the kernel with `given` arranged; None when the kernel does not load it."""
    scripted, helpers = script(program)
    with open_maps(scripted, obj=obj) as maps, kernel_load.load(scripted, maps) as accepted:
        if not isinstance(accepted, Accepted):
            return None
        for name, contents in given.maps.items():
            if name in maps:
                maps.write(name, contents)
        for helper in helpers:
            values = [item.value for item in given.helper_results if item.helper == helper][:SCRIPT_LENGTH]
            packed = struct.pack(f"<{1 + SCRIPT_LENGTH}Q", 0, *values, *[0] * (SCRIPT_LENGTH - len(values)))
            maps.write(_map_name(helper), {b"\0\0\0\0": packed})
        header = LINK_HEADER[: testrun.header_bytes(accepted.program_type)]
        try:
            with pinned(0):
                done = testrun.run(accepted, header + given.packet)
        except KernelError as error:
            raise Unreplayable(error.diagnostics[0].message) from error
        return RunOutput(done.retval, done.data[len(header) :], dict(_after(maps, given)), _calls(maps, helpers))


def _after(maps: MapSet, given: RunInput) -> Iterator[tuple[str, MapContents]]:
    for name in given.maps:
        if name in maps:
            yield name, maps.read(name)


def _calls(maps: MapSet, helpers: list[str]) -> dict[str, int]:
    return {helper: int.from_bytes(maps.read(_map_name(helper))[b"\0\0\0\0"][:8], "little") for helper in helpers}


def shows_difference(example: Counterexample, actual: RunOutput) -> bool:
    """Does what was seen agree with what the prover says of the candidate?"""
    wanted = example.actual
    if actual.return_value != wanted.return_value & 0xFFFFFFFF or actual.packet != wanted.packet:
        return False
    if any(actual.calls.get(name, count) != count for name, count in wanted.calls.items()):
        return False
    return all(dict(actual.maps[name]) == dict(contents) for name, contents in wanted.maps.items() if name in actual.maps)


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
        maps.append(MapSpec(_map_name(helper), "BPF_MAP_TYPE_ARRAY", 4, 8 * (1 + SCRIPT_LENGTH), 1))
    return replace(program, insns=insns, subprograms=tuple(subprograms), maps=tuple(maps)), list(used)


def _is_helper_call(insn: Insn) -> bool:
    return insn.opcode == isa.BPF_JMP | isa.BPF_CALL and insn.src_reg == 0


def _function_name(helper: str) -> str:
    return f"scripted_{helper}"


def _map_name(helper: str) -> str:
    return f".script.{helper.removeprefix('bpf_')}"


def _next_value(helper: str) -> tuple[Insn, ...]:
    """u64 next(void): the counter stands at 0 of the map's value, the values behind it; past the end it gives 0."""
    ldx = isa.BPF_LDX | isa.BPF_MEM | isa.BPF_DW
    alu = isa.BPF_ALU64
    return (
        Insn(isa.LD_IMM64, 1, isa.BPF_PSEUDO_MAP_VALUE, symbol=_map_name(helper)),
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
