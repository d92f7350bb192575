"""How many clang pairs the engine decides, how fast, and in how much memory; beside it z3 alone on the same pairs.

    .venv/bin/python benchmarks/equiv.py [--corpus NAME].. [--debian PACKAGE].. [--baseline] [--jobs N] [--csv FILE]

A pair is one program compiled twice: -O2 for v3 against -O1, -O2 and -Os for v1 to v4. Both must be accepted by this machine's
verifier, and pairs of identical code are left out. Each pair is checked in a process of its own, forked from one that has
everything imported, so time (CPU seconds of the check) and peak memory are those of one pair. The baseline asks z3 about
terms in which only constants are folded: no normal forms, no cutpoints, no random inputs, no Bitwuzla.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import multiprocessing.context
import os
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from functools import partial
from itertools import product
from multiprocessing.connection import Connection, wait
from pathlib import Path

import corpora
from corpora import CPUS, LEVELS, OWN, Pair

from bpfsmith.diagnostic import ToolError
from bpfsmith.gate.prove import prove_equal
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict

CLASSES = ((1, 250), (251, 1000), (1001, 1_000_000))
"""Sizes in insns of the larger side."""


@dataclass(frozen=True)
class Row:
    corpus: str
    program: str
    ways: str
    insns: int
    engine: str
    verdict: str
    gap: str
    detail: str
    cpu_s: float
    wall_s: float
    peak_mb: float


def engine(pair: Pair) -> Verdict:
    """What `bpfsmith check` asks."""
    a, b = pair.reference, pair.candidate
    return prove_equal(a.program, a.obj, b.program, b.obj)


def z3_alone(pair: Pair) -> Verdict:
    from plain import prove_plainly

    return prove_plainly(pair.reference.program, pair.candidate.program, Limits(solver="z3"))


ENGINES: dict[str, Callable[[Pair], Verdict]] = {"bpfsmith": engine, "z3 alone": z3_alone}


def words(verdict: Verdict) -> tuple[str, str, str]:
    match verdict:
        case Equal(evidence=evidence):
            return "equal", "", "; ".join(sorted({item.rpartition(": ")[2] for item in evidence}))
        case Different(counterexample=example):
            return "different", "", f"{example.observable}; replayed on {', '.join(example.replayed_on)}"
        case Unknown(gap=gap, detail=detail):
            return "unknown", gap, detail


Said = tuple[str, str, str]
"""Verdict, gap and detail."""


def _ask(name: str, pair: Pair) -> Said:
    return words(ENGINES[name](pair))


def _child(pipe: Connection, ask: Callable[[Pair], Said], pair: Pair) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        said = ask(pair)
    except ToolError as error:
        said = ("error", error.diagnostics[0].id, error.diagnostics[0].message)
    except Exception as error:  # noqa: BLE001 (a crash of one pair is a result of the benchmark)
        said = ("error", type(error).__name__, str(error))
    spent = time.process_time() - cpu, time.perf_counter() - wall
    pipe.send((said, *spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    pipe.close()


MOST_WAIT = 20
"""How many times its limit of CPU time a process may take on the clock: others may need the machine."""


def _cpu_s(pid: int | None) -> float:
    """CPU seconds that a process has used (proc(5): utime and stime)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_all(
    pairs: Sequence[tuple[Pair, str]], jobs: int, timeout_s: float, ask: Callable[[Pair], Said] | None = None
) -> Iterator[tuple[Pair, Row]]:
    """Rows as they come, `jobs` at once, each pair in a process of its own."""
    context = multiprocessing.get_context("fork")
    waiting = list(reversed(pairs))
    running: dict[Connection, tuple[Pair, str, multiprocessing.context.ForkProcess, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            pair, name = waiting.pop()
            mine, theirs = context.Pipe(duplex=False)
            asked = ask or partial(_ask, name)
            process = context.Process(target=_child, args=(theirs, asked, pair))
            process.start()
            theirs.close()
            running[mine] = (pair, name, process, time.monotonic())
        ready = wait(list(running), timeout=0.5)
        for pipe in list(running):
            pair, name, process, began = running[pipe]
            said, cpu, wall, peak = ("unknown", "timeout", f"{timeout_s:g} s"), timeout_s, timeout_s, float("nan")
            if pipe in ready:
                try:
                    said, cpu, wall, peak = pipe.recv()
                except EOFError:
                    said = ("error", "died", "the process ended without an answer")
            elif max(_cpu_s(process.pid), (time.monotonic() - began) / MOST_WAIT) > timeout_s:
                process.kill()
            else:
                continue
            process.join()
            pipe.close()
            del running[pipe]
            yield pair, Row(pair.corpus, pair.name, pair.ways, pair.insns, name, *said, cpu, wall, peak)


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """One line a corpus, engine and size class."""
    titles = (
        "corpus",
        "insns",
        "engine",
        "pairs",
        "equal",
        "different",
        "unknown",
        "error",
        "decided",
        "p50 s",
        "p95 s",
        "peak MB",
    )
    lines: list[tuple[str, ...]] = [titles]
    names = list(dict.fromkeys(row.corpus for row in rows))
    for corpus in [*names, *(["all"] if len(names) > 1 else [])]:
        for least, most in CLASSES:
            for name in ENGINES:
                some = [
                    row for row in rows if corpus in ("all", row.corpus) and least <= row.insns <= most and row.engine == name
                ]
                if not some:
                    continue
                count = Counter(row.verdict for row in some)
                times = [row.cpu_s for row in some]
                peak = max((row.peak_mb for row in some if row.peak_mb == row.peak_mb), default=float("nan"))
                decided = 100 * (count["equal"] + count["different"]) / len(some)
                lines.append((
                    corpus, f"{least}-{most}" if most < 1_000_000 else f">{least - 1}", name, str(len(some)),
                    f"{100 * count['equal'] / len(some):.1f}%", str(count["different"]), str(count["unknown"]),
                    str(count["error"]), f"{decided:.1f}%", f"{statistics.median(times):.3f}",
                    f"{percentile(times, 0.95):.2f}", f"{peak:.0f}",
                ))  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        yield "  ".join(
            cell.ljust(w) if i in (0, 1, 2) else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()


def gaps(rows: Sequence[Row]) -> Iterator[str]:
    """What was not Equal, by reason, most frequent first."""
    for engine_name in ENGINES:
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row.verdict != "equal" and row.engine == engine_name:
                groups.setdefault((row.verdict, row.gap), []).append(row)
        for (verdict, gap), some in sorted(groups.items(), key=lambda item: -len(item[1])):
            yield f"{engine_name}: {verdict} {gap} {len(some)}"
            for program in dict.fromkeys(row.program for row in some):
                mine = [row for row in some if row.program == program]
                yield f"    {program} ({len(mine)}, {mine[0].ways}): {mine[0].detail[:160]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", choices=[*OWN], help="default: all of our own")
    parser.add_argument("--only", metavar="TEXT", help="programs whose name has TEXT in it")
    parser.add_argument("--debian", action="append", default=[], metavar="PACKAGE", help="sources of this Debian package too")
    parser.add_argument("--baseline", action="store_true", help="z3 alone on the same pairs")
    parser.add_argument("--levels", nargs="+", default=[level[1:] for level in LEVELS], metavar="Ox")
    parser.add_argument("--mcpu", nargs="+", default=list(CPUS), metavar="vN")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=120, metavar="S", help="CPU seconds of one pair (default: 120)")
    parser.add_argument("--csv", metavar="FILE", help="write one row a pair there")
    args = parser.parse_args()
    import bitwuzla  # noqa: F401 (children find it loaded)
    import z3  # noqa: F401

    ways = list(dict.fromkeys([corpora.REFERENCE, *product((f"-{level}" for level in args.levels), args.mcpu)]))
    pairs: list[Pair] = []
    for name in args.corpus or ([] if args.debian else [*OWN]):
        pairs += corpora.pairs(name, sorted(OWN[name].glob("*.bpf.c")), ways, jobs=args.jobs)
    if args.debian:
        import debian

        for package in args.debian:
            found = debian.sources(package)
            pairs += corpora.pairs(package, found.files, ways, found.flags, args.jobs)
    pairs = [pair for pair in pairs if args.only is None or args.only in pair.name]
    names = ["bpfsmith", *(["z3 alone"] if args.baseline else [])]
    todo = [(pair, name) for pair in pairs for name in names]
    rows: list[Row] = []
    with ExitStack() as resources:
        file = resources.enter_context(Path(args.csv).open("w", newline="")) if args.csv else None
        writer = csv.writer(file) if file else None
        if writer:
            writer.writerow(item.name for item in fields(Row))
        try:
            for _, row in check_all(todo, args.jobs, args.timeout):
                rows.append(row)
                if writer and file:
                    writer.writerow(astuple(row))
                    file.flush()
                if sys.stderr.isatty():
                    print(f"\r{len(rows)} of {len(todo)}", end="", file=sys.stderr)
        except KeyboardInterrupt:
            print(f"interrupted after {len(rows)} of {len(todo)}", file=sys.stderr)
    rows.sort(key=lambda row: (row.corpus, row.program, row.ways, row.engine))
    for line in (*summary(rows), "", *gaps(rows)):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
