"""Which programs of an object are two halves of one probe, and which maps carry what the first leaves for the second.

A pair needs a flow of state: the entry writes an entry of a map under a key that the exit looks up: the thread, an object that
both are given, or a constant of a per-CPU map. That both halves count into one histogram is no flow, and neither is scratch
space that each half fills before it reads it. The hooks then say what kind of pair it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bpfsmith.ir import ops
from bpfsmith.ir.lift import lift
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.objfile.btf import DeclTag, Var
from bpfsmith.objfile.object import Object
from bpfsmith.trace.hooks import Hook, PairKind, Role, halves, hook, split
from bpfsmith.trace.provenance import MapUse, Source, Touch, Value, map_uses

PAIR_TAG = "pair_map"
"""A map whose variable has `__attribute__((btf_decl_tag("pair_map")))` carries state of a pair, whatever its keys are."""


class KeyClass(StrEnum):
    """What a key stands for."""

    TID, PID_TGID, TGID, TASK = "tid", "pid_tgid", "tgid", "current task"
    POINTER, PID, CPU, CONSTANT = "pointer", "pid of a task", "cpu", "constant"
    COMPOSITE, OTHER = "composite", "other"


THREAD = frozenset({KeyClass.TID, KeyClass.PID_TGID, KeyClass.TASK})
"""Keys of which each thread has its own."""
_HASHES = frozenset({"BPF_MAP_TYPE_HASH", "BPF_MAP_TYPE_LRU_HASH", "BPF_MAP_TYPE_PERCPU_HASH", "BPF_MAP_TYPE_LRU_PERCPU_HASH"})
_ARRAYS = frozenset({"BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_PERCPU_ARRAY"})
_STORAGE = frozenset({"BPF_MAP_TYPE_TASK_STORAGE", "BPF_MAP_TYPE_SK_STORAGE", "BPF_MAP_TYPE_INODE_STORAGE"})


@dataclass(frozen=True, slots=True)
class PairMap:
    """A map that carries state of a pair. `private`: no program outside of pairs over it touches it, and nothing pins it."""

    spec: MapSpec
    key_class: KeyClass
    private: bool
    others: tuple[str, ...] = ()  # programs that touch it and belong to no pair over it


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two programs: its hook, and what it does to maps."""

    program: Program
    hook: Hook
    uses: tuple[MapUse, ...]

    def of(self, map_name: str) -> tuple[MapUse, ...]:
        return tuple(use for use in self.uses if use.map == map_name)

    def touches(self, map_name: str) -> frozenset[Touch]:
        return frozenset(use.touch for use in self.of(map_name))


@dataclass(frozen=True, slots=True)
class Pair:
    """`checks_twice` are constants of the loader's that both halves read, `attach_constants` what an attachment tells them."""

    entry: Half
    exit: Half
    kind: PairKind
    maps: tuple[PairMap, ...]
    checks_twice: tuple[str, ...] = ()
    attach_constants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.entry.program.name} -> {self.exit.program.name}"


@dataclass(frozen=True, slots=True)
class Found:
    """All pairs of an object, with every traced program beside them."""

    obj: Object
    pairs: tuple[Pair, ...]
    halves: Mapping[str, Half] = field(default_factory=dict)


def find_pairs(obj: Object, *, uprobes: bool = False) -> Found:
    """The pairs of an object, from its section names, types and bytecode alone. `uprobes`: what is in kprobe sections without a
    target is attached to processes, as some tools do."""
    halves_by_name: dict[str, Half] = {}
    for program in obj.programs:
        where = hook(program.section, program.name)
        if where is not None and uprobes and where.mechanism == "kprobe" and where.named_at_run_time:
            where = replace(where, mechanism="uprobe", target="")
        if where is not None:
            stem = program.section.removeprefix("?").partition("/")[0]
            halves_by_name[program.name] = Half(program, where, map_uses(program, stem, obj.core_relos(program), obj.btf))
    tagged = _tagged(obj)
    links = list(_links(obj, list(halves_by_name.values()), tagged))
    paired: dict[str, set[str]] = {}
    for entry, exit_, _, maps, _ in links:
        for name in maps:
            paired.setdefault(name, set()).update((entry.program.name, exit_.program.name))
    pairs = tuple(
        Pair(
            entry,
            exit_,
            kind,
            tuple(_pair_map(obj, name, key, halves_by_name, paired[name]) for name, key in maps.items()),
            tuple(sorted(_configuration(obj, entry) & _configuration(obj, exit_))),
            tuple(sorted(_attach_constants(entry) | _attach_constants(exit_))),
            notes,
        )
        for entry, exit_, kind, maps, notes in links
    )
    return Found(obj, pairs, halves_by_name)


