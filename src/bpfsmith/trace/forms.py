"""The forms that a pair can take, and for each pair which of them its code and a kernel allow, with the reason where not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from bpfsmith.cost.profile import Profile
from bpfsmith.ir import ops
from bpfsmith.ir.lift import lift
from bpfsmith.isa.program import MapSpec
from bpfsmith.isa.tables import HELPERS
from bpfsmith.kernel.vmlinux import running_btf, type_id
from bpfsmith.objfile.btf import Func, FuncProto
from bpfsmith.objfile.btf_codec import Kind
from bpfsmith.trace.hooks import PairKind
from bpfsmith.trace.objects import key_argument, owner
from bpfsmith.trace.pairs import THREAD, Found, Half, Pair, PairMap
from bpfsmith.trace.pairs import classified as class_of
from bpfsmith.trace.provenance import KEYED, Touch
from bpfsmith.trace.rewriting import BPF_ANY, BPF_NOEXIST, IS_RETURN

COOKIE_BYTES = 8
_MAX_STORAGE = 65_000


class Form(StrEnum):
    """In the order in which they are preferred."""

    REREAD = "reread-arguments"
    SESSION = "session"
    SESSION_STORAGE = "session+task-storage"
    TASK_STORAGE = "task-storage"
    OBJECT_STORAGE = "object-storage"


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a kernel offers to pairs. `takes_context`: the session's kernel functions want the context as their argument."""

    name: str
    uprobe_session: bool
    kprobe_session: bool
    fsession: bool
    task_storage: bool
    takes_context: bool

    def session_section(self, mechanism: str) -> str | None:
        """The section stem of a session in the place of such a pair, None where the kernel has none."""
        match mechanism:
            case "uprobe" | "uprobe.multi" if self.uprobe_session:
                return "uprobe.session"
            case "kprobe" | "kprobe.multi" if self.kprobe_session:
                return "kprobe.session"
            case "fentry" if self.fsession:
                return "fsession"
            case _:
                return None


def kernel_of(release: str) -> Kernel:
    """The features of a release such as "6.12": sessions of kprobes since 6.10, of uprobes since 6.13, of functions since 7.0;
    task storage in every tracing program since 5.11 (include/uapi/linux/bpf.h of these releases)."""
    numbers = [int(text) for text in re.findall(r"\d+", release)[:2]]
    return Kernel(release, numbers >= [6, 13], numbers >= [6, 10], numbers >= [7, 0], numbers >= [5, 11], numbers >= [7, 0])


def running_kernel(release: str) -> Kernel:
    """The features of the kernel this runs on: as its release says, the session functions as its types have them."""
    known, types, number = kernel_of(release), running_btf(), type_id(Kind.FUNC, IS_RETURN)
    function = types[number] if types is not None and number is not None else None
    if types is None or not isinstance(function, Func):
        return Kernel(release, False, False, False, known.task_storage, known.takes_context)
    prototype = types.resolved(function.proto)
    takes = isinstance(prototype, FuncProto) and bool(prototype.params)
    return Kernel(release, known.uprobe_session, known.kprobe_session, known.fsession, known.task_storage, takes)


def has_early_out(pair: Pair) -> bool:
    """May the entry of a session in the place of this pair say that its exit is not to run? fsession has to return 0
    (kernel/bpf/verifier.c: check_return_code of 7.2), and its cookie is 0 in the beginning."""
    return pair.entry.hook.mechanism != "fentry"


@dataclass(frozen=True, slots=True)
class Judged:
    """Which forms a pair may take, best first, and why not the others."""

    pair: Pair
    allowed: tuple[Form, ...]
    refused: tuple[tuple[Form, str], ...]


def judge(pair: Pair, found: Found, kernel: Kernel) -> Judged:
    """What the analysis says of a pair; that a form is proved and loads is seen when it is made."""
    reasons = {
        Form.SESSION: _session(pair, found, kernel, cookie=True),
        Form.SESSION_STORAGE: _session(pair, found, kernel, cookie=False),
        Form.TASK_STORAGE: _task_storage(pair, found, kernel),
        Form.OBJECT_STORAGE: _object_storage(pair, found, kernel),
        Form.REREAD: _reread(pair, found),
    }
    return Judged(
        pair,
        tuple(form for form in Form if reasons[form] is None),
        tuple((form, reason) for form in Form if (reason := reasons[form]) is not None),
    )


def state_map(pair: Pair) -> PairMap:
    """The map of a pair that a form replaces: the first whose keys are the thread's, or else simply the first."""
    return next((item for item in pair.maps if item.key_class in THREAD), pair.maps[0])


