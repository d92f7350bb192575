"""What helpers do to maps: look up, insert, delete, and the storage that hangs on tasks and sockets."""

from __future__ import annotations

from errno import E2BIG, EEXIST, EINVAL, ENOENT
from typing import NamedTuple

from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.call import HelperCall, maybe
from bpfsmith.semantics.memory import Bytes, HashMap, Pointer, Region, Target, Value
from bpfsmith.semantics.recorded import recorded
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Term, Terms

BPF_ANY, BPF_NOEXIST, BPF_EXIST = 0, 1, 2
BPF_F_NO_PREALLOC = 1
BPF_LOCAL_STORAGE_GET_F_CREATE = 1


class _Place(NamedTuple):
    """The map that a call works on, and the key within it. For a map inside a map `spec` stands for all of them together, and
    the key begins with the outer one's."""

    spec: MapSpec
    key: Term
    is_inner: bool


def _place(call: HelperCall) -> _Place:
    outer, outer_key = call.executor.map_of(call.args[0])
    if outer_key is None:
        return _Place(outer, call.key(outer, call.args[1]), False)
    assert outer.inner is not None
    key = call.key(outer.inner, call.args[1])
    return _Place(mapmodel.inner(outer), call.t.concat(outer_key, outer_key.width, key, key.width), True)


def lookup(call: HelperCall) -> Value:
    t, state = call.t, call.state
    spec, key, is_inner = _place(call)
    if spec.type in mapmodel.HASHES or (is_inner and spec.type in mapmodel.ARRAYS):
        contents = state.maps[spec.name]
        found = contents.present(t, key)
        if spec.type in mapmodel.ARRAYS:
            found = t.ult(32, t.extract(key, key.width, 31, 0), t.const(32, spec.max_entries))
        call.touch("load", spec, t.true)
        return maybe(t, found, Region("value", spec.name, key, contents.generation(t, key)), t.const(64, 0))
    if spec.type in mapmodel.ARRAYS:
        found = t.ult(32, key, t.const(32, spec.max_entries))
        offset = t.mul(64, t.zext(key, 32, 64), t.const(64, mapmodel.stride(spec)))
        return maybe(t, found, Region("data", spec.name), offset)
    if spec.type in mapmodel.OF_MAPS and not is_inner and spec.inner is not None:
        found = t.app(f"map:{spec.name}.present", 0, key)
        if spec.type == "BPF_MAP_TYPE_ARRAY_OF_MAPS":
            found = t.all_of(found, t.ult(32, key, t.const(32, spec.max_entries)))
        return maybe(t, found, Region("map", spec.name, key), t.const(64, 0))
    version = _version(call, spec)
    if spec.type in mapmodel.READ_ONLY:
        found = t.app(f"map:{spec.name}.present", 0, key, *((version,) if version else ()))
        return maybe(t, found, Region("opaque", spec.name, key, version), t.const(64, 0))
    if spec.type in mapmodel.OF_SOCKETS:
        return t.app(f"map:{spec.name}.socket", 64, key, *((version,) if version else ()))
    raise Unmodelled("unmodelled-map", f"lookup in {spec.name}, a {spec.type}")


def _version(call: HelperCall, spec: MapSpec) -> Term | None:
    """How often the program has changed a map that is not followed entry by entry (None: never)."""
    t, zero = call.t, call.t.const(16, 0)
    names = ("bpf_map_update_elem", "bpf_map_delete_elem")
    changes = [call.state.calls.get(f"{name}:{spec.name}", zero) for name in names]
    return None if all(count is zero for count in changes) else t.concat(changes[0], 16, changes[1], 16)


