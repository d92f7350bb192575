"""Helpers that reach what a program cannot see: sockets, ring buffers, other programs, the clock, a task's name.

Each call is recorded: what it was given is an observable, and what it gives back depends only on which call it is. That is
sound whatever the helper does behind the scenes: as long as two programs have made the same calls with the same arguments, the
world behind them is the same, and so is the next answer.

An argument is one word of a model's signature:

    u64, u32      a number, of which so many bits matter
    ctx, ctx!     the context, which the helper may read, or change
    map           a map of the program, part of the call's name
    in:N          memory that is read, of as many bytes as argument N says (from 1), which must be a constant
    out:N         memory that is written, whole, whatever the result is
    inout:N       memory that is read and written
    text:N        memory that is written as far as the result says and maybe zeroed beyond, or all zeros when that is negative
    may:N         memory that may be written, whole, or left alone
    got:N         memory that is written when the result is 0, and else left alone
    in=N ..       the same with N bytes, or the size of the map's keys or values (in=key, out=value)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bpfsmith.semantics.memory import Bytes, Pointer, Region, Target, Value
from bpfsmith.semantics.state import CTX, State, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

if TYPE_CHECKING:
    from bpfsmith.semantics.helpers import Effect, HelperCall

STRIDE = 1 << 16
"""Bytes from one call's record to the next."""


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

    def byte(self, t: Terms, at: Term) -> Term:
        """The byte (8 bits) `at` bytes (a 64-bit term) behind the start."""
        result: Term | None = None
        for guard, memory, start in self.parts:
            value = memory.load(t, t.add(64, start, at), 1)
            assert isinstance(value, Term)
            result = value if result is None else t.ite(8, guard, value, result)
        assert result is not None
        return result


def untouched_packet(t: Terms) -> PacketView:
    """The packet as it came."""
    memory = Bytes(lambda offset: t.app("packet", 8, offset))
    return PacketView(((t.true, memory, t.const(64, 0)),), t.zext(t.app("packet_length", 16), 16, 64))


def packet_view(t: Terms, state: State) -> PacketView:
    """The packet as it stands."""
    start, end = state.packet, state.packet_end
    ends = {target.region: target for target in end.targets}
    parts, length = [], t.const(64, 0)
    for target in start.targets:
        assert target.region is not None
        parts.append((target.guard, state.memory(target.region), target.offset))
        if target.region not in ends:
            raise Unmodelled("unmodelled-packet", "the packet's start and end are not in one piece of memory")
        length = t.ite(64, target.guard, t.sub(64, ends[target.region].offset, target.offset), length)
    return PacketView(tuple(parts), length)


def recorded(words: str, result: int = 64, packet: str = "") -> Effect:
    """The effect of a recorded helper with this signature. Its result has `result` bits (sign-extended; 0: void). `packet` is
    "reads" for a helper that sees the packet, "renews" for one that may change it, so that old packet pointers are void."""
    arguments = signature(words)

    def effect(call: HelperCall) -> Value | None:
        t, state = call.t, call.state
        channel = _channel(call, arguments)
        number = state.next_call(channel)
        given = t.sext(t.app(channel, result, number), result, 64) if result else t.const(64, 0)
        _record(call, channel, number, arguments, given)
        if packet:
            _look_at_packet(call, channel, number)
        if packet == "renews":
            _renew_packet(call, channel, number)
        if packet == "renews" or any(item.kind == "ctx!" for item in arguments):
            _renew_context(call, channel, number)
        return given if result else None

    return effect


def steady(words: str, result: int = 64) -> Effect:
    """The effect of a helper whose answer is a function of its arguments and stays the same for one run."""
    arguments = signature(words)

    def effect(call: HelperCall) -> Value | None:
        t = call.t
        channel = _channel(call, arguments)
        known: list[Term] = []
        for index, argument in enumerate(arguments):
            known += [part for _, part in _given(call, arguments, index, argument)]
        for index in range(len(arguments)):
            _give(call, f"{channel}.{index + 1}", tuple(known), arguments, index, t.const(64, 0))
        return t.zext(t.app(channel, result, *known), result, 64) if result else None

    return effect


def _channel(call: HelperCall, arguments: tuple[Argument, ...]) -> str:
    maps = [call.executor.map_spec(call.args[index]).name for index, item in enumerate(arguments) if item.kind == "map"]
    return ":".join((call.name, *maps))


def _size(call: HelperCall, arguments: tuple[Argument, ...], argument: Argument) -> int:
    if argument.size_of:
        spec = next(call.executor.map_spec(call.args[index]) for index, item in enumerate(arguments) if item.kind == "map")
        return spec.key_size if argument.size_of == "key" else spec.value_size
    if argument.size_in is None:
        return argument.size
    size = call.args[argument.size_in - 1]
    if isinstance(size, Term):
        low = call.t.extract(size, 64, 31, 0)
        if low.is_const and low.number < STRIDE // 8:
            return low.number
    raise Unmodelled("unmodelled-helper", f"{call.name} with a size that is not a small constant")