def _pair_map(obj: Object, name: str, key: KeyClass, known: Mapping[str, Half], inside: set[str]) -> PairMap:
    spec = obj.map(name)
    others = tuple(half.program.name for half in known.values() if half.of(name) and half.program.name not in inside)
    untraced = tuple(p.name for p in obj.programs if p.name not in known and any(m.name == name for m in p.maps))
    return PairMap(spec, key, not others and not untraced and not spec.pinning, (*others, *untraced))


# --- flows ------------------------------------------------------------------------------------------------------------
Link = tuple[Half, Half, PairKind, dict[str, KeyClass], tuple[str, ...]]


def _links(obj: Object, known: list[Half], tagged: frozenset[str]) -> Iterator[Link]:
    """Entry, exit, kind and maps of every pair, in the order of the file."""
    done: set[tuple[str, str]] = set()
    for exit_ in known:
        candidates = [(entry, maps) for entry in known if entry is not exit_ and (maps := _flows(obj, entry, exit_, tagged))]
        partners = [(entry, maps, kind, note) for entry, maps in candidates for kind, note in _partner(entry, exit_, maps)]
        best = _best(partners, exit_)
        for entry, maps, kind, note in best:
            done.add((entry.program.name, exit_.program.name))
            yield entry, exit_, kind, maps, note
        returns = [half for half in known if half.hook.role is Role.EXIT and _same_function(half.hook, exit_.hook)]
        for entry, maps in candidates:
            objects: dict[str, KeyClass] = {
                name: key
                for name, key in maps.items()
                if (key in (KeyClass.POINTER, KeyClass.PID) or (key in _RUNNING and _of_one_life(entry, exit_, name)))
                and Touch.LOOKUP in exit_.touches(name)  # to drop it is not to complete it
            }
            if entry.hook.mechanism != exit_.hook.mechanism:  # where one of its own kind leaves it too, others are variants
                own = {n for other, found in candidates if other.hook.mechanism == exit_.hook.mechanism for n in found}
                objects = {name: key for name, key in objects.items() if name not in own}
            if (
                objects
                and (entry.program.name, exit_.program.name) not in done
                and _is_event(obj, entry, exit_, objects, returns)
            ):
                done.add((entry.program.name, exit_.program.name))
                yield entry, exit_, PairKind.EVENT, objects, ()


_Partner = tuple[Half, dict[str, KeyClass], PairKind, tuple[str, ...]]


def _best(partners: list[_Partner], exit_: Half) -> list[_Partner]:
    """Of several entries that an exit may belong to, those of its own target; where the loader names targets, those whose
    program's name says so, or that leave the most for it."""
    same = [item for item in partners if item[0].hook.target == exit_.hook.target and item[0].hook.target]
    named = [item for item in partners if halves(item[0].program.name, exit_.program.name)]
    most = max((len(maps) for _, maps, _, _ in partners), default=0)
    return same or named or [item for item in partners if len(item[1]) == most]


def _partner(entry: Half, exit_: Half, maps: Mapping[str, KeyClass]) -> Iterator[tuple[PairKind, tuple[str, ...]]]:
    """The kind of pair that two hooks make by what they are attached to, if any."""
    a, b = entry.hook, exit_.hook
    if a.mechanism != b.mechanism:
        return
    by_object = all(key in (KeyClass.POINTER, KeyClass.PID) for key in maps.values())
    if a.kind is b.kind and a.kind in (PairKind.FUNCTION, PairKind.SYSCALL) and a.role is Role.ENTRY and b.role is Role.EXIT:
        if (a.target == b.target and a.target) or (a.stem == b.stem and a.kind is PairKind.SYSCALL):
            yield a.kind, ()
        elif a.named_at_run_time and b.named_at_run_time:
            said = "its targets are chosen by the loader"
            if a.mechanism == "kprobe":
                said += "; one that attaches it to a process wants --uprobes for a session"
            yield a.kind, (said,)
        return
    if a.kind is b.kind is PairKind.FUNCTION and a.role is b.role is Role.ENTRY:
        if a.target == b.target and split(exit_.program.name)[1] in ("exit", "ret", "return", "end") and not by_object:
            yield a.kind, (f"{exit_.program.name} is declared for entries ({b.section}); its name and its reads say exit",)
        elif halves(a.target, b.target) or (not a.target and not b.target and halves(entry.program.name, exit_.program.name)):
            yield (PairKind.EVENT if by_object else PairKind.BEGIN_END), ()
        return
    if a.stem == b.stem and a.role is Role.ENTRY and b.role is Role.EXIT and halves(_event(a), _event(b)):
        yield (PairKind.EVENT if by_object else PairKind.BEGIN_END), ()
    elif a.mechanism == "usdt" and halves(entry.program.name, exit_.program.name):
        yield PairKind.BEGIN_END, ("its targets are chosen by the loader",)


