"""`examples`: the library of examples listed, checked by the gate, and added to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.gate.load import insn_count
from bpfsmith.objfile.object import read_object
from bpfsmith.optimize.admit import Optimized, Settings
from bpfsmith.propose.examples import QUESTIONS, Example, library, user_directory
from bpfsmith.propose.examples import read as read_example
from bpfsmith.propose.screen import includes
from bpfsmith.propose.task import Refused, Stage
from bpfsmith.report import Outcome, Report
from bpfsmith.workflow.compiling import compile_appnet
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input, write_output
from bpfsmith.workflow.judging import AppnetGate, CodeGate
from bpfsmith.workflow.sandbox import sandbox


@dataclass(frozen=True, slots=True)
class Judged:
    """An example and what the gate says of it; `refused` is None for one that may be shown to a model."""

    example: Example
    refused: Refused | None
    words: str


def judged(example: Example, toolchain: Toolchain) -> Judged:
    """Proves the answer of an example against its question, by the gate that candidates go through."""
    if example.kind == "generate":
        opened = open_input(str(example.path), toolchain)
        assert isinstance(opened, AppnetInput)
        rules = compile_appnet(opened, toolchain, timed=False, optimized=False)
        with sandbox(toolchain, ("-fno-builtin",)) as box:
            found = AppnetGate(opened, rules, box, toolchain.level).plain(example.answer)
        return Judged(example, found if isinstance(found, Refused) else None, "proved")
    data = toolchain.compile(example.path)
    with sandbox(toolchain) as box:
        nothing = Optimized(data, ())
        gate = CodeGate(example.path.name, data, nothing, box, Settings(), headers=includes(example.question))
        code = gate.plain(example.answer)
    if isinstance(code, Refused):
        return Judged(example, code, "")
    before, after = (sum(map(insn_count, read_object(item).programs)) for item in (data, code[0].data))
    if after >= before:
        text = f"it is no smaller: {before} insns before, {after} after"
        return Judged(example, Refused(Stage.SIZE, text, text), "")
    return Judged(example, None, f"proved; {before} -> {after} insns")


def add(question: str, answer: str, name: str | None, idea: str, toolchain: Toolchain) -> tuple[Judged, Path | None]:
    """Takes a pair of files into the user's own library, if the gate lets it through; gives where the question lies then.

    InputError `bad-example` for files of the wrong kind, and for a name that is taken.
    """
    kind = "generate" if question.endswith(".appnet") else "optimize" if question.endswith(".c") else None
    if kind is None or not answer.endswith(".c"):
        message = f"{question} and {answer} make no example"
        help = "give an AppNet program and its C, or C and its better form"
        raise InputError(Diagnostic("bad-example", message, help=help))
    for path in (question, answer):
        if not Path(path).is_file():
            raise InputError(Diagnostic("unreadable-file", f"{path} cannot be read: it is no file", help="check the path"))
    name = name or Path(question).name.split(".")[0]
    if not name.replace("-", "_").isidentifier():
        raise InputError(Diagnostic("bad-example", f"{name} is no name for an example", help="use letters, digits and _"))
    example = read_example(kind, name, Path(question), Path(answer))
    ending, answer_ending = QUESTIONS[kind]
    target = user_directory() / kind / f"{name}{ending}"
    if target.exists():
        raise InputError(Diagnostic("bad-example", f"there is an example {name} of yours", help="choose another --name"))
    found = judged(example, toolchain)
    if found.refused is not None:
        return found, None
    told = idea or example.idea
    if not told:
        raise InputError(
            Diagnostic("bad-example", "the example has no idea", help="say in a sentence what it shows: --idea TEXT")
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = "#" if kind == "generate" else "//"
    write_output(str(target.with_name(f"{name}{answer_ending}")), example.answer.encode())
    write_output(str(target), f"{mark} {' '.join(told.split())}\n{example.question}".encode())
    return found, target


def check_all(toolchain: Toolchain) -> Iterator[Judged]:
    """What the gate says of each example there is."""
    for example in library():
        yield judged(example, toolchain)


def examples_report(found: list[Judged] | list[Example]) -> Report:
    """The examples as the envelope that JSON prints."""
    rows = []
    for item in found:
        example = item.example if isinstance(item, Judged) else item
        row: dict[str, object] = {"kind": example.kind, "name": example.name, "idea": example.idea, "path": str(example.path)}
        if isinstance(item, Judged):
            row["refused"] = item.refused.reason if item.refused else None
        rows.append(row)
    bad = any(isinstance(item, Judged) and item.refused is not None for item in found)
    return Report("examples", Outcome.DIFFERENT if bad else Outcome.DONE, details={"examples": rows})
