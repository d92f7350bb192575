"""The statements and expressions of one probe program as C.

Both sides of && and || are evaluated, as reading is all that an expression does. Every reading is a statement of its own, in
the order of the text; strings are read last, straight into the key or the record that they are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.kernel.tracefs import tracepoint_fields
from bpfsmith.source import SourceText, Span
from bpfsmith.trace.language.fields import (
    NoField,
    Structs,
    Typed,
    member,
    narrow,
    parameters,
    result_type,
    string_bytes,
)
from bpfsmith.trace.language.syntax import (
    CASTS,
    Aggregate,
    Binary,
    Call,
    Emit,
    Expr,
    Field,
    Filter,
    If,
    Let,
    Name,
    Number,
    OnEvent,
    OnReturn,
    Probe,
    ProbeFile,
    ProbeKind,
    Statement,
    Text,
    Unary,
)
from bpfsmith.trace.language.tables import Column, Record, Table, member_c

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
COMM_BYTES, STRING_BYTES = 16, 64
EVENTS, STACKS, TARGET = "events", "stacks", "target_pid"
PT_REGS = (14, 13, 12, 11, 9, 8)  # words of struct pt_regs that hold the arguments on x86-64
RESULT = 10


@dataclass(frozen=True, slots=True)
class Cell:
    """A value in C: `kind` as in `Column`. The text of a string is a statement that fills `{into}`."""

    text: str
    kind: str = "number"
    size: int = 8
    typed: Typed | None = None


@dataclass(slots=True)
class Unit:
    """What all programs of a file share."""

    file: ProbeFile
    tables: dict[str, Table] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    structs: Structs = field(default_factory=Structs)
    uses_stacks: bool = False

    def error(self, span: Span, ident: str, message: str, help_text: str) -> InputError:
        return InputError(
            Diagnostic(ident, message, Label(span), help=help_text, source=SourceText(self.file.path, self.file.text))
        )


def of_user(function: str, kind: ProbeKind) -> bool:
    """Does str(pointer) read memory of the process? `ustr` always, `kstr` never."""
    return function == "ustr" or (function == "str" and kind in (ProbeKind.UPROBE, ProbeKind.SYSCALL))


def literal(text: str, size: int) -> bytes:
    """The bytes that a string of `size` bytes has to begin with to be this one: with its end, where there is room for it."""
    return (text.encode() + b"\0")[:size]


@dataclass(slots=True)
class Body:
    """The statements of one program as C."""

    owner: Unit
    probe: Probe
    params: Mapping[str, int]
    on_exit: bool
    of_call: bool = True  # the way out is a call's return, not another event
    names: dict[str, Cell] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    indent: int = 1
    count: int = 0

    def line(self, text: str) -> None:
        self.lines.append("\t" * self.indent + text)

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def statements(self, body: tuple[Statement, ...]) -> None:
        for item in body:
            self.statement(item)

    def statement(self, item: Statement) -> None:
        match item:
            case Filter(condition=condition):
                self.line(f"if (!({self.number(condition)}))\n{chr(9) * self.indent}\treturn 0;")
            case Let(name=name, value=value, span=span):
                if name in self.names or name in UNITS or name in BUILTINS:
                    raise self.owner.error(span, "probe-name", f"{name} has a meaning already", "choose another name")
                cell = self.cell(value)
                if cell.kind != "number":
                    raise self.owner.error(span, "probe-type", f"{name} would be a {cell.kind}", "names are given to numbers")
                self.line(f"__s64 {name}_ = {cell.text};")
                self.names[name] = Cell(f"{name}_", typed=replace(cell.typed, text=f"{name}_") if cell.typed else None)
            case If(condition=condition, then=then, other=other):
                self.line(f"if ({self.number(condition)}) {{")
                self._branch(then)
                if other:
                    self.line("} else {")
                    self._branch(other)
                self.line("}")
            case Aggregate():
                self._aggregate(item)
            case Emit():
                self._emit(item)
            case OnReturn(span=span) | OnEvent(span=span):
                if self.indent > 1 or self.on_exit:
                    what = "`on return`" if isinstance(item, OnReturn) else "a way out"
                    raise self.owner.error(span, "probe-return", f"{what} stands in a probe itself", "put it beside `filter`")

    def _branch(self, body: tuple[Statement, ...]) -> None:
        outer = dict(self.names)
        self.indent += 1
        self.statements(body)
        self.indent -= 1
        self.names = outer

    # --- what is kept and sent ----------------------------------------------------------------------------------------
    def _aggregate(self, item: Aggregate) -> None:
        value = self.number(item.value) if item.value is not None else "1"
        cells = [self.cell(key) for key in item.keys]
        columns = tuple(Column(_label(key), cell.kind, cell.size) for key, cell in zip(item.keys, cells, strict=True))
        table = Table(item.name, item.kind, columns, item.low, item.high, item.step)
        known = self.owner.tables.setdefault(item.name, table)
        shape = [(column.kind, column.size) for column in known.keys]
        if (known.kind, known.step, known.low, shape) != (
            table.kind,
            table.step,
            table.low,
            [(c.kind, c.size) for c in columns],
        ):
            raise self.owner.error(
                item.span, "probe-name", f"{item.name} is a {known.kind} by other keys above", "choose another name"
            )
        if not cells:
            only = self.fresh()
            self.line(f"__u32 {only} = 0;")
            self.line(f"keep_{item.name}(&{only}, {value});")
            return
        key = self.fresh()
        self.line(f"struct {item.name}_key {key} = {{}};")
        self._filled(key, [f"k{index}" for index in range(len(cells))], cells)
        self.line(f"keep_{item.name}(&{key}, {value});")

    def _emit(self, item: Emit) -> None:
        cells = [self.cell(value) for _, value in item.fields]
        number = len(self.owner.records)
        columns = tuple(Column(label, cell.kind, cell.size) for (label, _), cell in zip(item.fields, cells, strict=True))
        self.owner.records.append(Record(item.name, number, columns, item.span))
        record = self.fresh()
        members = " ".join(member_c(f"f{index}", column) for index, column in enumerate(columns))
        self.line(f"struct {{ __u64 number; {members} }} {record} = {{}};")
        self.line(f"{record}.number = {number};")
        self._filled(record, [f"f{index}" for index in range(len(cells))], cells)
        self.line(f"bpf_ringbuf_output(&{EVENTS}, &{record}, sizeof({record}), 0);")

    def _filled(self, into: str, members: list[str], cells: list[Cell]) -> None:
        for name, cell in zip(members, cells, strict=True):
            self.line(
                cell.text.format(into=f"{into}.{name}") + ";" if cell.kind == "string" else f"{into}.{name} = {cell.text};"
            )

    # --- expressions --------------------------------------------------------------------------------------------------
    def number(self, expr: Expr) -> str:
        cell = self.cell(expr)
        if cell.kind != "number":
            raise self.owner.error(
                expr.span,
                "probe-type",
                f"a number is needed, and this is a {cell.kind}",
                "strings are for keys and records, and compare with texts",
            )
        return cell.text

    def cell(self, expr: Expr) -> Cell:
        match expr:
            case Number(value=value):
                return Cell(f"{value}LL" if value < 1 << 63 else f"(__s64){value}ULL")
            case Text(span=span):
                raise self.owner.error(span, "probe-type", "a string has no value here", "compare numbers")
            case Name(name=name, span=span):
                return self._name(name, span)
            case Call():
                return self._call(expr)
            case Field(object=inner, name=name, span=span):
                return self._field(inner, name, span)
            case Unary(operator=operator, operand=operand):
                inner_text = self.number(operand)
                words = {"-": f"(__s64)(0 - (__u64)({inner_text}))", "!": f"!({inner_text})", "~": f"~({inner_text})"}
                return Cell(words[operator])
            case Binary(operator="==" | "!=" as operator, left=left, right=Text(value=text, span=span)):
                return self._compared(operator, left, text, span)
            case Binary(operator=operator, left=left, right=right):
                return Cell(_binary(operator, self.number(left), self.number(right)))

    def _compared(self, operator: str, left: Expr, text: str, span: Span) -> Cell:
        """A string against one that is written out, byte by byte up to its end."""
        cell = self.cell(left)
        if cell.kind != "string":
            raise self.owner.error(
                left.span,
                "probe-type",
                f"a string is needed, and this is a {cell.kind}",
                "strings are comm, str(pointer) and fields",
            )
        if len(text.encode()) > cell.size:
            raise self.owner.error(span, "probe-type", f"the string on the left has {cell.size} bytes at most", "shorten it")
        fresh = self.fresh()
        self.line(f"char {fresh}[{cell.size}] = {{}};")
        self.line(cell.text.format(into=fresh) + ";")
        same = " & ".join(f"({fresh}[{at}] == {byte})" for at, byte in enumerate(literal(text, cell.size)))
        return Cell(f"({same})" if operator == "==" else f"!({same})")

    def _name(self, name: str, span: Span) -> Cell:
        if name in self.names:
            return self.names[name]
        if name in UNITS:
            return Cell(f"{UNITS[name]}LL")
        if name == "ret":
            return self._result(span)
        if name in BUILTINS:
            if name in ("kstack", "ustack"):
                self.owner.uses_stacks = True
            kind, size, text = BUILTINS[name]
            if kind == "string":
                return Cell(text, kind, size)
            fresh = self.fresh()
            self.line(f"__s64 {fresh} = {text};")
            return Cell(fresh, kind)
        if self.on_exit and self.of_call:
            known = ", ".join(sorted({*self.names, *self.params, "ret"}))
            raise self.owner.error(span, "probe-name", f"nothing is called {name} on the way out", f"there is {known}")
        return self.parameter(name, span)

    def parameter(self, name: str, span: Span) -> Cell:
        at = self.params.get(name)
        if at is None:
            known = ", ".join(sorted({*self.names, *self.params}) or ["pid", "tid", "comm"])
            raise self.owner.error(span, "probe-name", f"nothing is called {name}", f"there is {known}")
        fresh = self.fresh()
        match self.probe.kind:
            case ProbeKind.UPROBE | ProbeKind.KPROBE:
                if at >= len(PT_REGS):
                    raise self.owner.error(
                        span, "probe-name", f"{name} is not passed in a register", "the first six arguments are"
                    )
                text = f"ctx[{PT_REGS[at]}]"
            case ProbeKind.SYSCALL:
                text = f"ctx[{2 + at}]"
            case ProbeKind.TRACEPOINT:
                fields = tracepoint_fields(f"{self.probe.path}/{self.probe.target}")
                offset, size, signed = fields[name]
                if size not in (1, 2, 4, 8):
                    raise self.owner.error(span, "probe-type", f"{name} has {size} bytes", "numbers can be read")
                text = f"*(__{'s' if signed else 'u'}{8 * size} *)((char *)ctx + {offset})"
            case _:
                text = f"ctx[{at}]"
        types = parameters(self.probe.kind, self.probe.target)
        typed = Typed(fresh, types[at][1], self.probe.kind is ProbeKind.KPROBE) if types and at < len(types) else None
        self.line(f"__s64 {fresh} = {_cast(narrow(typed.type_id) if typed else None, text)};")
        return Cell(fresh, typed=typed)

    def _result(self, span: Span) -> Cell:
        if not (self.on_exit and self.of_call):
            where = "of another event" if self.on_exit else "on the way in"
            raise self.owner.error(span, "probe-name", f"there is no result {where}", "use `ret` inside `on return`")
        fresh = self.fresh()
        match self.probe.kind:
            case ProbeKind.SYSCALL:
                text = "ctx[2]"
            case ProbeKind.FENTRY:
                text = f"ctx[{len(parameters(self.probe.kind, self.probe.target) or ())}]"
            case _:
                text = f"ctx[{RESULT}]"
        kept = result_type(self.probe.kind, self.probe.target)
        self.line(f"__s64 {fresh} = {_cast(narrow(kept), text)};")
        return Cell(fresh, typed=Typed(fresh, kept, self.probe.kind is ProbeKind.KPROBE) if kept is not None else None)

    def _call(self, expr: Call) -> Cell:
        if expr.function == "now" and not expr.args:
            fresh = self.fresh()
            self.line(f"__s64 {fresh} = bpf_ktime_get_ns();")
            return Cell(fresh)
        if expr.function in CASTS and len(expr.args) == 1:
            return Cell(_cast(CASTS[expr.function], self.number(expr.args[0])))
        if expr.function in ("str", "kstr", "ustr") and len(expr.args) == 1:
            pointer = self.number(expr.args[0])
            helper = f"bpf_probe_read_{'user' if of_user(expr.function, self.probe.kind) else 'kernel'}_str"
            return Cell(f"{helper}({{into}}, sizeof({{into}}), (void *)({pointer}))", "string", STRING_BYTES)
        raise self.owner.error(
            expr.span,
            "probe-name",
            f"there is no function {expr.function} of {len(expr.args)} values",
            "there is now(), str(pointer), int32(number) and its like",
        )

    def _field(self, inner: Expr, name: str, span: Span) -> Cell:
        base = self.cell(inner)
        if base.typed is None:
            raise self.owner.error(
                span, "probe-field", "the type of what the pointer leads to is not known",
                "arguments of tp_btf, fentry and kprobe probes have types, as the kernel describes them",
            )  # fmt: skip
        try:
            found = member(replace(base.typed, text=base.text), name, self.owner.structs)
        except NoField as reason:
            raise self.owner.error(
                span, "probe-field", str(reason), "`bpftool btf dump file /sys/kernel/btf/vmlinux` lists them"
            ) from None
        size = string_bytes(found.type_id)
        if size is not None:
            read = f"bpf_probe_read_kernel_str({{into}}, sizeof({{into}}), {found.text})"
            return Cell(read, "string", min(size, STRING_BYTES))
        fresh = self.fresh()
        if found.kept:
            self.line(f"typeof({found.text}) {fresh}r = 0;")
            self.line(f"bpf_probe_read_kernel(&{fresh}r, sizeof({fresh}r), &{found.text});")
            self.line(f"__s64 {fresh} = (__s64){fresh}r;")
        else:
            self.line(f"typeof({found.text}) {fresh}r = {found.text};")
            self.line(f"__s64 {fresh} = (__s64){fresh}r;")
        return Cell(fresh, typed=replace(found, text=f"{fresh}r"))


BUILTINS: dict[str, tuple[str, int, str]] = {
    "pid": ("number", 8, "bpf_get_current_pid_tgid() >> 32"),
    "tid": ("number", 8, "(__u32)bpf_get_current_pid_tgid()"),
    "uid": ("number", 8, "(__u32)bpf_get_current_uid_gid()"),
    "gid": ("number", 8, "bpf_get_current_uid_gid() >> 32"),
    "cpu": ("number", 8, "bpf_get_smp_processor_id()"),
    "cgroup": ("number", 8, "bpf_get_current_cgroup_id()"),
    "$target": ("number", 8, TARGET),
    "comm": ("string", COMM_BYTES, "bpf_get_current_comm({into}, sizeof({into}))"),
    "kstack": ("kstack", 8, f"bpf_get_stackid(ctx, &{STACKS}, 0)"),
    "ustack": ("ustack", 8, f"bpf_get_stackid(ctx, &{STACKS}, BPF_F_USER_STACK)"),
    "ret": ("number", 8, ""),
}


def _cast(kept: tuple[int, bool] | None, text: str) -> str:
    """The low bytes of a number, as a number of so many bytes and that sign; all of it for None."""
    return text if kept is None else f"(__s64)(__{'s' if kept[1] else 'u'}{8 * kept[0]})({text})"


def _label(expr: Expr) -> str:
    match expr:
        case Name(name=name):
            return name
        case Field(object=inner, name=name):
            return f"{_label(inner)}->{name}"
        case Call(function=function, args=args):
            return f"{function}({', '.join(map(_label, args))})"
        case _:
            return "key"


def _binary(operator: str, left: str, right: str) -> str:
    match operator:
        case "/":
            return f"div_s64({left}, {right})"
        case "%":
            return f"rem_s64({left}, {right})"
        case "<<":
            return f"(__s64)((__u64)({left}) << (({right}) & 63))"
        case ">>":
            return f"({left}) >> (({right}) & 63)"
        case "&&" | "||":
            return f"(!!({left}) {operator[0]} !!({right}))"
        case "+" | "-" | "*":
            return f"(__s64)((__u64)({left}) {operator} (__u64)({right}))"
        case _:
            return f"(({left}) {operator} ({right}))"


def function_c(section: str, name: str, body: Body) -> str:
    lines = "\n".join(body.lines)
    return f'SEC("{section}")\nint {name}(__u64 *ctx)\n{{\n{lines}\n\treturn 0;\n}}\n'
