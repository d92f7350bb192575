"""`optimize`: any input as an object, made smaller and faster, with what was proved and measured as a report."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError, Severity, ToolError
from bpfsmith.optimize import cache
from bpfsmith.optimize.admit import Optimized, ProgramResult, Settings, learn, optimize
from bpfsmith.optimize.ledger import Step
from bpfsmith.optimize.spread import Spread, cluster, processes
from bpfsmith.report import Outcome, ProgramReport, Report
from bpfsmith.semantics.verdict import Equal, Unknown
from bpfsmith.workflow.compiling import generate, place_of
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input, probes_object

_COMPARED = (
    "insns", "xlated_slots", "jited_bytes", "jited_insns", "processed_insns", "states", "stack_depth", "run_ns",
    "run_spread_ns",
)  # fmt: skip


def object_bytes(path: str, toolchain: Toolchain) -> bytes:
    """The object that a file is, or that is compiled from it. InputError for assembly, which has no object."""
    opened = open_input(path, toolchain)
    if isinstance(opened, AppnetInput):
        return toolchain.compile_generated(generate(opened, place_of(opened, toolchain)).c_text, f"{opened.element.name}.bpf.c")
    if opened.obj is None:
        raise InputError(
            Diagnostic(
                "unknown-file-type",
                f"{path} is assembly, and an object is needed here: what comes out has the maps and types of what goes in",
                help="give an object or C",
            )
        )
    match Path(path).suffix:
        case ".c":
            return toolchain.compile(Path(path))
        case ".probe":
            return probes_object(path, toolchain)
        case ".filter":
            from bpfsmith.workflow.frontends import made

            return made(path, toolchain, optimized=False).object_bytes
        case _:
            return Path(path).read_bytes()


def optimize_file(
    path: str, toolchain: Toolchain, settings: Settings, progress: Callable[[str], None] = lambda text: None
) -> Optimized:
    """Optimises the programs of a file, all of them unless `settings` names some."""
    done = optimize(object_bytes(path, toolchain), path, settings, progress)
    cache.usual().generalise(dict(cache.usual().fresh))
    keep(cache.user_file())
    return done


def keep(path: Path) -> int:
    """Adds what was found by search to a cache; how many rules that has, 0 when it cannot be written: it only saves time."""
    found = cache.usual().fresh
    if not found:
        return 0
    try:
        return cache.save(path, found.items())
    except (OSError, sqlite3.Error):
        return 0


def learn_from(
    paths: Sequence[str],
    toolchain: Toolchain,
    path: Path,
    jobs: int,
    progress: Callable[[str], None],
    scheduler: str | None = None,
) -> Report:
    """Searches the windows of all these files, of directories the objects in them, and adds what is found to the cache; on the
    cluster behind the Dask `scheduler` if there is one. InputError `no-cluster`."""
    with cluster(scheduler) if scheduler else nullcontext(processes(jobs)) as spread:
        return _learn_from(paths, toolchain, path, spread, progress)


def _learn_from(
    paths: Sequence[str], toolchain: Toolchain, path: Path, spread: Spread, progress: Callable[[str], None]
) -> Report:
    files = [item for name in paths for item in (sorted(Path(name).rglob("*.o")) if Path(name).is_dir() else [Path(name)])]
    skipped: list[Diagnostic] = []
    kept = 0
    for file in files:
        progress(f"learning from {file}")
        try:
            cache.usual().fresh.update(learn(object_bytes(str(file), toolchain), toolchain.level, spread))
        except ToolError as error:
            skipped += [replace(item, severity=Severity.WARNING) for item in error.diagnostics[:1]]
        kept = keep(path)  # what was found so far survives an interruption
    progress("making rules of what was found")
    general = cache.usual().generalise({**cache.usual().known, **cache.usual().fresh})
    kept = keep(path) or kept
    found = {key: text for key, text in cache.usual().fresh.items() if cache.is_window(key)}
    shorter = sum(text != cache.NOTHING for text in found.values())
    details = {
        "files": len(files), "windows": len(found), "shorter": shorter, "generalised": general, "rules": kept,
        "cache": str(path),
    }  # fmt: skip
    return Report("optimize", Outcome.DONE, diagnostics=tuple(skipped), details=details)


ENTRIES = "arrays have at least the entries that the object declares: what was done without one is gone"
REFINED = "updates that were a load and a store are atomic: what other CPUs do can no longer come between (a refinement)"


_ASSUMED = {"atomic": REFINED, "missing-entry": ENTRIES}
"""What steps of a rule take for granted."""


def optimize_report(done: Optimized, settings: Settings) -> Report:
    """The envelope; each program has its counts before and after, its verdict, and its steps."""
    equal = [item.verdict for item in done.programs if isinstance(item.verdict, Equal)]
    taken = {step.rule for item in done.programs for step in item.steps}
    refined = [text for rule, text in _ASSUMED.items() if rule in taken]
    return Report(
        "optimize",
        Outcome.EQUAL,
        assumptions=tuple(dict.fromkeys((*(text for verdict in equal for text in verdict.assumptions), *refined))),
        details={"objective": settings.objective, "programs": [_program(item) for item in done.programs]},
    )


def _program(item: ProgramResult) -> dict[str, object]:
    out: dict[str, object] = {"name": item.before.name, "section": item.before.section}
    for name in _COMPARED:
        out[f"{name}_before"], out[f"{name}_after"] = getattr(item.before, name), getattr(item.after, name)
    out["slots_before"], out["slots_after"] = slots(item)
    out["floor_ns"] = item.after.floor_ns
    out["verdict"] = "equal"
    out["proof"] = "whole-program" if isinstance(item.verdict, Equal) else "simulation"
    out["unknown"] = f"{item.verdict.gap}: {item.verdict.detail}" if isinstance(item.verdict, Unknown) else None
    out["verifier"] = item.judged
    out["steps"] = [
        {"rule": step.rule, "place": str(step.span) if step.span else None, "what": step.what, "proof": proofs(step, item)}
        for step in item.steps
    ]
    out["left_out"] = [text for function in item.functions for text in function.refused]
    out["unchanged"] = {function.function.name: function.reason for function in item.functions if function.reason}
    out["notes"] = list(item.notes)
    return out


def proofs(step: Step, item: ProgramResult) -> list[str]:
    """What a step rests on: the proof of its rule or window, that of its function, and that of the whole program."""
    own = ["rule"] if step.rule.startswith("rule ") else ["window"] if step.rule == "window" else []
    return [*own, "simulation", *(["whole-program"] if isinstance(item.verdict, Equal) else [])]


def slots(item: ProgramResult) -> tuple[int, int]:
    """Slots of 8 bytes of the program with its subprograms, before and after."""
    return sum(part.slots_before for part in item.functions), sum(part.slots_after for part in item.functions)


# --- for a terminal ---------------------------------------------------------------------------------------------------
def optimize_lines(done: Optimized, concise: bool = False) -> Iterator[str]:
    """A table of the programs, then what was done and how it was proved."""
    rows = [_row(item) for item in done.programs]
    if concise:
        yield from (" ".join(cell for cell in row if cell != "-") for row in rows)
        return
    table = [["program", "slots", "JITed bytes", "verifier insns", "ns a run", "proof"], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    counts = Counter(step.rule for item in done.programs for step in item.steps)
    if counts:
        yield f"steps       {', '.join(f'{rule} {count}' for rule, count in counts.most_common())}"
    yield from (f"assuming    {text}" for rule, text in _ASSUMED.items() if counts[rule])
    for item in done.programs:
        yield from _remarks(item)


def _row(item: ProgramResult) -> list[str]:
    before, after = slots(item)
    saved = f" (-{100 * (before - after) / before:.1f} %)" if before > after else ""
    proof = "whole program" if isinstance(item.verdict, Equal) else "simulation"
    return [
        item.before.name,
        f"{before} -> {after}{saved}",
        _pair(item, "jited_bytes"),
        _pair(item, "processed_insns"),
        _pair(item, "run_ns"),
        proof if before > after or item.steps else "nothing changed",
    ]


def _pair(item: ProgramResult, name: str) -> str:
    values = getattr(item.before, name), getattr(item.after, name)
    return "-" if None in values else " -> ".join(f"{value:.0f}" for value in values)


def _remarks(item: ProgramResult) -> Iterator[str]:
    name = item.before.name
    if isinstance(item.verdict, Unknown) and item.steps:
        yield f"{name}: not proved as a whole ({item.verdict.gap}: {item.verdict.detail})"
    if item.judged.startswith("not asked"):
        yield f"{name}: verifier {item.judged}"
    for function in item.functions:
        if function.reason:
            yield f"{function.function.name}: left as it was: {function.reason}"
        for text in function.refused:
            yield f"{name}: left out: {text}"
    yield from (f"{name}: {note}" for note in item.notes)
    if is_not_faster(item.before, item.after) and item.steps:
        yield f"{name}: fewer instructions, not faster: the times differ by less than their spread"


def is_not_faster(before: ProgramReport, after: ProgramReport) -> bool:
    """Were both timed, and the difference lost in the spread?"""
    if before.run_ns is None or after.run_ns is None:
        return False
    return before.run_ns - after.run_ns <= max(before.run_spread_ns or 0, after.run_spread_ns or 0)
