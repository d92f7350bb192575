"""Helper models, as data: one entry says a helper's arity, what it does to the state, and what it returns.

To add a helper, add one `HelperModel` to the table at the end. A helper without an entry makes the verdict Unknown
(unmodelled-helper), never a guess. Return values are 64-bit terms or pointers; helpers whose result is not a function of the
program's state number their calls, so that two programs that make the same calls see the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfsmith.isa import progtype, tables
from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.memory import Bytes, HashMap, Pointer, Region, Target, Value
from bpfsmith.semantics.recorded import TAIL_CALL, packet_view, recorded, steady
from bpfsmith.semantics.state import Access, State, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

if TYPE_CHECKING:
    from bpfsmith.semantics.symbolic import Executor

E2BIG, ENOENT, EEXIST, EINVAL = 7, 2, 17, 22
ETH_HLEN = 14
MOST_GROWTH = 256
"""Bytes by which a packet's end may grow here: each is written as zero by itself."""
BPF_ANY, BPF_NOEXIST, BPF_EXIST = 0, 1, 2
BPF_F_NO_PREALLOC = 1


@dataclass(frozen=True, slots=True)
class HelperCall:
    """One call: the arguments as they stand in r1.., and the run it belongs to."""

    executor: Executor
    state: State
    name: str
    args: tuple[Value, ...]

    @property
    def t(self) -> Terms:
        return self.executor.t

    def key(self, spec: MapSpec, pointer: Value) -> Term:
        """The key bytes that an argument points to."""
        key = self.executor.load(self.state, pointer, 0, spec.key_size)
        if not isinstance(key, Term):
            raise Unmodelled("leaked-pointer", f"{self.name} with a pointer as key")
        return key


Effect = Callable[[HelperCall], Value | None]
"""What r0 holds afterwards; None for a void helper."""


@dataclass(frozen=True, slots=True)
class HelperModel:
    """`arity` is how many of r1..r5 the helper reads."""

    id: int
    name: str
    arity: int
    effect: Effect


def _fresh(width: int) -> Effect:
    """The nth call of this helper gives the nth of an unknown sequence of `width`-bit numbers."""

    def effect(call: HelperCall) -> Value:
        number = call.state.next_call(call.name)
        return call.t.zext(call.t.app(call.name, width, number), width, 64)

    return effect


def _lookup(call: HelperCall) -> Value:
    t, state = call.t, call.state
    spec = call.executor.map_spec(call.args[0])
    key = call.key(spec, call.args[1])
    if spec.type in mapmodel.HASHES:
        contents = state.maps[spec.name]
        found = contents.present(t, key)
        region = Region("value", spec.name, key, contents.generation(t, key))
        _note(call, "load", spec, t.true)
        return _maybe(t, found, region, t.const(64, 0))
    if spec.type in mapmodel.ARRAYS:
        found = t.ult(32, key, t.const(32, spec.max_entries))
        offset = t.mul(64, t.zext(key, 32, 64), t.const(64, mapmodel.stride(spec)))
        return _maybe(t, found, Region("data", spec.name), offset)
    raise Unmodelled("unmodelled-map", f"lookup in {spec.name}, a {spec.type}")


def _maybe(t: Terms, found: Term, region: Region, offset: Term) -> Pointer:
    targets = (Target(found, region, offset), Target(t.negate(found), None, t.const(64, 0)))
    return Pointer(tuple(target for target in targets if target.guard is not t.false))


def _update(call: HelperCall) -> Value:
    """bpf_map_update_elem: inserts or overwrites. Whether a hash has room for a new key is an input of its own, per call."""
    t, state = call.t, call.state
    spec = call.executor.map_spec(call.args[0])
    key = call.key(spec, call.args[1])
    flags = call.args[3]
    if not (isinstance(flags, Term) and flags.is_const):
        raise Unmodelled("unmodelled-helper", f"{call.name} with flags that are not constant")
    mode = flags.number
    if mode > BPF_EXIST:
        raise Unmodelled("unmodelled-helper", f"{call.name} with flags {flags.number:#x}")
    value = Bytes(lambda offset: t.const(8, 0))
    for at in range(0, spec.value_size, 8):
        size = min(8, spec.value_size - at)
        part = call.executor.load(state, call.args[2], at, size)
        if not isinstance(part, Term):
            raise Unmodelled("leaked-pointer", f"{call.name} with a pointer inside the value")
        value = value.store(t, t.const(64, at), size, part)
    if spec.type in mapmodel.HASHES:
        return _update_hash(call, spec, state.maps[spec.name], key, value, mode)
    if spec.type in mapmodel.ARRAYS:
        return _update_array(call, spec, key, value, mode)
    raise Unmodelled("unmodelled-map", f"update of {spec.name}, a {spec.type}")


