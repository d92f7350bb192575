"""Helper models, as data: one entry says a helper's arity, what it does to the state, and what it returns.

To add a helper, add one `HelperModel` to the table at the end. A helper without an entry makes the verdict Unknown
(unmodelled-helper), never a guess. Return values are 64-bit terms or pointers; helpers whose result is not a function of the
program's state number their calls, so that two programs that make the same calls see the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.memory import Bytes, HashMap, Pointer, Region, Target, Value
from bpfsmith.semantics.state import Access, State, Unmodelled
from bpfsmith.semantics.terms import Term, Terms

if TYPE_CHECKING:
    from bpfsmith.semantics.symbolic import Executor

E2BIG, ENOENT, EEXIST = 7, 2, 17
BPF_ANY, BPF_NOEXIST, BPF_EXIST, BPF_F_LOCK = 0, 1, 2, 4


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


def _steady(width: int) -> Effect:
    """The same unknown number on every call of one run."""

    def effect(call: HelperCall) -> Value:
        return call.t.zext(call.t.app(call.name, width), width, 64)

    return effect


def _lookup(call: HelperCall) -> Value:
    t, state = call.t, call.state
    spec = call.executor.map_spec(call.args[0])
    key = call.key(spec, call.args[1])
    if spec.type in mapmodel.HASHES:
        contents = state.maps[spec.name]
        found = contents.present(t, key)
        region = Region("value", spec.name, key, contents.generation)
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
    mode = flags.number & ~BPF_F_LOCK
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
    state.maps[spec.name] = contents.insert(t, done, key, value, call.executor.new_generation())
    error = -EEXIST if mode == BPF_NOEXIST else -ENOENT
    result = t.ite(64, full, t.const(64, -E2BIG), t.const(64, 0))
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
    state.maps[spec.name] = contents.delete(t, found, key, call.executor.new_generation())
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


HELPERS: dict[int, HelperModel] = {
    model.id: model
    for model in (
        HelperModel(1, "bpf_map_lookup_elem", 2, _lookup),
        HelperModel(2, "bpf_map_update_elem", 4, _update),
        HelperModel(3, "bpf_map_delete_elem", 2, _delete),
        HelperModel(5, "bpf_ktime_get_ns", 0, _fresh(64)),
        HelperModel(7, "bpf_get_prandom_u32", 0, _fresh(32)),
        HelperModel(8, "bpf_get_smp_processor_id", 0, _steady(32)),
        HelperModel(93, "bpf_spin_lock", 1, _lock),
        HelperModel(94, "bpf_spin_unlock", 1, _unlock),
        HelperModel(125, "bpf_ktime_get_boot_ns", 0, _fresh(64)),
        HelperModel(160, "bpf_ktime_get_coarse_ns", 0, _fresh(64)),
    )
}
