"""Rewrite rules of arithmetic, as data: a short sequence, and a shorter or cheaper one that gives the same.

    Rule("lsh-lsh", "r1 <<= K; r1 <<= L", "r1 <<= {K + L}", when="K < 64 and L < 64 and K + L < 64", near_miss="r1 <<= {K | L}")

Registers stand for any registers, capital letters for any 32-bit numbers, an expression in braces for a number made of them,
which has to fit an instruction. `zeros` says how many upper bits of the registers that are read first are known to be zero.
Each rule is proved for all numbers at once (`prove`), and a test shows that its near miss is not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from bpfsmith.ir import ops
from bpfsmith.ir.lift import lift_alone
from bpfsmith.isa.asm import assemble
from bpfsmith.optimize.steps import Step, Window, as_step, value_of
from bpfsmith.semantics.domain import CONCRETE, B, Domain, V
from bpfsmith.semantics.solver import QUICK, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms


@dataclass(frozen=True, slots=True)
class Rule:
    """`before` may be replaced by `after` where `when` holds of its numbers. `near_miss` is another `after` (or, if it starts
    with "when", another condition) that is wrong. `cpu` is the least instruction set that has `after`."""

    name: str
    before: str
    after: str
    near_miss: str
    when: str = ""
    zeros: tuple[int, ...] = ()
    cpu: int = 1


_SHIFTS = "K < 64 and L < 64 and K + L < 64"
_SHIFTS32 = "K < 32 and L < 32 and K + L < 32"

RULES = (
    Rule("zero-extension", "r1 <<= 32; r1 >>= 32", "w1 = w1", "r1 &= -1"),
    Rule("zero-extension-known", "r1 <<= 32; r1 >>= 32", "", "r1 &= 65535", zeros=(32,)),
    Rule("sign-extension", "r1 <<= 32; r1 s>>= 32", "r1 = (s32)r1", "w1 = w1", cpu=4),
    Rule("sign-extension-16", "r1 <<= 48; r1 s>>= 48", "r1 = (s16)r1", "r1 = (s8)r1", cpu=4),
    Rule("sign-extension-8", "r1 <<= 56; r1 s>>= 56", "r1 = (s8)r1", "r1 = (s16)r1", cpu=4),
    Rule("sign-extension-16-in-32", "w1 <<= 16; w1 s>>= 16", "w1 = (s16)w1", "r1 = (s16)r1", cpu=4),
    Rule("sign-extension-8-in-32", "w1 <<= 24; w1 s>>= 24", "w1 = (s8)w1", "r1 = (s8)r1", cpu=4),
    Rule("copy-zero-extended", "r1 = r2; r1 <<= 32; r1 >>= 32", "w1 = w2", "r1 = r2"),
    Rule("mask-mask", "r1 &= K; r1 &= L", "r1 &= {K & L}", "r1 &= {K | L}"),
    Rule("mask-mask-32", "w1 &= K; w1 &= L", "w1 &= {K & L}", "r1 &= {K & L}"),
    Rule("or-or", "r1 |= K; r1 |= L", "r1 |= {K | L}", "r1 |= {K ^ L}"),
    Rule("xor-xor", "r1 ^= K; r1 ^= L", "r1 ^= {K ^ L}", "r1 ^= {K | L}"),
    Rule("add-add", "r1 += K; r1 += L", "r1 += {K + L}", "r1 += {K - L}"),
    Rule("add-add-32", "w1 += K; w1 += L", "w1 += {K + L}", "r1 += {K + L}"),
    Rule("mul-mul", "r1 *= K; r1 *= L", "r1 *= {K * L}", "r1 *= {K + L}", when="K < 65536 and L < 32768"),
    Rule("lsh-lsh", "r1 <<= K; r1 <<= L", "r1 <<= {K + L}", "when K < 64 and L < 64", when=_SHIFTS),
    Rule("rsh-rsh", "r1 >>= K; r1 >>= L", "r1 >>= {K + L}", "when K < 64 and L < 64", when=_SHIFTS),
    Rule("arsh-arsh", "r1 s>>= K; r1 s>>= L", "r1 s>>= {K + L}", "when K < 64 and L < 64", when=_SHIFTS),
    Rule("lsh-lsh-32", "w1 <<= K; w1 <<= L", "w1 <<= {K + L}", "when K < 32 and L < 32", when=_SHIFTS32),
    Rule("rsh-rsh-32", "w1 >>= K; w1 >>= L", "w1 >>= {K + L}", "when K < 32 and L < 32", when=_SHIFTS32),
    Rule("low-bits-cleared", "r1 >>= K; r1 <<= K", "r1 &= {-(1 << K)}", "r1 &= {1 << K}", when="K < 32"),
    Rule("high-bits-cleared", "r1 <<= K; r1 >>= K", "r1 &= {(1 << (64 - K)) - 1}", "when K < 64", when="32 < K and K < 64"),
    Rule("high-bits-cleared-32", "w1 <<= K; w1 >>= K", "w1 &= {(1 << (32 - K)) - 1}", "w1 &= K", when="0 < K and K < 32"),
    Rule("byte-order-twice", "r1 = be16 r1; r1 = be16 r1", "r1 = le16 r1", "r1 = be16 r1"),
    Rule("byte-order-32-twice", "r1 = be32 r1; r1 = be32 r1", "w1 = w1", "r1 = be32 r1"),
    Rule("byte-order-64-twice", "r1 = be64 r1; r1 = be64 r1", "", "r1 = be64 r1"),
    Rule("byte-order-shifted", "r1 = be64 r1; r1 >>= 32", "r1 = be32 r1", "r1 = be16 r1"),
    Rule("byte-order-32-shifted", "r1 = be32 r1; r1 >>= 16", "r1 = be16 r1", "r1 = be32 r1"),
    Rule("negated-twice", "r1 = -r1; r1 = -r1", "", "r1 ^= -1"),
    Rule("inverted-twice", "r1 ^= -1; r1 ^= -1", "", "r1 = -r1"),
    Rule("inverted-plus-one", "r1 ^= -1; r1 += 1", "r1 = -r1", "r1 ^= -1"),
    Rule("minus-one-inverted", "r1 += -1; r1 ^= -1", "r1 = -r1", "r1 += 1"),
    Rule("xor-undone", "r1 ^= r2; r1 ^= r2", "", "r1 = r2"),
    Rule("add-undone", "r1 += r2; r1 -= r2", "", "r1 = r2"),
    Rule("or-masked-away", "r1 |= K; r1 &= L", "r1 = {L}", "when K != 0", when="(K & L) == L"),
    Rule("masked-to-nothing", "r1 &= K; r1 &= L", "r1 = 0", "when K != 0", when="(K & L) == 0"),
    Rule("mul-power-of-two", "r1 *= K", "r1 <<= {log2(K)}", "when 0 < K", when="0 < K and (K & (K - 1)) == 0"),
    Rule("div-power-of-two", "r1 /= K", "r1 >>= {log2(K)}", "when 0 < K", when="0 < K and (K & (K - 1)) == 0"),
    Rule("mod-power-of-two", "r1 %= K", "r1 &= {K - 1}", "when 0 < K", when="0 < K and (K & (K - 1)) == 0"),
)  # fmt: skip
"""In the order in which they are tried."""

_PLACEHOLDER = 0x10000
_HOLE = re.compile(r"\{([^}]*)\}|\b([A-Z])\b")
_SHIFT_BY_NUMBER = re.compile(r"(<<|>>)= *[^rw ]")
_WRITTEN = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A rule as steps: `holes` are the expressions behind the numbers that are not fixed, by the number that stands there."""

    rule: Rule
    before: tuple[Step, ...]
    after: tuple[Step, ...]
    holes: Mapping[int, ast.expr]
    inputs: tuple[int, ...]
    output: int