def _update_hash(call: HelperCall, spec: MapSpec, contents: HashMap, key: Term, value: Bytes, mode: int) -> Value:
    t, state = call.t, call.state
    exists = contents.present(t, key)
    # "Full" is asked per attempt to insert: an unknown sequence, as the number of entries is not tracked.
    wants_new = t.negate(exists) if mode != BPF_EXIST else t.false
    full = t.false
    if spec.name not in call.executor.never_full:
        number = state.next_call(f"map:{spec.name}.full", wants_new)
        freed = state.calls.get(f"map:{spec.name}.freed", t.const(16, 0))
        full = t.all_of(wants_new, t.app(f"map:{spec.name}.full", 0, number, freed))
    refused = {BPF_ANY: t.false, BPF_NOEXIST: exists, BPF_EXIST: t.negate(exists)}[mode]
    done = t.negate(t.any_of(full, refused))
    _note(call, "update", spec, t.true)  # a refused update has looked, too
    # Of per-CPU maps an entry is overwritten where it is (kernel/bpf/hashtab.c: pcpu_copy_value); others get a new one.
    generation = None if spec.type in mapmodel.PER_CPU else call.executor.new_generation()
    state.maps[spec.name] = contents.insert(done, key, value, generation)
    error = -EEXIST if mode == BPF_NOEXIST else -ENOENT
    no_room = t.const(64, -E2BIG)
    if spec.type in mapmodel.EVICTING or spec.flags & BPF_F_NO_PREALLOC:
        # Out of memory, or nothing that could be evicted: some error.
        attempt = state.calls.get(f"map:{spec.name}.full", t.const(16, 0))
        no_room = t.sext(t.concat(t.const(1, 1), 1, t.app(f"map:{spec.name}.error", 31, attempt), 31), 32, 64)
    result = t.ite(64, full, no_room, t.const(64, 0))
    return t.ite(64, refused, t.const(64, error), result)


def _update_array(call: HelperCall, spec: MapSpec, key: Term, value: Bytes, mode: int) -> Value:
    t, state = call.t, call.state
    inside = t.ult(32, key, t.const(32, spec.max_entries))
    if mode == BPF_NOEXIST:
        return t.ite(64, inside, t.const(64, -EEXIST), t.const(64, -E2BIG))
    base = t.mul(64, t.zext(key, 32, 64), t.const(64, mapmodel.stride(spec)))
    region = Region("data", spec.name)
    memory = state.memory(region)
    for at, (size, part) in sorted(value.cells.items()):
        where = t.add(64, base, t.const(64, at))
        old = memory.load(t, where, size)
        assert isinstance(old, Term)
        assert isinstance(part, Term)
        memory = memory.store(t, where, size, t.ite(8 * size, inside, part, old))
    state.regions[region] = memory
    _note(call, "store", spec, inside)
    return t.ite(64, inside, t.const(64, 0), t.const(64, -E2BIG))


def _delete(call: HelperCall) -> Value:
    t, state = call.t, call.state
    spec = call.executor.map_spec(call.args[0])
    key = call.key(spec, call.args[1])
    if spec.type not in mapmodel.HASHES:
        raise Unmodelled("unmodelled-map", f"delete from {spec.name}, a {spec.type}")
    contents = state.maps[spec.name]
    found = contents.present(t, key)
    state.next_call(f"map:{spec.name}.freed", found)
    _note(call, "update", spec, t.true)  # a delete that finds nothing has looked, too
    state.maps[spec.name] = contents.delete(found, key, call.executor.new_generation())
    return t.ite(64, found, t.const(64, 0), t.const(64, -ENOENT))


def _note(call: HelperCall, kind: str, spec: MapSpec, guard: Term) -> None:
    condition = call.t.all_of(call.state.condition, guard)
    call.executor.accesses.append(Access(kind, spec.name, None, spec.value_size, condition, call.state.lock))