def _thread_map(pair: Pair) -> PairMap | str:
    """That map, or why it cannot be replaced."""
    item = state_map(pair)
    if item.key_class not in THREAD:
        return f"keys of {item.spec.name} are not the thread's but {item.key_class}"
    if not item.spec.type.endswith("_HASH"):
        return f"{item.spec.name} is no hash but a {item.spec.type}"
    if "PERCPU" in item.spec.type:
        return f"{item.spec.name} has a value for each CPU, and the thread may move between them"
    if item.spec.pinning:
        return f"{item.spec.name} is pinned: others may read it"
    return item


def _session(pair: Pair, found: Found, kernel: Kernel, *, cookie: bool) -> str | None:
    if pair.kind is not PairKind.FUNCTION:
        return f"sessions are for functions, and this is a {pair.kind} pair"
    mechanism = pair.entry.hook.mechanism
    if kernel.session_section(mechanism) is None:
        return f"kernel {kernel.name} has no sessions for {mechanism}"
    item = _thread_map(pair)
    if isinstance(item, str):
        return item
    name = item.spec.name
    more = [other.spec.name for other in pair.maps if other is not item and other.key_class in THREAD]
    if more:
        return f"its state lies in {len(more) + 1} maps of the thread: {', '.join((name, *more))}"
    reason = _used_beside(item, found, cookie)
    if reason:
        return reason
    shared = _in_other_pairs(pair, found)
    if shared:
        return shared
    written, read = pair.entry.touches(name), pair.exit.touches(name)
    if written - {Touch.UPDATE}:
        return f"the entry does more with {name} than to update it"
    if Touch.UPDATE in read:
        return f"the exit updates {name}"
    if not cookie:
        return _task_storage(pair, found, kernel)
    if item.spec.value_size > COOKIE_BYTES:
        return f"values of {name} have {item.spec.value_size} bytes, and a cookie has {COOKIE_BYTES}"
    if read & {Touch.PASSED, Touch.WRITE, Touch.ADD}:
        return f"the exit changes the value of {name} in place, or passes on its address"
    return _flags(pair.entry, name)


def _used_beside(item: PairMap, found: Found, cookie: bool) -> str | None:
    """Programs that are no half of a pair over the map may use it for themselves, under the thread's key."""
    for name in item.others:
        half = found.halves.get(name)
        keys = {class_of(use.key) for use in half.of(item.spec.name) if use.touch in KEYED} if half is not None else set()
        if not cookie or not keys or not keys <= THREAD:
            return f"{item.spec.name} is used by {', '.join(item.others)} too"
    return None


def _in_other_pairs(pair: Pair, found: Found) -> str | None:
    """One program cannot become one with two others."""
    own = {pair.entry.program.name, pair.exit.program.name}
    name = state_map(pair).spec.name
    others = [
        item
        for item in found.pairs
        if item is not pair
        and {item.entry.program.name, item.exit.program.name} & own
        and (item.kind is PairKind.FUNCTION or any(known.spec.name == name for known in item.maps))
    ]
    return f"its programs are in other pairs too: {', '.join(item.name for item in others)}" if others else None


def _flags(half: Half, name: str, known: tuple[int, ...] = (BPF_ANY,)) -> str | None:
    for use in half.of(name):
        if use.touch is Touch.UPDATE and use.flags not in known:
            return f"{half.program.name} updates {name} with flags other than BPF_ANY"
    return None


def _task_storage(pair: Pair, found: Found, kernel: Kernel) -> str | None:
    if not kernel.task_storage:
        return f"kernel {kernel.name} has no task storage for tracing programs"
    item = _thread_map(pair)
    if isinstance(item, str):
        return item
    return storage_refusal(item.spec, found)


def storage_refusal(spec: MapSpec, found: Found) -> str | None:
    """Why a map cannot become task storage, which every program that uses it has to agree to."""
    name = spec.name
    if spec.value_size > _MAX_STORAGE:
        return f"values of {name} have {spec.value_size} bytes"
    for half in found.halves.values():
        for use in half.of(name):
            if use.touch in KEYED and class_of(use.key) not in THREAD:
                return f"{half.program.name} uses {name} under a key that is not the running thread's ({class_of(use.key)})"
        reason = _flags(half, name, (BPF_ANY, BPF_NOEXIST))
        if reason is not None:
            return reason
    return _untraced(name, found)


def _untraced(name: str, found: Found) -> str | None:
    """Programs that are no probes, and so have no thread or object that the map could belong to."""
    others = [p.name for p in found.obj.programs if p.name not in found.halves and any(m.name == name for m in p.maps)]
    return f"{', '.join(others)} uses {name} too, and is no tracing program" if others else None


def _object_storage(pair: Pair, found: Found, kernel: Kernel) -> str | None:
    if pair.kind is not PairKind.EVENT:
        return "both halves run on the thread that the state belongs to"
    if not kernel.task_storage:
        return f"kernel {kernel.name} has no storage of objects for tracing programs"
    if len(pair.maps) != 1:
        return f"its state lies in {len(pair.maps)} maps"
    item = pair.maps[0]
    if not item.spec.type.endswith("_HASH") or "PERCPU" in item.spec.type:
        return f"{item.spec.name} is no hash but a {item.spec.type}"
    if item.spec.pinning:
        return f"{item.spec.name} is pinned: others may read it"
    reason = storage_of(item.spec, found)
    return reason if reason not in ("task", "sk") else None


