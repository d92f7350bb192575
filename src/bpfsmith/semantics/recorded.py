"""Helpers that reach what a program cannot see: sockets, ring buffers, other programs, the clock, a task's name.

Each call is recorded: what it was given is an observable, and what it gives back depends only on which call it is. That is
sound whatever the helper does behind the scenes: as long as two programs have made the same calls with the same arguments, the
world behind them is the same, and so is the next answer.

An argument is one word of a model's signature:

    u64, u32      a number, of which so many bits matter
    ctx, ctx!     the context, which the helper may read, or change (in tracing programs: an object of the kernel)
    map           a map of the program, part of the call's name
    in:N          memory that is read, of as many bytes as argument N says (from 1)
    out:N         memory that is written, whole, whatever the result is
    inout:N       memory that is read and written
    text:N        memory that is written as far as the result says and maybe zeroed beyond, or all zeros when that is negative
    may:N         memory that may be written, whole, or left alone
    got:N         memory that is written when the result is 0, and else left alone
    in=N ..       the same with N bytes, or the size of the map's keys or values (in=key, out=value)

A size that varies may be anything up to what the memory holds; what lies behind it does not matter and stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bpfsmith.semantics.call import HelperCall
from bpfsmith.semantics.memory import Bytes, Pointer, Region, Target, Value, joined
from bpfsmith.semantics.state import CTX, PACKET, State, Unmodelled
from bpfsmith.semantics.terms import Term, Terms, leading_zeros

STRIDE = 1 << 16
"""Bytes from one call's record to the next."""

MOST_COUNTS = 16
"""How many values the count of a helper's calls may have at one place."""

MOST_VARYING = 1024
"""Bytes up to which a size may vary: each is a case of its own."""


TAIL_CALL = "bpf_tail_call"

ORDER = "order of recorded calls"
"""The counter of all recorded calls: what one does may change what another gives, so that their order is compared too."""


class Argument(NamedTuple):
    """One word of a signature: `size` in bytes, or the number of the argument that holds it, or the map's "key" or "value"."""

    kind: str
    size: int = 0
    size_in: int | None = None
    size_of: str = ""


def signature(words: str) -> tuple[Argument, ...]:
    """The arguments that a signature describes."""
    out = []
    for word in words.split():
        name, by_argument, index = word.partition(":")
        kind, fixed, size = word.partition("=")
        if by_argument:
            out.append(Argument(name, 0, int(index)))
        else:
            out.append(Argument(kind, int(size) if size.isdigit() else 0, None, size if fixed and not size.isdigit() else ""))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class PacketView:
    """The packet between its two ends: under each guard the memory it lies in and where it begins; the length has 64 bits."""

    parts: tuple[tuple[Term, Bytes, Term], ...]
    length: Term
    regions: tuple[Region, ...] = ()  # what each part lies in, where that is known

    def byte(self, t: Terms, at: Term) -> Term:
        """The byte (8 bits) `at` bytes (a 64-bit term) behind the start."""
        result: Term | None = None
        for guard, memory, start in self.parts:
            value = memory.load(t, t.add(64, start, at), 1)
            assert isinstance(value, Term)
            result = value if result is None else t.ite(8, guard, value, result)
        assert result is not None
        return result


@dataclass(frozen=True, slots=True)
class View:
    """What a call could see beside its arguments; None: it does not look there, or nothing was changed."""

    packet: PacketView | None = None
    context: Bytes | None = None


def untouched_packet(t: Terms) -> PacketView:
    """The packet as it came."""
    memory = Bytes(lambda offset: t.app("packet", 8, offset))
    return PacketView(((t.true, memory, t.const(64, 0)),), t.zext(t.app("packet_length", 16), 16, 64), (PACKET,))


def packet_view(t: Terms, state: State) -> PacketView:
    """The packet as it stands."""
    return between(t, state, state.packet, state.packet_end)


