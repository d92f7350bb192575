"""What helpers do to packets: ends that move, bytes that are copied in and out (net/core/filter.c).

A packet is one sequence of bytes, of which `data` .. `data_end` may be reached directly: the linear part. An skb's, and an XDP
packet's in a program that takes fragments, goes on behind it; the whole length is `packet_length` + `packet_beyond`.
"""

from __future__ import annotations

from errno import EFAULT, EINVAL, ENOMEM

from bpfsmith.isa import progtype
from bpfsmith.semantics.call import HelperCall
from bpfsmith.semantics.memory import Pointer, Target, Value, joined
from bpfsmith.semantics.recorded import Size, between, packet_view, pieces, recorded, sized
from bpfsmith.semantics.state import State, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

ETH_HLEN = 14
BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH = 1, 2
SKB_STORES = recorded("ctx u32 in:4 u32 u64")
MOST_XDP = 0xFFFF
"""The largest offset and length that XDP helpers take (bpf_xdp_pointer)."""


def adjust_head(call: HelperCall) -> Value:
    """bpf_xdp_adjust_head: the packet's start moves. How much room there is in front is an input; at least an Ethernet header
    stays (net/core/filter.c)."""
    t, state = call.t, call.state
    delta = _delta(call)
    call.executor.moves("start")
    roomy = t.true
    for target in state.packet.targets:
        assert target.region is not None
        room = t.zext(t.app(f"packet_headroom:{target.region.name}", 16), 16, 64)
        short = t.slt(64, t.add(64, t.add(64, target.offset, delta), room), t.const(64, 0))
        roomy = t.all_of(roomy, t.negate(t.all_of(target.guard, short)))
    return moved(call, roomy, delta, t.const(64, 0))


def adjust_tail(call: HelperCall) -> Value:
    """bpf_xdp_adjust_tail: the packet's end moves, up to a limit that is an input. What it gains is zero
    (net/core/filter.c)."""
    t, state = call.t, call.state
    delta = _delta(call)
    if progtype.for_section(call.executor.program.section).frags:
        raise Unmodelled("unmodelled-packet", f"{call.name} of a packet that may have fragments")
    end, nothing = state.packet_end, t.const(64, 0)
    roomy = t.true
    for target in end.targets:
        assert target.region is not None
        limit = t.zext(t.app(f"packet_limit:{target.region.name}", 16), 16, 64)
        moved_end = t.add(64, target.offset, delta)
        beyond = t.all_of(t.slt(64, nothing, delta), t.slt(64, limit, moved_end))
        roomy = t.all_of(roomy, t.negate(t.all_of(target.guard, beyond)))
    result = moved(call, roomy, nothing, delta)
    if delta.is_const and delta.number >> 63:
        return result
    grown = t.all_of(t.eq(64, result, nothing), t.slt(64, nothing, delta))
    for target in end.targets:
        assert target.region is not None
        here, after = t.all_of(grown, target.guard), t.add(64, target.offset, delta)
        state.regions[target.region] = state.memory(target.region).zeroed(here, target.offset, after)
    return result


def adjust_meta(call: HelperCall) -> Value:
    """bpf_xdp_adjust_meta: the metadata in front of the packet grows or shrinks, to whole words and a limit that depends on the
    kernel. Whether there is room, and the error where it refuses, are inputs."""
    t, state = call.t, call.state
    delta = _delta(call)
    call.executor.moves("meta")
    length = t.sub(64, between(t, state, state.packet_meta, state.packet).length, delta)
    number = state.calls.get(call.name, t.const(16, 0))
    recorded("ctx u32")(call)
    aligned = t.eq(64, t.and_(64, length, t.const(64, 3)), t.const(64, 0))
    in_front = t.negate(t.slt(64, length, t.const(64, 0)))
    done = t.all_of(aligned, in_front, t.negate(t.app(f"{call.name}.refused", 0, number)))
    nothing = t.const(64, 0)
    state.packet_meta = call.executor.shift(state.packet_meta, t.ite(64, done, delta, nothing))
    error = t.sext(t.concat(t.const(1, 1), 1, t.app(f"{call.name}.error", 31, number), 31), 32, 64)
    return t.ite(64, done, nothing, error)


