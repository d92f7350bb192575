"""A rejected C program repaired on a copy: changes are compiled and loaded until the verifier accepts one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InternalError, Severity, ToolError
from bpfsmith.execution import Counterexample
from bpfsmith.gate.budget import TimeUp, at_most
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.kernel.images import Image
from bpfsmith.kernel.load import Rejected, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.plan import Load
from bpfsmith.kernel.verifier_log import error_lines
from bpfsmith.kernel.vm import GuestVerdict, load_in
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.repair.diagnose import diagnose
from bpfsmith.repair.patch import unified
from bpfsmith.repair.search import Repair, Tried, repairs, repairs_in_rounds
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.loadable import Choices, loadable


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A change that the verifier accepts. `behaviour` says what is known of the inputs that the program could handle before:
    `unchanged` is None where that was not decided."""

    file: str
    program: str
    diff: str
    titles: tuple[str, ...]
    cpu: str | None
    unchanged: bool | None
    behaviour: str
    attempts: int
    kernel: str = ""
    """The version of another kernel, where its verifier was asked."""

    def json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def suggest(
    path: str,
    program: Program,
    rejected: Rejected,
    obj: Object,
    toolchain: Toolchain,
    choices: Choices,
    guest: tuple[str, Image] | None = None,
) -> Suggestion | None:
    """Searches for a change to the C file at `path` that makes the verifier accept `program`, on this kernel or on another one
    (its version and image); None where none was found."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    beside = replace(toolchain, flags=(*toolchain.flags, f"-iquote{Path(path).resolve().parent}"))

    def made(changed: str, cpu: str | None) -> tuple[Program, tuple[MapSpec, ...], Object] | None:
        chosen = replace(beside, cpu=cpu) if cpu else beside
        try:
            compiled = read_object(chosen.compile(changed, name=Path(path).name))
            candidate, maps, _ = loadable(compiled.program(program.name), compiled, choices)
        except ToolError:
            return None
        return candidate, maps, compiled

    def attempt(changed: str, cpu: str | None) -> Tried | None:
        found = made(changed, cpu)
        if found is None:
            return None
        candidate, maps, compiled = found
        try:
            with open_maps(maps, obj=compiled) as opened, load(candidate, opened) as outcome:
                return Tried(candidate, compiled, outcome if isinstance(outcome, Rejected) else None)
        except ToolError:
            return None

    def attempt_all(texts: Sequence[tuple[str, str | None]]) -> list[Tried | None]:
        assert guest is not None
        all_made = [made(*item) for item in texts]
        loads = [Load(number, found[0], found[1], found[2]) for number, found in enumerate(all_made) if found]
        verdicts = load_in(guest[1], loads).verdicts if loads else {}
        return [_tried(found[0], found[2], verdicts.get(n)) if found else None for n, found in enumerate(all_made)]

    diagnosis = diagnose(program, rejected, obj)
    kind = diagnosis.kind.id if diagnosis.kind else ""
    accepted = repairs_in_rounds(diagnosis, text, attempt_all) if guest else repairs(diagnosis, text, attempt)
    best: Suggestion | None = None
    for count, found in enumerate(accepted, 1):
        unchanged, words = _behaviour(program, obj, found)
        if unchanged is False and kind in FORBIDDEN_ANYHOW:
            unchanged, words = None, "not compared where it reaches what was refused: that is forbidden on every input"
        if best is None or (unchanged is not False and best.unchanged is False):
            best = _suggestion(path, program, text, found, unchanged, words, guest[0] if guest else "")
        if unchanged is not False or all(patch.usual for patch in found.patches) or count == MOST_COMPARED:
            break
    return best


def _tried(program: Program, obj: Object, verdict: GuestVerdict | None) -> Tried | None:
    """What a guest's kernel said of a candidate."""
    if verdict is None or verdict.missing:
        return None
    rejected = Rejected(program, verdict.errno, verdict.log, error_lines(verdict.log)) if verdict.errno else None
    return Tried(program, obj, rejected)


FORBIDDEN_ANYHOW = frozenset({"verifier-number-as-pointer", "verifier-argument-type"})
"""Kinds in which no value of the register would have been right: to give it the right one is no change of behaviour."""

MOST_COMPARED = 4
"""Accepted changes to compare with the program as it was, until one leaves alone what that could handle."""


def _suggestion(
    path: str, program: Program, text: str, found: Repair, unchanged: bool | None, behaviour: str, kernel: str
) -> Suggestion:
    return Suggestion(
        path,
        program.name,
        unified(text, found.text, Path(path).name),
        tuple(patch.title for patch in found.patches),
        next((patch.cpu for patch in reversed(found.patches) if patch.cpu), None),
        unchanged,
        behaviour,
        found.attempts,
        kernel,
    )