def update(call: HelperCall) -> Value | None:
    """bpf_map_update_elem: inserts or overwrites. Whether a hash has room for a new key is an input of its own, per call."""
    outer, _ = call.executor.map_of(call.args[0])
    if outer.type in mapmodel.READ_ONLY:
        return recorded("map in=key in=value u64")(call)
    if outer.type in mapmodel.OF_SOCKETS:
        return recorded("map in=key u64 u64")(call)
    spec, key, is_inner = _place(call)
    mode = call.number(3)
    beyond = call.t.all_of(call.state.condition, call.t.ult(64, call.t.const(64, BPF_EXIST), mode))
    if mode.is_const and mode.number > BPF_EXIST:
        raise Unmodelled("unmodelled-helper", f"{call.name} with flags {mode.number:#x}")
    call.executor.oblige(beyond, "unmodelled-helper", f"{call.name} with flags above {BPF_EXIST}")
    value = _value(call, spec, call.args[2])
    if spec.type in mapmodel.HASHES:
        call.executor.wrote(spec.name)
        return _update_hash(call, spec, call.state.maps[spec.name], key, value, mode)
    if spec.type in mapmodel.ARRAYS and not is_inner:
        return _update_array(call, spec, key, value, mode)
    raise Unmodelled("unmodelled-map", f"update of {spec.name}, a {spec.type}")


def _value(call: HelperCall, spec: MapSpec, pointer: Value) -> Bytes:
    """The value that an argument points to."""
    t = call.t
    value = Bytes(lambda offset: t.const(8, 0))
    for at in range(0, spec.value_size, 8):
        size = min(8, spec.value_size - at)
        part = call.executor.load(call.state, pointer, at, size)
        if not isinstance(part, Term):
            raise Unmodelled("leaked-pointer", f"{call.name} with a pointer inside the value")
        value = value.store(t, t.const(64, at), size, part)
    return value


def _update_hash(call: HelperCall, spec: MapSpec, contents: HashMap, key: Term, value: Bytes, mode: Term) -> Value:
    t, state = call.t, call.state
    exists = contents.present(t, key)
    only_new, only_old = (t.eq(64, mode, t.const(64, flag)) for flag in (BPF_NOEXIST, BPF_EXIST))
    wants_new = t.negate(t.any_of(exists, only_old))
    full = t.false if spec.name in call.executor.never_full else _full(call, spec, wants_new)
    refused = t.any_of(t.all_of(only_new, exists), t.all_of(only_old, t.negate(exists)))
    done = t.negate(t.any_of(full, refused))
    call.touch("insert" if only_new is t.true else "update", spec, t.true)  # a refused update has looked, too
    # Of per-CPU maps an entry is overwritten where it is (kernel/bpf/hashtab.c: pcpu_copy_value); others get a new one.
    in_place = spec.type in mapmodel.PER_CPU
    state.maps[spec.name] = contents.insert(done, key, value, call.executor.new_generation(), in_place)
    error = t.ite(64, only_new, t.const(64, -EEXIST), t.const(64, -ENOENT))
    no_room = t.const(64, -E2BIG)
    if spec.type in mapmodel.EVICTING or spec.flags & BPF_F_NO_PREALLOC:
        # Out of memory, or nothing that could be evicted: some error.
        attempt = state.calls.get(f"map:{spec.name}.full", t.const(16, 0))
        no_room = t.sext(t.concat(t.const(1, 1), 1, t.app(f"map:{spec.name}.error", 31, attempt), 31), 32, 64)
    result = t.ite(64, full, no_room, t.const(64, 0))
    return t.ite(64, refused, error, result)


def _full(call: HelperCall, spec: MapSpec, wants_new: Term) -> Term:
    """Is there no room for a new entry? Asked per attempt to insert: an unknown sequence, as entries are not counted."""
    t, state = call.t, call.state
    number = state.next_call(f"map:{spec.name}.full", wants_new)
    freed = state.calls.get(f"map:{spec.name}.freed", t.const(16, 0))
    return t.all_of(wants_new, t.app(f"map:{spec.name}.full", 0, number, freed))


def _update_array(call: HelperCall, spec: MapSpec, key: Term, value: Bytes, mode: Term) -> Value:
    t, state = call.t, call.state
    inside = t.ult(32, key, t.const(32, spec.max_entries))
    exists = t.all_of(inside, t.eq(64, mode, t.const(64, BPF_NOEXIST)))
    done = t.all_of(inside, t.negate(exists))
    refused = t.ite(64, exists, t.const(64, -EEXIST), t.const(64, -E2BIG))
    if done is t.false:
        return refused
    base = t.mul(64, t.zext(key, 32, 64), t.const(64, mapmodel.stride(spec)))
    region = Region("data", spec.name)
    memory = state.memory(region)
    for at, (size, part) in sorted(value.cells.items()):
        where = t.add(64, base, t.const(64, at))
        old = memory.load(t, where, size)
        assert isinstance(old, Term)
        assert isinstance(part, Term)
        memory = memory.store(t, where, size, t.ite(8 * size, done, part, old))
    state.regions[region] = memory
    call.touch("store", spec, done)
    return t.ite(64, done, t.const(64, 0), refused)