def _given(call: HelperCall, arguments: tuple[Argument, ...], index: int, argument: Argument) -> list[tuple[int, Term]]:
    """What the helper is told by an argument, as (bytes, term) pieces."""
    t, value = call.t, call.args[index]
    match argument.kind:
        case "u64" | "u32":
            if isinstance(value, Pointer):
                raise Unmodelled("leaked-pointer", f"{call.name} is given a pointer as a number")
            width = int(argument.kind[1:])
            return [(width // 8, t.extract(value, 64, width - 1, 0))]
        case "in" | "inout":
            size = _size(call, arguments, argument)
            out = []
            for at in range(0, size, 8):
                out += _pieces(call, value, at, min(8, size - at))
            return out
        case "ctx" | "ctx!":
            here = value.targets[0] if isinstance(value, Pointer) and len(value.targets) == 1 else None
            if here is None or here.region != CTX or here.offset is not t.const(64, 0):
                raise Unmodelled("unmodelled-helper", f"{call.name} is given something else than the context")
            return []
        case "map" | "out" | "text" | "got" | "may":
            return []
        case kind:
            raise AssertionError(f"no argument is of the kind {kind}")


def _pieces(call: HelperCall, pointer: Value, at: int, size: int) -> list[tuple[int, Term]]:
    part = call.executor.load(call.state, pointer, at, size)
    if not isinstance(part, Term):
        raise Unmodelled("leaked-pointer", f"{call.name} is given memory that holds a pointer")
    return [(size, part)]


def _give(
    call: HelperCall, name: str, known: tuple[Term, ...], arguments: tuple[Argument, ...], index: int, result: Term
) -> None:
    """Fills the memory that the helper writes with unknown bytes, which are a function of what is `known`."""
    kind = arguments[index].kind
    if kind not in ("out", "inout", "text", "got", "may"):
        return
    t, size = call.t, _size(call, arguments, arguments[index])
    step = 1 if kind == "text" else 8
    for at in range(0, size, step):
        piece = min(step, size - at)
        value = t.app(f"{name}+{at}", 8 * piece, *known)
        if kind in ("text", "got", "may"):
            ((_, old),) = _pieces(call, call.args[index], at, piece)
            match kind:
                case "text":
                    # Texts of processes are copied in words: what lies behind the end in its word may be cleared.
                    beyond = t.ite(8, t.app(f"{name}+{at}.cleared", 0, *known), t.const(8, 0), old)
                    value = t.ite(8, t.slt(64, t.const(64, at), result), value, beyond)
                    value = t.ite(8, t.slt(64, result, t.const(64, 0)), t.const(8, 0), value)
                case "got":
                    value = t.ite(8 * piece, t.eq(64, result, t.const(64, 0)), value, old)
                case _:
                    value = t.ite(8 * piece, t.app(f"{name}.kept", 0, *known), old, value)
        call.executor.store(call.state, call.args[index], at, piece, t.zext(value, 8 * piece, 64))


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
            size = _size(call, arguments, argument)
            memory = memory.store(t, t.add(64, where, t.const(64, at)), 4, t.const(32, size))
            at += 4
    state.regions[region] = memory
    for index in range(len(arguments)):
        _give(call, f"{channel}.{index + 1}", (number,), arguments, index, result)


def _look_at_packet(call: HelperCall, channel: str, number: Term) -> None:
    """What the packet is at the call is as observable as an argument."""
    t, state = call.t, call.state
    if not state.packet_touched:
        return
    if not number.is_const:
        raise Unmodelled("unmodelled-packet", f"{call.name} sees a packet that was changed, after a varying number of calls")
    seen = call.executor.snapshots.setdefault((channel, number.number), [])
    seen.append((state.condition, packet_view(t, state)))


def _renew_packet(call: HelperCall, channel: str, number: Term) -> None:
    t, state = call.t, call.state
    if not number.is_const:
        raise Unmodelled("unmodelled-packet", f"{call.name} after a varying number of calls of it")
    name = f"{channel}#{number.number}"
    region = Region("packet", name)
    length = t.zext(t.app(f"packet_length:{name}", 16), 16, 64)
    state.packet = Pointer((Target(t.true, region, t.const(64, 0)),))
    state.packet_end = Pointer((Target(t.true, region, length),))


def _renew_context(call: HelperCall, channel: str, number: Term) -> None:
    """Fields of the context may be others after the call. What the program itself has written there would have to be compared
    before, and might stay: that is not modelled."""
    if not number.is_const:
        raise Unmodelled("unmodelled-context", f"{call.name} after a varying number of calls of it")
    if call.state.memory(CTX).written() != set():
        raise Unmodelled("unmodelled-context", f"{call.name} may read or change a context that was written")
    call.state.regions[CTX] = Bytes(call.executor.context_byte(f"@{channel}#{number.number}"))
