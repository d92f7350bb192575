"""Probes as BPF C: a pair of programs with a hash for what the way in leaves for the way out, and per-CPU maps for aggregates.

The plain form: `trace.fuse` makes the best form of it for a kernel, with proof. Both sides of && and || are evaluated, as
reading the clock is the only thing that an expression does. Every reading is a statement of its own, in the order of the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.kernel.tracefs import tracepoint_fields
from bpfsmith.source import SourceText, Span
from bpfsmith.trace.language.fields import NoField, Structs, Typed, member, parameters, string_bytes
from bpfsmith.trace.language.syntax import (
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
    OnReturn,
    Probe,
    ProbeFile,
    ProbeKind,
    Statement,
    Text,
    Unary,
    all_statements,
    expressions,
    names_in,
)
from bpfsmith.trace.language.tables import (
    EPILOGUE,
    EVENTS_C,
    PROLOGUE,
    STACKS_C,
    Column,
    Record,
    Table,
    member_c,
    table_c,
)

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
COMM_BYTES, STRING_BYTES = 16, 64
STATE, EVENTS, STACKS, TARGET = "starts", "events", "stacks", "target_pid"
PT_REGS = (14, 13, 12, 11, 9, 8)  # words of struct pt_regs that hold the arguments on x86-64
RESULT = 10
_FIRST_ARGUMENT = 16  # of what a sys_enter tracepoint hands over, in bytes
_SECTIONS = {
    ProbeKind.UPROBE: ("uprobe", "uretprobe"),
    ProbeKind.KPROBE: ("kprobe", "kretprobe"),
    ProbeKind.FENTRY: ("fentry", "fexit"),
}


@dataclass(frozen=True, slots=True)
class Lowered:
    """The C text, and what its maps mean."""

    file: ProbeFile
    c_text: str
    tables: tuple[Table, ...]
    records: tuple[Record, ...]


def lower(file: ProbeFile) -> Lowered:
    """The C of a probe file. InputError `probe-name`, `probe-type`, `probe-field`, .. at the place in the text."""
    return _Lowering(file).run()


@dataclass(frozen=True, slots=True)
class Cell:
    """A value in C: `kind` as in `Column`."""

    text: str
    kind: str = "number"
    size: int = 8
    typed: Typed | None = None


@dataclass(slots=True)
class _Lowering:
    file: ProbeFile
    tables: dict[str, Table] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    structs: Structs = field(default_factory=Structs)
    uses_stacks: bool = False

    def run(self) -> Lowered:
        bodies = [text for index, probe in enumerate(self.file.probes) for text in self._programs(index, probe)]
        parts = [PROLOGUE, self.structs.c_text()]
        parts += [table_c(table) for table in self.tables.values()]
        if self.records:
            parts.append(EVENTS_C)
        if self.uses_stacks:
            parts.append(STACKS_C)
        return Lowered(self.file, "\n".join([*parts, *bodies, EPILOGUE]), tuple(self.tables.values()), tuple(self.records))

    def error(self, span: Span, ident: str, message: str, help_text: str) -> InputError:
        return InputError(
            Diagnostic(ident, message, Label(span), help=help_text, source=SourceText(self.file.path, self.file.text))
        )

    # --- programs -----------------------------------------------------------------------------------------------------
    def _programs(self, index: int, probe: Probe) -> list[str]:
        on_return = probe.on_return
        if on_return is not None and probe.kind in (ProbeKind.TRACEPOINT, ProbeKind.TP_BTF):
            span = next(item.span for item in probe.body if isinstance(item, OnReturn))
            help_text = "uprobe, syscall, kprobe and fentry have one"
            raise self.error(span, "probe-return", f"an event ({probe.kind}) has no way out", help_text)
        params = self._parameters(probe)
        self._must_be_set(probe)
        shared, passes = shared_names(probe, params)
        entry_section, exit_section = self._sections(probe)
        out: list[str] = []
        if passes and on_return is not None:
            fields = "".join(f"\t__s64 {name}_;\n" for name in shared) or "\t__u64 called;\n"
            out.append(f"struct state{index} {{\n{fields}}};\nHASH({STATE}{index}, __u32, struct state{index});\n")
        body = _Body(self, probe, params, on_exit=False)
        body.statements(probe.entry)
        if passes and on_return is not None:
            body.line(f"struct state{index} state = {{}};")
            for name in shared:
                value = body.names.get(name) or body.parameter(name, probe.span)
                body.line(f"state.{name}_ = {value.text};")
            if not shared:
                body.line("state.called = 1;")
            body.line("__u32 tid = bpf_get_current_pid_tgid();")
            body.line(f"bpf_map_update_elem(&{STATE}{index}, &tid, &state, BPF_ANY);")
        if probe.entry or passes or on_return is None:
            out.append(_function(entry_section, f"probe{index}_entry", body))
        if on_return is None:
            return out
        after = _Body(self, probe, params, on_exit=True)
        if passes:
            after.line("__u32 tid = bpf_get_current_pid_tgid();")
            after.line(f"struct state{index} *state = bpf_map_lookup_elem(&{STATE}{index}, &tid);")
            after.line("if (!state)\n\t\treturn 0;")
            for name in shared:
                after.line(f"__s64 {name}_ = state->{name}_;")
                kind = body.names[name] if name in body.names else body.parameter(name, probe.span)
                after.names[name] = Cell(f"{name}_", typed=Typed(f"{name}_", kind.typed.type_id) if kind.typed else None)
            after.line(f"bpf_map_delete_elem(&{STATE}{index}, &tid);")
        after.statements(on_return)
        out.append(_function(exit_section, f"probe{index}_exit", after))
        return out

    def _must_be_set(self, probe: Probe) -> None:
        top = {item.name for item in probe.entry if isinstance(item, Let)}
        for item in all_statements(probe.entry):
            if isinstance(item, Let) and item.name not in top and item.name in _wanted(probe):
                raise self.error(item.span, "probe-name", f"{item.name} is not set on every way in", "set it outside of `if`")

    def _parameters(self, probe: Probe) -> dict[str, int]:
        try:
            return inputs(probe)
        except NoField as reason:
            raise self.error(probe.span, "unknown-target", str(reason), "check the name, or ask for another kernel") from None

    def _sections(self, probe: Probe) -> tuple[str, str]:
        match probe.kind:
            case ProbeKind.UPROBE:
                where = f"/{probe.path}:{probe.target}" if probe.path else f"/{probe.target}"
                return f"uprobe{where}", f"uretprobe{where}"
            case ProbeKind.SYSCALL:
                return f"tracepoint/syscalls/sys_enter_{probe.target}", f"tracepoint/syscalls/sys_exit_{probe.target}"
            case ProbeKind.TRACEPOINT:
                return f"tracepoint/{probe.path}/{probe.target}", ""
            case ProbeKind.TP_BTF:
                return f"tp_btf/{probe.target}", ""
            case kind:
                entry, exit_ = _SECTIONS[kind]
                return f"{entry}/{probe.target}", f"{exit_}/{probe.target}"


def inputs(probe: Probe) -> dict[str, int]:
    """The names of what the hook is given, by position. Raises NoField; InputError `unknown-tracepoint`."""
    match probe.kind:
        case ProbeKind.UPROBE:
            names: list[str] = list(probe.params)
        case ProbeKind.SYSCALL:
            known = tracepoint_fields(f"syscalls/sys_enter_{probe.target}")
            names = list(probe.params) or [name for name, (at, _, _) in known.items() if at >= _FIRST_ARGUMENT]
        case ProbeKind.TRACEPOINT:
            names = list(tracepoint_fields(f"{probe.path}/{probe.target}"))
        case _:
            types = parameters(probe.kind, probe.target) or ()
            names = list(probe.params) or [name for name, _ in types]
    return {name: at for at, name in enumerate(names)}


def _wanted(probe: Probe) -> set[str]:
    """The names that the way out reads and does not set itself."""
    after = all_statements(probe.on_return or ())
    read = set().union(*(names_in(expr) for item in after for expr in expressions(item))) if after else set()
    return read - {item.name for item in after if isinstance(item, Let)}


def shared_names(probe: Probe, params: Mapping[str, int] | None = None) -> tuple[tuple[str, ...], bool]:
    """What the way out needs of the way in, in the order of its state, and whether it needs to know of it at all."""
    wanted = _wanted(probe)
    lets = [item.name for item in all_statements(probe.entry) if isinstance(item, Let)]
    shared = tuple(name for name in dict.fromkeys((*lets, *(inputs(probe) if params is None else params))) if name in wanted)
    return shared, bool(shared) or any(isinstance(item, Filter) for item in probe.entry)


@dataclass(slots=True)
class _Body:
    """The statements of one program as C."""

    owner: _Lowering
    probe: Probe
    params: Mapping[str, int]
    on_exit: bool
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
                if name in self.names or name in UNITS or name in _BUILTINS:
                    raise self.owner.error(span, "probe-name", f"{name} has a meaning already", "choose another name")
                cell = self.cell(value)
                if cell.kind != "number":
                    raise self.owner.error(span, "probe-type", f"{name} would be a {cell.kind}", "names are given to numbers")
                self.line(f"__s64 {name}_ = {cell.text};")
                self.names[name] = Cell(f"{name}_", typed=Typed(f"{name}_", cell.typed.type_id) if cell.typed else None)
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
            case OnReturn(span=span):
                if self.indent > 1 or self.on_exit:
                    raise self.owner.error(
                        span, "probe-return", "`on return` stands in a probe itself", "put it beside `filter`"
                    )

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
            self.line("__u32 key0 = 0;" if not any("key0 = 0" in line for line in self.lines) else "key0 = 0;")
            self.line(f"keep_{item.name}(&key0, {value});")
            return
        key = self.fresh()
        self.line(f"struct {item.name}_key {key} = {{}};")
        self._filled(key, [f"k{index}" for index in range(len(cells))], cells)
        self.line(f"keep_{item.name}(&{key}, {value});")

    def _emit(self, item: Emit) -> None:
        cells = [self.cell(value) for _, value in item.fields]
        number = len(self.owner.records)
        columns = tuple(Column(label, cell.kind, cell.size) for (label, _), cell in zip(item.fields, cells, strict=True))
        self.owner.records.append(Record(item.name, number, columns))
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
                expr.span, "probe-type", f"a number is needed, and this is a {cell.kind}", "strings are for keys and records"
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
            case Binary(operator=operator, left=left, right=right):
                return Cell(_binary(operator, self.number(left), self.number(right)))

    def _name(self, name: str, span: Span) -> Cell:
        if name in self.names:
            return self.names[name]
        if name in UNITS:
            return Cell(f"{UNITS[name]}LL")
        if name == "ret":
            return self._result(span)
        if name in _BUILTINS:
            if name in ("kstack", "ustack"):
                self.owner.uses_stacks = True
            kind, size, text = _BUILTINS[name]
            if kind == "string":
                return Cell(text, kind, size)
            fresh = self.fresh()
            self.line(f"__s64 {fresh} = {text};")
            return Cell(fresh, kind)
        if self.on_exit:
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
        self.line(f"__s64 {fresh} = {text};")
        types = parameters(self.probe.kind, self.probe.target)
        typed = Typed(fresh, types[at][1]) if types and at < len(types) else None
        return Cell(fresh, typed=typed)

    def _result(self, span: Span) -> Cell:
        if not self.on_exit:
            raise self.owner.error(span, "probe-name", "there is no result on the way in", "use `ret` inside `on return`")
        fresh = self.fresh()
        match self.probe.kind:
            case ProbeKind.SYSCALL:
                text = "ctx[2]"
            case ProbeKind.FENTRY:
                text = f"ctx[{len(parameters(self.probe.kind, self.probe.target) or ())}]"
            case _:
                text = f"ctx[{RESULT}]"
        self.line(f"__s64 {fresh} = {text};")
        return Cell(fresh)

    def _call(self, expr: Call) -> Cell:
        if expr.function == "now" and not expr.args:
            fresh = self.fresh()
            self.line(f"__s64 {fresh} = bpf_ktime_get_ns();")
            return Cell(fresh)
        if expr.function in ("str", "kstr", "ustr") and len(expr.args) == 1:
            pointer = self.number(expr.args[0])
            of_user = expr.function == "ustr" or (
                expr.function == "str" and self.probe.kind in (ProbeKind.UPROBE, ProbeKind.SYSCALL)
            )
            helper = f"bpf_probe_read_{'user' if of_user else 'kernel'}_str"
            return Cell(f"{helper}({{into}}, sizeof({{into}}), (void *)({pointer}))", "string", STRING_BYTES)
        raise self.owner.error(
            expr.span,
            "probe-name",
            f"there is no function {expr.function} of {len(expr.args)} values",
            "there is now(), str(pointer)",
        )

    def _field(self, inner: Expr, name: str, span: Span) -> Cell:
        base = self.cell(inner)
        if base.typed is None:
            raise self.owner.error(
                span, "probe-field", "the type of what the pointer leads to is not known",
                "arguments of tp_btf, fentry and kprobe probes have types, as the kernel describes them",
            )  # fmt: skip
        try:
            found = member(Typed(base.text, base.typed.type_id), name, self.owner.structs)
        except NoField as reason:
            raise self.owner.error(
                span, "probe-field", str(reason), "`bpftool btf dump file /sys/kernel/btf/vmlinux` lists them"
            ) from None
        size = string_bytes(found.type_id)
        if size is not None:
            read = f"bpf_probe_read_kernel_str({{into}}, sizeof({{into}}), {found.text})"
            return Cell(read, "string", min(size, STRING_BYTES))
        fresh = self.fresh()
        if self.probe.kind is ProbeKind.KPROBE:
            self.line(f"typeof({found.text}) {fresh}r = 0;")
            self.line(f"bpf_probe_read_kernel(&{fresh}r, sizeof({fresh}r), &{found.text});")
            self.line(f"__s64 {fresh} = (__s64){fresh}r;")
        else:
            self.line(f"typeof({found.text}) {fresh}r = {found.text};")
            self.line(f"__s64 {fresh} = (__s64){fresh}r;")
        return Cell(fresh, typed=Typed(f"{fresh}r", found.type_id))


_BUILTINS: dict[str, tuple[str, int, str]] = {
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


def _function(section: str, name: str, body: _Body) -> str:
    lines = "\n".join(body.lines)
    return f'SEC("{section}")\nint {name}(__u64 *ctx)\n{{\n{lines}\n\treturn 0;\n}}\n'