@cache
def patterns() -> tuple[Pattern, ...]:
    """All rules, read."""
    return tuple(read(rule) for rule in RULES)


def read(rule: Rule) -> Pattern:
    """The rule as steps. Raises InputError or SyntaxError for what is no rule."""
    holes: dict[int, ast.expr] = {}
    before, after = _steps(rule.before, holes), _steps(rule.after, holes)
    written: set[int] = set()
    inputs: list[int] = []
    for step in before:
        read_now = ([] if step.what == "mov" or step.what == "sx" else [step.dst]) + ([] if step.src is None else [step.src])
        inputs += [register for register in read_now if register not in written and register not in inputs]
        written.add(step.dst)
    return Pattern(rule, before, after, holes, tuple(inputs), before[-1].dst)


def _steps(text: str, holes: dict[int, ast.expr]) -> tuple[Step, ...]:
    if not text.strip():
        return ()

    def placed(match: re.Match[str]) -> str:
        number = _PLACEHOLDER + len(holes)
        holes[number] = ast.parse(match[1] or match[2], mode="eval").body
        return str(number)

    lines = _HOLE.sub(placed, text).replace(";", "\n")
    # A shift by a placeholder is no instruction: it is assembled as a multiplication and turned back.
    shifts = [match[1] for match in re.finditer(r"(<<|s>>|>>)= *(\d+)", lines)]
    lines = re.sub(r"(<<|s>>|>>)= *(\d+)", r"*= \2", lines) if shifts else lines
    insns = assemble(f".section xdp\n.program rule\n{lines}\nexit", "rule")[0].insns[:-1]
    kinds = {"<<": ops.AluKind.LSH, ">>": ops.AluKind.RSH, "s>>": ops.AluKind.ARSH}
    out = []
    waiting = iter(shifts)
    for insn, line in zip(insns, text.split(";"), strict=True):
        step = as_step(lift_alone(insn))
        assert step is not None
        out.append(step._replace(what=kinds[next(waiting)]) if _SHIFT_BY_NUMBER.search(line) else step)
    return tuple(out)