def between(t: Terms, state: State, start: Pointer, end: Pointer) -> PacketView:
    """The bytes from one pointer to another, which lie in one piece of memory in each case."""
    ends = {target.region: target for target in end.targets}
    parts, length = [], t.const(64, 0)
    for target in start.targets:
        assert target.region is not None
        parts.append((target.guard, state.memory(target.region), target.offset))
        if target.region not in ends:
            raise Unmodelled("unmodelled-packet", "the packet's start and end are not in one piece of memory")
        length = t.ite(64, target.guard, t.sub(64, ends[target.region].offset, target.offset), length)
    return PacketView(tuple(parts), length, tuple(target.region for target in start.targets if target.region is not None))


@dataclass(frozen=True, slots=True)
class Recorded:
    """The effect of a recorded helper with this signature. Its result has `result` bits (0: void), which fill r0 by their sign,
    or as `above` says: a kernel function that returns an int leaves anything in the upper half of its register. `packet` is
    "reads" for a helper that sees the packet, "renews" for one that may change it, so that old packet pointers are void."""

    arguments: tuple[Argument, ...]
    result: int = 64
    packet: str = ""
    above: bool = False

    @property
    def renews_context(self) -> bool:
        return self.packet == "renews" or any(item.kind == "ctx!" for item in self.arguments)

    def __call__(self, call: HelperCall) -> Value | None:
        t, state, result = call.t, call.state, self.result
        channel = _channel(call, self.arguments)
        number = state.next_call(channel)
        given = t.sext(t.app(channel, result, number), result, 64) if result else t.const(64, 0)
        _record(call, channel, number, self.arguments, given)
        _look_around(call, channel, number, bool(self.packet), self.renews_context)
        if self.packet == "renews":
            _renew_packet(call, channel, number)
        if self.renews_context:
            _renew_context(call, channel, number)
        if result and self.above:
            return t.concat(t.app(f"{channel}.above", 64 - result, number), 64 - result, t.app(channel, result, number), result)
        return given if result else None


@dataclass(frozen=True, slots=True)
class Steady:
    """The effect of a helper whose answer (`result` bits) is a function of its arguments and stays the same for one run."""

    arguments: tuple[Argument, ...]
    result: int = 64

    def __call__(self, call: HelperCall) -> Value | None:
        t, arguments, result = call.t, self.arguments, self.result
        channel = _channel(call, arguments)
        known: list[Term] = []
        for index, argument in enumerate(arguments):
            known += [part for _, part in _given(call, arguments, index, argument)]
            if argument.size_in is not None and _size(call, arguments, index).varying is not None:
                raise Unmodelled("unmodelled-helper", f"{call.name} with a size that is not constant")
        for index in range(len(arguments)):
            _give(call, f"{channel}.{index + 1}", tuple(known), arguments, index, t.const(64, 0))
        return t.zext(t.app(channel, result, *known), result, 64) if result else None


def recorded(words: str, result: int = 64, packet: str = "") -> Recorded:
    return Recorded(signature(words), result, packet)


def steady(words: str, result: int = 64) -> Steady:
    return Steady(signature(words), result)


def _channel(call: HelperCall, arguments: tuple[Argument, ...]) -> str:
    maps = [call.executor.map_spec(call.args[index]).name for index, item in enumerate(arguments) if item.kind == "map"]
    return ":".join((call.name, *maps))


class Size(NamedTuple):
    """A number of bytes: at most `limit`, and `varying` (32 bits) where that is not a constant."""

    limit: int
    varying: Term | None = None


def _size(call: HelperCall, arguments: tuple[Argument, ...], index: int) -> Size:
    argument = arguments[index]
    if argument.size_of:
        spec = next(call.executor.map_spec(call.args[at]) for at, item in enumerate(arguments) if item.kind == "map")
        return Size(spec.key_size if argument.size_of == "key" else spec.value_size)
    if argument.size_in is None:
        return Size(argument.size)
    return sized(call, call.args[index], call.args[argument.size_in - 1])


def sized(call: HelperCall, pointer: Value, size: Value) -> Size:
    """The size that a call is told, of memory that `pointer` leads to."""
    if isinstance(size, Term):
        low = call.t.extract(size, 64, 31, 0)
        if not low.is_const:
            limit = room(call, pointer)
            call.executor.must_hold(call.state, pointer, call.t.zext(low, 32, 64))
            return Size(min(limit, (1 << low.width - leading_zeros(low)) - 1), low)
        if low.number < STRIDE // 8:
            return Size(low.number)
    raise Unmodelled("unmodelled-helper", f"{call.name} with a size that is not a small constant")


