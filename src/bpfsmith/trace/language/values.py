"""What expressions of a probe program are worth at a place, as terms: the meaning of numbers, strings, stacks and fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bpfsmith.kernel.tracefs import tracepoint_fields
from bpfsmith.objfile.object import Object
from bpfsmith.semantics.memory import joined
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Term, Terms
from bpfsmith.trace.language.body import (
    COMM_BYTES,
    PT_REGS,
    RESULT,
    STACKS,
    STRING_BYTES,
    TARGET,
    UNITS,
    literal,
    of_user,
)
from bpfsmith.trace.language.calls import Calls
from bpfsmith.trace.language.fields import located, narrow, parameters, result_type, size_and_sign, string_bytes
from bpfsmith.trace.language.lower import inputs
from bpfsmith.trace.language.syntax import CASTS, Binary, Call, Expr, Field, Name, Number, Probe, ProbeKind, Text, Unary
from bpfsmith.trace.relation import RODATA

BPF_F_USER_STACK = 1 << 8


def no_meaning(what: str) -> Unmodelled:
    return Unmodelled("no-meaning-yet", f"{what}: not a part of the meaning that is proved")


class Worth(NamedTuple):
    """64 bits, and the kernel's type of it where that is known; `kept` as in `fields.Typed`."""

    term: Term
    type_id: int | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """A string that is yet to be read: by `helper` at an address, or (None) the running thread's name."""

    size: int
    helper: str = ""
    address: Term | None = None


