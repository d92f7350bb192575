"""What helpers do that carry data out, or in from where a program cannot see: ring buffers, trace output, reads of memory."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.semantics.call import HelperCall
from bpfsmith.semantics.memory import Pointer, Region, Target, Value, joined
from bpfsmith.semantics.recorded import Recorded, cases, recorded, room
from bpfsmith.semantics.state import CTX, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

QUEUES = frozenset({"BPF_MAP_TYPE_QUEUE", "BPF_MAP_TYPE_STACK"})


@dataclass(frozen=True, slots=True)
class ProbeRead:
    """The effect of reading memory of the kernel. Where the address is memory of the program itself, it is a copy; but what
    lies where the context is, is not the context where the verifier turns its fields into others."""

    elsewhere: Recorded

    def __call__(self, call: HelperCall) -> Value | None:
        target, size, source = call.args
        if not isinstance(source, Pointer):
            if call.state.packet_touched:
                raise Unmodelled("unmodelled-packet", f"{call.name} after the packet was changed, which it may read")
            return self.elsewhere(call)
        if call.executor.context and any(target.region == CTX for target in source.targets):
            raise Unmodelled("unmodelled-context", f"{call.name} of the context, whose fields are not what lies there")
        if not (isinstance(size, Term) and size.is_const and size.number <= 4096):
            raise Unmodelled("unmodelled-helper", f"{call.name} with a size that is not a small constant")
        for at in range(0, size.number, 8):
            piece = min(8, size.number - at)
            part = call.executor.load(call.state, source, at, piece)
            call.executor.store(call.state, target, at, piece, _widened(call.t, part))
        return call.t.const(64, 0)


def _widened(t: Terms, value: Value) -> Value:
    return t.zext(value, value.width, 64) if isinstance(value, Term) else value


@dataclass(frozen=True, slots=True)
class Queued:
    """The effect of a call on a queue or a stack; a Bloom filter reads what these would write."""

    recorded: Recorded

    def __call__(self, call: HelperCall) -> Value | None:
        spec = call.executor.map_spec(call.args[0])
        if spec.type not in QUEUES:
            raise Unmodelled("unmodelled-map", f"{call.name} on {spec.name}, a {spec.type}")
        return self.recorded(call)


def printk(call: HelperCall) -> Value:
    """bpf_trace_printk(fmt, size, ..): as many numbers as the format asks for; the registers behind them do not matter."""
    t, state, executor = call.t, call.state, call.executor
    size = call.args[1]
    if not (isinstance(size, Term) and size.is_const and size.number <= 512):
        raise Unmodelled("unmodelled-helper", f"{call.name} with a size that is not constant")
    text = [executor.load(state, call.args[0], at, 1) for at in range(size.number)]
    if not all(isinstance(byte, Term) and byte.is_const for byte in text):
        raise Unmodelled("unmodelled-helper", f"{call.name} with a format that is not constant")
    words, values = ["in:2", "u32"], []
    for index, directive in enumerate(conversions(bytes(byte.number for byte in text if isinstance(byte, Term)))):
        value = executor.argument(state, 3 + index)
        if directive == b"s" and isinstance(value, Pointer):
            # The string in the program's own memory, as one number: its bytes up to the first zero.
            value = _string(call, value)
            words.append(f"u{value.width}")
        else:
            words.append("u64")
        values.append(value)
    return recorded(" ".join(words))(HelperCall(executor, state, call.name, (*call.args, *values))) or t.const(64, 0)


def conversions(text: bytes) -> list[bytes]:
    """The conversion characters of a format ("%5d" has b"d"), of which the helper takes three at most."""
    parts = text.split(b"\0")[0].replace(b"%%", b"").split(b"%")[1:4]
    return [part.lstrip(b"0123456789.-+ #hlz")[:1] for part in parts]


def _string(call: HelperCall, pointer: Pointer) -> Term:
    """The bytes of a string as far as its end, the rest zero; 8 * n bits, the first byte lowest."""
    t, out, going = call.t, [], call.t.true
    for at in range(room(call, pointer)):
        byte = call.executor.load(call.state, pointer, at, 1, checked=False)
        if not isinstance(byte, Term):
            raise Unmodelled("leaked-pointer", f"{call.name} is given a string that holds a pointer")
        going = t.all_of(going, t.negate(t.eq(8, byte, t.const(8, 0))))
        out.append(t.ite(8, going, byte, t.const(8, 0)))
        if going is t.false:
            break
    return joined(t, out)


def reserve(call: HelperCall) -> Value:
    """bpf_ringbuf_reserve: the nth reservation is a piece of memory of its own, or NULL."""
    t, executor = call.t, call.executor
    spec, size = executor.map_spec(call.args[0]), call.constant(1)
    number = call.state.calls.get(f"{call.name}:{spec.name}", t.const(16, 0))
    recorded("map u64 u64")(call)
    given = t.app(f"{call.name}:{spec.name}.given", 0, number)
    targets = [Target(t.negate(given), None, t.const(64, 0))]
    for condition, count in cases(t, number):
        region = Region("record", f"{spec.name}#{count}")
        known = executor.reserved.setdefault(region, size)
        if known != size:
            raise Unmodelled("unmodelled-helper", f"{call.name} of different sizes on different paths")
        targets.append(Target(t.all_of(given, condition), region, t.const(64, 0)))
    return Pointer(tuple(targets))


def submit(call: HelperCall) -> None:
    """bpf_ringbuf_submit: what the reservation holds becomes visible."""
    region = _reservation(call)
    _give_back(call, region, f"in={call.executor.reserved[region]} u64", call.args)


def discard(call: HelperCall) -> None:
    """bpf_ringbuf_discard: what the reservation holds does not matter."""
    _give_back(call, _reservation(call), "u64", call.args[1:])


def _give_back(call: HelperCall, region: Region, words: str, args: tuple[Value, ...]) -> None:
    """Each reservation has a record of its own, and is given back once."""
    call.executor.fault(call.state, call.executor.given_back(call.state, region))
    call.executor.giving = region  # what it holds is looked at once more
    recorded(words, 0)(HelperCall(call.executor, call.state, f"{call.name}:{region.name}", args))
    call.executor.giving = None


def _reservation(call: HelperCall) -> Region:
    targets = [target for target in call.args[0].targets if target.region] if isinstance(call.args[0], Pointer) else []
    regions = [target.region for target in targets if target.region and target.offset is call.t.const(64, 0)]
    if len(targets) != 1 or len(regions) != 1 or regions[0] not in call.executor.reserved:
        raise Unmodelled("unmodelled-helper", f"{call.name} of something that is not one reservation")
    return regions[0]