_RUNNING = frozenset({KeyClass.TGID, KeyClass.TID, KeyClass.PID_TGID})


def _of_one_life(entry: Half, exit_: Half, name: str) -> bool:
    """Two events in the life of a process or thread, such as sched_process_exec and _exit, of which the second uses up what the
    first has left?"""
    events = (PairKind.EVENT, PairKind.BEGIN_END)
    plain = entry.hook.kind in events and exit_.hook.kind in events and entry.hook.mechanism == exit_.hook.mechanism
    (what, _, first), (same, _, last) = (_event(half.hook).rpartition("_") for half in (entry, exit_))
    return plain and bool(what) and what == same and first != last and Touch.DELETE in exit_.touches(name)


def _same_function(a: Hook, b: Hook) -> bool:
    return a.mechanism == b.mechanism and a.target == b.target and bool(a.target)


def _event(where: Hook) -> str:
    return where.target.rpartition("/")[2]


def _is_event(obj: Object, entry: Half, exit_: Half, maps: Mapping[str, KeyClass], returns: list[Half]) -> bool:
    """One program makes an object's entry, another one, at another hook, uses it up: issue and complete. `returns` are programs
    where the function of the second returns, which may do that for it."""
    twice = entry.hook.kind is PairKind.EVENT and entry.hook.mechanism == exit_.hook.mechanism
    if entry.hook.target == exit_.hook.target and entry.hook.target and not twice:
        return False
    consumed = any(Touch.DELETE in half.touches(name) for name in maps for half in (exit_, *returns))
    consumed |= any(obj.map(name).type in _STORAGE and Touch.WRITE in exit_.touches(name) for name in maps)  # disarmed
    return consumed and not any(Touch.UPDATE in exit_.touches(name) and Touch.LOOKUP in entry.touches(name) for name in maps)


def _flows(obj: Object, entry: Half, exit_: Half, tagged: frozenset[str]) -> dict[str, KeyClass]:
    """The maps in which `entry` leaves what `exit_` reads, with the class of their keys."""
    out: dict[str, KeyClass] = {}
    for name in dict.fromkeys(use.map for use in entry.uses):
        spec = obj.map(name)
        if spec.initial is not None or spec.type not in _HASHES | _ARRAYS | _STORAGE:
            continue
        written, read = entry.touches(name), exit_.touches(name)
        makes = Touch.UPDATE in written or (spec.type not in _HASHES and Touch.WRITE in written)
        takes = Touch.LOOKUP in read and bool(read & {Touch.READ, Touch.PASSED, Touch.DELETE, Touch.WRITE})
        if (
            spec.type not in _HASHES
        ):  # to look such a value up is to get one, and to write it is what each half may do for itself
            takes = Touch.LOOKUP in read and bool(read & ({Touch.READ} if spec.type in _ARRAYS else {Touch.READ, Touch.DELETE}))
        if not makes or (not takes and not (Touch.DELETE in read and Touch.UPDATE in written)):
            continue
        ours = _keys(entry, name, (Touch.UPDATE,) if Touch.UPDATE in written else (Touch.LOOKUP,))
        theirs = _keys(exit_, name, (Touch.LOOKUP, Touch.DELETE))
        key = _common(ours, theirs, spec, _halves(entry, exit_))
        if name in tagged:
            out[name] = key or KeyClass.OTHER
        elif key is not None and not _accumulates(written, read, key):
            out[name] = key
    return out


def _accumulates(written: frozenset[Touch], read: frozenset[Touch], key: KeyClass) -> bool:
    """Do both halves only keep a sum in the map: each makes entries that are missing and adds to what it finds?"""
    both_make = Touch.UPDATE in written and Touch.LOOKUP in written and Touch.UPDATE in read and Touch.DELETE not in read
    return both_make and key not in THREAD


def _keys(half: Half, name: str, touches: tuple[Touch, ...]) -> list[tuple[Value, ...]]:
    return [use.key for use in half.of(name) if use.touch in touches]


def _halves(entry: Half, exit_: Half) -> bool:
    """Are they by their hooks two halves of one thing, so that one field of both records may name it?"""
    a, b = entry.hook, exit_.hook
    return a.mechanism == b.mechanism and a.stem == b.stem and a.role is Role.ENTRY and b.role is Role.EXIT