def _delta(call: HelperCall) -> Term:
    value = call.args[1]
    if not isinstance(value, Term):
        raise Unmodelled("leaked-pointer", f"{call.name} by a pointer")
    return call.t.sext(call.t.extract(value, 64, 31, 0), 32, 64)


def moved(call: HelperCall, roomy: Term, start: Term, end: Term) -> Term:
    """Moves both ends of the packet where there is room and an Ethernet header is left; 0 or -EINVAL."""
    t, state = call.t, call.state
    length = t.add(64, packet_view(t, state).length, t.sub(64, end, start))
    done = t.all_of(roomy, t.negate(t.slt(64, length, t.const(64, ETH_HLEN))))
    nothing = t.const(64, 0)
    state.packet = call.executor.shift(state.packet, t.ite(64, done, start, nothing))
    state.packet_end = call.executor.shift(state.packet_end, t.ite(64, done, end, nothing))
    return t.ite(64, done, nothing, t.const(64, -EINVAL))


# --- bytes in and out -------------------------------------------------------------------------------------------------
def whole_length(call: HelperCall) -> Term:
    """The length of the whole packet (64 bits): what lies behind the linear part counts."""
    return call.executor.whole_length(call.state)


def skb_load_bytes(call: HelperCall) -> Value:
    """bpf_skb_load_bytes(skb, offset, to, len): where the bytes are not there, `to` is all zeros."""
    t = call.t
    offset, size = _offset(call), sized(call, call.args[2], call.args[3])
    inside = t.all_of(t.negate(_is_negative(t, offset)), _inside(call, offset, size))
    _copy_out(call, offset, size, inside, call.args[2], zeroes=True)
    return t.ite(64, inside, t.const(64, 0), t.const(64, -EFAULT))


def xdp_load_bytes(call: HelperCall) -> Value:
    """bpf_xdp_load_bytes(xdp, offset, buf, len): where the bytes are not there, `buf` stays."""
    t = call.t
    offset, size = _offset(call), sized(call, call.args[2], call.args[3])
    near, inside = _near(call, offset, size), _inside(call, offset, size)
    done = t.all_of(near, inside)
    _copy_out(call, offset, size, done, call.args[2], zeroes=False)
    return _xdp_result(t, near, inside)


def xdp_store_bytes(call: HelperCall) -> Value:
    """bpf_xdp_store_bytes(xdp, offset, buf, len)."""
    t = call.t
    offset, size = _offset(call), sized(call, call.args[2], call.args[3])
    near, inside = _near(call, offset, size), _inside(call, offset, size)
    _copy_in(call, offset, size, t.all_of(near, inside), call.args[2])
    return _xdp_result(t, near, inside)


def skb_store_bytes(call: HelperCall) -> Value:
    """bpf_skb_store_bytes(skb, offset, from, len, flags): makes the bytes linear and writable first, which may fail for want of
    memory: an input. Each call is recorded too: its flags say whether skb->csum stays right, which receivers see."""
    t, state = call.t, call.state
    SKB_STORES(call)
    offset, size, flags = _offset(call), sized(call, call.args[2], call.args[3]), call.number(4)
    known = t.eq(64, t.and_(64, flags, t.const(64, ~(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH))), t.const(64, 0))
    inside = t.all_of(t.negate(_is_negative(t, offset)), _inside(call, offset, size), _enough_memory(call, known))
    done = t.all_of(known, inside)
    _copy_in(call, offset, size, done, call.args[2])
    _make_linear(state, done, t.add(64, t.zext(offset, 32, 64), t.zext(_length(t, size), 32, 64)))
    clears = t.all_of(done, t.negate(t.eq(64, t.and_(64, flags, t.const(64, BPF_F_INVALIDATE_HASH)), t.const(64, 0))))
    if clears is not t.false:
        call.executor.clear_field(state, "hash", clears)
    return t.ite(64, known, t.ite(64, inside, t.const(64, 0), t.const(64, -EFAULT)), t.const(64, -EINVAL))