# --- use --------------------------------------------------------------------------------------------------------------
def rewritten(window: Window) -> tuple[Rule, tuple[Step, ...]] | None:
    """The first rule that fits the window, and what it makes of it."""
    for pattern in patterns():
        found = applied(pattern, window)
        if found is not None:
            return pattern.rule, found
    return None


def applied(pattern: Pattern, window: Window) -> tuple[Step, ...] | None:
    """What a rule makes of a window, None where it does not fit."""
    if len(pattern.before) != len(window.steps) or pattern.rule.cpu > window.cpu:
        return None
    registers: dict[int, int] = {}
    numbers: dict[str, int] = {}
    for mine, given in zip(pattern.before, window.steps, strict=True):
        if (mine.what, mine.width, mine.src is None) != (given.what, given.width, given.src is None):
            return None
        for a, b in ((mine.dst, given.dst), (mine.src, given.src)):
            if a is not None and b is not None and registers.setdefault(a, b) != b:
                return None
        if not _binds(pattern, mine, given, numbers):
            return None
    if len(set(registers.values())) != len(registers) or registers[pattern.output] != window.output:
        return None
    inputs = [registers[item] for item in pattern.inputs]
    wanted = dict(zip(inputs, pattern.rule.zeros, strict=False))
    if any(register >= len(window.zeros) or window.zeros[register] < wanted.get(register, 0) for register in inputs):
        return None
    bound = {name: value & (1 << 64) - 1 for name, value in numbers.items()}
    if pattern.rule.when and not condition(CONCRETE, ast.parse(pattern.rule.when, mode="eval").body, bound):
        return None
    out = []
    for step in pattern.after:
        number = step.imm
        if step.src is None and step.imm in pattern.holes:
            value = expression(CONCRETE, pattern.holes[step.imm], bound)
            number = value - (1 << 64) if value >> 63 else value
            if step.width == 32:
                number = (number & 0xFFFFFFFF ^ 1 << 31) - (1 << 31)
            if not -(1 << 31) <= number < 1 << 31:
                return None
        out.append(Step(step.what, step.width, registers[step.dst], None if step.src is None else registers[step.src], number))
    return tuple(out)


def _binds(pattern: Pattern, mine: Step, given: Step, numbers: dict[str, int]) -> bool:
    hole = pattern.holes.get(mine.imm) if mine.src is None else None
    if hole is None:
        return mine.imm == given.imm
    assert isinstance(hole, ast.Name)
    return numbers.setdefault(hole.id, given.imm) == given.imm


# --- proof ------------------------------------------------------------------------------------------------------------
def proved(rule: Rule) -> bool:
    """Does the rule hold for all registers and numbers? Amounts of shifts and powers of two are gone through one by one."""
    pattern = read(rule)
    t = Terms()
    numbers = {
        node.id: t.sext(t.app(node.id, 32), 32, 64)
        for text in (rule.when, *(hole.id for hole in pattern.holes.values() if isinstance(hole, ast.Name)))
        for node in (ast.walk(ast.parse(text, mode="eval")) if text else ())
        if isinstance(node, ast.Name)
    }
    listed = _listed(pattern)
    for values in product(*listed.values()):
        chosen = {name: t.const(64, value) for name, value in zip(listed, values, strict=True)}
        if not _holds(t, pattern, {**numbers, **chosen}):
            return False
    return True


