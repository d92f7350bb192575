"""Where a tracing program runs, read off its section name: mechanism, target, and whether that is a way in or out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    ENTRY, EXIT, EVENT = "entry", "exit", "event"


class PairKind(StrEnum):
    """What two hooks have to do with each other."""

    FUNCTION, SYSCALL, BEGIN_END, EVENT = "function", "syscall", "begin-end", "event"


@dataclass(frozen=True, slots=True)
class Hook:
    """`mechanism` is the section's stem without what says entry or exit ("fentry" for fexit too); `target` what it attaches to,
    "" where the loader says so at run time; `stem` is the target without words such as `_enter` and `_done`."""

    section: str
    mechanism: str
    role: Role
    target: str
    stem: str
    kind: PairKind

    @property
    def named_at_run_time(self) -> bool:
        """Does the loader choose the target? Such sections name nothing, or a placeholder."""
        return (
            not self.target
            or self.target.startswith(("dummy", "placeholder"))
            or self.target in ("handle_entry", "handle_return")
        )


_FUNCTIONS = {  # section stem -> (mechanism, role)
    "fentry": ("fentry", Role.ENTRY), "fexit": ("fentry", Role.EXIT), "fmod_ret": ("fmod_ret", Role.ENTRY),
    "kprobe": ("kprobe", Role.ENTRY), "kretprobe": ("kprobe", Role.EXIT),
    "kprobe.multi": ("kprobe.multi", Role.ENTRY), "kretprobe.multi": ("kprobe.multi", Role.EXIT),
    "uprobe": ("uprobe", Role.ENTRY), "uretprobe": ("uprobe", Role.EXIT),
    "uprobe.multi": ("uprobe.multi", Role.ENTRY), "uretprobe.multi": ("uprobe.multi", Role.EXIT),
    "ksyscall": ("ksyscall", Role.ENTRY), "kretsyscall": ("ksyscall", Role.EXIT),
}  # fmt: skip
_EVENTS = {
    "tracepoint": "tracepoint", "tp": "tracepoint", "raw_tracepoint": "raw_tp", "raw_tp": "raw_tp", "tp_btf": "tp_btf",
    "usdt": "usdt",
}  # fmt: skip
# Words at an end of a name that say which half of something it is: (way in, way out).
_HALVES = (
    ("entry", "exit"), ("enter", "exit"), ("entry", "return"), ("entry", "ret"), ("begin", "end"), ("start", "end"),
    ("start", "done"), ("start", "stop"), ("issue", "complete"), ("issue", "done"), ("begin", "done"), ("lock", "unlock"),
    ("acquire", "release"), ("disable", "enable"), ("off", "on"), ("submit", "complete"),
    ("suspend", "resume"), ("down", "up"),
)  # fmt: skip
_WORDS_IN = frozenset(a for a, _ in _HALVES)
_WORDS_OUT = frozenset(b for _, b in _HALVES)
_PARTNERS = frozenset(_HALVES)
_WORD = re.compile(r"[a-z0-9]+", re.IGNORECASE)


def hook(section: str, name: str = "") -> Hook | None:
    """The hook of a tracing section ("kretprobe/vfs_read"); None for sections of other kinds. `name` is the program's."""
    stem, _, target = section.removeprefix("?").partition("/")
    base = stem.removesuffix(".s")
    if base in _FUNCTIONS:
        mechanism, role = _FUNCTIONS[base]
        kind = PairKind.SYSCALL if base in ("ksyscall", "kretsyscall") else PairKind.FUNCTION
        return Hook(section, mechanism, role, target, split(target)[0], kind)
    if base not in _EVENTS:
        return None
    mechanism = _EVENTS[base]
    event = target.rpartition("/")[2] if mechanism == "tracepoint" else target
    for prefix, role in (("sys_enter", Role.ENTRY), ("sys_exit", Role.EXIT)):
        if event == prefix or event.startswith(prefix + "_"):
            return Hook(section, mechanism, role, target, event[len(prefix) :].lstrip("_"), PairKind.SYSCALL)
    rest, word = split(event)
    if word in _WORDS_IN and word not in _WORDS_OUT:
        return Hook(section, mechanism, Role.ENTRY, target, rest, PairKind.BEGIN_END)
    if word in _WORDS_OUT:
        return Hook(section, mechanism, Role.EXIT, target, rest, PairKind.BEGIN_END)
    return Hook(section, mechanism, Role.EVENT, target, event, PairKind.EVENT)


def split(name: str) -> tuple[str, str]:
    """A name without the word that says which half it is, and that word: `irq_handler_entry` is ("irq_handler", "entry")."""
    words = _WORD.findall(name)
    for position in (-1, 0):
        if words and words[position].lower() in _WORDS_IN | _WORDS_OUT:
            rest = words[:-1] if position == -1 else words[1:]
            return "_".join(rest), words[position].lower()
    return name, ""


def halves(a: str, b: str) -> bool:
    """Do two names say the way into and the way out of one thing?"""
    (rest_a, word_a), (rest_b, word_b) = split(a), split(b)
    return rest_a == rest_b and (word_a, word_b) in _PARTNERS
