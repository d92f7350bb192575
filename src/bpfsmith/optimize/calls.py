"""Calls and atomics over the state of `values`: what they are given, what they give back, and what is not known after them."""

from __future__ import annotations

from bpfsmith.ir import ops
from bpfsmith.ir.ops import AtomicKind
from bpfsmith.isa.tables import HELPERS
from bpfsmith.optimize import effects
from bpfsmith.optimize.effects import ANYTHING, HELPER_EFFECTS, SHARED, Surroundings
from bpfsmith.optimize.graph import Node
from bpfsmith.optimize.kinds import STACK, written_classes
from bpfsmith.optimize.memory import Memory
from bpfsmith.optimize.state import Event, State, TooHard
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.terms import Term


def atomic(m: Memory, s: State, node: Node, op: ops.Load | ops.Store | ops.Atomic, events: list[Event], tag: str) -> None:
    """An atomic, an acquiring load or a releasing store: a step that others see, after which others may have written."""
    t = m.t
    if node.relo is not None:
        raise TooHard("a relocated atomic")
    address = m.read(s, op.base)
    base, offset = m.place(address)
    offset += op.offset
    if m.kinds.may_be_stack(address):
        if isinstance(op, ops.Atomic) and base.op == "app" and base.name == "fp":
            _atomic_on_stack(m, s, op, offset)
            return
        raise TooHard("an atomic somewhere on the stack")
    given: list[Term] = []
    if not isinstance(op, ops.Load):
        given.append(t.extract(m.operand(s, op.src), 64, 8 * op.size - 1, 0))
    if isinstance(op, ops.Atomic) and op.kind is AtomicKind.CMPXCHG:
        given.append(t.extract(m.read(s, 0), 64, 8 * op.size - 1, 0))
    what = f"{type(op).__name__}:{op.kind}:{op.fetch}" if isinstance(op, ops.Atomic) else type(op).__name__
    m.event(s, events, ("atomic", what, op.size, base, offset, *given))
    result = t.app(f"atomic:{tag}:{len(events)}", 8 * op.size)
    if isinstance(op, ops.Load):
        s.regs[op.dst] = t.zext(result, result.width, 64)
    elif isinstance(op, ops.Atomic) and op.fetch:
        s.regs[0 if op.kind is AtomicKind.CMPXCHG else op.src] = t.zext(result, result.width, 64)
    token = t.app(f"after:{tag}:{len(events)}", 64)
    ordered = not isinstance(op, ops.Atomic) or op.fetch
    m.bump(s, SHARED if ordered else written_classes(m.kinds.of(base)), token)


def _atomic_on_stack(m: Memory, s: State, op: ops.Atomic, offset: int) -> None:
    """Nobody else sees the stack: an atomic there is a load and a store."""
    t, width = m.t, 8 * op.size
    old = m.join([m.stack_byte(s, offset + i) for i in range(op.size)])
    expected = t.extract(m.read(s, 0), 64, width - 1, 0) if op.kind is AtomicKind.CMPXCHG else old
    new = meaning.atomic(t, op.kind, width, old, t.extract(m.read(s, op.src), 64, width - 1, 0), expected)
    for i in range(op.size):
        s.stack[offset + i] = t.extract(new, width, 8 * i + 7, 8 * i)
    m.drop(s, lambda other: STACK in m.kinds.of(other))
    if op.fetch:
        s.regs[0 if op.kind is AtomicKind.CMPXCHG else op.src] = t.zext(old, width, 64)


def clobber(s: State, result: Term) -> None:
    """After a call: its result in r0, and no values in the argument registers."""
    s.regs[0] = result
    s.regs[1:6] = [None] * 5


def call(m: Memory, s: State, node: Node, around: Surroundings, events: list[Event], tag: str) -> None:
    """A call of a helper, a kernel function or a subprogram."""
    t, op = m.t, node.op
    assert isinstance(op, ops.CallHelper | ops.CallKfunc | ops.CallSubprogram)
    registers = effects.uses(node, around)
    given = [s.regs[register] for register in registers]
    effect = HELPER_EFFECTS.get(op.helper_id) if isinstance(op, ops.CallHelper) else None
    name = str(op.helper_id) if isinstance(op, ops.CallHelper) else op.name
    if effect is None:
        _unknown_call(m, s, f"{type(op).__name__}:{name}", given, events, tag)
        return
    if effect.pure and not given:
        clobber(s, t.app(f"ret:{name}", 64))
        return
    assert isinstance(op, ops.CallHelper)
    reads, writes = touched(m, s, effect, around)
    where = map_name(s.regs[1])
    if (
        op.helper_id == effects.LOOKUP
        and where is not None
        and where in around.maps
        and around.maps[where].type in effects.ARRAYS
    ):
        key = _bytes_read(m, s, reads)
        if len(key) == 4:
            clobber(s, t.app(f"lookup:{where}#array:{around.maps[where].max_entries}", 64, *key))
            return
    seen = _bytes_read(m, s, reads)
    m.event(s, events, ("call", name, *given, *seen))
    serial = f"{tag}:{len(events)}"
    changes = set(effect.changes)
    for register, size, whole in writes:
        changes |= _write(m, s, s.regs[register], size, whole, f"{serial}:{register}")
    m.bump(s, changes, t.app(f"after:{serial}", 64))
    if op.helper_id == effects.LOOKUP and where is not None:
        clobber(s, t.app(f"lookup:{where}#{serial}", 64))
    else:
        clobber(s, _result(m, name, serial))


