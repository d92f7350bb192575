"""Predicted against measured time of the programs in `held_out`, which nothing was fitted to; prints a table, writes cost.csv.

    .venv/bin/python benchmarks/cost.py [--profile profile.json | --measure] [FILE..]

Measured: the kernel's test run, rounds interleaved, an empty program's time of the same round taken off. Predicted: from the
bytecode, the packet and the cost profile. `--measure` makes the part of the profile that prediction needs first.

A machine's speed changes from second to second, with the clock of its CPU and with neighbours on its cores. So there are two
measured columns: what the programs took, and what they would have taken at the speed that the profile is true for.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bpfsmith.codegen.clang import Compiler
from bpfsmith.cost.bench import Bench
from bpfsmith.cost.checking import Check, check
from bpfsmith.cost.experiments import of_tables
from bpfsmith.cost.experiments.train import FILE as TRAIN_FILE
from bpfsmith.cost.experiments.train import PACKET
from bpfsmith.cost.fitting import with_fit
from bpfsmith.cost.measure import measure
from bpfsmith.cost.model import Model
from bpfsmith.cost.profile import from_measurement, load_profile
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object, read_object

HELD_OUT = Path(__file__).parent / "held_out"
APART = 0.15
PREDICTION_TABLES = ("maps", "chain", "helpers", "insns")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="C sources (default: those in held_out)")
    parser.add_argument("--profile", help="a profile of this machine (default: the shipped one)")
    parser.add_argument("--measure", action="store_true", help="measure what prediction needs first, about half a minute")
    parser.add_argument("--csv", default="cost.csv")
    args = parser.parse_args()
    programs: list[tuple[Program, Object | None]] = []
    for file in args.files or sorted(HELD_OUT.glob("*.bpf.c")):
        obj = read_object(Compiler.default().compile(file))
        programs += [(program, obj) for program in obj.programs]
    with Bench() as bench:
        if args.measure:
            measurement = measure(of_tables(PREDICTION_TABLES), bench, say=lambda text: print(text, file=sys.stderr))
            profile = with_fit(from_measurement(measurement, os.getloadavg()[0]), bench.object(TRAIN_FILE))
        else:
            profile = load_profile(args.profile)
        found = check(programs, Model(profile), bench, PACKET)
    checks = found.checks
    print(
        f"{'program':18} {'insns':>5} {'predicted':>9} {'measured':>9} {'error':>6} {'put right':>9} {'error':>6} {'spread':>6}"
    )
    for item in checks:
        row = (item.path.cost.ns, item.measured.value, item.error, item.put_right.value, item.error_put_right)
        print(f"{item.name:18} {len(item.path.path.steps):5}", end=" ")
        print("{:9.1f} {:9.1f} {:6.0%} {:9.1f} {:6.0%}".format(*row), f"{item.put_right.spread:6.1f}")
    print(f"{len(checks)} programs; they ran {found.slowdown:.2f} times as slow as on a core to itself")
    for words, of in (("as measured", lambda item: item.measured.value), ("put right", lambda item: item.put_right.value)):
        print(f"{words:12}", *_summary(checks, of), sep="  ")
    within = [_within(item.measured.value / max(item.path.cost.ns, 1), profile.likely_factors) for item in checks]
    print(f"{sum(within)} of {len(checks)} as measured lie where 8 of 10 are said to")
    with Path(args.csv).open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("program", "insns_run", "predicted_ns", "measured_ns", "put_right_ns", "spread_ns", "error"))
        for item in checks:
            measured = item.measured.value, item.put_right.value, item.put_right.spread
            writer.writerow((item.name, len(item.path.path.steps), item.path.cost.ns, *measured, item.error))
    return 0


def _within(ratio: float, factors: tuple[float, float] | None) -> bool:
    return factors is not None and factors[0] <= ratio <= factors[1]


def _summary(checks: Sequence[Check], measured: Callable[[Check], float]) -> list[str]:
    errors = [item.error if measured(item) == item.measured.value else item.error_put_right for item in checks]
    pairs = [
        (a, b)
        for a, b in itertools.combinations(checks, 2)
        if abs(measured(a) - measured(b)) > APART * max(measured(a), measured(b)) and max(measured(a), measured(b)) > 1
    ]
    right = sum((measured(a) < measured(b)) == (a.path.cost.ns < b.path.cost.ns) for a, b in pairs)
    return [
        f"median error {statistics.median(errors):.1%} (the bar: 20 %)",
        f"{right} of {len(pairs)} pairs {APART:.0%} apart in the right order: {right / max(len(pairs), 1):.1%} (bar 90 %)",
    ]


if __name__ == "__main__":
    sys.exit(main())