def delete(call: HelperCall) -> Value | None:
    t, state = call.t, call.state
    outer, _ = call.executor.map_of(call.args[0])
    if outer.type in mapmodel.READ_ONLY | mapmodel.OF_SOCKETS:
        return recorded("map in=key")(call)
    spec, key, _ = _place(call)
    if spec.type not in mapmodel.HASHES:
        raise Unmodelled("unmodelled-map", f"delete from {spec.name}, a {spec.type}")
    call.executor.wrote(spec.name)
    return _deleted(call, spec, key, state.maps[spec.name].present(t, key))


def _deleted(call: HelperCall, spec: MapSpec, key: Term, found: Term) -> Term:
    t, state = call.t, call.state
    state.next_call(f"map:{spec.name}.freed", found)
    call.touch("update", spec, t.true)  # a delete that finds nothing has looked, too
    state.maps[spec.name] = state.maps[spec.name].delete(found, key)
    return t.ite(64, found, t.const(64, 0), t.const(64, -ENOENT))


def storage_get(call: HelperCall) -> Value:
    """bpf_task_storage_get and its like: the value of an object, made on demand where the flags ask for it; NULL where there is
    no object, no value, or no memory for one (kernel/bpf/bpf_local_storage.c)."""
    t, state = call.t, call.state
    spec, _ = call.executor.map_of(call.args[0])
    owner, flags = call.number(1), call.constant(3)
    if spec.type not in mapmodel.LOCAL or flags & ~BPF_LOCAL_STORAGE_GET_F_CREATE:
        raise Unmodelled("unmodelled-helper", f"{call.name} on {spec.name}, a {spec.type}, with flags {flags:#x}")
    somebody = t.negate(t.eq(64, owner, t.const(64, 0)))
    if owner is t.app("bpf_get_current_task_btf", 64):  # there is always a current task
        call.executor.facts[somebody] = None
        somebody = t.true
    contents = state.maps[spec.name]
    found = t.all_of(somebody, contents.present(t, owner))
    if flags:
        wants_new = t.all_of(somebody, t.negate(found))
        full = t.false if spec.name in call.executor.never_full else _full(call, spec, wants_new)
        made = t.all_of(wants_new, t.negate(full))
        given = call.args[2]
        nothing = isinstance(given, Term) and given.is_const and given.number == 0
        value = Bytes(lambda offset: t.const(8, 0)) if nothing else _value(call, spec, given)
        state.maps[spec.name] = contents.insert(made, owner, value, call.executor.new_generation(), in_place=True)
        found = t.any_of(found, made)
    call.touch("update" if flags else "load", spec, t.true)
    generation = state.maps[spec.name].generation(t, owner)
    return maybe(t, found, Region("value", spec.name, owner, generation), t.const(64, 0))


def storage_delete(call: HelperCall) -> Value:
    """bpf_task_storage_delete and its like."""
    t = call.t
    spec, _ = call.executor.map_of(call.args[0])
    owner = call.number(1)
    if spec.type not in mapmodel.LOCAL:
        raise Unmodelled("unmodelled-helper", f"{call.name} on {spec.name}, a {spec.type}")
    nobody = t.eq(64, owner, t.const(64, 0))
    found = t.all_of(t.negate(nobody), call.state.maps[spec.name].present(t, owner))
    return t.ite(64, nobody, t.const(64, -EINVAL), _deleted(call, spec, owner, found))


def local_storage(call: HelperCall) -> Value:
    """bpf_get_local_storage: the cgroup's own value, which is always there."""
    spec, _ = call.executor.map_of(call.args[0])
    return Pointer((Target(call.t.true, Region("data", spec.name), call.t.const(64, 0)),))


def lock(call: HelperCall) -> None:
    """bpf_spin_lock: the verifier has seen that at most one is held and that every path gives it back."""
    t: Terms = call.t
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


def unlock(call: HelperCall) -> None:
    call.state.lock = call.t.false