def _lock(call: HelperCall) -> None:
    """bpf_spin_lock: the verifier has seen that at most one is held and that every path gives it back."""
    t = call.t
    place = call.args[0]
    target = place.targets[0] if isinstance(place, Pointer) and len(place.targets) == 1 else None
    if target is None or target.region is None or target.region.kind != "data" or not target.offset.is_const:
        raise Unmodelled("unmodelled-lock", f"{call.name} on a lock that is not one constant variable")
    here = (target.region.name, target.offset.number)
    if call.executor.lock_place not in (None, here):
        raise Unmodelled("unmodelled-lock", f"{call.name}: the program takes more than one lock")
    call.executor.lock_place = here
    call.state.lock = t.true
    call.state.locks_taken = t.add(16, call.state.locks_taken, t.const(16, 1))
    return


def _unlock(call: HelperCall) -> None:
    call.state.lock = call.t.false
    return


def _adjust_head(call: HelperCall) -> Value:
    """bpf_xdp_adjust_head: the packet's start moves. How much room there is in front is an input; at least an Ethernet header
    stays (net/core/filter.c)."""
    t, state = call.t, call.state
    delta = _delta(call)
    roomy = t.true
    for target in state.packet.targets:
        assert target.region is not None
        room = t.zext(t.app(f"packet_headroom:{target.region.name}", 16), 16, 64)
        short = t.slt(64, t.add(64, t.add(64, target.offset, delta), room), t.const(64, 0))
        roomy = t.all_of(roomy, t.negate(t.all_of(target.guard, short)))
    return _moved(call, roomy, delta, t.const(64, 0))


def _adjust_tail(call: HelperCall) -> Value:
    """bpf_xdp_adjust_tail: the packet's end moves, up to a limit that is an input. What it gains is zero
    (net/core/filter.c)."""
    t, state = call.t, call.state
    delta = _delta(call)
    if progtype.for_section(call.executor.program.section).frags:
        raise Unmodelled("unmodelled-packet", f"{call.name} of a packet that may have fragments")
    if not delta.is_const:
        raise Unmodelled("unmodelled-packet", f"{call.name} by a length that is not constant")
    grows = delta.number if not delta.number >> 63 else 0
    if grows > MOST_GROWTH:
        raise Unmodelled("unmodelled-packet", f"{call.name} by more than {MOST_GROWTH} bytes")
    end = state.packet_end
    roomy = t.true
    for target in end.targets if grows else ():
        assert target.region is not None
        limit = t.zext(t.app(f"packet_limit:{target.region.name}", 16), 16, 64)
        roomy = t.all_of(roomy, t.negate(t.all_of(target.guard, t.slt(64, limit, t.add(64, target.offset, delta)))))
    result = _moved(call, roomy, t.const(64, 0), delta)
    if grows:
        done = t.eq(64, result, t.const(64, 0))
        for target in end.targets:
            assert target.region is not None
            for at in range(grows):
                where = t.add(64, target.offset, t.const(64, at))
                memory = state.memory(target.region)
                old = memory.load(t, where, 1)
                assert isinstance(old, Term)
                zeroed = t.ite(8, t.all_of(done, target.guard), t.const(8, 0), old)
                state.regions[target.region] = memory.store(t, where, 1, zeroed)
    return result


def _delta(call: HelperCall) -> Term:
    value = call.args[1]
    if not isinstance(value, Term):
        raise Unmodelled("leaked-pointer", f"{call.name} by a pointer")
    return call.t.sext(call.t.extract(value, 64, 31, 0), 32, 64)


def _moved(call: HelperCall, roomy: Term, start: Term, end: Term) -> Term:
    """Moves both ends of the packet where there is room and an Ethernet header is left; 0 or -EINVAL."""
    t, state = call.t, call.state
    length = t.add(64, packet_view(t, state).length, t.sub(64, end, start))
    done = t.all_of(roomy, t.negate(t.slt(64, length, t.const(64, ETH_HLEN))))
    nothing = t.const(64, 0)
    state.packet = call.executor.shift(state.packet, t.ite(64, done, start, nothing))
    state.packet_end = call.executor.shift(state.packet_end, t.ite(64, done, end, nothing))
    return t.ite(64, done, nothing, t.const(64, -EINVAL))


