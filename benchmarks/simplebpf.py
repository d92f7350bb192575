"""SimpleBPF's Table 1 (eBPF '25) beside ours: lines, eBPF insns, JIT insns and ns of the three benchmark programs.

    .venv/bin/python benchmarks/simplebpf.py [--csv FILE]

Our rows: `rules` is the generator of `bpfsmith compile`; `straight` is the same generator with its choices turned off (state in
variables under a lock, draws as fixed-point numbers): one plain rule for each construct. `+ optimize` is the post-optimization
column: what `bpfsmith optimize` makes of the same object, proved against the AppNet program like the others. The published
programs are not public, ours are written from their description, so ratios compare and absolute counts do not. All programs are
timed in one run, round by round, with an empty program beside them.
"""

from __future__ import annotations

import argparse
import csv
import sys
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path

from bpfsmith.appnet.c_expressions import Choices
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.lower import STRAIGHT, lower
from bpfsmith.appnet.prove import prove
from bpfsmith.gate.load import insn_count
from bpfsmith.kernel import jit, testrun
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.probe import Available, can_bpf, pinned
from bpfsmith.objfile.object import read_object
from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.semantics.verdict import Equal
from bpfsmith.workflow.demo import PUBLISHED, example_path
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input

ROUNDS, REPEAT = 100, 10_000


@dataclass(frozen=True, slots=True)
class Row:
    program: str
    variant: str
    appnet_lines: int
    c_lines: int
    insns: int
    xlated_slots: int | None = None
    jited_insns: int | None = None
    run_ns: int | None = None
    floor_ns: int | None = None
    spread_ns: float | None = None
    proof: str = ""


def published() -> list[Row]:
    return [
        Row(name, "published, rule-based", row.appnet_lines, row.c_lines, row.insns, jited_insns=row.jited_insns)
        for name, row in PUBLISHED.items()
    ]


def measure_all() -> list[Row]:
    """Compiles both variants of the three programs, optimizes them, and times all twelve together."""
    rows: list[Row] = []
    loaded: list[Accepted] = []
    with ExitStack() as resources:
        for name in PUBLISHED:
            opened = open_input(str(example_path(name)), Toolchain())
            assert isinstance(opened, AppnetInput)
            element = opened.element
            for variant, choices in (("rules", Choices()), ("straight", STRAIGHT)):
                generated = lower(element, initial_values(element), choices=choices)
                plain = Toolchain().compile_generated(generated.c_text, f"{name}.bpf.c")
                better = optimize(plain, name, Settings(timed=False)).data
                for label, data in ((variant, plain), (f"{variant} + optimize", better)):
                    obj = read_object(data)
                    program = obj.program(generated.function)
                    verdict = prove(element, program, obj)
                    proof = "equal" if isinstance(verdict, Equal) else type(verdict).__name__.lower()
                    row = Row(name, label, element.line_count, generated.line_count, insn_count(program), proof=proof)
                    if isinstance(can_bpf(), Available):
                        maps = resources.enter_context(open_maps(obj))
                        outcome = resources.enter_context(load(program, maps))
                        assert isinstance(outcome, Accepted)
                        loaded.append(outcome)
                    rows.append(row)
        if not loaded:
            return rows
        with pinned(0):
            timed = testrun.measure(loaded, rounds=ROUNDS, repeat=REPEAT)
        return [
            replace(
                row,
                xlated_slots=accepted.xlated_slots,
                jited_insns=jit.count(accepted.jited) if accepted.jited else None,
                run_ns=timing.min_ns,
                floor_ns=timed.floor.min_ns,
                spread_ns=timing.spread_ns,
            )
            for row, accepted, timing in zip(rows, loaded, timed.programs, strict=True)
        ]


def _cells(row: Row) -> tuple[object, ...]:
    return tuple(getattr(row, item.name) for item in fields(Row))


def main() -> int:
    parser = argparse.ArgumentParser(description="SimpleBPF's Table 1 beside ours.")
    parser.add_argument("--csv", metavar="FILE", help="write the rows there too")
    args = parser.parse_args()
    rows = sorted([*published(), *measure_all()], key=lambda row: list(PUBLISHED).index(row.program))
    titles = ("program", "variant", "AppNet", "C", "insns", "xlated", "JIT insns", "ns", "floor", "spread", "proof")
    table = [titles, *(tuple("-" if cell in (None, "") else str(cell) for cell in _cells(row)) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(titles))]
    for line in table:
        cells = (
            cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
    if args.csv:
        with Path(args.csv).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(item.name for item in fields(Row))
            writer.writerows(_cells(row) for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