def _common(
    ours: list[tuple[Value, ...]], theirs: list[tuple[Value, ...]], spec: MapSpec, of_one_thing: bool
) -> KeyClass | None:
    """The class of the key under which one side may find what the other left; None where they have none in common."""
    for mine in ours:
        for other in theirs:
            a, b = classified(mine), classified(other)
            if a is KeyClass.COMPOSITE and b is KeyClass.COMPOSITE and _same_parts(mine, other):
                return a
            if a is b is KeyClass.OTHER and of_one_thing and mine and _same_fields(mine, other):
                return a
            if KeyClass.PID in (a, b) and {a, b} <= {KeyClass.PID, KeyClass.TID}:
                return KeyClass.PID
            if a is not b or a in (KeyClass.COMPOSITE, KeyClass.OTHER):
                continue
            if a is KeyClass.CONSTANT and (mine != other or (spec.type in _ARRAYS and "PERCPU" not in spec.type)):
                continue
            return a
    return None


def _same_parts(ours: tuple[Value, ...], theirs: tuple[Value, ...]) -> bool:
    if len(ours) != len(theirs):
        return False
    pointers = (Source.ARGUMENT, Source.STATE, Source.FIELD)
    alike = all(a.source is b.source or {a.source, b.source} <= set(pointers) for a, b in zip(ours, theirs, strict=True))
    if _same_fields(ours, theirs):
        return True
    return alike and any(a.source in (Source.TID, Source.PID_TGID, Source.ARGUMENT, Source.TASK) for a in ours)


def _same_fields(ours: tuple[Value, ...], theirs: tuple[Value, ...]) -> bool:
    """Are the keys made of fields of the same names, such as device and sector of two tracepoints, beside what is the same?"""
    fields = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.source is b.source is Source.FIELD]
    rest = [(a, b) for a, b in zip(ours, theirs, strict=True) if not a.source is b.source is Source.FIELD]
    known = (Source.CONST, Source.CPU, Source.TID, Source.PID_TGID, Source.TGID, Source.TASK)
    named = all(_leaf(a) == _leaf(b) for a, b in fields)
    return bool(fields) and named and all(a == b and a.source in known for a, b in rest)


def _leaf(part: Value) -> str:
    """The name of a field without that of its struct."""
    return part.name.rpartition(".")[2] or str(part.number)


def classified(key: tuple[Value, ...]) -> KeyClass:
    """The class of a key made of these parts."""
    if not key:
        return KeyClass.OTHER
    if len(key) > 1:
        return KeyClass.COMPOSITE
    (value,) = key
    match value.source:
        case Source.TID:
            return KeyClass.TID
        case Source.PID_TGID:
            return KeyClass.PID_TGID
        case Source.TGID:
            return KeyClass.TGID
        case Source.TASK:
            return KeyClass.TASK
        case Source.CONST:
            return KeyClass.CONSTANT
        case Source.ARGUMENT:
            return KeyClass.POINTER
        case Source.CPU:
            return KeyClass.CPU
        case Source.FIELD if value.name.endswith(("task_struct.pid", ".tid")):
            return KeyClass.PID
        case Source.FIELD if value.name.startswith("trace_event_raw_") and value.name.endswith((".pid", "_pid")):
            return KeyClass.PID
        case Source.FIELD if value.name.endswith((".dentry", ".sk", ".rq", ".bio", ".inode", ".skaddr", ".skbaddr")):
            return KeyClass.POINTER
        case _:
            return KeyClass.OTHER


# --- what else is worth knowing of a pair -----------------------------------------------------------------------------
def _tagged(obj: Object) -> frozenset[str]:
    if obj.btf is None:
        return frozenset()
    tags = [item for item in obj.btf.types if isinstance(item, DeclTag) and item.name == PAIR_TAG]
    named = [obj.btf[tag.target] for tag in tags]
    return frozenset(item.name for item in named if isinstance(item, Var))


def _configuration(obj: Object, half: Half) -> set[str]:
    """The constants that the loader sets and the program tests, by name."""
    frozen = {spec.name for spec in half.program.maps if spec.frozen}
    out: set[str] = set()
    for body in (half.program.insns, *(sub.insns for sub in half.program.subprograms)):
        for op in lift(body):
            if isinstance(op, ops.LoadMapValue) and op.map in frozen:
                out |= {
                    item.name
                    for item in obj.variables
                    if item.section == op.map and item.offset <= op.offset < item.offset + item.size and item.size <= 8
                }
    return out


def _attach_constants(half: Half) -> set[str]:
    """What differs from one attachment of the program to the next, and is the same for all its runs there."""
    called = {op.helper_id for op in lift(half.program.insns) if isinstance(op, ops.CallHelper)}
    names = {"bpf_get_attach_cookie": "attach cookie", "bpf_get_func_ip": "address of the function"}
    return {words for name, words in names.items() if HELPER_IDS[name] in called}
