"""What helpers and kernel functions do in the interpreter: the counterpart of the models that the prover has.

Which helpers are recorded or steady, and what their arguments are, is said once, in `helpers` and `kfuncs`; here is what such a
call does to bytes. Results come from the input's `world`; where it says nothing, a call gives 0 and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import E2BIG, EFAULT, EINVAL, ENOMEM
from typing import TYPE_CHECKING

from bpfsmith.execution import CallRecord
from bpfsmith.ir.ops import Reg
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.concrete_memory import (
    ArrayMap,
    FoundMap,
    Handle,
    HashMap,
    InnerMap,
    OuterMap,
    Packet,
    Pointer,
    ReadMap,
    Region,
    Value,
)
from bpfsmith.semantics.domain import signed
from bpfsmith.semantics.helpers import HELPERS
from bpfsmith.semantics.kfuncs import BPF_MAX_LOOPS, KFUNCS
from bpfsmith.semantics.map_helpers import BPF_LOCAL_STORAGE_GET_F_CREATE
from bpfsmith.semantics.output_helpers import ProbeRead, Queued, conversions
from bpfsmith.semantics.packet_helpers import (
    BPF_F_INVALIDATE_HASH,
    BPF_F_RECOMPUTE_CSUM,
    ETH_HLEN,
    MOST_XDP,
    SKB_STORES,
)
from bpfsmith.semantics.recorded import TAIL_CALL, Argument, Recorded, Steady, recorded

if TYPE_CHECKING:
    from bpfsmith.semantics.concrete import Machine

Effect = Callable[["Machine"], Value | None]
"""Reads arguments from r1.., acts, and gives r0 (None: void)."""


def helper(helper_id: int) -> Effect | None:
    """What a helper does; None for one without a model."""
    known = EXACT.get(helper_id)
    model = HELPERS.get(helper_id)
    if known is not None or model is None:
        return known
    return _by_signature(model.name, model.effect)


def kfunc(name: str) -> Effect | None:
    """What a kernel function does; None for one without a model."""
    model = KFUNCS.get(name)
    return EXACT_KFUNCS.get(name) or (_by_signature(name, model.effect) if model else None)


def _by_signature(name: str, effect: object) -> Effect | None:
    match effect:
        case Recorded():
            return lambda machine: _recorded(machine, name, effect)
        case Queued(recorded=inside):
            return lambda machine: _recorded(machine, name, inside)
        case ProbeRead(elsewhere=elsewhere):
            return lambda machine: _probe_read(machine, name, elsewhere)
        case Steady():
            return lambda machine: _steady(machine, name, effect)
        case _:
            return None


# --- calls whose work is out of sight ---------------------------------------------------------------------------------
def _recorded(machine: Machine, name: str, effect: Recorded, arguments: tuple[Value, ...] | None = None) -> Value | None:
    values = arguments or tuple(machine.register(Reg(1 + i)) for i in range(len(effect.arguments)))
    channel = _channel(machine, name, effect.arguments)
    number = machine.calls[channel]
    machine.calls[channel] += 1
    given, told = bytearray(), []
    for index, argument in enumerate(effect.arguments):
        told.append((argument.kind, b"".join(_given(machine, effect.arguments, values, index))))
        given += told[-1][1]
        if argument.size_in is not None:
            given += _size(machine, effect.arguments, values, argument).to_bytes(4, "little")
    seen = machine.packet.contents if effect.packet else None
    context = machine.context.changed() if effect.renews_context else None
    machine.records.append(CallRecord(channel, bytes(given), seen, context, tuple(told)))
    result = signed(effect.result, machine.ask(channel, number)) if effect.result else 0
    for index in range(len(effect.arguments)):
        _fill(machine, f"{channel}.{index + 1}", (number,), effect.arguments, values, index, result)
    if effect.packet == "renews":
        _renew_packet(machine, f"{channel}#{number}")
    if effect.renews_context:
        machine.context.renew(f"@{channel}#{number}", machine.packet.whole_length)
    if effect.above and effect.result:
        low = result & ((1 << effect.result) - 1)
        return machine.ask(f"{channel}.above", number) << effect.result | low
    return result if effect.result else None


def _renew_packet(machine: Machine, name: str) -> None:
    """A new packet as the world says it, or the old one."""
    length = machine.ask(f"packet_length:{name}", usual=-1)
    known = [args[0] for given, args in machine.given.world if given == f"packet:{name}"]
    if length < 0 and not known:
        return
    contents = bytes(machine.ask(f"packet:{name}", at) for at in range(max(length, 0)))
    machine.packet = Packet.of(contents, machine.ask, name)


def _steady(machine: Machine, name: str, effect: Steady) -> Value | None:
    values = tuple(machine.register(Reg(1 + i)) for i in range(len(effect.arguments)))
    channel = _channel(machine, name, effect.arguments)
    known = tuple(
        int.from_bytes(piece, "little")
        for index in range(len(values))
        for piece in _given(machine, effect.arguments, values, index)
    )
    for index in range(len(values)):
        _fill(machine, f"{channel}.{index + 1}", known, effect.arguments, values, index, 0)
    return machine.ask(channel, *known) if effect.result else None


def _channel(machine: Machine, name: str, arguments: tuple[Argument, ...]) -> str:
    maps = [machine.map_argument(Reg(1 + i)).spec.name for i, item in enumerate(arguments) if item.kind == "map"]
    return ":".join((name, *maps))


def _size(machine: Machine, arguments: tuple[Argument, ...], values: tuple[Value, ...], argument: Argument) -> int:
    if argument.size_of:
        spec = next(machine.map_argument(Reg(1 + i)).spec for i, item in enumerate(arguments) if item.kind == "map")
        return spec.key_size if argument.size_of == "key" else spec.value_size
    if argument.size_in is None:
        return argument.size
    size = values[argument.size_in - 1]
    if isinstance(size, Pointer):
        raise machine.unmodelled("leaked-pointer", "a size is a pointer")
    return size & 0xFFFFFFFF


def _given(machine: Machine, arguments: tuple[Argument, ...], values: tuple[Value, ...], index: int) -> list[bytes]:
    argument, value = arguments[index], values[index]
    kind = argument.kind
    if kind[0] == "u":
        if isinstance(value, Pointer):
            raise machine.unmodelled("leaked-pointer", "a call is given a pointer as a number")
        width = int(kind[1:]) // 8
        raw = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    elif kind in ("in", "inout"):
        size = _size(machine, arguments, values, argument)
        raw = machine.read(value, size) if size else b""
    elif kind.startswith("ctx") and isinstance(value, int):
        raw = value.to_bytes(8, "little")
    else:
        return []
    return [raw[at : at + 8] for at in range(0, len(raw), 8)]


def _fill(
    machine: Machine,
    name: str,
    known: tuple[int, ...],
    arguments: tuple[Argument, ...],
    values: tuple[Value, ...],
    index: int,
    result: int,
) -> None:
    kind = arguments[index].kind
    if kind not in ("out", "inout", "text", "got", "may"):
        return
    size = _size(machine, arguments, values, arguments[index])
    if kind == "may" and machine.ask(f"{name}.kept", *known):
        return
    if kind == "got" and result:
        return
    for at in range(size):
        word = machine.ask(f"{name}+{at // 8 * 8}", *known) >> 8 * (at % 8) & 0xFF
        byte = machine.ask(f"{name}.{at}", *known, usual=word)
        if kind == "text" and result < 0:
            byte = 0
        elif kind == "text" and at >= result:
            if not machine.ask(f"{name}.{at}.cleared", *known):
                continue
            byte = 0
        machine.store(values[index], at, 1, byte)


def _probe_read(machine: Machine, name: str, elsewhere: Recorded) -> Value | None:
    source = machine.register(Reg(3))
    if not isinstance(source, Pointer):
        return _recorded(machine, name, elsewhere)
    size = machine.scalar(Reg(2)) & 0xFFFFFFFF
    machine.write(machine.register(Reg(1)), machine.read(source, size))
    return 0


def _printk(machine: Machine) -> Value | None:
    size = machine.scalar(Reg(2)) & 0xFFFFFFFF
    text = machine.read(machine.register(Reg(1)), size)
    kinds, values = [Argument("in", 0, 2), Argument("u32")], [machine.register(Reg(1)), machine.register(Reg(2))]
    for index, conversion in enumerate(conversions(text)):
        value = machine.register(Reg(3 + index))
        if conversion == b"s" and isinstance(value, Pointer):
            room = value.region.bounds[1] - signed(64, value.offset)
            string = machine.read(value, room).split(b"\0")[0].ljust(room, b"\0")
            value = int.from_bytes(string, "little")
            kinds.append(Argument(f"u{8 * room}"))
        else:
            kinds.append(Argument("u64"))
        values.append(value)
    return _recorded(machine, "bpf_trace_printk", Recorded(tuple(kinds)), tuple(values))


def _reserve(machine: Machine) -> Value:
    spec = machine.map_argument().spec
    channel = f"bpf_ringbuf_reserve:{spec.name}"
    number = machine.calls[channel]
    _recorded(machine, "bpf_ringbuf_reserve", _RESERVE)
    if not machine.ask(f"{channel}.given", number, usual=1):
        return 0
    name = f"{spec.name}#{number}"
    size = machine.scalar(Reg(2))
    region = Region("record", name, bytearray(machine.ask(f"record:{name}", at) for at in range(size)))
    return Pointer(region, 0)


def _submit(machine: Machine) -> None:
    region = _reservation(machine)
    size = len(region.data)
    effect = Recorded((Argument("in", size), Argument("u64")), 0)
    _recorded(machine, f"bpf_ringbuf_submit:{region.name}", effect)
    region.is_live = False


def _discard(machine: Machine) -> None:
    region = _reservation(machine)
    _recorded(machine, f"bpf_ringbuf_discard:{region.name}", Recorded((Argument("u64"),), 0), (machine.register(Reg(2)),))
    region.is_live = False


def _reservation(machine: Machine) -> Region:
    place = machine.register(Reg(1))
    if not isinstance(place, Pointer) or place.region.kind != "record":
        raise machine.unmodelled("unmodelled-helper", "something that is no reservation is given back")
    return place.region


_RESERVE = Recorded((Argument("map"), Argument("u64"), Argument("u64")))


def tail_call(machine: Machine) -> bool:
    """True where the call has found a program, whose result is in r0 then."""
    spec = machine.map_argument(Reg(2)).spec
    channel = f"{TAIL_CALL}:{spec.name}"
    number = machine.calls[channel]
    model = HELPERS[HELPER_IDS[TAIL_CALL]]
    assert isinstance(model.effect, Recorded)
    result = _recorded(machine, TAIL_CALL, model.effect)
    found = machine.ask(f"{channel}.found", number)
    if found and machine.depth > 1:
        raise machine.unmodelled("unmodelled-tail-call", "a tail call in a subprogram")
    value = machine.ask(f"{channel}.result", number) if found else result
    machine.registers[:6] = [value if isinstance(value, Pointer | None) else value & _MASK, *[None] * 5]
    return bool(found)


_MASK = (1 << 64) - 1


# --- maps -------------------------------------------------------------------------------------------------------------
def _entries(machine: Machine) -> ArrayMap | HashMap | InnerMap | ReadMap | OuterMap:
    contents = machine.map_argument()
    if isinstance(contents, Handle):
        raise machine.unmodelled("unmodelled-map", f"the contents of {contents.spec.name}, a {contents.spec.type}, are used")
    return contents


def _lookup(machine: Machine) -> Value:
    contents = _entries(machine)
    return contents.lookup(machine.read(machine.register(Reg(2)), contents.spec.key_size))


def _update(machine: Machine) -> Value | None:
    contents = _entries(machine)
    if isinstance(contents, ReadMap):
        value = "u64" if contents.spec.type in mapmodel.OF_SOCKETS else "in=value"
        contents.changes[0] += 1
        return _recorded(machine, "bpf_map_update_elem", recorded(f"map in=key {value} u64"))
    if isinstance(contents, OuterMap):
        raise machine.unmodelled("unmodelled-map", f"an update of {contents.spec.name}")
    key = machine.read(machine.register(Reg(2)), contents.spec.key_size)
    new = machine.read(machine.register(Reg(3)), contents.spec.value_size)
    return contents.update(key, new, machine.scalar(Reg(4)))


def _delete(machine: Machine) -> Value | None:
    contents = _entries(machine)
    if isinstance(contents, ReadMap):
        contents.changes[1] += 1
        return _recorded(machine, "bpf_map_delete_elem", recorded("map in=key"))
    if isinstance(contents, OuterMap):
        raise machine.unmodelled("unmodelled-map", f"a delete from {contents.spec.name}")
    return contents.delete(machine.read(machine.register(Reg(2)), contents.spec.key_size))


def _storage_get(machine: Machine) -> Value:
    contents = machine.map_argument()
    owner, flags = machine.scalar(Reg(2)), machine.scalar(Reg(4))
    if not isinstance(contents, FoundMap):
        raise machine.unmodelled("unmodelled-map", f"storage in {contents.spec.name}")
    if not owner:
        return 0
    key = owner.to_bytes(8, "little")
    found = contents.lookup(key)
    if found or not flags & BPF_LOCAL_STORAGE_GET_F_CREATE:
        return found
    initial = machine.register(Reg(3))
    size = contents.spec.value_size
    value = machine.read(initial, size) if isinstance(initial, Pointer) else bytes(size)
    return contents.lookup(key) if contents.update(key, value, 0) == 0 else 0


def _storage_delete(machine: Machine) -> Value:
    contents, owner = machine.map_argument(), machine.scalar(Reg(2))
    if not isinstance(contents, FoundMap):
        raise machine.unmodelled("unmodelled-map", f"storage in {contents.spec.name}")
    return contents.delete(owner.to_bytes(8, "little")) if owner else -EINVAL


def _local_storage(machine: Machine) -> Value:
    return _entries(machine).lookup(bytes(4))


# --- packets ----------------------------------------------------------------------------------------------------------
def _delta(machine: Machine) -> int:
    return signed(32, machine.scalar(Reg(2)) & 0xFFFFFFFF)


def _adjust_head(machine: Machine) -> Value:
    packet, delta = machine.packet, _delta(machine)
    room = packet.region.origin
    if packet.start + delta < -room or packet.end - packet.start - delta < ETH_HLEN:
        return -EINVAL
    packet.move(start=delta, meta=delta)
    return 0


def _adjust_tail(machine: Machine) -> Value:
    packet, delta = machine.packet, _delta(machine)
    if machine.kind.frags:
        raise machine.unmodelled("unmodelled-packet", "a packet that may have fragments")
    last = len(packet.region.data) - packet.region.origin
    if packet.end + delta > last or packet.end - packet.start + delta < ETH_HLEN:
        return -EINVAL
    if delta > 0:
        packet.put(packet.end - packet.start, bytes(delta))
    packet.move(end=delta)
    return 0


def _adjust_meta(machine: Machine) -> Value:
    packet, delta = machine.packet, _delta(machine)
    number = machine.calls["bpf_xdp_adjust_meta"]
    _recorded(machine, "bpf_xdp_adjust_meta", recorded("ctx u32"))
    length = packet.start - packet.meta - delta
    refused = machine.ask("bpf_xdp_adjust_meta.refused", number, usual=int(length > 252))
    if length < 0 or length % 4 or refused:
        return machine.ask("bpf_xdp_adjust_meta.error", number, usual=(1 << 31) - EINVAL) - (1 << 31)
    packet.move(meta=delta)
    return 0


def _copy_arguments(machine: Machine) -> tuple[int, Value, int]:
    offset, size = (machine.scalar(Reg(number)) & 0xFFFFFFFF for number in (2, 4))
    return offset, machine.register(Reg(3)), size


def _skb_load_bytes(machine: Machine) -> Value:
    offset, to, size = _copy_arguments(machine)
    if offset >> 31 or offset + size > machine.packet.whole_length:
        machine.write(to, bytes(size))
        return -EFAULT
    machine.write(to, machine.packet.bytes_at(offset, size))
    return 0


def _skb_store_bytes(machine: Machine) -> Value:
    offset, source, size = _copy_arguments(machine)
    flags, packet = machine.scalar(Reg(5)), machine.packet
    raw = machine.read(source, size)
    _recorded(machine, "bpf_skb_store_bytes", SKB_STORES)
    if flags & ~(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH):
        return -EINVAL
    if _short_of_memory(machine) or offset >> 31 or offset + size > packet.whole_length:
        return -EFAULT
    packet.put(offset, raw)
    _make_linear(packet, offset + size)
    hashed = machine.kind.fields.get("hash")
    if flags & BPF_F_INVALIDATE_HASH and hashed is not None:
        machine.context.store(hashed.offset, hashed.size, 0)
    return 0


def _skb_pull_data(machine: Machine) -> Value:
    packet = machine.packet
    wanted = machine.scalar(Reg(2)) & 0xFFFFFFFF or packet.end - packet.start
    if _short_of_memory(machine) or wanted > packet.whole_length:
        return -ENOMEM
    _make_linear(packet, wanted)
    return 0


def _short_of_memory(machine: Machine) -> bool:
    number = machine.attempts
    machine.attempts += 1
    return bool(machine.ask("skb.out_of_memory", number))


def _make_linear(packet: Packet, length: int) -> None:
    more = max(length - (packet.end - packet.start), 0)
    packet.beyond -= more
    packet.move(end=more)


def _xdp_copies(machine: Machine, stores: bool) -> Value:
    offset, memory, size = _copy_arguments(machine)
    if offset > MOST_XDP or size > MOST_XDP:
        return -EFAULT
    if offset + size > _buff_len(machine):
        return -EINVAL
    if stores:
        machine.packet.put(offset, machine.read(memory, size))
    else:
        machine.write(memory, machine.packet.bytes_at(offset, size))
    return 0


def _buff_len(machine: Machine) -> int:
    packet = machine.packet
    return packet.whole_length if machine.kind.frags else packet.end - packet.start


# --- callbacks and iterators ------------------------------------------------------------------------------------------
def _loop(machine: Machine) -> Value:
    count, function, context = machine.scalar(Reg(1)) & 0xFFFFFFFF, _function(machine), machine.register(Reg(3))
    if machine.scalar(Reg(4)):
        return -EINVAL
    if count > BPF_MAX_LOOPS:
        return -E2BIG
    for index in range(count):
        if machine.call_back(function, index, context):
            return index + 1
    return count


def _for_each_element(machine: Machine) -> Value:
    contents, handle = machine.map_argument(), machine.register(Reg(1))
    function, context = _function(machine), machine.register(Reg(3))
    if not isinstance(contents, ArrayMap) or machine.scalar(Reg(4)):
        raise machine.unmodelled("unmodelled-helper", f"bpf_for_each_map_elem over {contents.spec.name}, or with flags")
    for index in range(contents.spec.max_entries):
        raw = index.to_bytes(4, "little")
        key = Pointer(Region("stack", "key", bytearray(raw)), 0)
        if machine.call_back(function, handle, key, contents.lookup(raw), context):
            return index + 1
    return contents.spec.max_entries


def _function(machine: Machine) -> str:
    value = machine.register(Reg(2))
    if not isinstance(value, Pointer) or value.region.kind != "function":
        raise machine.unmodelled("unmodelled-helper", "what is called back is no function")
    return value.region.name


def _iter_num_new(machine: Machine) -> Value:
    it = machine.register(Reg(1))
    start, end = (signed(32, machine.scalar(Reg(number)) & 0xFFFFFFFF) for number in (2, 3))
    refused = -EINVAL if start > end else -E2BIG if end - start > BPF_MAX_LOOPS else 0
    _keep(machine, it, 0 if refused else start - 1, 0 if refused else end)
    return refused


def _iter_num_next(machine: Machine) -> Value:
    it = machine.register(Reg(1))
    here, end = (signed(32, int.from_bytes(machine.read(_behind(it, at), 4), "little")) for at in (0, 4))
    if here + 1 >= end:
        _keep(machine, it, 0, 0)
        return 0
    _keep(machine, it, here + 1, end)
    return it


def _iter_num_destroy(machine: Machine) -> None:
    _keep(machine, machine.register(Reg(1)), 0, 0)


def _behind(value: Value, distance: int) -> Value:
    return Pointer(value.region, (value.offset + distance) & _MASK) if isinstance(value, Pointer) else value


def _keep(machine: Machine, it: Value, cur: int, end: int) -> None:
    machine.store(it, 0, 4, cur & 0xFFFFFFFF)
    machine.store(it, 4, 4, end & 0xFFFFFFFF)


_COOKIE = "cookie of the session"  # no map has such a name


def _session_is_return(machine: Machine) -> Value:
    """A bool fills the low byte of its register."""
    return machine.ask("bpf_session_is_return.above") << 8 & _MASK | machine.ask("bpf_session_is_return") & 1


def _session_cookie(machine: Machine) -> Value:
    if _COOKIE not in machine.handles:
        contents = bytearray(machine.ask("cookie", at) & 0xFF for at in range(8))
        machine.handles[_COOKIE] = Region("cookie", "", contents)
    return Pointer(machine.handles[_COOKIE], 0)


# --- the tables -------------------------------------------------------------------------------------------------------
def _drawn(name: str, width: int) -> Effect:
    return lambda machine: machine.drawn(name) & ((1 << width) - 1)


EXACT: dict[int, Effect] = {
    HELPER_IDS[name]: effect
    for name, effect in {
        "bpf_map_lookup_elem": _lookup,
        "bpf_map_update_elem": _update,
        "bpf_map_delete_elem": _delete,
        **{f"bpf_{kind}_storage_get": _storage_get for kind in ("task", "sk", "inode", "cgrp")},
        **{f"bpf_{kind}_storage_delete": _storage_delete for kind in ("task", "sk", "inode", "cgrp")},
        "bpf_get_local_storage": _local_storage,
        "bpf_ktime_get_ns": _drawn("bpf_ktime_get_ns", 64),
        "bpf_ktime_get_boot_ns": _drawn("bpf_ktime_get_boot_ns", 64),
        "bpf_ktime_get_coarse_ns": _drawn("bpf_ktime_get_coarse_ns", 64),
        "bpf_ktime_get_tai_ns": _drawn("bpf_ktime_get_tai_ns", 64),
        "bpf_jiffies64": _drawn("bpf_jiffies64", 64),
        "bpf_get_prandom_u32": _drawn("bpf_get_prandom_u32", 32),
        "bpf_spin_lock": lambda machine: 0,  # there is nobody else
        "bpf_spin_unlock": lambda machine: 0,
        "bpf_trace_printk": _printk,
        "bpf_ringbuf_reserve": _reserve,
        "bpf_ringbuf_submit": _submit,
        "bpf_ringbuf_discard": _discard,
        "bpf_xdp_adjust_head": _adjust_head,
        "bpf_xdp_adjust_tail": _adjust_tail,
        "bpf_xdp_adjust_meta": _adjust_meta,
        "bpf_xdp_load_bytes": lambda machine: _xdp_copies(machine, stores=False),
        "bpf_xdp_store_bytes": lambda machine: _xdp_copies(machine, stores=True),
        "bpf_xdp_get_buff_len": _buff_len,
        "bpf_skb_load_bytes": _skb_load_bytes,
        "bpf_skb_store_bytes": _skb_store_bytes,
        "bpf_skb_pull_data": _skb_pull_data,
        "bpf_loop": _loop,
        "bpf_for_each_map_elem": _for_each_element,
    }.items()
}
"""Helpers that are more than a record of the call, by id."""

EXACT_KFUNCS: dict[str, Effect] = {
    "bpf_rdonly_cast": lambda machine: machine.register(Reg(1)),
    "bpf_cast_to_kern_ctx": lambda machine: machine.ask("bpf_cast_to_kern_ctx"),
    "bpf_session_is_return": _session_is_return,
    "bpf_session_cookie": _session_cookie,
    "bpf_iter_num_new": _iter_num_new,
    "bpf_iter_num_next": _iter_num_next,
    "bpf_iter_num_destroy": _iter_num_destroy,
}
