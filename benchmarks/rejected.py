#!/usr/bin/env python3
"""Rejected programs with their fixes: is the line right, is the cause, and does the proposed change do what a person's does?

    python benchmarks/rejected.py [NAME..] [--levels -O1,-O2,-Os] [--cpus v2,v3] [--no-repair] [--programs DIRECTORY]
    python benchmarks/rejected.py --kernel 5.10,6.1,6.12,6.18,7.2

benchmarks/rejected/ holds mistakes as they are made, each with the fix under -DFIXED. Lines marked `// <-` are those that the
mistake is at, `cause:` in the last comment names the kinds of rejection that tell it. A repair counts where the verifier
accepts it, and where random runs and the prover find nothing that the fixed program does otherwise.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bpfsmith.diagnostic import ToolError
from bpfsmith.gate.differential import Agreement, differential
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.render import diagnostic_text
from bpfsmith.repair.diagnose import Diagnosis, diagnose, diagnostic
from bpfsmith.semantics.verdict import Different, Equal
from bpfsmith.workflow.inputs import BytecodeInput, Toolchain
from bpfsmith.workflow.kernels import on_guests
from bpfsmith.workflow.loadable import Choices
from bpfsmith.workflow.repairing import compared, suggest
from bpfsmith.workflow.subjects import Subject, opened_anyhow, subjects

PROGRAMS = Path(__file__).resolve().parent / "rejected"


@dataclass(frozen=True)
class Row:
    """What became of one program compiled in one way."""

    name: str
    way: str
    kind: str
    line: int
    line_right: bool
    cause_right: bool
    repair: str = ""
    behaves: str = ""
    seconds: float = 0.0
    diff: str = ""


def refused(path: Path, toolchain: Toolchain) -> tuple[Program, Rejected, Object] | None:
    """The first program of a file that this kernel refuses."""
    opened = opened_anyhow(str(path), toolchain)
    assert isinstance(opened, BytecodeInput)
    assert opened.obj is not None
    for program in opened.programs:
        with open_maps(opened.obj) as maps, load(program, maps) as outcome:
            if isinstance(outcome, Rejected):
                return program, outcome, opened.obj
    return None


def marked(path: Path) -> set[int]:
    """The lines at which the mistake may be told."""
    return {number for number, line in enumerate(path.read_text().split("\n"), 1) if "// <-" in line}


def causes(path: Path) -> set[str]:
    """The kinds that tell the mistake."""
    found = re.search(r"// cause: ([\w, -]+)", path.read_text())
    return {f"verifier-{word.strip()}" for word in found[1].split(",")} if found else set()


def plain(text: str) -> str:
    """The program as its author had it, with neither marks nor the fix; line numbers stay."""
    out, keep = [], [True]
    for line in text.split("\n"):
        word = line.split("//")[0].strip()
        if word in ("#ifdef FIXED", "#ifndef FIXED"):
            keep.append(word == "#ifndef FIXED")
        elif word == "#else" and len(keep) > 1:
            keep[-1] = not keep[-1]
        elif word == "#endif" and len(keep) > 1:
            keep.pop()
        else:
            out.append(re.sub(r"\s*// (?:<-|cause:).*", "", line) if all(keep) else "")
            continue
        out.append("")
    return "\n".join(out)


def behaviour(program: Program, diff_text: str, path: Path, toolchain: Toolchain) -> str:
    """The repaired program against the fixed one: what a proof or random runs say."""
    fixed = read_object(replace(toolchain, flags=(*toolchain.flags, "-DFIXED")).compile(path))
    mended = read_object(toolchain.compile(diff_text, name=path.name))
    reference, candidate = fixed.program(program.name), mended.program(program.name)
    own = frozenset(spec.name for spec in fixed.maps) ^ frozenset(spec.name for spec in mended.maps)
    verdict = compared(reference, fixed, candidate, mended, accepted=True, ignored=own)
    if isinstance(verdict, Equal):
        return "proved"
    if isinstance(verdict, Different):
        return f"differs ({verdict.counterexample.observable})"
    seen = differential(reference, fixed, candidate, mended)
    if isinstance(seen, Agreement):
        return f"same in {seen.runs} runs" if seen.runs else "not compared"
    return f"differs ({seen.observable})"


def patched(text: str, diff: str) -> str:
    """A text with a unified diff applied to it."""
    lines, out, at = text.split("\n"), [], 0
    for line in diff.splitlines():
        if match := re.match(r"@@ -(\d+)(?:,(\d+))? \+", line):
            start = int(match[1]) - (1 if match[2] != "0" else 0)
            out += lines[at:start]
            at = start
        elif line.startswith(("+++", "---")):
            continue
        elif line.startswith("+"):
            out.append(line[1:])
        elif line.startswith("-"):
            at += 1
        else:
            out.append(lines[at])
            at += 1
    return "\n".join(out + lines[at:])


def judged(path: Path, way: str, toolchain: Toolchain, scratch: Path, *, repair: bool, told: bool) -> Row | None:
    """None where this kernel accepts the program as this compiler made it."""
    given = scratch / path.name
    given.write_text(plain(path.read_text()))
    found = refused(given, toolchain)
    if found is None:
        return None
    if refused(path, replace(toolchain, flags=(*toolchain.flags, "-DFIXED"))) is not None:
        print(f"{path.name} {way}: the fix is not accepted", file=sys.stderr)
        return None
    diagnosis = diagnose(*found)
    kind = diagnosis.kind.id if diagnosis.kind else "?"
    said = diagnostic(diagnosis)
    line = said.primary.span.line if said.primary else 0
    if told:
        show(diagnosis)
    row = Row(path.name.partition(".")[0], way, kind, line, line in marked(path), kind in causes(path))
    if not repair:
        return row
    started = time.monotonic()
    change = suggest(str(given), *found, toolchain, Choices({}))
    spent = round(time.monotonic() - started, 1)
    if change is None:
        return replace(row, repair="none", seconds=spent)
    behaves = behaviour(found[0], patched(given.read_text(), change.diff), path, toolchain)
    return replace(row, repair="; ".join(change.titles), behaves=behaves, seconds=spent, diff=change.diff)


def elsewhere(programs: Path, names: Sequence[str], kernels: Sequence[str]) -> Iterator[Row]:
    """What the verifiers of other kernels say of the programs, all of them in one boot of each."""
    with tempfile.TemporaryDirectory(prefix="bpfsmith-rejected-") as scratch:
        paths = []
        for path in sorted(programs.glob("*.bpf.c")):
            if not names or path.name.partition(".")[0] in names:
                paths.append(Path(scratch) / path.name)
                paths[-1].write_text(plain(path.read_text()))
        ready = [
            item for item in subjects([str(path) for path in paths], Toolchain(), Choices({})) if isinstance(item, Subject)
        ]
        for guest in on_guests(ready, kernels):
            for item, report, told in zip(ready, guest.reports, guest.diagnostics, strict=True):
                if report.verdict != "rejected" or not told:
                    continue
                path = programs / Path(item.file).name
                line = told[0].primary.span.line if told[0].primary else 0
                right = line in marked(path), told[0].id in causes(path)
                yield Row(path.name.partition(".")[0], guest.kernel, told[0].id, line, *right)


def show(diagnosis: Diagnosis) -> None:
    print(diagnostic_text(diagnostic(diagnosis)))


def rows(programs: Path, names: Sequence[str], ways: Sequence[tuple[str, str]], *, repair: bool, told: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bpfsmith-rejected-") as scratch:
        for path in sorted(programs.glob("*.bpf.c")):
            if names and path.name.partition(".")[0] not in names:
                continue
            for level, cpu in ways:
                toolchain = Toolchain(cpu=cpu, flags=(level,))
                try:
                    row = judged(path, f"{level} {cpu}", toolchain, Path(scratch), repair=repair, told=told)
                except ToolError as error:
                    print(f"{path.name} {level} {cpu}: {error.diagnostics[0].message}", file=sys.stderr)
                    continue
                if row is not None:
                    yield row
                else:
                    print(f"{path.name} {level} {cpu}: accepted as it is", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--levels", default="-O2")
    parser.add_argument("--cpus", default="v3")
    parser.add_argument("--kernel", metavar="LIST", help="diagnose what the verifiers of these kernels say")
    parser.add_argument("--no-repair", action="store_true")
    parser.add_argument("--show", action="store_true", help="print each diagnostic and each change")
    parser.add_argument("--programs", type=Path, default=PROGRAMS, metavar="DIRECTORY")
    parser.add_argument("--csv", metavar="FILE")
    args = parser.parse_args()
    ways = [(level, cpu) for level in args.levels.split(",") for cpu in args.cpus.split(",")]
    found = []
    here = rows(args.programs, args.names, ways, repair=not args.no_repair, told=args.show)
    for row in elsewhere(args.programs, args.names, args.kernel.split(",")) if args.kernel else here:
        found.append(row)
        marks = f"{'line' if row.line_right else 'LINE?':5} {'cause' if row.cause_right else 'CAUSE?':6}"
        print(
            f"{row.name:20} {row.way:7} {marks} {row.kind:38} :{row.line:<4} {row.repair} {row.behaves} {row.seconds}",
            flush=True,
        )
        if args.show:
            print(row.diff)
    count = len(found)
    right = sum(row.line_right and row.cause_right for row in found)
    accepted = sum(row.repair not in ("", "none") for row in found)
    same = sum(row.behaves.startswith(("proved", "same")) for row in found)
    print(f"{count} rejected: line and cause right {right}, line right {sum(row.line_right for row in found)};"
          f" repaired {accepted}, and as the fix does {same}")  # fmt: skip
    if args.csv:
        with Path(args.csv).open("w") as file:
            writer = csv.writer(file)
            writer.writerow(Row.__dataclass_fields__)
            writer.writerows([getattr(row, name) for name in Row.__dataclass_fields__] for row in found)


if __name__ == "__main__":
    main()