@dataclass(slots=True)
class Run:
    """A run of a program at `place`. `on`: the condition under which it has come so far; `names` are those of `let`."""

    t: Terms
    obj: Object
    place: Probe
    on: Term
    calls: Calls
    names: dict[str, Worth] = field(default_factory=dict)

    def truth(self, expr: Expr) -> Term:
        return self.t.negate(self.t.eq(64, self.value(expr), self.t.const(64, 0)))

    def _bit(self, condition: Term) -> Term:
        return self.t.ite(64, condition, self.t.const(64, 1), self.t.const(64, 0))

    def value(self, expr: Expr) -> Term:
        return self.number(expr).term

    def number(self, expr: Expr) -> Worth:
        cell = self.cell(expr)
        assert isinstance(cell, Worth), "strings in the place of numbers are refused when the program is read"
        return cell

    def cell(self, expr: Expr) -> Worth | Unread:
        t = self.t
        match expr:
            case Number(value=value):
                return Worth(t.const(64, value))
            case Name(name="comm") if "comm" not in self.names:
                return Unread(COMM_BYTES)
            case Name(name=name):
                return self.name(name)
            case Call(function="now"):
                return Worth(self.calls.clock())
            case Call(function=function, args=(pointer,)) if function in CASTS:
                return Worth(self._kept(self.value(pointer), CASTS[function]))
            case Call(function=function, args=(pointer,)) if function in ("str", "kstr", "ustr"):
                memory = "user" if of_user(function, self.place.kind) else "kernel"
                return Unread(STRING_BYTES, f"bpf_probe_read_{memory}_str", self.value(pointer))
            case Unary(operator=operator, operand=operand):
                inner, zero = self.value(operand), t.const(64, 0)
                if operator == "!":
                    return Worth(self._bit(t.eq(64, inner, zero)))
                return Worth(t.sub(64, zero, inner) if operator == "-" else t.xor(64, inner, t.const(64, -1)))
            case Binary(operator="==" | "!=" as operator, left=left, right=Text(value=text)):
                cell = self.cell(left)
                assert isinstance(cell, Unread)
                bytes_of = zip(self.read(cell), literal(text, cell.size), strict=False)
                same = t.all_of(*(t.eq(8, byte, t.const(8, wanted)) for byte, wanted in bytes_of))
                return Worth(self._bit(same if operator == "==" else t.negate(same)))
            case Binary(operator=operator, left=left, right=right):
                a = self.value(left)
                return Worth(self._binary(operator, a, self.value(right)))
            case Field(object=inner, name=name):
                return self._field(self.number(inner), name)
            case Call(function=function):
                raise no_meaning(f"{function}()")
            case Text():
                raise no_meaning("a string")

    def _field(self, base: Worth, name: str) -> Worth | Unread:
        t = self.t
        assert base.type_id is not None
        _, found = located(base.type_id, name)
        address = t.add(64, base.term, t.const(64, found.bit_offset // 8))
        length = string_bytes(found.type_id)
        if length is not None:
            return Unread(min(length, STRING_BYTES), "bpf_probe_read_kernel_str", address)
        size, signed = size_and_sign(found.type_id)
        word = self.calls.probed(self.on, address, size) if base.kept else self.calls.kernel(address, size)
        return Worth(self._wide(word, size, signed), found.type_id, base.kept)

    def _wide(self, word: Term, size: int, signed: bool) -> Term:
        return word if size == 8 else (self.t.sext if signed else self.t.zext)(word, 8 * size, 64)

    def _kept(self, word: Term, kept: tuple[int, bool] | None) -> Term:
        """The low bytes of a register as a number."""
        return word if kept is None else self._wide(self.t.extract(word, 64, 8 * kept[0] - 1, 0), *kept)

    def _binary(self, operator: str, a: Term, b: Term) -> Term:
        t, zero = self.t, self.t.const(64, 0)
        match operator:
            case "+":
                return t.add(64, a, b)
            case "-":
                return t.sub(64, a, b)
            case "*":
                return t.mul(64, a, b)
            case "/" | "%":
                return self._divided(operator, a, b)
            case "&":
                return t.and_(64, a, b)
            case "|":
                return t.or_(64, a, b)
            case "^":
                return t.xor(64, a, b)
            case "<<":
                return t.shl(64, a, t.and_(64, b, t.const(64, 63)))
            case ">>":
                return t.ashr(64, a, t.and_(64, b, t.const(64, 63)))
            case "==":
                return self._bit(t.eq(64, a, b))
            case "!=":
                return self._bit(t.negate(t.eq(64, a, b)))
            case "<":
                return self._bit(t.slt(64, a, b))
            case ">":
                return self._bit(t.slt(64, b, a))
            case "<=":
                return self._bit(t.negate(t.slt(64, b, a)))
            case ">=":
                return self._bit(t.negate(t.slt(64, a, b)))
            case "&&":
                return self._bit(t.all_of(t.negate(t.eq(64, a, zero)), t.negate(t.eq(64, b, zero))))
            case _:
                return self._bit(t.any_of(t.negate(t.eq(64, a, zero)), t.negate(t.eq(64, b, zero))))

    def _divided(self, operator: str, a: Term, b: Term) -> Term:
        """Towards zero; by zero the quotient is 0 and the remainder the dividend."""
        t, zero = self.t, self.t.const(64, 0)
        sizes = [t.ite(64, t.slt(64, x, zero), t.sub(64, zero, x), x) for x in (a, b)]
        by_zero = t.eq(64, b, zero)
        if operator == "/":
            size = t.ite(64, by_zero, zero, t.udiv(64, *sizes))
            return t.ite(64, t.slt(64, t.xor(64, a, b), zero), t.sub(64, zero, size), size)
        size = t.ite(64, by_zero, sizes[0], t.urem(64, *sizes))
        return t.ite(64, t.slt(64, a, zero), t.sub(64, zero, size), size)

    def name(self, name: str) -> Worth:
        if name in self.names:
            return self.names[name]
        if name in ("kstack", "ustack"):
            return Worth(self.calls.stack(self.on, STACKS, 0 if name == "kstack" else BPF_F_USER_STACK))
        known = self._builtin(name)
        return self._argument(name) if known is None else Worth(known)

    def _builtin(self, name: str) -> Term | None:
        t, both = self.t, self.t.app("bpf_get_current_pid_tgid", 64)
        users = t.app("bpf_get_current_uid_gid", 64)
        if name in UNITS:
            return t.const(64, UNITS[name])
        match name:
            case "pid":
                return t.zext(t.extract(both, 64, 63, 32), 32, 64)
            case "tid":
                return t.zext(t.extract(both, 64, 31, 0), 32, 64)
            case "uid":
                return t.zext(t.extract(users, 64, 31, 0), 32, 64)
            case "gid":
                return t.zext(t.extract(users, 64, 63, 32), 32, 64)
            case "cpu":
                return t.zext(t.app("bpf_get_smp_processor_id", 32), 32, 64)
            case "cgroup":
                return t.app("bpf_get_current_cgroup_id", 64)
            case "$target":
                at = self.obj.variable(TARGET).offset
                return t.zext(joined(t, [t.app(f"map:{RODATA}", 8, t.const(64, at + i)) for i in range(4)]), 32, 64)
            case _:
                return None

    def _result(self) -> Worth:
        kind, target = self.place.kind, self.place.target
        kept = result_type(kind, target)
        match kind:
            case ProbeKind.SYSCALL:
                at = 16
            case ProbeKind.FENTRY:
                at = 8 * len(parameters(kind, target) or ())
            case _:
                at = 8 * RESULT
        return Worth(self._kept(self._context(at, 8), narrow(kept)), kept, kind is ProbeKind.KPROBE)

    def _argument(self, name: str) -> Worth:
        if name == "ret":
            return self._result()
        at = inputs(self.place)[name]
        match self.place.kind:
            case ProbeKind.SYSCALL:
                return Worth(self._context(16 + 8 * at, 8))
            case ProbeKind.TRACEPOINT:
                offset, size, signed = tracepoint_fields(f"{self.place.path}/{self.place.target}")[name]
                return Worth(self._wide(self._context(offset, size), size, signed))
            case kind:
                word = self._context(8 * (PT_REGS[at] if kind in (ProbeKind.UPROBE, ProbeKind.KPROBE) else at), 8)
                types = parameters(kind, self.place.target)
                known = types[at][1] if types and at < len(types) else None
                return Worth(self._kept(word, narrow(known)), known, kind is ProbeKind.KPROBE)

    def _context(self, at: int, size: int) -> Term:
        return joined(self.t, [self.t.app("ctx", 8, self.t.const(64, at + i)) for i in range(size)])

    def read(self, string: Unread) -> list[Term]:
        if string.address is None:
            return self.calls.comm(string.size)
        return self.calls.string(self.on, string.helper, string.address, string.size)