def _probe_read(words: str) -> Effect:
    """The effect of reading memory of the kernel. Where the address is memory of the program itself, it is a copy."""
    effect = recorded(words)

    def copied(call: HelperCall) -> Value | None:
        target, size, source = call.args
        if not isinstance(source, Pointer):
            return effect(call)
        if not (isinstance(size, Term) and size.is_const and size.number <= 4096):
            raise Unmodelled("unmodelled-helper", f"{call.name} with a size that is not a small constant")
        for at in range(0, size.number, 8):
            piece = min(8, size.number - at)
            part = call.executor.load(call.state, source, at, piece)
            call.executor.store(call.state, target, at, piece, _widened(call.t, part))
        return call.t.const(64, 0)

    return copied


def _widened(t: Terms, value: Value) -> Value:
    return t.zext(value, value.width, 64) if isinstance(value, Term) else value


QUEUES = frozenset({"BPF_MAP_TYPE_QUEUE", "BPF_MAP_TYPE_STACK"})


def _queued(words: str) -> Effect:
    """The effect of a call on a queue or a stack; a Bloom filter reads what these would write."""
    effect = recorded(words)

    def checked(call: HelperCall) -> Value | None:
        spec = call.executor.map_spec(call.args[0])
        if spec.type not in QUEUES:
            raise Unmodelled("unmodelled-map", f"{call.name} on {spec.name}, a {spec.type}")
        return effect(call)

    return checked


def _printk(call: HelperCall) -> Value:
    """bpf_trace_printk(fmt, size, ..): as many numbers as the format asks for; the registers behind them do not matter."""
    t, state, executor = call.t, call.state, call.executor
    size = call.args[1]
    if not (isinstance(size, Term) and size.is_const and size.number <= 512):
        raise Unmodelled("unmodelled-helper", f"{call.name} with a size that is not constant")
    text = [executor.load(state, call.args[0], at, 1) for at in range(size.number)]
    if not all(isinstance(byte, Term) and byte.is_const for byte in text):
        raise Unmodelled("unmodelled-helper", f"{call.name} with a format that is not constant")
    format = bytes(byte.number for byte in text if isinstance(byte, Term)).split(b"\0")[0].replace(b"%%", b"")
    numbers = min(format.count(b"%"), 3)
    values = tuple(executor.argument(state, 3 + i) for i in range(numbers))
    signature = " ".join(["in:2", "u32", *["u64"] * numbers])
    return recorded(signature)(HelperCall(executor, state, call.name, (*call.args, *values))) or t.const(64, 0)


def _reserve(call: HelperCall) -> Value:
    """bpf_ringbuf_reserve: the nth reservation is a piece of memory of its own, or NULL."""
    t, executor = call.t, call.executor
    spec, size = executor.map_spec(call.args[0]), call.args[1]
    number = call.state.calls.get(f"{call.name}:{spec.name}", t.const(16, 0))
    if not (isinstance(size, Term) and size.is_const and number.is_const):
        raise Unmodelled("unmodelled-helper", f"{call.name} of a varying size, or after a varying number of calls")
    recorded("map u64 u64")(call)
    region = Region("record", f"{spec.name}#{number.number}")
    known = executor.reserved.setdefault(region, size.number)
    if known != size.number:
        raise Unmodelled("unmodelled-helper", f"{call.name} of different sizes on different paths")
    return _maybe(t, t.app(f"{call.name}:{spec.name}.given", 0, number), region, t.const(64, 0))


def _submit(call: HelperCall) -> None:
    """bpf_ringbuf_submit: what the reservation holds becomes visible."""
    region = _reservation(call)
    _give_back(call, region, f"in={call.executor.reserved[region]} u64", call.args)


def _discard(call: HelperCall) -> None:
    """bpf_ringbuf_discard: what the reservation holds does not matter."""
    _give_back(call, _reservation(call), "u64", call.args[1:])


def _give_back(call: HelperCall, region: Region, words: str, args: tuple[Value, ...]) -> None:
    """Each reservation has a record of its own."""
    recorded(words, 0)(HelperCall(call.executor, call.state, f"{call.name}:{region.name}", args))


def _reservation(call: HelperCall) -> Region:
    targets = [target for target in call.args[0].targets if target.region] if isinstance(call.args[0], Pointer) else []
    regions = [target.region for target in targets if target.region and target.offset is call.t.const(64, 0)]
    if len(targets) != 1 or len(regions) != 1 or regions[0] not in call.executor.reserved:
        raise Unmodelled("unmodelled-helper", f"{call.name} of something that is not one reservation")
    return regions[0]


def _model(name: str, effect: Effect, arity: int) -> HelperModel:
    return HelperModel(tables.HELPER_IDS[name], name, arity, effect)


