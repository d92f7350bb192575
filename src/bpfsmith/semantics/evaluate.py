"""The value of a term under concrete inputs, in plain integers: random testing, models, and counterexamples stand on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bpfsmith.semantics.domain import CONCRETE
from bpfsmith.semantics.terms import Term, postorder

Inputs = Callable[[str, int, tuple[int, ...]], int]
"""(name, width, arguments) -> the value of that input; width 0 asks for a truth as 0 or 1. Must be a function."""


def evaluate(roots: Iterable[Term], inputs: Inputs) -> list[int]:
    """The value of each root; truths are 0 or 1."""
    roots = list(roots)
    values: dict[Term, int] = {}
    for term in postorder(*roots):
        values[term] = step(term, [values[arg] for arg in term.args], inputs)
    return [values[root] for root in roots]


def step(term: Term, args: list[int], inputs: Inputs) -> int:
    """The value of one term from those of its arguments."""
    width = term.width
    mask = (1 << width) - 1
    match term.op:
        case "const" | "truth":
            return term.number
        case "app":
            return inputs(term.name, width, tuple(args)) & (mask or 1)
        case "extract":
            return args[0] >> term.number & mask
        case "concat":
            value = 0
            for part, arg in zip(term.args, args, strict=True):
                value = value << part.width | arg
            return value
        case "sext":
            return CONCRETE.sext(args[0], term.args[0].width, width)
        case "ite":
            return args[1] if args[0] else args[2]
        case "eq":
            return int(args[0] == args[1])
        case "ult":
            return int(args[0] < args[1])
        case "slt":
            return int(CONCRETE.slt(term.args[0].width, args[0], args[1]))
        case "not":
            return 1 - args[0]
        case "conj":
            return int(all(args))
        case "disj":
            return int(any(args))
        case "add":
            return sum(args) & mask
        case "mul":
            product = 1
            for arg in args:
                product = product * arg & mask
            return product
        case "and":
            value = mask
            for arg in args:
                value &= arg
            return value
        case "or":
            value = 0
            for arg in args:
                value |= arg
            return value
        case "xor":
            value = 0
            for arg in args:
                value ^= arg
            return value
        case "udiv":
            return CONCRETE.udiv(width, args[0], args[1])
        case "urem":
            return CONCRETE.urem(width, args[0], args[1])
        case "shl":
            return CONCRETE.shl(width, args[0], args[1])
        case "lshr":
            return CONCRETE.lshr(width, args[0], args[1])
        case "ashr":
            return CONCRETE.ashr(width, args[0], args[1])
        case _:
            pass
    raise AssertionError(f"no value for {term.op}")
