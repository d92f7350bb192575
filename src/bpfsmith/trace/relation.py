"""The state of a pair in a run: a thread's or an object's entry, where it is kept, and runs that start and end with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.kernel.vmlinux import running_btf
from bpfsmith.objfile.btf import STATIC, Var
from bpfsmith.objfile.object import Object
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import Behaviour, of_program
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.kfuncs import session_is_return
from bpfsmith.semantics.memory import Bytes, HashMap, joined
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Term, Terms, postorder
from bpfsmith.trace.pairs import KeyClass
from bpfsmith.trace.rewriting import Mark, Storage
from bpfsmith.trace.specialise import Known, with_cookie

OWN_STATE = "state of the thread"
CONFIGURED = "what the loader puts into .rodata is any constant"
RODATA, TEXTS = ".rodata", ".rodata (texts)"
_SMALL = 16


@dataclass(frozen=True, slots=True)
class Side:
    """A program and the object it comes from; `known` is what that is loaded and attached with, if it is for one case alone."""

    program: Program
    obj: Object
    known: Known = field(default_factory=Known)

    def relocated(self) -> Program:
        """The program as this machine's kernel would see it, for any configuration: the loader may change .rodata before it is
        frozen. Unmodelled where there are no types to relocate by."""
        program = with_cookie(self.program, self.known)
        if self.obj.core_relos(program):
            types = running_btf()
            if types is None:
                raise Unmodelled("no-kernel-types", "the program is relocated by a kernel's types (CO-RE): there are none here")
            program = self.obj.relocated(program, types)
        return _configurable(program, self._texts())

    def constants(self) -> frozenset[int]:
        """The offsets of the constants in .rodata that the program reads."""
        bodies = (self.program.insns, *(sub.insns for sub in self.program.subprograms))
        return frozenset(insn.imm >> 32 for body in bodies for insn in body if insn.is_wide and insn.symbol == RODATA)

    def _texts(self) -> list[range]:
        """Where .rodata holds what no loader sets (formats of messages, other static constants) and what is known, in bytes."""
        btf = self.obj.btf
        static = (
            {item.name for item in btf.types if isinstance(item, Var) and item.linkage == STATIC} if btf is not None else set()
        )
        known = (
            item for item in self.obj.variables if item.section == RODATA and item.name in static | self.known.constants.keys()
        )
        return [range(item.offset, item.offset + item.size) for item in known]


def _configurable(program: Program, texts: list[range]) -> Program:
    """The program with .rodata for any constant, but for its texts, which are as they stand."""

    def insns(code: tuple[Insn, ...]) -> tuple[Insn, ...]:
        return tuple(
            replace(insn, symbol=TEXTS)
            if insn.is_wide and insn.symbol == RODATA and any(insn.imm >> 32 in place for place in texts)
            else insn
            for insn in code
        )

    maps = tuple(replace(spec, frozen=False) if spec.name == RODATA else spec for spec in program.maps)
    return replace(
        program,
        insns=insns(program.insns),
        subprograms=tuple(replace(sub, insns=insns(sub.insns)) for sub in program.subprograms),
        maps=(*maps, *(replace(spec, name=TEXTS) for spec in program.maps if spec.name == RODATA and texts)),
    )


@dataclass(frozen=True, slots=True)
class State:
    """The map of the original that carries the pair's state, and how its keys are made; of an object's state, which argument of
    the program's hook it is (from 0)."""

    spec: MapSpec
    key_class: KeyClass
    argument: int | None = None

    def owner(self, t: Terms) -> Term:
        """The object whose storage holds the state: the running task, or what the argument leads to."""
        if self.argument is None:
            return t.app("bpf_get_current_task_btf", 64)
        return joined(t, [t.app("ctx", 8, t.const(64, 8 * self.argument + i)) for i in range(8)])

    def key(self, t: Terms) -> Term:
        """The key as the original makes it. Unmodelled for keys that are neither the running thread's nor the argument."""
        both, width = t.app("bpf_get_current_pid_tgid", 64), 8 * self.spec.key_size
        match self.key_class:
            case KeyClass.POINTER if self.argument is not None and width == 64:
                return self.owner(t)
            case KeyClass.TID if width == 32:
                return t.extract(both, 64, 31, 0)
            case KeyClass.TID if width == 64:
                return t.zext(t.extract(both, 64, 31, 0), 32, 64)
            case KeyClass.PID_TGID if width == 64:
                return both
            case KeyClass.TASK if width == 64:
                return t.app("bpf_get_current_task", 64)
            case _:
                raise Unmodelled("pair-key", f"keys of {self.spec.name} are not the running thread's")