def _listed(pattern: Pattern) -> dict[str, Sequence[int]]:
    """The numbers of a rule of which there are few: amounts of shifts, and powers of two with some that are none."""
    out: dict[str, Sequence[int]] = {}
    for step in pattern.before:
        hole = pattern.holes.get(step.imm) if step.src is None else None
        if isinstance(hole, ast.Name) and step.what in (ops.AluKind.LSH, ops.AluKind.RSH, ops.AluKind.ARSH):
            out[hole.id] = range(64)
    if any("log2" in ast.unparse(hole) for hole in pattern.holes.values()):
        out["K"] = (*(1 << bit for bit in range(31)), 3, 6, 100, -1)
    return out


def _holds(t: Terms, pattern: Pattern, numbers: Mapping[str, Term]) -> bool:
    rule = pattern.rule
    given = [condition(t, ast.parse(rule.when, mode="eval").body, numbers)] if rule.when else []
    results = []
    for steps in (pattern.before, pattern.after):
        registers = [t.app(f"x{index}", 64) for index in range(11)]
        for register, zeros in zip(pattern.inputs, rule.zeros, strict=False):
            registers[register] = t.zext(t.app(f"x{register}", 64 - zeros), 64 - zeros, 64)
        for step in steps:
            number = None
            if step.src is None and step.imm in pattern.holes:
                number = expression(t, pattern.holes[step.imm], numbers)
                if step.width == 64:  # where the number does not fit, there is no such instruction
                    given.append(t.same(number, t.sext(t.extract(number, 64, 31, 0), 32, 64)))
            registers[step.dst] = value_of(t, step, registers, number)
        results.append(registers[pattern.output])
    if results[0] is results[1] or t.false in given:
        return True
    return isinstance(satisfiable([*given, t.negate(t.same(results[0], results[1]))], QUICK), Unsatisfiable)


def near_miss(rule: Rule) -> Rule:
    """The rule made wrong."""
    if rule.near_miss.startswith("when "):
        return Rule(rule.name, rule.before, rule.after, "", rule.near_miss.removeprefix("when "), rule.zeros, rule.cpu)
    return Rule(rule.name, rule.before, rule.near_miss, "", rule.when, rule.zeros, rule.cpu)


def expression_of(text: str, numbers: Mapping[str, int]) -> int:
    """What an expression of a rule gives for these numbers, of 64 bits."""
    return expression(CONCRETE, ast.parse(text, mode="eval").body, {name: n & (1 << 64) - 1 for name, n in numbers.items()})


def truth_of(text: str, numbers: Mapping[str, int]) -> bool:
    """Does a condition of a rule hold of these numbers?"""
    return bool(
        condition(CONCRETE, ast.parse(text, mode="eval").body, {name: n & (1 << 64) - 1 for name, n in numbers.items()})
    )


# --- expressions ------------------------------------------------------------------------------------------------------
def expression(d: Domain[V, B], node: ast.expr, numbers: Mapping[str, V]) -> V:
    """A number of 64 bits from numbers of 64 bits."""
    match node:
        case ast.Name(id=name):
            return numbers[name]
        case ast.Constant(value=int(value)):
            return d.const(64, value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return d.sub(64, d.const(64, 0), expression(d, operand, numbers))
        case ast.BinOp(left=left, op=ast.LShift(), right=right):
            amount = d.and_(64, expression(d, right, numbers), d.const(64, 63))
            return d.shl(64, expression(d, left, numbers), amount)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _WRITTEN:
            method = getattr(d, _WRITTEN[type(op)])
            result: V = method(64, expression(d, left, numbers), expression(d, right, numbers))
            return result
        case ast.Call(func=ast.Name(id="log2"), args=[argument]):
            given = expression(d, argument, numbers)
            power = d.const(64, 0)
            for bit in range(1, 31):
                power = d.ite(64, d.eq(64, given, d.const(64, 1 << bit)), d.const(64, bit), power)
            return power
        case _:
            raise SyntaxError(f"a rule cannot say {ast.unparse(node)}")


def condition(d: Domain[V, B], node: ast.expr, numbers: Mapping[str, V]) -> B:
    """Is what a rule demands of its numbers true? Numbers are compared unsigned."""
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return d.all_of(*(condition(d, part, numbers) for part in parts))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            a, b = expression(d, left, numbers), expression(d, right, numbers)
            match op:
                case ast.Lt():
                    return d.ult(64, a, b)
                case ast.Eq():
                    return d.eq(64, a, b)
                case ast.NotEq():
                    return d.negate(d.eq(64, a, b))
                case _:
                    pass
        case _:
            pass
    raise SyntaxError(f"a rule cannot ask {ast.unparse(node)}")
