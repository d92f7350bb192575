"""Probes as BPF C: a pair of programs with a hash for what the way in leaves for the way out, and per-CPU maps for aggregates.

The plain form: `trace.fuse` makes the best form of it for a kernel, with proof. `body` has statements and expressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.kernel.tracefs import tracepoint_fields
from bpfsmith.trace.language.body import PT_REGS, Body, Cell, Unit, function_c
from bpfsmith.trace.language.fields import NoField, Typed, parameters
from bpfsmith.trace.language.syntax import (
    Expr,
    Filter,
    Let,
    OnEvent,
    OnReturn,
    Probe,
    ProbeFile,
    ProbeKind,
    Statement,
    all_statements,
    expressions,
    names_in,
)
from bpfsmith.trace.language.tables import EPILOGUE, EVENTS_C, PROLOGUE, STACKS_C, Record, Table, table_c

STATE = "starts"
_FIRST_ARGUMENT = 16  # of what a sys_enter tracepoint hands over, in bytes
_FUNCTIONS = {
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
class WayOut:
    """Where a probe's way out runs and what it does there. `event`: another event than the call's return, and whose it is."""

    place: Probe
    first: tuple[Statement, ...]  # filters that say which events are meant, before the state is looked up
    body: tuple[Statement, ...]
    event: OnEvent | None = None


def way_out(probe: Probe) -> WayOut | None:
    """The way out of a probe, if it has one."""
    event = probe.on_event
    if event is None:
        return None if probe.on_return is None else WayOut(probe, (), probe.on_return)
    body, own = event.place.body, {item.name for item in all_statements(probe.entry) if isinstance(item, Let)}
    own |= inputs(probe).keys() - inputs(event.place).keys()
    count = 0
    while count < len(body) and isinstance(item := body[count], Filter) and not names_in(item.condition) & own:
        count += 1
    return WayOut(event.place, body[:count], body[count:], event)


def event_programs(file: ProbeFile) -> frozenset[str]:
    """The programs that do something only for an object that their probe has seen before."""
    return frozenset(f"probe{index}_exit" for index, probe in enumerate(file.probes) if probe.on_event is not None)


class _Lowering:
    def __init__(self, file: ProbeFile) -> None:
        self.file, self.unit = file, Unit(file)

    def run(self) -> Lowered:
        bodies = [text for index, probe in enumerate(self.file.probes) for text in self._programs(index, probe)]
        unit = self.unit
        parts = [PROLOGUE, unit.structs.c_text()]
        parts += [table_c(table) for table in unit.tables.values()]
        if unit.records:
            parts.append(EVENTS_C)
        if unit.uses_stacks:
            parts.append(STACKS_C)
        return Lowered(self.file, "\n".join([*parts, *bodies, EPILOGUE]), tuple(unit.tables.values()), tuple(unit.records))

    # --- programs -----------------------------------------------------------------------------------------------------
    def _programs(self, index: int, probe: Probe) -> Iterator[str]:
        self._may_have_way_out(probe)
        params = self._parameters(probe)
        if probe.on_event is not None:
            self._parameters(probe.on_event.place)
        self._must_be_set(probe)
        shared, passes = shared_names(probe)
        entry_section, exit_section = _sections(probe)
        out = way_out(probe)
        if passes and out is not None:
            fields = "".join(f"\t__s64 {name}_;\n" for name in shared) or "\t__u64 called;\n"
            key = "__u32" if out.event is None else "__u64"
            yield f"struct state{index} {{\n{fields}}};\nHASH({STATE}{index}, {key}, struct state{index});\n"
        body = Body(self.unit, probe, params, on_exit=False)
        body.statements(probe.entry)
        if passes and out is not None:
            self._left(body, index, out, shared)
        if probe.entry or passes or out is None:
            yield function_c(entry_section, f"probe{index}_entry", body)
        if out is None:
            return
        after = Body(self.unit, out.place, inputs(out.place), on_exit=True, of_call=out.event is None)
        after.statements(out.first)
        if passes:
            self._taken(after, body, index, out, shared)
        after.statements(out.body)
        yield function_c(exit_section if out.event is None else _sections(out.place)[0], f"probe{index}_exit", after)

    def _left(self, body: Body, index: int, out: WayOut, shared: tuple[str, ...]) -> None:
        """What the way in leaves for the way out."""
        body.line(f"struct state{index} state = {{}};")
        for name in shared:
            value = body.names.get(name) or body.parameter(name, body.probe.span)
            body.names[name] = value
            body.line(f"state.{name}_ = {value.text};")
        if not shared:
            body.line("state.called = 1;")
        key = _key(body, None if out.event is None else out.event.entry_key)
        body.line(f"bpf_map_update_elem(&{STATE}{index}, &{key}, &state, BPF_ANY);")

    def _taken(self, after: Body, before: Body, index: int, out: WayOut, shared: tuple[str, ...]) -> None:
        key = _key(after, None if out.event is None else out.event.key)
        after.line(f"struct state{index} *state = bpf_map_lookup_elem(&{STATE}{index}, &{key});")
        after.line("if (!state)\n\t\treturn 0;")
        for name in shared:
            after.line(f"__s64 {name}_ = state->{name}_;")
            kind = before.names[name]
            after.names[name] = Cell(f"{name}_", typed=Typed(f"{name}_", kind.typed.type_id, True) if kind.typed else None)
        after.line(f"bpf_map_delete_elem(&{STATE}{index}, &{key});")

    def _may_have_way_out(self, probe: Probe) -> None:
        """Events do not return."""
        for item in probe.body:
            if isinstance(item, OnReturn) and probe.kind in (ProbeKind.TRACEPOINT, ProbeKind.TP_BTF):
                help_text = (
                    "uprobe, syscall, kprobe and fentry have one; write `on tp_btf:EVENT(..) by OBJECT` for another event"
                )
                raise self.unit.error(item.span, "probe-return", f"an event ({probe.kind}) has no way out", help_text)

    def _must_be_set(self, probe: Probe) -> None:
        top = {item.name for item in probe.entry if isinstance(item, Let)}
        for item in all_statements(probe.entry):
            if isinstance(item, Let) and item.name not in top and item.name in _wanted(probe):
                raise self.unit.error(
                    item.span, "probe-name", f"{item.name} is not set on every way in", "set it outside of `if`"
                )

    def _parameters(self, probe: Probe) -> dict[str, int]:
        try:
            return inputs(probe)
        except NoField as reason:
            raise self.unit.error(
                probe.span, "unknown-target", str(reason), "check the name, or ask for another kernel"
            ) from None


def _key(body: Body, key: Expr | None) -> str:
    """The variable that holds the key of the state: an object's, or the thread's id."""
    name = "tid" if key is None else "object"
    body.line(f"__u32 {name} = bpf_get_current_pid_tgid();" if key is None else f"__u64 {name} = {body.number(key)};")
    return name


def _sections(probe: Probe) -> tuple[str, str]:
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
            entry, exit_ = _FUNCTIONS[kind]
            return f"{entry}/{probe.target}", f"{exit_}/{probe.target}"


def inputs(probe: Probe) -> dict[str, int]:
    """The names of what the hook is given, by position; arguments also go by their numbers: arg0, arg1, ..

    Raises NoField; InputError `unknown-tracepoint`.
    """
    most = len(PT_REGS) if probe.kind in (ProbeKind.UPROBE, ProbeKind.KPROBE) else 0
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
            names, most = list(probe.params) or [name for name, _ in types], len(types) or most
    return {name: at for at, name in enumerate(names)} | {f"arg{at}": at for at in range(most)}


def _wanted(probe: Probe) -> set[str]:
    """The names that the way out reads and neither sets itself nor is given."""
    out = way_out(probe)
    after = all_statements((*out.first, *out.body)) if out is not None else ()
    read = set().union(*(names_in(expr) for item in after for expr in expressions(item))) if after else set()
    read -= {item.name for item in after if isinstance(item, Let)}
    return read - inputs(out.place).keys() if out is not None and out.event is not None else read


def shared_names(probe: Probe) -> tuple[tuple[str, ...], bool]:
    """What the way out needs of the way in, in the order of its state, and whether it needs to know of it at all."""
    wanted = _wanted(probe)
    lets = [item.name for item in all_statements(probe.entry) if isinstance(item, Let)]
    shared = tuple(name for name in dict.fromkeys((*lets, *inputs(probe))) if name in wanted)
    return shared, bool(shared) or probe.on_event is not None or any(isinstance(item, Filter) for item in probe.entry)
