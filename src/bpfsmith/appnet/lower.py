"""The rule-based generator: typed AppNet to readable eBPF C, with `#line` back to the user's program.

Every construct has one rule. State is kept atomic across CPUs in the cheapest way that does (`sharing`): nothing, atomic
instructions, or one bpf_spin_lock around the step. A lock may not be held across a helper call, so under a lock the draws and
clock readings are made before it, once for each place in the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import assert_never

from bpfsmith.appnet import core, facts, fixed
from bpfsmith.appnet.core import BOOL, FLOAT, INSTANT, INT, UINT, Element, Expr, Stmt, Type
from bpfsmith.appnet.declared import CTypes, member, vec_members, words
from bpfsmith.appnet.meaning import draw_comparison
from bpfsmith.appnet.names import Naming, naming, reserved
from bpfsmith.appnet.shapes import is_block, offsets, size_of
from bpfsmith.appnet.unpack import MESSAGE_SIZE, Unpacking, reply_function
from bpfsmith.source import Span


class Sharing(StrEnum):
    """How the state of an element is kept whole when several CPUs run steps at once."""

    NONE = "none"  # the step does not change state
    ATOMIC = "atomic"  # counters by atomic add, at most one variable that is only overwritten
    LOCK = "lock"  # one bpf_spin_lock around the step
    MAP = "map"  # map helpers: each call is atomic, the step is not


def sharing(element: Element) -> Sharing:
    """The cheapest way that keeps every step of this element atomic: `req` and `resp` share their state."""
    body = (*element.req, *element.resp)
    changed = facts.written(body)
    if not changed:
        return Sharing.NONE
    if any(element.variable(name).type.name == "Map" for name in changed) or any(
        isinstance(expr, core.MapGet) for expr in facts.expressions(body)
    ):
        return Sharing.MAP
    if any(facts.may_divide_by_zero(expr) for expr in facts.expressions(body)):
        return Sharing.LOCK
    counters = _counters(element)
    seen: set[str] = set()
    for statement in facts.statements(body):
        added = facts.added_to(statement)
        counts = added is not None and isinstance(statement, core.SetState) and statement.name in counters
        values = (added[1],) if added is not None and counts else facts.own_expressions(statement)
        seen |= {item.name for value in values for item in facts.subexpressions(value) if isinstance(item, core.StateVar)}
    long = any(element.variable(name).type.name == "Vec" or is_block(element.variable(name).type) for name in changed)
    return Sharing.LOCK if long or seen & changed or len(changed - counters) > 1 else Sharing.ATOMIC


def _counters(element: Element) -> frozenset[str]:
    """Integers that every step only adds to: an atomic add keeps them whole."""
    body = (*element.req, *element.resp)
    return frozenset(name for name in facts.written(body) if facts.only_added(body, name))


@dataclass(slots=True)
class _Writer:
    """C text with indentation; `#line` directives are written when the user's line changes."""

    path: str
    lines: list[str] = field(default_factory=list)
    depth: int = 0

    def put(self, text: str) -> None:
        self.lines.append("\t" * self.depth + text if text else "")

    def at(self, span: Span) -> None:
        self.lines.append(f'#line {span.line} "{_printable(span.path or self.path)}"')

    @contextmanager
    def block(self, head: str, tail: str = "}") -> Iterator[None]:
        if head.startswith("else") and self.lines[-1] == "\t" * self.depth + "}":
            self.lines[-1] += f" {head} {{"
        else:
            self.put(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put(tail)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the program runs: its section, context type, and the values that forward and abort an RPC there."""

    section: str
    context: str
    forward: str
    abort: str
    load_bytes: str = "bpf_skb_load_bytes"
    reply: str = ""  # sends a packet back; none where the hook cannot


XDP = Target("xdp", "struct xdp_md", "XDP_PASS", "XDP_DROP", "bpf_xdp_load_bytes", "XDP_TX")
TC_INGRESS = Target("tcx/ingress", "struct __sk_buff", "TCX_PASS", "TCX_DROP")
TC_EGRESS = Target("tcx/egress", "struct __sk_buff", "TCX_PASS", "TCX_DROP")


SERVER = {"req": XDP, "resp": TC_EGRESS}
"""Requests arrive and responses leave: what a server's host sees."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the generator may do better than one straight rule for each construct. All on is what `compile` uses; benchmarks
    turn them off to show what they are worth."""

    constants: bool = True  # state that never changes is a constant, not a variable
    atomics: bool = True  # counters by atomic add where that is enough, instead of a lock around the step
    thresholds: bool = True  # a draw is compared as a 32-bit word, not as a fixed-point number


STRAIGHT = Choices(constants=False, atomics=False, thresholds=False)


@dataclass(frozen=True, slots=True)
class Generated:
    """C text, the strategy behind it, and the functions that hold `req`, `resp`, and `init` when it must run at load time, by
    these names."""

    c_text: str
    sharing: Sharing
    functions: Mapping[str, str]
    counted: frozenset[str] = frozenset()  # Maps whose entries are only counted in, so that no count is ever lost

    @property
    def function(self) -> str:
        return self.functions["req"]

    @property
    def init_function(self) -> str | None:
        return self.functions.get("init")

    @property
    def steps(self) -> Mapping[str, str]:
        """The functions that run for a message."""
        return {body: name for body, name in self.functions.items() if body != "init"}

    @property
    def line_count(self) -> int:
        """Lines that hold code: no blanks, comments or #line."""
        return sum(1 for line in self.c_text.splitlines() if line.strip() and not line.strip().startswith(("//", "#line")))


def lower(
    element: Element,
    initial: dict[str, int] | None,
    targets: Mapping[str, Target] | None = None,
    choices: Choices | None = None,
) -> Generated:
    """C for an element. `initial` holds each scalar's raw initial value; None when `init` has to run in the kernel. `targets`
    says where "req" and "resp" run: the server's side, unless given."""
    choices = choices or Choices()
    constants = facts.constants(element) if choices.constants else {}
    folded = facts.with_constants(element) if choices.constants else element
    return _Generator(folded, constants, initial, targets or SERVER, choices).generate()


@dataclass(slots=True)
class _Generator:
    element: Element
    constants: dict[str, core.Const]
    initial: dict[str, int] | None
    targets: Mapping[str, Target]
    choices: Choices
    target: Target = XDP  # of the body that is being written
    out: _Writer = field(init=False)
    name: Naming = field(init=False)
    mode: Sharing = field(init=False)
    c_type: CTypes = field(default_factory=CTypes)
    unpacking: Unpacking | None = None  # of the body that is being written
    draws: dict[str, facts.DrawRange] = field(default_factory=dict)
    copies: bool = False  # the step works on copies of the state, so that a division by zero leaves it alone
    in_init: bool = False
    temporaries: int = 0
    arms: int = 0  # how many match arms the statement stands in

    def __post_init__(self) -> None:
        self.out = _Writer(self.element.path)
        self.name = naming(self.element)
        self.mode = sharing(self.element)
        if self.mode is Sharing.ATOMIC and not self.choices.atomics:
            self.mode = Sharing.LOCK

    def generate(self) -> Generated:
        put = self.out.put
        name, path = _printable(self.element.name), _printable(self.element.path)
        put(f"// {name}: generated by bpfsmith from {path}; `bpfsmith check` proves it.")
        put("#include <linux/bpf.h>")
        put("#include <bpfsmith/helpers.h>")
        put("")
        head = len(self.out.lines)
        self._state()
        function = _identifier(self.element.name)
        while reserved(function) or function in self.name.taken:
            function = f"v_{function}"
        functions = {}
        for body in self.element.steps:
            functions[body] = function if body == "req" else self.name.fresh(f"{function}_{body}")
            self._function(functions[body], body)
        if self.initial is None:
            functions["init"] = self._init(function)
        put("")
        put('char LICENSE[] SEC("license") = "GPL";')
        if any("reply_to_sender(" in line for line in self.out.lines):
            self.out.lines[head:head] = [*reply_function(), ""]
        declared = [line for lines in self.c_type.declarations.values() for line in (*lines, "")]
        self.out.lines[head:head] = declared
        if any("fx_" in line for line in self.out.lines):
            self.out.lines.insert(3, "#include <bpfsmith/fixed.h>")
        return Generated("\n".join(self.out.lines) + "\n", self.mode, functions, self._counted_maps())

    def _counted_maps(self) -> frozenset[str]:
        bodies = [self.element.body(step) for step in self.element.steps]
        touched = [
            facts.written(body) | {expr.map for expr in facts.expressions(body) if isinstance(expr, core.MapGet)}
            for body in bodies
        ]
        counted = frozenset().union(*map(facts.counted_maps, bodies)) if self.choices.atomics else frozenset()
        return frozenset(
            name
            for name in counted
            if all(name in facts.counted_maps(body) or name not in used for body, used in zip(bodies, touched, strict=True))
        )

    # --- state --------------------------------------------------------------------------------------------------------
    def _state(self) -> None:
        put = self.out.put
        kept = [item for item in self.element.state if item.name not in self.constants]
        section, hidden = ("", "")
        if self.mode is Sharing.LOCK:
            section, hidden = ' SEC(".data.state")', "__hidden "
            put(f"__hidden struct bpf_spin_lock state_lock{section}; // held for the whole step")
        for item in kept:
            if item.type.name == "Map":
                self._map(item)
                continue
            if item.type.name == "Vec":
                put(f"{hidden}struct {{ // {item.name}: {_words(item.type)}")
                for line in vec_members(item, self.c_type.stored(item.type.args[0])):
                    put(line)
                put(f"}} {self.name(item.name)}{section} = {{}};")
                continue
            declared = f"{hidden}{self.c_type(item.type)} {self.name(item.name)}{section}{self._initial_text(item)};"
            put(f"{declared} // {item.name}: {_words(item.type)}{self._unit(item.type)}")
        for name, constant in self.constants.items():
            put(f"// {name} is the constant {_comment(facts.shown(constant))}")
        if self.element.state:
            put("")

    def _unit(self, kind: Type) -> str:
        return {FLOAT: ", in units of 2^-32", INSTANT: ", in ns"}.get(kind, "")

    def _initial_text(self, item: core.State) -> str:
        raw = (self.initial or {}).get(item.name, 0)
        if item.type.name == "string":
            constant = core.Const(raw.to_bytes(size_of(item.type), "little")[1:][: raw & 0xFF], item.type, item.span)
            return f" = {{ .words = {{ {', '.join(words(constant))} }} }}"
        if item.type.name == "Pair":
            return f" = {self._initial_pair(item.type, raw.to_bytes(size_of(item.type), 'little'))}"
        if item.type == INT:
            return f" = {raw - (1 << 32) if raw >> 31 else raw}"
        return f" = {_number(raw, 64 if item.type in (FLOAT, INSTANT) else 32)}"

    def _initial_pair(self, kind: Type, raw: bytes) -> str:
        parts = []
        for index, (at, part) in enumerate(zip(offsets(kind), kind.args, strict=True)):
            inner = raw[at : at + size_of(part)]
            if part.name == "Pair":
                text = self._initial_pair(part, inner)
            elif part.name == "string":
                text = f"{{ .words = {{ {', '.join(words(core.Const(inner[1 : 1 + inner[0]], part, core.NOWHERE)))} }} }}"
            else:
                text = str(int.from_bytes(inner, "little", signed=part == INT)) + ("ULL" if size_of(part) == 8 else "")
            parts.append(f".{member(index)} = {text}")
        return f"{{ {', '.join(parts)} }}"

    def _map(self, item: core.State) -> None:
        key, value = (self.c_type.stored(arg) for arg in item.type.args)
        self.out.put("struct {")
        self.out.put("\t__uint(type, BPF_MAP_TYPE_HASH);")
        self.out.put(f"\t__type(key, {key});")
        self.out.put(f"\t__type(value, {value});")
        self.out.put(f"\t__uint(max_entries, {item.max_entries});")
        self.out.put(f'}} {self.name(item.name)} SEC(".maps"); // {item.name}: {_words(item.type)}')

    # --- functions ----------------------------------------------------------------------------------------------------
    def _function(self, function: str, step: str) -> None:
        body = self.element.body(step)
        self.target = self.targets[step]
        if step != "req":
            self.out.put("")
        self.draws = facts.draw_locals(body)
        locked = self.mode is Sharing.LOCK
        self.copies = locked and any(facts.may_divide_by_zero(expr) for expr in facts.expressions(body))
        self.out.put(f'SEC("{self.target.section}")')
        self.out.put(f"int {function}({self.target.context} *ctx)")
        with self.out.block(""):
            self._receive(step)
            if locked:
                self._ahead(body)
                self.out.put(f"int verdict = {self.target.forward};")
            self._declare_locals(body)
            if locked:
                self.out.put("")
                self.out.put("bpf_spin_lock(&state_lock);")
            if self.copies:
                for name in self._state_used(body):
                    kind = self.element.variable(name).type
                    self.out.put(f"{self.c_type(kind)} {self._copy(name)} = {self.name(name)};")
            ended = self._body(body)
            if locked:
                if self.copies:
                    self._commit(body)
                self.out.depth -= 1
                self.out.put("out:")
                self.out.depth += 1
                self.out.put("bpf_spin_unlock(&state_lock);")
                self.out.put("return verdict;")
            elif not ended:
                self.out.put(f"return {self.target.forward};")

    def _receive(self, step: str) -> None:
        """Takes the message out of the packet; what is no message is forwarded."""
        binding = self.element.binding
        if binding is None:
            return
        unreadable = self.target.forward if binding.unreadable == "forward" else self.target.abort
        statements = self.element.body(step)
        self.unpacking = Unpacking(
            binding, step, statements, self.name.fresh, self.c_type, self.target.load_bytes, self.target.forward, unreadable
        )
        for line in self.unpacking.lines():
            self.out.put(line)

    def _commit(self, body: tuple[Stmt, ...]) -> None:
        """Writes the copies back; a step that divided by zero jumps past this."""
        self.out.depth -= 1
        self.out.put(f"{self.name.fresh('commit')}: __attribute__((unused));")
        self.out.depth += 1
        for name in sorted(facts.written(body)):
            self.out.put(f"{self.name(name)} = {self._copy(name)};")

    def _init(self, function: str) -> str:
        """init() as a program that the loader runs once."""
        name = self.name.fresh(f"{function}_init")
        body = self.element.init
        self.in_init, self.draws = True, facts.draw_locals(body)
        self.copies = any(facts.may_divide_by_zero(expr) for expr in facts.expressions(body))
        mode, self.mode = self.mode, Sharing.NONE
        self.out.put("")
        self.out.put("// Run once after loading, before the program is attached (BPF_PROG_TEST_RUN).")
        self.out.put('SEC("syscall")')
        self.out.put(f"int {name}(void *ctx)")
        with self.out.block(""):
            self._declare_locals(body)
            used = [item for item in self._state_used(body) if item not in self.constants] if self.copies else []
            for item in used:
                self.out.put(f"{self.c_type(self.element.variable(item).type)} {self._copy(item)} = {self.name(item)};")
            self._body(body)
            for item in used:
                self.out.put(f"{self.name(item)} = {self._copy(item)};")
            self.out.put("return 0;")
        self.mode, self.in_init = mode, False
        return name

    def _ahead(self, body: tuple[Stmt, ...]) -> None:
        """Draws and clock readings of the whole step, before the lock is taken."""
        for expr in facts.expressions(body):
            if isinstance(expr, core.Draw):
                self.out.put(f"__u32 {self._word_name(expr.site)} = bpf_get_prandom_u32();")
            elif isinstance(expr, core.Clock):
                self.out.put(f"__u64 {self._clock_name(expr.site)} = bpf_ktime_get_ns();")

    def _word_name(self, site: int) -> str:
        return self.name.fresh("word", site)

    def _clock_name(self, site: int) -> str:
        return self.name.fresh("now", site)

    def _declare_locals(self, body: tuple[Stmt, ...]) -> None:
        kinds: dict[str, str] = {}
        for statement in facts.statements(body):
            if isinstance(statement, core.SetLocal):
                kinds[statement.name] = "__u32" if statement.name in self.draws else self.c_type(statement.value.type)
        for name, kind in kinds.items():
            self.out.put(f"{kind} {self.name(name)};")

    def _state_used(self, body: tuple[Stmt, ...]) -> list[str]:
        scalars = {item.name for item in self.element.state if item.type.name not in ("Map", "Vec")}
        return sorted((facts.written(body) | facts.read(body)) & scalars)

    def _copy(self, name: str) -> str:
        return self.name.fresh(f"{self.name(name)}_now")

    # --- statements ---------------------------------------------------------------------------------------------------
    def _body(self, body: tuple[Stmt, ...]) -> bool:
        """Emits statements; True when the path has ended behind them."""
        return any([self._statement(statement) for statement in body][-1:])

    def _statement(self, statement: Stmt) -> bool:
        if not (isinstance(statement, core.SetState) and statement.name in self.constants):
            self.out.at(statement.span)
        match statement:
            case core.SetLocal(name=name, value=value):
                text = self._word(value) if name in self.draws else self._expr(value)
                self.out.put(f"{self.name(name)} = {text};")
            case core.SetState():
                self._set_state(statement)
            case core.MapSet(map=name, key=key, value=value):
                with self.out.block(""):
                    where = self._let(self.c_type.stored(key.type), "key", self._expr(key))
                    new = self._let(self.c_type.stored(value.type), "value", self._expr(value))
                    self.out.put(f"bpf_map_update_elem(&{self.name(name)}, &{where}, &{new}, BPF_ANY);")
            case core.MapDelete(map=name, key=key):
                where = self._let(self.c_type(key.type), "key", self._expr(key))
                self.out.put(f"bpf_map_delete_elem(&{self.name(name)}, &{where});")
            case core.VecSet():
                self._set_item(statement)
            case core.SetField(name=name, value=value):
                assert self.unpacking is not None
                text = self._expr(value)
                if name in facts.fields_read(self.unpacking.statements):
                    self.out.put(f"{self.unpacking.variable(name)} = {text};")
                    text = self.unpacking.variable(name)
                for line in self.unpacking.store(name, text):
                    self.out.put(line)
            case core.Evaluate(value=value):
                self.out.put(f"(void){self._expr(value)};")
            case core.Forward():
                return self._end(self.target.forward)
            case core.Abort(message=message):
                self.out.put(f"// {_comment(message)}")
                if self.target.reply and self.unpacking is not None and self.unpacking.binding.reply is not None:
                    for line in self.unpacking.reply():
                        self.out.put(line)
                    return self._end(self.target.reply)
                return self._end(self.target.abort)
            case core.Match():
                self.arms += 1
                ended = self._match(statement)
                self.arms -= 1
                return ended
        return False

    def _end(self, action: str) -> bool:
        if self.mode is Sharing.LOCK:
            if action != self.target.forward:
                self.out.put(f"verdict = {action};")
            self.out.put(f"goto {self.name.fresh('commit') if self.copies else 'out'};")
        else:
            self.out.put(f"return {action};")
        return True

    def _set_item(self, statement: core.VecSet) -> None:
        item, name = self.element.variable(statement.vec), self.name(statement.vec)
        with self.out.block(""):
            index = self._let("__u32", "index", f"{name}.size" if statement.index is None else self._expr(statement.index))
            value = self._expr(statement.value)
            known = "" if statement.index is None else f" && {index} <= {name}.size"
            with self.out.block(f"if ({index} < {item.max_entries}{known})"):
                self.out.put(f"{name}.items[{index}].value = {value};")
                if statement.index is None:
                    self.out.put(f"{name}.size = {index} + 1;")
                else:
                    with self.out.block(f"if ({index} == {name}.size)"):
                        self.out.put(f"{name}.size = {index} + 1;")

    def _set_state(self, statement: core.SetState) -> None:
        if statement.name in self.constants:  # only init sets it, and its value stands where it is used
            return
        counts = self.mode is Sharing.ATOMIC or (self.mode is Sharing.MAP and statement.name in _counters(self.element))
        added = facts.added_to(statement) if counts else None
        if added is not None:
            sign, amount = added
            text = self._expr(amount)
            amount_text = text if sign == "+" else f"-({text})"
            self.out.put(f"__atomic_fetch_add(&{self.name(statement.name)}, {amount_text}, __ATOMIC_RELAXED);")
            return
        place = self._copy(statement.name) if self.copies else self.name(statement.name)
        self.out.put(f"{place} = {self._expr(statement.value)};")

    def _match(self, statement: core.Match) -> bool:
        subject = statement.subject
        count = facts.entry_count(statement) if self.choices.atomics else None
        if count is not None and isinstance(subject, core.MapGet):
            self._count(subject, count)
            return False
        if isinstance(subject, core.MapGet | core.VecGet):
            return self._match_option(statement, subject)
        simple = (isinstance(subject, core.Local | core.StateVar | core.Field) and subject.type != FLOAT) or is_block(
            subject.type
        )
        boolean = subject.type == BOOL and len(statement.arms) <= 2
        text = self._expr(subject)
        if not simple and not (boolean and len(statement.arms) == 1) and not _two_way(statement):
            text = self._let(self.c_type(subject.type), "subject", text)
        ended, complete = [], False
        head = "if"
        for position, arm in enumerate(statement.arms):
            last = position == len(statement.arms) - 1
            covers = isinstance(arm.pattern, core.Anything) or (last and position > 0 and _two_way(statement))
            if covers and position == 0:
                with self.out.block(""):
                    ended.append(self._body(arm.body))
                complete = True
                break
            if covers:
                complete = True
                with self.out.block("else"):
                    ended.append(self._body(arm.body))
                break
            assert isinstance(arm.pattern, core.Equals)
            test = self._equals(subject.type, text, arm.pattern.value)
            with self.out.block(f"{head} ({_expected(test, arm.likely)})"):
                ended.append(self._body(arm.body))
            head = "else if"
        return complete and all(ended)

    def _equals(self, kind: Type, text: str, constant: core.Const) -> str:
        if kind == BOOL:
            return _strip(text) if constant.value else f"!{text}"
        if kind.name == "string":
            return self._same_words(text, words(constant))
        return f"{text} == {self._const(constant)}"

    def _same_words(self, text: str, others: list[str]) -> str:
        return " && ".join(f"{text}.words[{index}] == {word}" for index, word in enumerate(others))

    def _same(self, kind: Type, a: Expr, b: Expr) -> str:
        """Are two texts or pairs the same?"""
        if isinstance(a, core.Const):
            a, b = b, a
        first = self._expr(a)
        if isinstance(b, core.Const):
            return f"({self._same_words(first, words(b))})"
        second = self._expr(b)
        return f"({self._same_parts(kind, first, second)})"

    def _same_parts(self, kind: Type, a: str, b: str) -> str:
        if kind.name == "string":
            return self._same_words(a, [f"{b}.words[{index}]" for index in range(size_of(kind) // 8)])
        if kind.name == "Pair":
            parts = enumerate(kind.args)
            return " && ".join(self._same_parts(part, f"{a}.{member(index)}", f"{b}.{member(index)}") for index, part in parts)
        if kind == BOOL:
            a, b = f"!{a}", f"!{b}"
        return f"{a} == {b}"

    def _count(self, subject: core.MapGet, count: facts.EntryCount) -> None:
        """Counts in an entry where it is. Where another CPU inserts it between lookup and update, the count goes there."""
        kind, name = self.c_type(subject.type.args[0]), self.name(subject.map)
        key = self._let(self.c_type.stored(subject.key.type), "key", self._expr(subject.key))
        amount = self._expr(count.amount)
        added = amount if count.sign == "+" else f"-({amount})"
        entry = self._let(f"{kind} *", "entry", f"bpf_map_lookup_elem(&{name}, &{key})")
        with self.out.block(f"if ({entry})"):
            self.out.put(f"__atomic_fetch_add({entry}, {added}, __ATOMIC_RELAXED);")
        with self.out.block("else"):
            value = self._let(kind, "value", self._expr(count.first))
            with self.out.block(f"if (bpf_map_update_elem(&{name}, &{key}, &{value}, BPF_NOEXIST))"):
                self.out.put(f"{entry} = bpf_map_lookup_elem(&{name}, &{key}); // another CPU was first")
                self.out.put(f"if ({entry})")
                self.out.put(f"\t__atomic_fetch_add({entry}, {added}, __ATOMIC_RELAXED);")

    def _match_option(self, statement: core.Match, subject: core.Lookup) -> bool:
        kind, held = self.c_type(subject.type.args[0]), self.c_type.stored(subject.type.args[0])
        if isinstance(subject, core.VecGet):
            vec, most = self.name(subject.vec), self.element.variable(subject.vec).max_entries
            index = self._let("__u32", "index", self._expr(subject.index))
            item = f"{index} < {vec}.size && {index} < {most} ? &{vec}.items[{index}].value : 0"
            entry = self._let(f"{held} *", "entry", item)
        else:
            key = self._let(self.c_type(subject.key.type), "key", self._expr(subject.key))
            entry = self._let(f"{held} *", "entry", f"bpf_map_lookup_elem(&{self.name(subject.map)}, &{key})")
        ended: list[bool] = []
        seen: set[type[core.Pattern]] = set()
        head = "if"
        for arm in statement.arms:
            condition = entry if isinstance(arm.pattern, core.Some) else f"!{entry}"
            covered = isinstance(arm.pattern, core.Anything) or (seen | {type(arm.pattern)}) >= {core.Some, core.Nothing}
            test = "" if isinstance(arm.pattern, core.Anything) else f"{head} ({_expected(condition, arm.likely)})"
            opening = "else" if seen and covered else test
            with self.out.block(opening):
                if isinstance(arm.pattern, core.Some):
                    self.out.put(f"{kind} {self.name(arm.pattern.name)} = *{entry};")
                ended.append(self._body(arm.body))
            seen.add(type(arm.pattern))
            head = "else if"
        complete = core.Anything in seen or {core.Some, core.Nothing} <= seen
        return complete and all(ended)

    # --- expressions --------------------------------------------------------------------------------------------------
    def _let(self, kind: str, stem: str, text: str) -> str:
        name = self.name.fresh(stem, self.temporaries)
        self.temporaries += 1
        self.out.put(f"{kind}{'' if kind.endswith('*') else ' '}{name} = {text};")
        return name

    def _expr(self, expr: Expr) -> str:
        """A C expression without side effects; what has any is put into statements before it, in order."""
        match expr:
            case core.Const():
                return self._const(expr)
            case core.Local(name=name):
                return self._uniform(self.name(name), self.draws[name]) if name in self.draws else self.name(name)
            case core.StateVar(name=name):
                return self._copy(name) if self.copies else self.name(name)
            case core.Unary(op="not", operand=operand):
                return f"!{self._expr(operand)}"
            case core.Unary(operand=operand):
                return f"fx_neg({self._expr(operand)})" if expr.type == FLOAT else f"(-{self._expr(operand)})"
            case core.Binary(op="and" | "or"):
                return self._short_circuit(expr)
            case core.Binary():
                return self._binary(expr)
            case core.ToFloat(operand=operand):
                text = self._expr(operand)
                return f"fx_from_int((__s64){text})" if operand.type == INT else f"fx_from_uint({text})"
            case core.Draw(low=low, high=high):
                return self._uniform(self._word(expr), facts.DrawRange(low, high))
            case core.Clock(site=site):
                if self.mode is Sharing.LOCK:
                    return self._clock_name(site)
                return self._let("__u64", "now", "bpf_ktime_get_ns()")
            case core.TimeDiff(later=later, earlier=earlier):
                a = self._expr(later)
                return f"fx_seconds({a}, {self._expr(earlier)})"
            case core.Field(name=name):
                assert self.unpacking is not None
                return self.unpacking.variable(name)
            case core.MessageSize():
                assert self.unpacking is not None
                return self.unpacking.variable(MESSAGE_SIZE)
            case core.TextSize(operand=operand):
                return f"((__s32){self._expr(operand)}.size)"
            case core.Widen(operand=operand):
                narrow = self._expr(operand)
                copied = ", ".join(f"{narrow}.words[{index}]" for index in range(size_of(operand.type) // 8))
                return self._let(self.c_type(expr.type), "text", f"{{ .words = {{ {copied} }} }}")
            case core.MakePair(items=items):
                parts = [self._expr(item) for item in items]
                inside = ", ".join(f".{member(index)} = {part}" for index, part in enumerate(parts))
                return self._let(self.c_type(expr.type), "pair", f"{{ {inside} }}")
            case core.Item(pair=pair, index=index):
                part = f"{self._expr(pair)}.{member(index)}"
                return f"({part} != 0)" if expr.type == BOOL else part
            case core.VecSize(vec=vec):
                return f"((__s32){self.name(vec)}.size)"
            case core.MapGet() | core.VecGet():
                raise AssertionError("the type checker lets get() stand only as the subject of a match")
        assert_never(expr)

    def _const(self, constant: core.Const) -> str:
        value = constant.value
        if isinstance(value, bool):
            return str(int(value))
        if constant.type == FLOAT:
            assert not isinstance(value, bytes)
            return _number(fixed.from_fraction(Fraction(value)), 64)
        if isinstance(value, bytes):
            return self._let(self.c_type(constant.type), "text", f"{{ .words = {{ {', '.join(words(constant))} }} }}")
        assert isinstance(value, int)
        return (
            str(value) if constant.type == INT and value != -(1 << 31) else f"({value + 1} - 1)" if value < 0 else f"{value}u"
        )

    def _word(self, expr: Expr) -> str:
        if isinstance(expr, core.Local):
            return self.name(expr.name)
        assert isinstance(expr, core.Draw)
        if self.mode is Sharing.LOCK:
            return self._word_name(expr.site)
        return self._let("__u32", "word", "bpf_get_prandom_u32()")

    def _uniform(self, word: str, bounds: facts.DrawRange) -> str:
        low = _number(fixed.from_fraction(bounds.low), 64)
        return f"fx_uniform({word}, {low}, {_number(fixed.from_fraction(bounds.high - bounds.low), 64)})"

    def _short_circuit(self, expr: core.Binary) -> str:
        sign = "&&" if expr.op == "and" else "||"
        left = self._expr(expr.left)
        if not (self._emits(expr.right)):
            return f"({left} {sign} {self._expr(expr.right)})"
        held = self._let("_Bool", "held", left)
        with self.out.block(f"if ({'' if expr.op == 'and' else '!'}{held})"):
            self.out.put(f"{held} = {self._expr(expr.right)};")
        return held

    def _emits(self, expr: Expr) -> bool:
        """Does `_expr` put statements before this one? Under a lock draws and readings are names already."""
        if any(isinstance(item, core.Widen | core.MakePair) for item in facts.subexpressions(expr)):
            return True
        if self.mode is Sharing.LOCK:
            return any(facts.may_divide_by_zero(item) for item in facts.subexpressions(expr))
        return facts.has_effect(expr)

    def _factor(self, expr: Expr) -> str:
        """An operand of long arithmetic. A sum in an arm would be compiled with what the arm's condition shows, such as that it
        does not overflow; then the proof could not take the sum by itself."""
        in_sum = self.arms and isinstance(expr, core.Binary) and expr.op in ("add", "sub") and expr.type == FLOAT
        return self._binary(expr, plain=True) if in_sum and isinstance(expr, core.Binary) else self._expr(expr)

    def _binary(self, expr: core.Binary, plain: bool = False) -> str:
        kind = expr.left.type
        if kind == FLOAT and expr.op in ("lt", "le", "gt", "ge"):
            compared = self._compare_draw(expr)
            if compared is not None:
                return compared
        if is_block(kind):
            return self._same(kind, expr.left, expr.right) if expr.op == "eq" else f"!{self._same(kind, expr.left, expr.right)}"
        simple = facts.simple_factor(expr)
        if simple is not None:
            operation, other, factor = simple
            return f"fx_{operation}({self._factor(other)}, {_number(factor, 64)})"
        long = kind == FLOAT and expr.op in ("mul", "div")
        a = self._factor(expr.left) if long else self._expr(expr.left)
        if self._emits(expr.right) and not isinstance(expr.left, core.Const | core.Local):
            a = self._let(self.c_type(kind), "left", a)
        b = self._factor(expr.right) if long else self._expr(expr.right)
        if expr.op in ("div", "rem"):
            b = self._guard_division(expr, b)
        sign = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.get(expr.op)
        if sign is not None:
            cast = "(__s64)" if kind == FLOAT and sign not in ("==", "!=") else ""
            return f"({cast}{a} {sign} {cast}{b})"
        if expr.op in ("min", "max"):
            suffix = {INT: "s32", UINT: "u32", FLOAT: "s64", INSTANT: "u64"}[kind]
            return f"{expr.op}_{suffix}({a}, {b})"
        if kind == FLOAT:
            if plain:
                a, b = (
                    text if isinstance(side, core.Const) else f"fx_plain({text})"
                    for side, text in ((expr.left, a), (expr.right, b))
                )
            return f"fx_{expr.op}({a}, {b})"
        if expr.op in ("div", "rem") and kind == INT:
            return f"{expr.op}_s32({a}, {b})"
        return f"({a} { {'add': '+', 'sub': '-', 'mul': '*', 'div': '/', 'rem': '%'}[expr.op] } {b})"

    def _guard_division(self, expr: core.Binary, divisor: str) -> str:
        """A divisor that may be zero ends the step: Abort, with the state as it was."""
        if not facts.may_divide_by_zero(expr):
            return divisor
        name = self._let(self.c_type(expr.right.type), "divisor", divisor)
        with self.out.block(f"if ({name} == 0)"):
            self.out.put("// division by zero: abort, state unchanged")
            if self.in_init:
                self.out.put("return 0;")
            elif self.mode is Sharing.LOCK:
                self.out.put(f"verdict = {self.target.abort};")
                self.out.put("goto out;")
            else:
                self.out.put(f"return {self.target.abort};")
        return name

    def _compare_draw(self, expr: core.Binary) -> str | None:
        shape = draw_comparison(expr, self.draws) if self.choices.thresholds else None
        if shape is None:
            return None
        if shape.constant is not None:
            if shape.constant in (0, fixed.ONE):
                if isinstance(shape.draw, core.Draw) and self.mode is not Sharing.LOCK:
                    self._word(shape.draw)
                return str(int((shape.constant == fixed.ONE) == shape.below))
            return f"({self._word(shape.draw)} {'<' if shape.below else '>='} {shape.constant}u)"
        if shape.draw_first:
            word, limit = self._word(shape.draw), self._expr(shape.other)
        else:
            limit, word = self._expr(shape.other), self._word(shape.draw)
        return f"({word} {'<' if shape.below else '>='} fx_threshold({limit}))"


def _expected(condition: str, likely: bool | None) -> str:
    """A condition with what the author expects of it, for clang to lay out its branches."""
    return condition if likely is None else f"__builtin_expect(!!({condition}), {int(likely)})"


def _words(kind: Type) -> str:
    """A type on one line, as it stands in a comment."""
    if kind.name == "string":
        return f"string({kind.size})"
    args = ", ".join(map(_words, kind.args))
    return f"<{args}>" if kind.name == "Pair" else f"{kind.name}<{args}>" if args else kind.name


def _two_way(statement: core.Match) -> bool:
    """true / false in two arms: the second needs no test of its own."""
    patterns = [arm.pattern for arm in statement.arms]
    values = [item.value.value for item in patterns if isinstance(item, core.Equals)]
    return len(patterns) == 2 and len(values) == 2 and set(values) == {True, False} and statement.subject.type == BOOL


def _strip(text: str) -> str:
    """Without the parentheses around the whole."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and position < len(text) - 1:
            return text
    return text[1:-1]


def _number(value: int, width: int) -> str:
    if width == 32:
        return str(value) if value < 1 << 31 else f"{value}u"
    return str(value) if value < 1 << 16 else f"{value:#x}ULL"


def _identifier(name: str) -> str:
    text = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in name)
    return text if text and not text[0].isdigit() else f"_{text}"


def _printable(path: str) -> str:
    """A file's name for a comment or a C string: what cannot stand there becomes a question mark."""
    return "".join(char if char.isprintable() and char not in '"\\' else "?" for char in path)


def _comment(message: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in message).replace("\\", "/")
