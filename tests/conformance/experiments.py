"""For each instruction that computes, a program that runs it on edge cases, and the memory that must be there afterwards.

A program works through a data section of records, one for each trial:

     0         8         16        24                  40        48        56        64
    | r1 in   | r2 in   | r0 in   | memory operand    | r1 out  | r2 out  | r0 out  |

Operands come from memory, so that the kernel's verifier cannot compute anything beforehand. For jumps r0 out is 1 when taken.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bpfsmith.execution import RunInput, RunOutput
from bpfsmith.isa import insn as isa
from bpfsmith.isa.encoding import decode
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import MapSpec, Program
from tests.conformance.arithmetic import byte_order, compute, holds, signed
from tests.conformance.instructions import INSTRUCTIONS, Instruction

RECORD_BYTES = 64
_OPERAND = 24
_IN = {1: 0, 2: 8, 0: 16}  # where the register stands before
_AFTER = {1: 40, 2: 48, 0: 56}  # and afterwards
_KEY = b"\0\0\0\0"

EDGES = (
    0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFF80000000,
    0xFFFFFFFFFFFFFFFF, 0xFEDCBA9876543210,
)  # fmt: skip
AMOUNTS = (0, 1, 7, 31, 32, 33, 63, 64, 65, 0xFF, 0x100000001, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF)
IMMS = (0, 1, -1, 2, 7, 0xFF, -128, 0x7FFFFFFF, -0x7FFFFFFF, -0x80000000)


@dataclass(frozen=True, slots=True)
class Trial:
    """One execution of `insn`. The registers and the 16 bytes of the memory operand before, and those that change, afterwards.

    Registers that are None before are neither set nor looked at. `is_jump`: the insn skips one other when taken.
    """

    insn: Insn
    before: dict[int, int]
    after: dict[int, int]
    memory: bytes = bytes(16)
    memory_after: bytes | None = None
    is_jump: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """A program, what it is run on, and what must come out."""

    row: Instruction
    program: Program
    given: RunInput
    expected: RunOutput

    def __str__(self) -> str:
        return self.row.text


def _load(dst: int, offset: int) -> Insn:
    return Insn(isa.BPF_LDX | isa.BPF_MEM | isa.BPF_DW, dst, 6, offset)


def _store(offset: int, src: int) -> Insn:
    return Insn(isa.BPF_STX | isa.BPF_MEM | isa.BPF_DW, 6, src, offset)


def _set(dst: int, imm: int) -> Insn:
    return Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_K, dst, imm=imm)


def experiment(row: Instruction, trials: list[Trial]) -> Experiment:
    """One program for all the trials of an instruction."""
    insns = [Insn(isa.LD_IMM64, 6, isa.BPF_PSEUDO_MAP_VALUE, symbol=".data")]
    before, after = bytearray(), bytearray()
    for number, trial in enumerate(trials):
        base = number * RECORD_BYTES
        insns += [_load(register, base + _IN[register]) for register in trial.before]
        if trial.is_jump:
            insns += [_set(0, 1), trial.insn, _set(0, 0)]
        else:
            # A memory operand is at 6 + offset, with the offset counted from the operand's place in the record.
            is_memory = trial.insn.insn_class in (isa.BPF_LDX, isa.BPF_ST, isa.BPF_STX)
            insns.append(replace(trial.insn, offset=trial.insn.offset + base + _OPERAND) if is_memory else trial.insn)
        insns += [_store(base + _AFTER[register], register) for register in trial.after]
        before += _record(trial.before, trial.memory, {})
        after += _record(trial.before, trial.memory_after or trial.memory, trial.after)
    insns += [_set(0, 2), Insn(isa.BPF_JMP | isa.BPF_EXIT)]
    data = MapSpec(".data", "BPF_MAP_TYPE_ARRAY", 4, len(before), 1, initial=bytes(len(before)))
    program = Program("trials", "xdp", tuple(insns), (data,))
    packet = bytes(64)
    given = RunInput(packet, maps={".data": {_KEY: bytes(before)}})
    return Experiment(row, program, given, RunOutput(2, packet, {".data": {_KEY: bytes(after)}}))


def _record(registers: dict[int, int], memory: bytes, after: dict[int, int]) -> bytes:
    r1, r2, r0 = (registers.get(register, 0) for register in (1, 2, 0))
    return struct.pack("<3Q16s3Q", r1, r2, r0, memory, *(after.get(register, 0) for register in (1, 2, 0)))


# --- trials by the shape of the text ----------------------------------------------------------------------------------
Match = re.Match[str]


def _arithmetic(insn: Insn, found: Match) -> Iterator[Trial]:
    half, sign, right = found.groups()
    width = 32 if half == "w" else 64
    if right[1:] == "2":
        for a, b in itertools.product(EDGES, AMOUNTS if sign in ("<<", ">>", "s>>") else EDGES):
            yield Trial(insn, {1: a, 2: b}, {1: compute(sign, width, a, b), 2: b})
        return
    for a, imm in itertools.product(EDGES, AMOUNTS if sign in ("<<", ">>", "s>>") else IMMS):
        refused = imm >= width if sign in ("<<", ">>", "s>>") else imm == 0 and sign in ("/", "s/", "%", "s%")
        if not refused:  # by the kernel's verifier: shifts beyond the width, division by the number 0
            yield Trial(replace(insn, imm=imm), {1: a}, {1: compute(sign, width, a, imm)})


def _negation(insn: Insn, found: Match) -> Iterator[Trial]:
    width = 32 if found[1] == "w" else 64
    for a in EDGES:
        yield Trial(insn, {1: a}, {1: -a % (1 << width)})


def _sign_extension(insn: Insn, found: Match) -> Iterator[Trial]:
    width, bits = 32 if found[1] == "w" else 64, int(found[2])
    for b in (*EDGES, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0xABCD7F80):
        yield Trial(insn, {1: 1, 2: b}, {1: signed(bits, b) % (1 << width), 2: b})


def _swap(insn: Insn, found: Match) -> Iterator[Trial]:
    for a in (*EDGES, 0x0123456789ABCDEF, 0xFF, 0xFF00, 0x8001):
        yield Trial(insn, {1: a}, {1: byte_order(found[1], a)})


def _condition(insn: Insn, found: Match) -> Iterator[Trial]:
    half, sign, right = found.groups()
    width, insn = 32 if half == "w" else 64, replace(insn, offset=1)
    if right[1:] == "2":
        for a, b in itertools.product(EDGES, EDGES):
            yield Trial(insn, {1: a, 2: b}, {0: int(holds(sign, width, a, b))}, is_jump=True)
        return
    for a, imm in itertools.product(EDGES, IMMS):
        yield Trial(replace(insn, imm=imm), {1: a}, {0: int(holds(sign, width, a, imm))}, is_jump=True)


PATTERNS = (bytes(range(0xF0, 0x100)), bytes(range(16)), bytes(16), b"\xff" * 16, bytes.fromhex("80007fff00ff8001" * 2))


def _memory_load(insn: Insn, found: Match) -> Iterator[Trial]:
    sign, size = found[1], int(found[2]) // 8
    for memory, at in itertools.product(PATTERNS, (0, 1, 2, 3, 4, 5, 8)):
        value = int.from_bytes(memory[at : at + size], "little", signed=sign == "s") % (1 << 64)
        yield Trial(replace(insn, src_reg=6, offset=at), {1: EDGES[-1]}, {1: value}, memory)


def _memory_store(insn: Insn, found: Match) -> Iterator[Trial]:
    size, is_register = int(found[1]) // 8, found[2] == "r2"
    for value, at in itertools.product(EDGES if is_register else IMMS, (0, 1, 2, 5, 8)):
        raw = (value % (1 << 8 * size)).to_bytes(size, "little")
        memory = PATTERNS[0]
        after = memory[:at] + raw + memory[at + size :]
        new = replace(insn, dst_reg=6, offset=at, imm=0 if is_register else value)
        registers = {2: value} if is_register else {}
        yield Trial(new, registers, registers, memory, after)


def _acquire(insn: Insn, found: Match) -> Iterator[Trial]:
    size = int(found[1]) // 8
    for memory, at in itertools.product(PATTERNS, (0, 8)):
        value = int.from_bytes(memory[at : at + size], "little")
        yield Trial(replace(insn, src_reg=6, offset=at), {1: EDGES[-1]}, {1: value}, memory)


def _release(insn: Insn, found: Match) -> Iterator[Trial]:
    size = int(found[1]) // 8
    for value, at in itertools.product(EDGES, (0, 8)):
        after = PATTERNS[0][:at] + (value % (1 << 8 * size)).to_bytes(size, "little") + PATTERNS[0][at + size :]
        yield Trial(replace(insn, dst_reg=6, offset=at), {2: value}, {2: value}, PATTERNS[0], after)


_FETCHED = {"add": "+", "or": "|", "and": "&", "xor": "^", "xchg": "", "+": "+", "|": "|", "&": "&", "^": "^"}


def _atomic(width: int, name: str, fetches: bool, insn: Insn) -> Iterator[Trial]:
    for old, value in itertools.product(EDGES, EDGES):
        new = compute(_FETCHED[name], width, old, value)
        memory, after = _cell(width, old, old), _cell(width, old, new)
        fetched = old % (1 << width) if fetches else value
        yield Trial(replace(insn, dst_reg=6, offset=0), {2: value}, {2: fetched}, memory, after)


def _cell(width: int, around: int, value: int) -> bytes:
    """A memory operand that holds `value` in its lowest `width` bits and `around` in all others."""
    both = around | (around ^ 0x5555555555555555) << 64
    return (both & ~((1 << width) - 1) | value % (1 << width)).to_bytes(16, "little")


def _locked(insn: Insn, found: Match) -> Iterator[Trial]:
    yield from _atomic(int(found[1]), found[2], False, insn)


def _fetching(insn: Insn, found: Match) -> Iterator[Trial]:
    yield from _atomic(int(found[2]), found[1], True, insn)


def _compare_exchange(insn: Insn, found: Match) -> Iterator[Trial]:
    width = int(found[1])
    size = 1 << width
    for old, expected in itertools.product(EDGES, EDGES):
        value = 0x1122334455667788
        new = value if old % size == expected % size else old
        yield Trial(
            replace(insn, dst_reg=6, offset=0), {2: value, 0: expected}, {2: value, 0: old % size},
            _cell(width, old, old), _cell(width, old, new),
        )  # fmt: skip


def _wide(insn: Insn, found: Match) -> Iterator[Trial]:
    for value in EDGES:
        yield Trial(replace(insn, imm=signed(64, value)), {}, {1: value})


_SHAPES: tuple[tuple[str, Callable[[Insn, Match], Iterator[Trial]]], ...] = (
    (r"([rw])1 (\S*)= ([rw]2|7)", _arithmetic),
    (r"([rw])1 = -[rw]1", _negation),
    (r"([rw])1 = \(s(\d+)\)[rw]2", _sign_extension),
    (r"r1 = ((?:le|be|bswap)\d+) r1", _swap),
    (r"if ([rw])1 (\S+) (0x7|[rw]2) goto pc\+2", _condition),
    (r"r1 = \*\(([us])(\d+) \*\)\(r2 \+8\)", _memory_load),
    (r"\*\(u(\d+) \*\)\(r1 \+8\) = (r2|7)", _memory_store),
    (r"r1 = load_acquire\(\(u(\d+) \*\)\(r2 \+8\)\)", _acquire),
    (r"store_release\(\(u(\d+) \*\)\(r1 \+8\), r2\)", _release),
    (r"lock \*\(u(\d+) \*\)\(r1 \+8\) (\S)= r2", _locked),
    (r"r2 = atomic(?:64)?_(?:fetch_)?(\w+)\(\(u(\d+) \*\)\(r1 \+8\), r2\)", _fetching),
    (r"r0 = atomic(?:64)?_cmpxchg\(\(u(\d+) \*\)\(r1 \+8\), r0, r2\)", _compare_exchange),
    (r"r1 = 0x1122334455667788 ll", _wide),
)


def _trials(row: Instruction) -> list[Trial]:
    (insn,) = decode(row.encoding)
    for shape, trials in _SHAPES:
        found = re.fullmatch(shape, row.text)
        if found:
            return list(trials(insn, found))
    return []


EXPERIMENTS = tuple(experiment(row, trials) for row in INSTRUCTIONS if (trials := _trials(row)))