def _result(m: Memory, name: str, serial: str) -> Term:
    t = m.t
    helper = HELPERS.get(int(name)) if name.isdigit() else None
    if helper is not None and helper.returns in ("u32",):
        return t.zext(t.app(f"ret:{name}:{serial}", 32), 32, 64)
    return t.app(f"ret:{name}:{serial}", 64)


def map_name(value: Term | None) -> str | None:
    """The map that a register names."""
    return (
        value.name.removeprefix("map:") if value is not None and value.op == "app" and value.name.startswith("map:") else None
    )


def touched(
    m: Memory, s: State, effect: effects.HelperEffect, around: Surroundings
) -> tuple[list[tuple[int, int | None]], list[tuple[int, int | None, bool]]]:
    """The registers that lead to memory that is read (with its bytes, None: unknown) and written (and whether wholly)."""
    reads: list[tuple[int, int | None]] = []
    writes: list[tuple[int, int | None, bool]] = []
    spec = around.maps.get(map_name(s.regs[1]) or "")
    for register, item in enumerate(effect.arguments, 1):
        if item.kind in ("u32", "u64", "ctx", "ctx!", "map"):
            if m.kinds.may_be_stack(s.regs[register]):
                reads.append(
                    (register, None)
                )  # as an address of kernel memory: bpf_probe_read_kernel of what lies on the stack
            continue
        size: int | None = item.size or None
        if item.size_in is not None:
            given = s.regs[item.size_in]
            size = m.t.extract(given, 64, 31, 0).number if given is not None and given.is_const else None
        elif item.size_of:
            size = (spec.key_size if item.size_of == "key" else spec.value_size) if spec is not None else None
        if item.kind in ("in", "inout"):
            reads.append((register, size))
        if item.kind in ("out", "inout", "text", "may", "got"):
            writes.append((register, size, item.kind == "out" and size is not None))
    return reads, writes


def _bytes_read(m: Memory, s: State, reads: list[tuple[int, int | None]]) -> tuple[Term, ...]:
    out: list[Term] = []
    for register, size in reads:
        value = s.regs[register]
        if value is None or not m.kinds.may_be_stack(value):
            continue
        base, offset = m.place(value)
        if base.op == "app" and base.name == "fp":
            end = 0 if size is None else offset + size
            out += [m.byte(s, base, at) for at in range(offset, min(end, 0))]
        else:
            out += _whole_stack(m, s)
    return tuple(out)


def _whole_stack(m: Memory, s: State) -> list[Term]:
    return [m.stack_token(s)]


def _write(m: Memory, s: State, value: Term | None, size: int | None, whole: bool, serial: str) -> frozenset[str]:
    """A helper writes behind a pointer; the kinds of memory beside the stack that this may change."""
    if value is None:
        return frozenset()
    base, offset = m.place(value)
    kinds = m.kinds.of(base)
    if base.op == "app" and base.name == "fp":
        end = 0 if size is None else min(offset + size, 0)
        _scribble(m, s, range(offset, end), whole, serial)
        return frozenset()
    if STACK in kinds:
        s.rest, s.stack = m.stack_token(s, m.t.app(f"out:{serial}", 64)), {}
        m.drop(s, lambda other: STACK in m.kinds.of(other))
    return frozenset(written_classes(kinds))


def _scribble(m: Memory, s: State, places: range, whole: bool, serial: str) -> None:
    t = m.t
    for at in places:
        old = () if whole else (m.stack_byte(s, at),)
        s.stack[at] = t.app(f"out:{serial}", 8, t.const(64, at), *old)
    m.drop(s, lambda other: STACK in m.kinds.of(other))


def _unknown_call(m: Memory, s: State, name: str, given: list[Term | None], events: list[Event], tag: str) -> None:
    t = m.t
    # What it reads through a pointer into the stack may hold further pointers into the stack.
    reaches = any(m.kinds.may_be_stack(value) for value in given)
    seen = _whole_stack(m, s) if reaches else []
    m.event(s, events, ("call", name, *given, *seen))
    serial = f"{tag}:{len(events)}"
    if reaches:
        # All of it was compared, so that what it becomes depends on the call alone.
        s.rest, s.stack = t.app(f"fresh:{serial}", 64), {}
        m.drop(s, lambda other: STACK in m.kinds.of(other))
    m.bump(s, ANYTHING, t.app(f"after:{serial}", 64))
    kind, _, bare = name.partition(":")
    if kind == "CallKfunc" and reaches and not bare.startswith("bpf_iter_"):
        # bpf_dynptr_slice may give back the buffer on the stack that it was given.
        clobber(s, t.app(f"kfunc:{bare}:{serial}", 64))
    else:
        clobber(s, _result(m, bare if kind == "CallHelper" else name, serial))