def behaviour(
    t: Terms, side: Side, label: str, roomy: str, on_return: bool | None = None, start: HashMap | None = None,
    more: Mapping[str, HashMap] | None = None,
) -> Behaviour:  # fmt: skip
    """What a program does, from `start` as the pair's map and `more` as other maps; of a session, on the way that `on_return`
    says. These maps have room for every key."""
    way = session_is_return(t)

    def settle(value: Term) -> Term:
        if on_return is None or value.is_const:
            return value
        nodes = postorder(value)
        if len(nodes) > _SMALL or {node for node in nodes if node.op == "app"} != {way}:
            return value
        return t.const(value.width, evaluate([value], lambda name, width, args: int(on_return))[0])

    initial = {**({roomy: start} if start is not None else {}), **(more or {})}
    return of_program(t, side.relocated(), label, never_full=frozenset({roomy, *initial}), settle=settle, initial=initial)


def renamed(side: Side, old: str, new: str) -> Side:
    """The program with a map under another name: what two maps hold in the beginning must not be one input."""

    def insns(code: tuple[Insn, ...]) -> tuple[Insn, ...]:
        return tuple(replace(insn, symbol=new) if insn.is_wide and insn.symbol == old else insn for insn in code)

    program = side.relocated()
    program = replace(
        program,
        insns=insns(program.insns),
        subprograms=tuple(replace(sub, insns=insns(sub.insns)) for sub in program.subprograms),
        maps=tuple(replace(spec, name=new) if spec.name == old else spec for spec in program.maps),
    )
    return Side(program, replace(side.obj, functions={}))


@dataclass(frozen=True, slots=True)
class Entry:
    """What a map holds for one key: is there something, and the bytes if so."""

    present: Term
    value: tuple[Term, ...]


def entry_of(t: Terms, contents: HashMap, key: Term, size: int, storage: Storage | None = None) -> Entry:
    """The entry of a key; in `storage`, that of an owner."""
    first = storage.value_at if storage is not None else 0
    value = tuple(contents.load(t, key, t.const(64, first + at), n) for at, n in chunks(size))
    present = contents.present(t, key)
    match storage.mark if storage is not None else Mark.PRESENT:
        case Mark.WORD if storage is not None:
            armed = contents.load(t, key, t.const(64, storage.armed_at), storage.armed_bytes)
            present = t.all_of(present, is_not_zero(t, armed))
        case Mark.NOT_ZERO:
            present = t.all_of(present, is_not_zero(t, value[0]))
        case _:
            pass
    return Entry(present, value)


def is_not_zero(t: Terms, value: Term) -> Term:
    return t.negate(t.eq(value.width, value, t.const(value.width, 0)))


def chunks(size: int) -> list[tuple[int, int]]:
    return [(at, min(8, size - at)) for at in range(0, size, 8)]


def as_memory(t: Terms, entry: Entry) -> Bytes:
    """An entry as bytes that are compared: present or not, then the value, zeros where there is none."""
    memory = Bytes(lambda offset: t.const(8, 0))
    memory = memory.store(t, t.const(64, 0), 8, t.ite(64, entry.present, t.const(64, 1), t.const(64, 0)))
    for index, value in enumerate(entry.value):
        shown = t.ite(value.width, entry.present, value, t.const(value.width, 0))
        memory = memory.store(t, t.const(64, 8 + 8 * index), 8, t.zext(shown, value.width, 64) if value.width < 64 else shown)
    return memory


def holding(t: Terms, spec: MapSpec, key: Term, present: Term, value: Bytes) -> HashMap:
    """A map that holds these bytes under the key where `present`, nothing there where not, and anything under other keys."""
    full = mapmodel.initial(t, spec).insert(t.true, key, value, t.const(32, 0))
    return full if present is t.true else full.delete(t.negate(present), key)


def only_touches(contents: HashMap, key: Term, what: str) -> None:
    """Nothing but this key's entry is touched."""
    touched = contents.keys()
    if any(known is not key for known in touched):
        raise Unmodelled("pair-key", f"{what} changes entries that are not the running thread's")


def with_state(
    behaviour: Behaviour, map_name: str, state: Bytes, result: Term, given: list[Term], said: tuple[str, ...],
    label: str = OWN_STATE,
) -> Behaviour:  # fmt: skip
    """The behaviour with the pair's state as something that is compared of its own, in the place of the map."""
    return replace(
        behaviour,
        return_value=result,
        hashes={name: contents for name, contents in behaviour.hashes.items() if name != map_name},
        data={**behaviour.data, label: state},
        cookie=None,
        accesses=tuple(access for access in behaviour.accesses if access.place != map_name),
        preconditions=(*behaviour.preconditions, *given),
        assumptions=(*behaviour.assumptions, *said, *((CONFIGURED,) if said else ())),
    )


def before_and_after(t: Terms, behaviour: Behaviour, spec: MapSpec, start: HashMap | None = None) -> tuple[HashMap, HashMap]:
    """A map before and after the run."""
    start = start or mapmodel.initial(t, spec)
    return start, behaviour.hashes.get(spec.name, start)