def skb_pull_data(call: HelperCall) -> Value:
    """bpf_skb_pull_data(skb, len): so many bytes (0: those that are) become linear and writable."""
    t, state = call.t, call.state
    asked = t.zext(t.extract(call.number(1), 64, 31, 0), 32, 64)
    linear = packet_view(t, state).length
    wanted = t.ite(64, t.eq(64, asked, t.const(64, 0)), linear, asked)
    done = t.all_of(t.negate(t.ult(64, whole_length(call), wanted)), _enough_memory(call, t.true))
    _make_linear(state, done, wanted)
    return t.ite(64, done, t.const(64, 0), t.const(64, -ENOMEM))


def xdp_get_buff_len(call: HelperCall) -> Value:
    return whole_length(call)


def _offset(call: HelperCall) -> Term:
    return call.t.extract(call.number(1), 64, 31, 0)


def _length(t: Terms, size: Size) -> Term:
    return size.varying if size.varying is not None else t.const(32, size.limit)


def _is_negative(t: Terms, offset: Term) -> Term:
    return t.slt(32, offset, t.const(32, 0))


def _inside(call: HelperCall, offset: Term, size: Size) -> Term:
    t = call.t
    end = t.add(64, t.zext(offset, 32, 64), t.zext(_length(t, size), 32, 64))
    return t.negate(t.ult(64, whole_length(call), end))


def _near(call: HelperCall, offset: Term, size: Size) -> Term:
    t = call.t
    return t.negate(t.any_of(*(t.ult(32, t.const(32, MOST_XDP), part) for part in (offset, _length(t, size)))))


def _xdp_result(t: Terms, near: Term, inside: Term) -> Term:
    return t.ite(64, near, t.ite(64, inside, t.const(64, 0), t.const(64, -EINVAL)), t.const(64, -EFAULT))


def _enough_memory(call: HelperCall, asked: Term) -> Term:
    number = call.state.next_call("skb.memory", asked)
    return call.t.negate(call.t.app("skb.out_of_memory", 0, number))


def _make_linear(state: State, done: Term, end: Term) -> None:
    """The linear part reaches `end` at least (64 bits, from the packet's start)."""
    t = state.t
    starts = {target.region: target.offset for target in state.packet.targets}
    targets = []
    for target in state.packet_end.targets:
        wanted = t.add(64, starts[target.region], end)
        grows = t.all_of(done, t.ult(64, target.offset, wanted))
        targets.append(Target(target.guard, target.region, t.ite(64, grows, wanted, target.offset)))
    state.packet_end = Pointer(tuple(targets))


def _copy_out(call: HelperCall, offset: Term, size: Size, done: Term, to: Value, zeroes: bool) -> None:
    t, view = call.t, packet_view(call.t, call.state)
    start, step = t.zext(offset, 32, 64), 1 if size.varying is not None else 8
    for at in range(0, size.limit, step):
        piece = min(step, size.limit - at)
        value = joined(t, [view.byte(t, t.add(64, start, t.const(64, at + i))) for i in range(piece)])
        width = 8 * piece
        if not zeroes or size.varying is not None:
            ((_, old),) = pieces(call, to, at, piece, checked=size.varying is None)
            value = t.ite(width, done, value, t.const(width, 0) if zeroes else old)
            value = t.ite(width, t.ult(32, t.const(32, at), _length(t, size)), value, old)
        else:
            value = t.ite(width, done, value, t.const(width, 0))
        call.executor.store(call.state, to, at, piece, t.zext(value, width, 64), checked=size.varying is None)


def _copy_in(call: HelperCall, offset: Term, size: Size, done: Term, source: Value) -> None:
    t, state = call.t, call.state
    step = 1 if size.varying is not None else 8
    for at in range(0, size.limit, step):
        piece = min(step, size.limit - at)
        ((_, value),) = pieces(call, source, at, piece, checked=size.varying is None)
        here = t.all_of(done, t.ult(32, t.const(32, at), _length(t, size)))
        for target in state.packet.targets:
            assert target.region is not None
            memory = state.memory(target.region)
            where = t.add(64, target.offset, t.add(64, t.zext(offset, 32, 64), t.const(64, at)))
            old = memory.load(t, where, piece)
            assert isinstance(old, Term)
            written = t.ite(8 * piece, t.all_of(here, target.guard), value, old)
            state.regions[target.region] = memory.store(t, where, piece, written)
