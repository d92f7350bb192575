"""Lines of C as a `Domain`: prints a meaning that is written over a Domain as a C function, and so never says it twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.appnet.fixed import OPERATIONS, Operation


@dataclass(slots=True)
class CText:
    """Expressions of C over __u64 variables. Every intermediate result gets a variable, so that sharing stays sharing."""

    lines: list[str] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)

    def _let(self, expression: str) -> str:
        name = self._known.get(expression)
        if name is None:
            name = self._known[expression] = f"v{len(self._known)}"
            self.lines.append(f"__u64 {name} = {expression};")
        return name

    def const(self, width: int, value: int) -> str:
        value &= (1 << width) - 1
        return f"{value}ULL" if value < 1 << 16 else f"{value:#x}ULL"

    def add(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} + {b}")

    def sub(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} - {b}")

    def mul(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} * {b}")

    def udiv(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} / {b}")

    def urem(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} % {b}")

    def and_(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} & {b}")

    def or_(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} | {b}")

    def xor(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} ^ {b}")

    def shl(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} << {b}")

    def lshr(self, width: int, a: str, b: str) -> str:
        return self._let(f"{a} >> {b}")

    def ashr(self, width: int, a: str, b: str) -> str:
        return self._let(f"(__u64)((__s64){a} >> {b})")

    def extract(self, a: str, width: int, high: int, low: int) -> str:
        return self._let(f"({a} >> {low}) & {(1 << (high - low + 1)) - 1:#x}ULL")

    def concat(self, high: str, high_width: int, low: str, low_width: int) -> str:
        return self._let(f"({high} << {low_width}) | {low}")

    def zext(self, a: str, width: int, to_width: int) -> str:
        return a

    def sext(self, a: str, width: int, to_width: int) -> str:
        return self._let(f"(__u64)((__s64)({a} << {64 - width}) >> {64 - width})")

    def ite(self, width: int, condition: str, then: str, other: str) -> str:
        return self._let(f"{condition} ? {then} : {other}")

    def eq(self, width: int, a: str, b: str) -> str:
        return f"({a} == {b})"

    def ult(self, width: int, a: str, b: str) -> str:
        return f"({a} < {b})"

    def slt(self, width: int, a: str, b: str) -> str:
        return f"((__s64){a} < (__s64){b})"

    def truth(self, value: bool) -> str:
        return str(int(value))

    def all_of(self, *conditions: str) -> str:
        return "(" + " && ".join(conditions) + ")"

    def any_of(self, *conditions: str) -> str:
        return "(" + " || ".join(conditions) + ")"

    def negate(self, condition: str) -> str:
        return f"!{condition}"


def function(operation: Operation) -> str:
    """The operation as a static inline C function."""
    text = CText()
    result = operation.define(text, *operation.parameters)
    parameters = ", ".join(f"__u64 {name}" for name in operation.parameters)
    hide = {"": "", "variables": "fx_hide_variable", "all": "fx_hide"}[operation.opaque]
    lines = [f"{hide}({name});" for name in operation.parameters] if hide else []
    lines += text.lines
    if hide:
        lines.append(f"{hide}({result});")
    body = "".join(f"\t{line}\n" for line in [*lines, f"return {result};"])
    return f"static __always_inline __u64 {operation.name}({parameters}) /* {operation.error} */\n{{\n{body}}}\n"


_PROLOGUE = """\
/* Fixed point with 32 fractional bits, printed by `make tables` from bpfsmith's appnet/fixed.py. */
#pragma once

/* Hides what the compiler knows of a value; costs no instruction but for loading a constant. */
#define fx_hide(x) asm volatile("" : "+r"(x))
#define fx_hide_variable(x) do { if (!__builtin_constant_p(x)) fx_hide(x); } while (0)

static __always_inline __u64 fx_plain(__u64 x) /* x, of which nothing is known */
{
	fx_hide(x);
	return x;
}
"""


def fixed_header() -> str:
    """fixed.h: every fixed-point operation, printed from its definition."""
    return "\n".join([_PROLOGUE, *(function(operation) for operation in OPERATIONS.values())])