def _recorded(name: str, words: str, result: int = 64, packet: str = "") -> HelperModel:
    return _model(name, recorded(words, result, packet), len(words.split()))


def _pure(name: str, words: str, result: int = 64) -> HelperModel:
    return _model(name, steady(words, result), len(words.split()))


HELPERS: dict[int, HelperModel] = {
    model.id: model
    for model in (
        # maps
        _model("bpf_map_lookup_elem", _lookup, 2),
        _model("bpf_map_update_elem", _update, 4),
        _model("bpf_map_delete_elem", _delete, 2),
        # draws: the nth call gives the nth of an unknown sequence
        _model("bpf_ktime_get_ns", _fresh(64), 0),
        _model("bpf_ktime_get_boot_ns", _fresh(64), 0),
        _model("bpf_ktime_get_coarse_ns", _fresh(64), 0),
        _model("bpf_ktime_get_tai_ns", _fresh(64), 0),
        _model("bpf_jiffies64", _fresh(64), 0),
        _model("bpf_get_prandom_u32", _fresh(32), 0),
        # who and where: the same for the whole run
        _pure("bpf_get_smp_processor_id", "", 32),
        _pure("bpf_get_numa_node_id", "", 32),
        _pure("bpf_get_current_pid_tgid", ""),
        _pure("bpf_get_current_uid_gid", ""),
        _pure("bpf_get_current_cgroup_id", ""),
        _pure("bpf_get_current_task", ""),
        _pure("bpf_get_current_task_btf", ""),
        _pure("bpf_get_current_ancestor_cgroup_id", "u32"),
        _pure("bpf_get_current_comm", "out:2 u32"),
        _pure("bpf_get_func_ip", "ctx"),
        _pure("bpf_get_attach_cookie", "ctx"),
        _pure("bpf_get_socket_cookie", "ctx"),
        _pure("bpf_get_socket_uid", "ctx", 32),
        _pure("bpf_get_netns_cookie", "ctx"),
        _pure("bpf_get_cgroup_classid", "ctx", 32),
        _pure("bpf_skb_cgroup_id", "ctx"),
        _pure("bpf_skb_ancestor_cgroup_id", "ctx u32"),
        _recorded("bpf_get_route_realm", "ctx"),
        _recorded("bpf_get_hash_recalc", "ctx!", packet="reads"),
        _pure("bpf_csum_diff", "in:2 u32 in:4 u32 u32"),
        # memory of the kernel and of processes
        _model("bpf_probe_read", _probe_read("out:2 u32 u64"), 3),
        _model("bpf_probe_read_kernel", _probe_read("out:2 u32 u64"), 3),
        _recorded("bpf_probe_read_user", "out:2 u32 u64"),
        _recorded("bpf_probe_read_str", "text:2 u32 u64"),
        _recorded("bpf_probe_read_kernel_str", "text:2 u32 u64"),
        _recorded("bpf_probe_read_user_str", "text:2 u32 u64"),
        _recorded("bpf_probe_write_user", "u64 in:3 u32"),
        _recorded("bpf_copy_from_user", "out:2 u32 u64"),
        _recorded("bpf_get_stackid", "ctx map u64"),
        _recorded("bpf_get_stack", "ctx out:3 u32 u64"),
        _recorded("bpf_perf_event_read_value", "map u64 out:4 u32"),
        _recorded("bpf_perf_prog_read_value", "ctx out:3 u32"),
        _recorded("bpf_send_signal", "u32"),
        _recorded("bpf_override_return", "ctx! u64"),
        _recorded("bpf_get_func_arg", "ctx u32 got=8"),
        _recorded("bpf_get_func_ret", "ctx got=8"),
        _recorded("bpf_get_func_arg_cnt", "ctx"),
        # output
        _model("bpf_trace_printk", _printk, 2),
        _recorded("bpf_trace_vprintk", "in:2 u32 in:4 u32"),
        _recorded("bpf_perf_event_output", "ctx map u64 in:5 u64", packet="reads"),
        _recorded("bpf_ringbuf_output", "map in:3 u64 u64"),
        _recorded("bpf_ringbuf_query", "map u64"),
        _model("bpf_ringbuf_reserve", _reserve, 3),
        _model("bpf_ringbuf_submit", _submit, 2),
        _model("bpf_ringbuf_discard", _discard, 2),
        # queues
        _model("bpf_map_push_elem", _queued("map in=value u64"), 3),
        _model("bpf_map_pop_elem", _queued("map may=value"), 2),
        _model("bpf_map_peek_elem", _queued("map may=value"), 2),
        # packets
        _model("bpf_xdp_adjust_head", _adjust_head, 2),
        _model("bpf_xdp_adjust_tail", _adjust_tail, 2),
        _recorded("bpf_skb_load_bytes", "ctx u32 out:4 u32", packet="reads"),
        _recorded("bpf_skb_load_bytes_relative", "ctx u32 out:4 u32 u32", packet="reads"),
        _recorded("bpf_xdp_load_bytes", "ctx u32 got:4 u32", packet="reads"),
        _recorded("bpf_xdp_get_buff_len", "ctx", packet="reads"),
        _recorded("bpf_skb_store_bytes", "ctx u32 in:4 u32 u64", packet="renews"),
        _recorded("bpf_skb_pull_data", "ctx u32", packet="renews"),
        _recorded("bpf_l3_csum_replace", "ctx u32 u64 u64 u64", packet="renews"),
        _recorded("bpf_l4_csum_replace", "ctx u32 u64 u64 u64", packet="renews"),
        _recorded("bpf_csum_update", "ctx! u32"),
        _recorded("bpf_csum_level", "ctx! u64"),
        _recorded("bpf_set_hash_invalid", "ctx!", 0),
        _recorded("bpf_set_hash", "ctx! u32"),
        _recorded("bpf_skb_vlan_push", "ctx u32 u32", packet="renews"),
        _recorded("bpf_skb_vlan_pop", "ctx", packet="renews"),
        _recorded("bpf_skb_change_proto", "ctx u32 u64", packet="renews"),
        _recorded("bpf_skb_change_type", "ctx! u32"),
        _recorded("bpf_skb_change_tail", "ctx u32 u64", packet="renews"),
        _recorded("bpf_skb_change_head", "ctx u32 u64", packet="renews"),
        _recorded("bpf_skb_adjust_room", "ctx u32 u32 u64", packet="renews"),
        _recorded("bpf_skb_get_tunnel_key", "ctx out:3 u32 u64"),
        _recorded("bpf_skb_set_tunnel_key", "ctx! in:3 u32 u64"),
        _recorded("bpf_skb_get_tunnel_opt", "ctx out:3 u32"),
        _recorded("bpf_skb_set_tunnel_opt", "ctx! in:3 u32"),
        _recorded("bpf_skb_under_cgroup", "ctx map u32"),
        _recorded("bpf_current_task_under_cgroup", "map u32"),
        _recorded("bpf_check_mtu", "ctx u32 inout=4 u32 u64", packet="reads"),
        _recorded("bpf_fib_lookup", "ctx inout:3 u32 u32"),
        # where a packet goes
        _recorded(TAIL_CALL, "ctx map u32", 32, packet="reads"),  # of a call that comes back: see Executor
        _recorded("bpf_redirect", "u32 u64"),
        _recorded("bpf_redirect_peer", "u32 u64"),
        _recorded("bpf_redirect_neigh", "u32 in:3 u32 u64"),
        _recorded("bpf_redirect_map", "map u64 u64"),
        _recorded("bpf_clone_redirect", "ctx u32 u64", packet="renews"),
        _recorded("bpf_sk_redirect_map", "ctx map u32 u64"),
        _recorded("bpf_sk_redirect_hash", "ctx map in=key u64"),
        _recorded("bpf_msg_redirect_map", "ctx map u32 u64"),
        _recorded("bpf_msg_redirect_hash", "ctx map in=key u64"),
        _recorded("bpf_msg_apply_bytes", "ctx! u32"),
        _recorded("bpf_msg_cork_bytes", "ctx! u32"),
        _recorded("bpf_msg_pull_data", "ctx u32 u32 u64", packet="renews"),
        _recorded("bpf_sock_map_update", "ctx map in=key u64"),
        _recorded("bpf_sock_hash_update", "ctx map in=key u64"),
        _recorded("bpf_setsockopt", "ctx! u32 u32 in:5 u32"),
        _recorded("bpf_getsockopt", "ctx u32 u32 out:5 u32"),
        _recorded("bpf_sock_ops_cb_flags_set", "ctx! u32"),
        _recorded("bpf_bind", "ctx! in:3 u32"),
        # locks
        _model("bpf_spin_lock", _lock, 1),
        _model("bpf_spin_unlock", _unlock, 1),
    )
}