PROOF_SECONDS = 10
"""That the comparison of a program with its changed form may take."""


def added_maps(first: Object, second: Object) -> frozenset[str]:
    """The maps that only a changed object has. What the program was made to keep there, nobody looked at before; a map that the
    change took away is another matter, and is compared."""
    return frozenset(spec.name for spec in second.maps) - frozenset(spec.name for spec in first.maps)


def compared(
    reference: Program,
    first: Object,
    candidate: Program,
    second: Object,
    *,
    accepted: bool,
    ignored: frozenset[str],
    seconds: int = PROOF_SECONDS,
) -> Verdict:
    """Does a changed program what another does, but for what it leaves in maps that are `ignored`? Where the verifier has not
    `accepted` the reference, on the inputs on which that does nothing forbidden. Unknown `time` where `seconds` are not enough.
    """
    try:
        with at_most(seconds):
            return prove_equal(
                reference, first, candidate, second, limits=Limits(), ignored=ignored, accepted=accepted, replay=not accepted
            )
    except TimeUp:
        return Unknown("time", f"{seconds} seconds were not enough")
    except InternalError as error:  # what a refused program does is not what interpreter and prover were held together on
        return Unknown("not-reproduced", error.diagnostics[0].message)
    except (LookupError, AssertionError, ValueError) as error:
        if accepted:
            raise
        return Unknown("not-reproduced", f"the program as it was leaves what has a meaning ({error})")


def _behaviour(program: Program, obj: Object, found: Repair) -> tuple[bool | None, str]:
    """Does the changed program do what the other did, on the inputs that this could handle? In words, too."""
    own = added_maps(obj, found.tried.obj)
    verdict = compared(program, obj, found.tried.program, found.tried.obj, accepted=False, ignored=own)
    beside = f"; {', '.join(sorted(own))} is the change's own" if own else ""
    match verdict:
        case Equal(assumptions=assumptions):
            assumed = f"; assumed: {'; '.join(assumptions)}" if assumptions else ""
            return (
                True,
                f"unchanged: proved on every input on which the program as it was did nothing forbidden{beside}{assumed}",
            )
        case Different(counterexample=example) if any(_UNWRITTEN in note for note in example.notes):
            return None, "not compared: it depends on bytes of the stack that nobody wrote"
        case Different(counterexample=example):
            inputs = _shown(example)
            return (
                False,
                f"changed: it differs in the {example.observable} also where the program as it was did nothing {inputs}",
            )
        case Unknown(gap="contradictory-state"):
            return None, "not compared: on every input the program as it was does something forbidden"
        case Unknown(gap=gap, detail=detail):
            return None, f"not proved to be unchanged where the program as it was did nothing forbidden ({gap}: {detail})"


_UNWRITTEN = "depends on uninitialised stack"
"""A note of counterexamples (`semantics.witness`): two runs of the one program may differ like that."""


def _shown(example: Counterexample) -> str:
    """An input on which they differ, and what was seen."""
    sides = [f"{output.return_value}" for output in (example.expected, example.actual)]
    told = f": it returned {sides[0]}, and now {sides[1]}" if sides[0] != sides[1] else ""
    return (
        f"forbidden, as with a packet of {len(example.input.packet)} bytes{told}"
        if example.input.packet
        else f"forbidden{told}"
    )


def suggestion_note(found: Suggestion | None, file: str, program: str, *, is_c: bool = True, kernel: str = "") -> Diagnostic:
    """The suggestion as a note; the diff itself goes to standard output."""
    if not is_c:
        return Diagnostic(
            "no-repair-found",
            f"{file}: no change was searched for {program}, as this is not C",
            severity=Severity.NOTE,
            help="give the C file that it was compiled from",
        )
    if found is None:
        return Diagnostic(
            "no-repair-found",
            f"{file}: no change was found that makes the verifier{f' of kernel {kernel}' if kernel else ''} accept {program}",
            severity=Severity.NOTE,
            help="change the line shown above by hand",
        )
    verifier = f"the verifier of kernel {kernel}" if kernel else "the verifier"
    compiled = f" (compiled with -mcpu={found.cpu})" if found.cpu and found.diff else ""
    return Diagnostic(
        "repair-suggested",
        f"{file}: {verifier} accepts {program} with this change: {', then '.join(found.titles)}{compiled}",
        severity=Severity.NOTE,
        notes=(f"behaviour {found.behaviour}", f"{found.attempts} change{'s' * (found.attempts != 1)} tried"),
        help="look at the change, and apply it with `patch -p1`" if found.diff else f"compile with -mcpu={found.cpu}",
    )
