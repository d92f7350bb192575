"""Where rules stop: all short sequences are tried in the place of a window of arithmetic; the first that is proved is taken.

A window is arithmetic between registers whose intermediate values nobody else needs:

    r2 <<= 32            Window(steps=((LSH, 64, 0, imm 32), (RSH, 64, 0, imm 16)), zeros=(32,), output=0)
    r2 >>= 16      ->    ((LSH, 32, 0, imm 16),) ..

Registers are numbered by the inputs that they hold, so that one answer serves every choice of registers; `zeros` says how many
upper bits of each input are known to be zero. Candidates are sifted by running them on numbers, then proved over terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from random import Random

from bpfsmith.ir.ops import AluKind
from bpfsmith.optimize.steps import Step, Window, value_of
from bpfsmith.semantics.domain import CONCRETE
from bpfsmith.semantics.solver import QUICK, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms

MAX_STEPS = 4
_SAMPLES = 12
_COMMON = (1, -1, 8, 16, 24, 31, 32, 48, 56, 63, 255, 65535)
_BINARY = (
    AluKind.ADD, AluKind.AND, AluKind.OR, AluKind.XOR, AluKind.LSH, AluKind.RSH, AluKind.ARSH, AluKind.SUB, AluKind.MUL,
)  # fmt: skip


def shorter(window: Window) -> tuple[Step, ...] | None:
    """The first proved sequence that has fewer steps, on the output register and the inputs; None when there is none."""
    samples = _samples(window)
    wanted = [run_steps(window.steps, list(given))[window.output] for given in samples]
    numbers = _numbers(window)
    starts = [list(given) + [0] * (window.output + 1 - len(given)) for given in samples]
    is_input = window.output < len(window.zeros)
    same = is_input and all(given[window.output] == value for given, value in zip(samples, wanted, strict=True))
    if same and _proved(window, ()):
        return ()
    for length in range(1, min(len(window.steps), 3)):
        for found in _tried(window, numbers, starts, wanted, length, is_input):
            if _proved(window, found):
                return found
    return None


def _tried(
    window: Window, numbers: tuple[int, ...], starts: list[list[int]], wanted: list[int], length: int, defined: bool
) -> Iterator[tuple[Step, ...]]:
    """Sequences of this length that give what is wanted on all samples."""
    for step in _steps(window, numbers, defined, first_of_many=length > 1):
        first = _apply(step, starts[0])
        if length == 1:
            if first == wanted[0] and all(
                _apply(step, start) == value for start, value in zip(starts[1:], wanted[1:], strict=True)
            ):
                yield (step,)
            continue
        after = []
        for start in starts:
            moved = list(start)
            moved[window.output] = _apply(step, start)
            after.append(moved)
        for rest in _tried(window, numbers, after, wanted, length - 1, True):
            yield (step, *rest)


@cache
def _number_set(given: tuple[int, ...]) -> tuple[int, ...]:
    out = dict.fromkeys(given)
    for a in given:
        out |= dict.fromkeys((-a, ~a, 32 - a, 64 - a))
        if 0 <= a < 64:
            out |= dict.fromkeys(((1 << a) - 1, -(1 << a), (1 << (32 - a)) - 1 if a < 32 else 0, (1 << (64 - a)) - 1))
        for b in given:
            out |= dict.fromkeys((a + b, a - b, a & b, a | b, a ^ b, a * b))
            if 0 <= b < 64:
                out |= dict.fromkeys((a << b & 0xFFFFFFFF, (a & 0xFFFFFFFF) >> b))
    out |= dict.fromkeys(_COMMON)
    return tuple(value for value in out if -(1 << 31) <= value < 1 << 32)


def _numbers(window: Window) -> tuple[int, ...]:
    return _number_set(tuple(sorted({step.imm for step in window.steps if step.src is None})))


def _steps(window: Window, numbers: tuple[int, ...], defined: bool, first_of_many: bool) -> Iterator[Step]:
    """Instructions that could come next; those that are cheapest to run first."""
    out, inputs = window.output, range(len(window.zeros))
    for source in inputs:
        if source != out:
            yield Step(AluKind.MOV, 64, out, source, 0)
        yield Step(AluKind.MOV, 32, out, source, 0)
        if window.cpu >= 4:
            yield from (Step("sx", width, out, source, bits) for width in (64, 32) for bits in (8, 16, 32) if bits < width)
    if not defined:
        yield from (Step(AluKind.MOV, 64, out, None, number) for number in numbers if number < 1 << 31)
        return
    for bits in (16, 32, 64):
        yield Step("be", 64, out, None, bits)
    for bits in (16, 32):
        yield Step("le", 64, out, None, bits)
    yield from (Step("neg", width, out, None, 0) for width in (64, 32))
    if first_of_many:
        numbers = tuple(step.imm for step in window.steps if step.src is None)
    for kind in _BINARY:
        is_shift = kind in (AluKind.LSH, AluKind.RSH, AluKind.ARSH)
        for width in (64, 32):
            for number in numbers:
                if is_shift and not 0 < number < width:
                    continue
                if width == 64 and number >= 1 << 31:
                    continue
                yield Step(kind, width, out, None, number - (1 << 32) if number >= 1 << 31 else number)
            yield from (Step(kind, width, out, source, 0) for source in inputs if source != out or kind is AluKind.ADD)


# --- what steps compute -----------------------------------------------------------------------------------------------
_ALL = (1 << 64) - 1
_DIRECT: dict[str, Callable[[int, int, int], int]] = {
    AluKind.ADD: lambda a, b, bits: a + b,
    AluKind.SUB: lambda a, b, bits: a - b,
    AluKind.MUL: lambda a, b, bits: a * b,
    AluKind.OR: lambda a, b, bits: a | b,
    AluKind.AND: lambda a, b, bits: a & b,
    AluKind.XOR: lambda a, b, bits: a ^ b,
    AluKind.MOV: lambda a, b, bits: b,
    AluKind.LSH: lambda a, b, bits: a << (b & (bits - 1)),
    AluKind.RSH: lambda a, b, bits: a >> (b & (bits - 1)),
}
"""The meaning of the commonest instructions on Python's integers, which is 20 times as fast as by way of `eval`: a sieve runs
millions of them. What passes it is proved with the other."""


def _apply(step: Step, registers: list[int]) -> int:
    direct = _DIRECT.get(step.what)
    if direct is None:
        return value_of(CONCRETE, step, registers)
    source = step.imm if step.src is None else registers[step.src]
    if step.width == 64:
        return direct(registers[step.dst], source & _ALL, 64) & _ALL
    return direct(registers[step.dst] & 0xFFFFFFFF, source & 0xFFFFFFFF, 32) & 0xFFFFFFFF


def run_steps(steps: tuple[Step, ...], registers: list[int]) -> list[int]:
    """What the registers hold after the steps on these inputs."""
    registers = registers + [0] * 12
    for step in steps:
        registers[step.dst] = _apply(step, registers)
    return registers


def _samples(window: Window) -> list[list[int]]:
    random = Random(1)
    edges = (0, 1, (1 << 64) - 1, 0x0123456789ABCDEF, 0x80FF7F018000FF00)
    out = []
    for number in range(_SAMPLES):
        given = []
        for zeros in window.zeros:
            value = edges[number] if number < len(edges) and len(window.zeros) == 1 else random.getrandbits(64)
            given.append(value & ((1 << (64 - zeros)) - 1))
        out.append(given)
    return out[3:] + out[:3]  # what tells most apart first


def _proved(window: Window, steps: tuple[Step, ...]) -> bool:
    t = Terms()
    results = []
    for sequence in (window.steps, steps):
        registers: list[Term] = [
            t.zext(t.app(f"x{index}", 64 - zeros), 64 - zeros, 64) if zeros < 64 else t.const(64, 0)
            for index, zeros in enumerate(window.zeros)
        ]
        registers += [t.app(f"scratch{index}", 64) for index in range(12)]
        for step in sequence:
            registers[step.dst] = value_of(t, step, registers)
        results.append(registers[window.output])
    if results[0] is results[1]:
        return True
    return isinstance(satisfiable([t.negate(t.same(results[0], results[1]))], QUICK), Unsatisfiable)