def storage_of(spec: MapSpec, found: Found) -> str:
    """ "task" or "sk" where every program that uses a map does so under an argument that leads to such an object; else why it
    cannot be kept there."""
    name, kinds = spec.name, set()
    for half in found.halves.values():
        if not half.of(name):
            continue
        argument = key_argument(half, name)
        if argument is None:
            return f"{half.program.name} uses {name} under a key that is not one argument of its own"
        if half.hook.mechanism not in ("tp_btf", "fentry"):
            return f"the arguments of {half.program.name} have no types for the verifier ({half.hook.section})"
        kind = owner(half.hook, argument)
        if kind is None:
            return f"what argument {argument} of {half.hook.section} leads to has no storage; tasks and sockets have"
        kinds.add(kind)
        reason = _flags(half, name, (BPF_ANY, BPF_NOEXIST))
        if reason is not None:
            return reason
    other = _untraced(name, found)
    if other is not None:
        return other
    return kinds.pop() if len(kinds) == 1 else f"keys of {name} are objects of different kinds"


def nearest(pair: Pair) -> str:
    """What would be left of the pair's cost if it were inlined into the code that it watches, and what comes nearest today: a
    kernel's text is not patched here."""
    match pair.entry.hook.mechanism:
        case "uprobe" | "uprobe.multi":
            return (
                "inlined, neither half would trap; nearest: one session instead of two probes, on a function that begins with "
                "a 5-byte nop or a push, which is not single-stepped"
            )
        case "kprobe" | "kprobe.multi" | "ksyscall":
            return "inlined, neither half would trap; nearest: fentry and fexit, which are called where kprobes trap"
        case "fentry":
            return "inlined, the calls of both halves would go; nearest: fsession (7.0), one trampoline call with the early-out"
        case "tracepoint" if pair.kind is PairKind.SYSCALL:
            return "inlined, only this system call would pay; nearest: tp_btf/sys_enter and sys_exit, which copy no arguments"
        case "tracepoint":
            return "inlined, the tracepoint's record would not be made; nearest: tp_btf or raw_tp at the same event"
        case _:
            return "inlined, the call of the program would go; the hook is the nearest there is"


_EMPTY_HOOKS = {
    "uprobe": ("uprobe_push", "uretprobe_push"), "uprobe.multi": ("uprobe_push", "uretprobe_push"),
    "raw_tp": ("raw_tp", "raw_tp"), "tp_btf": ("tp_btf", "tp_btf"),
}  # fmt: skip
"""By mechanism, the cases of a cost profile that are the entry's and the exit's hook with an empty program."""


def hooks_ns(pair: Pair, profile: Profile) -> float | None:
    """What a call pays for the two hooks alone by the profile, which inlining would save; None where they were not measured."""
    cases = _EMPTY_HOOKS.get(pair.entry.hook.mechanism, ())
    found = [item.value for case in cases if (item := profile.find("tracing", case)) is not None]
    return sum(found) if len(found) == len(cases) == 2 else None


def _reread(pair: Pair, found: Found) -> str | None:
    if pair.entry.hook.mechanism != "fentry" or pair.kind is not PairKind.FUNCTION:
        return "only fexit and fsession see the arguments again"
    item = _thread_map(pair)
    if isinstance(item, str):
        return item
    name = item.spec.name
    if len(pair.maps) > 1:
        return f"its state lies in {len(pair.maps)} maps: {', '.join(other.spec.name for other in pair.maps)}"
    if item.others:
        return f"{name} is used by {', '.join(item.others)} too"
    if pair.entry.touches(name) - {Touch.UPDATE}:
        return f"the entry does more with {name} than to update it"
    if Touch.UPDATE in pair.exit.touches(name):
        return f"the exit updates {name}"
    once = [helper for helper in _called(pair.entry) if helper.startswith(_CHANGING)]
    if once:
        return f"the entry calls {once[0]}, which is not the same again at the exit"
    return _in_other_pairs(pair, found) or _flags(pair.entry, name)


_CHANGING = ("bpf_ktime", "bpf_probe_read", "bpf_get_prandom", "bpf_jiffies", "bpf_get_stack", "bpf_ringbuf", "bpf_perf")


def _called(half: Half) -> list[str]:
    bodies = (half.program.insns, *(sub.insns for sub in half.program.subprograms))
    known = (HELPERS.get(op.helper_id) for body in bodies for op in lift(body) if isinstance(op, ops.CallHelper))
    return [helper.name for helper in known if helper is not None]