def room(call: HelperCall, pointer: Value) -> int:
    """How many bytes there are behind a pointer: no accepted program gives a size that is larger."""
    targets = pointer.targets if isinstance(pointer, Pointer) else ()
    rooms = [call.executor.room(target) for target in targets if target.region is not None]
    known = [size for size in rooms if size is not None]
    if known and len(known) == len(rooms) and max(known) <= MOST_VARYING:
        return max(known)
    raise Unmodelled("unmodelled-helper", f"{call.name} with a size that varies, in memory whose end is not known")


def _given(call: HelperCall, arguments: tuple[Argument, ...], index: int, argument: Argument) -> list[tuple[int, Term]]:
    """What the helper is told by an argument, as (bytes, term) pieces."""
    t, value = call.t, call.args[index]
    match argument.kind:
        case kind if kind[0] == "u":
            if isinstance(value, Pointer):
                raise Unmodelled("leaked-pointer", f"{call.name} is given a pointer as a number")
            width = int(kind[1:])
            return [
                (min(8, (width - low) // 8), t.extract(value, value.width, min(low + 64, width) - 1, low))
                for low in range(0, width, 64)
            ]
        case "in" | "inout":
            size = _size(call, arguments, index)
            return [
                piece
                for at in range(0, size.limit, 8)
                for piece in pieces(call, value, at, min(8, size.limit - at), size.varying)
            ]
        case "ctx" | "ctx!" if isinstance(value, Term):
            return [(8, value)]  # a socket or another object of the kernel
        case "ctx" | "ctx!":
            here = value.targets[0] if isinstance(value, Pointer) and len(value.targets) == 1 else None
            if here is None or here.region != CTX or here.offset is not t.const(64, 0):
                raise Unmodelled("unmodelled-helper", f"{call.name} is given something else than the context")
            return []
        case "map" | "out" | "text" | "got" | "may":
            return []
        case kind:
            raise AssertionError(f"no argument is of the kind {kind}")


def pieces(
    call: HelperCall, pointer: Value, at: int, size: int, end: Term | None = None, *, checked: bool = True
) -> list[tuple[int, Term]]:
    """`size` bytes at pointer + at, zero from `end` on; not `checked` where it is known apart how many there have to be."""
    t = call.t
    part = call.executor.load(call.state, pointer, at, size, checked=checked and end is None)
    if not isinstance(part, Term):
        raise Unmodelled("leaked-pointer", f"{call.name} is given memory that holds a pointer")
    if end is None:
        return [(size, part)]
    zero = t.const(8, 0)
    kept = [t.ite(8, _before(t, at + i, end), t.extract(part, part.width, 8 * i + 7, 8 * i), zero) for i in range(size)]
    return [(size, joined(t, kept))]


def _before(t: Terms, at: int, end: Term) -> Term:
    return t.ult(32, t.const(32, at), end)


def _give(
    call: HelperCall, name: str, known: tuple[Term, ...], arguments: tuple[Argument, ...], index: int, result: Term
) -> None:
    """Fills the memory that the helper writes with unknown bytes, which are a function of what is `known`."""
    kind = arguments[index].kind
    if kind not in ("out", "inout", "text", "got", "may"):
        return
    t, size = call.t, _size(call, arguments, index)
    step = 1 if kind == "text" or size.varying is not None else 8
    for at in range(0, size.limit, step):
        piece = min(step, size.limit - at)
        # Bytes have names of their own, so that a run can be told whichever was asked for.
        value = t.app(f"{name}.{at}" if step == 1 else f"{name}+{at}", 8 * piece, *known)
        if kind in ("text", "got", "may") or size.varying is not None:
            ((_, old),) = pieces(call, call.args[index], at, piece, checked=size.varying is None)
            match kind:
                case "text":
                    # Texts of processes are copied in words: what lies behind the end in its word may be cleared.
                    beyond = t.ite(8, t.app(f"{name}.{at}.cleared", 0, *known), t.const(8, 0), old)
                    value = t.ite(8, t.slt(64, t.const(64, at), result), value, beyond)
                    value = t.ite(8, t.slt(64, result, t.const(64, 0)), t.const(8, 0), value)
                case "got":
                    value = t.ite(8 * piece, t.eq(64, result, t.const(64, 0)), value, old)
                case "may":
                    value = t.ite(8 * piece, t.app(f"{name}.kept", 0, *known), old, value)
                case _:
                    pass
            if size.varying is not None:
                value = t.ite(8 * piece, _before(t, at, size.varying), value, old)
        into, whole = call.args[index], t.zext(value, 8 * piece, 64)
        call.executor.store(call.state, into, at, piece, whole, checked=size.varying is None)


def _record(call: HelperCall, channel: str, number: Term, arguments: tuple[Argument, ...], result: Term) -> None:
    t, state = call.t, call.state
    region = Region("calls", channel)
    memory, where = state.memory(region), t.mul(64, t.zext(number, 16, 64), t.const(64, STRIDE))
    memory, at = memory.store(t, where, 2, state.next_call(ORDER)), 2
    for index, argument in enumerate(arguments):
        for size, part in _given(call, arguments, index, argument):
            memory = memory.store(t, t.add(64, where, t.const(64, at)), size, part)
            at += size
        if argument.size_in is not None:
            told = _size(call, arguments, index)
            said = told.varying if told.varying is not None else t.const(32, told.limit)
            memory = memory.store(t, t.add(64, where, t.const(64, at)), 4, said)
            at += 4
    state.regions[region] = memory
    for index in range(len(arguments)):
        _give(call, f"{channel}.{index + 1}", (number,), arguments, index, result)


def cases(t: Terms, number: Term) -> list[tuple[Term, int]]:
    """The values that a count of calls may have, each with its condition; raises Unmodelled where these are not a few."""
    if number.is_const:
        return [(t.true, number.number)]
    bound = 1 << number.width - leading_zeros(number)
    if bound > MOST_COUNTS:
        raise Unmodelled("unmodelled-packet", "a call after a number of calls that varies too much")
    known = [(t.eq(number.width, number, t.const(number.width, count)), count) for count in range(bound)]
    return [(condition, count) for condition, count in known if condition is not t.false]


def _look_around(call: HelperCall, channel: str, number: Term, packet: bool, context: bool) -> None:
    """What the packet and the context are at a call that looks there is as observable as an argument. (A packet that nobody has
    touched is the one that came.)"""
    t, state = call.t, call.state
    packet = packet and state.packet_touched
    if not packet and not context:
        return
    view = View(packet_view(t, state) if packet else None, state.memory(CTX) if context else None)
    for condition, count in cases(t, number):
        here = t.all_of(state.condition, condition)
        if here is not t.false:
            call.executor.snapshots.setdefault((channel, count), []).append((here, view))


def _renew_packet(call: HelperCall, channel: str, number: Term) -> None:
    t, state = call.t, call.state
    starts, ends, metas = [], [], []
    for condition, count in cases(t, number):
        name = f"{channel}#{count}"
        region = Region("packet", name)
        starts.append(Target(condition, region, t.const(64, 0)))
        ends.append(Target(condition, region, t.zext(t.app(f"packet_length:{name}", 16), 16, 64)))
        before = t.sub(64, t.const(64, 0), t.zext(t.app(f"packet_meta_length:{name}", 8), 8, 64))
        metas.append(Target(condition, region, before))
    state.packet, state.packet_end, state.packet_meta = Pointer(tuple(starts)), Pointer(tuple(ends)), Pointer(tuple(metas))


def _renew_context(call: HelperCall, channel: str, number: Term) -> None:
    """Fields of the context may be others after the call."""
    t = call.t
    known = [(condition, call.executor.context_byte(f"@{channel}#{count}")) for condition, count in cases(t, number)]

    def initial(offset: Term) -> Term:
        value = known[0][1](offset)
        for condition, other in known[1:]:
            value = t.ite(8, condition, other(offset), value)
        return value

    call.state.regions[CTX] = Bytes(initial)
