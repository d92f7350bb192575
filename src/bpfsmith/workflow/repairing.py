"""A rejected C program repaired on a copy: changes are compiled and loaded until the verifier accepts one."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, Severity, ToolError
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.repair.diagnose import diagnose
from bpfsmith.repair.patch import unified
from bpfsmith.repair.search import Repair, Tried, repair
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.loadable import Choices, loadable


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A change that the verifier accepts. `behaviour` says what is known of the paths that the program had before."""

    file: str
    program: str
    diff: str
    titles: tuple[str, ...]
    cpu: str | None
    behaviour: str
    attempts: int

    def json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def suggest(
    path: str, program: Program, rejected: Rejected, obj: Object, toolchain: Toolchain, choices: Choices
) -> Suggestion | None:
    """Searches for a change to the C file at `path` that makes the verifier accept `program`; None where none was found."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    beside = replace(toolchain, flags=(*toolchain.flags, f"-iquote{Path(path).resolve().parent}"))

    def attempt(changed: str, cpu: str | None) -> Tried | None:
        chosen = replace(beside, cpu=cpu) if cpu else beside
        try:
            compiled = read_object(chosen.compile(changed, name=Path(path).name))
            candidate, maps, _ = loadable(compiled.program(program.name), compiled, choices)
            with open_maps(maps, obj=compiled) as opened, load(candidate, opened) as outcome:
                return Tried(candidate, compiled, outcome if isinstance(outcome, Rejected) else None)
        except ToolError:
            return None

    found = repair(diagnose(program, rejected, obj), text, attempt)
    if found is None:
        return None
    return Suggestion(
        path,
        program.name,
        unified(text, found.text, Path(path).name),
        tuple(patch.title for patch in found.patches),
        next((patch.cpu for patch in reversed(found.patches) if patch.cpu), None),
        _behaviour(program, obj, found),
        found.attempts,
    )


PROOF_SECONDS = 10
"""That the comparison of a program with its changed form may take."""


class _TimeUp(Exception):
    pass


def compared(reference: Program, first: Object, candidate: Program, second: Object, seconds: int = PROOF_SECONDS) -> Verdict:
    """Does a changed program what another does, but for maps that only one of them has? Unknown `time` where `seconds` are not
    enough to decide it."""
    own = frozenset(spec.name for spec in first.maps) ^ frozenset(spec.name for spec in second.maps)
    ask = partial(prove_equal, reference, first, candidate, second, limits=Limits(), replay=False, ignored=own)
    if threading.current_thread() is not threading.main_thread():  # signals reach only that
        return ask()

    def stop(number: int, frame: object) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        return ask()
    except _TimeUp:
        return Unknown("time", f"{seconds} seconds were not enough")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _behaviour(program: Program, obj: Object, found: Repair) -> str:
    """Does the changed program do what the other did on the inputs where that did something?"""
    verdict = compared(program, obj, found.tried.program, found.tried.obj)
    match verdict:
        case Equal(assumptions=assumptions):
            where = f"assumed: {'; '.join(assumptions)}" if assumptions else "on every input"
            return f"proved equal to the program as it was, {where}"
        case Different(counterexample=example):
            where = "on inputs such as those that the change is about"
            return f"differs from the program as it was in the {example.observable}, {where}"
        case Unknown(gap=gap, detail=detail):
            return f"not proved to be unchanged elsewhere ({gap}: {detail})"


def suggestion_note(found: Suggestion | None, file: str, program: str) -> Diagnostic:
    """The suggestion as a note; the diff itself goes to standard output."""
    if found is None:
        return Diagnostic(
            "no-repair-found",
            f"{file}: no change was found that makes the verifier accept {program}",
            severity=Severity.NOTE,
            help="change the line shown above by hand",
        )
    compiled = f" (compiled with -mcpu={found.cpu})" if found.cpu else ""
    return Diagnostic(
        "repair-suggested",
        f"{file}: the verifier accepts {program} with this change: {', then '.join(found.titles)}{compiled}",
        severity=Severity.NOTE,
        notes=(f"behaviour: {found.behaviour}", f"{found.attempts} changes were tried"),
        help="look at the change, and apply it with `patch -p1`",
    )
