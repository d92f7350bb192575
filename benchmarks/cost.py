"""Predicted against measured time of the programs in `held_out`, which nothing was fitted to; prints a table, writes cost.csv.

    .venv/bin/python benchmarks/cost.py [--profile profile.json | --measure] [--rounds N]

Measured: the kernel's test run, rounds interleaved, an empty program's time of the same round taken off. Predicted: from the
bytecode, the packet and the cost profile. `--measure` makes the part of the profile that prediction needs first.

A machine's speed changes from minute to minute, with the clock of its CPU and with neighbours. So the programs that the profile
was fitted to run in the same rounds; by how much they are slower than when the profile was made is printed, with the errors
that are left when it is taken out.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from bpfsmith.codegen.clang import Compiler
from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiments import of_tables
from bpfsmith.cost.experiments.train import FILE as TRAIN_FILE
from bpfsmith.cost.experiments.train import PACKET, side_by_side
from bpfsmith.cost.experiments.train import PROGRAMS as TRAIN_PROGRAMS
from bpfsmith.cost.fitting import error, with_fit
from bpfsmith.cost.measure import measure
from bpfsmith.cost.model import Model
from bpfsmith.cost.paths import paths
from bpfsmith.cost.profile import from_results, load_profile
from bpfsmith.cost.sampling import above, estimate, rounds_of
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object, read_object

HELD_OUT = Path(__file__).parent / "held_out"
APART = 0.15
LEAST_NS = 5.0
"""What is shorter says little about the machine's speed."""
PREDICTION_TABLES = ("maps", "chain", "helpers", "insns")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", help="a profile of this machine (default: the shipped one)")
    parser.add_argument("--measure", action="store_true", help="measure what prediction needs first, about half a minute")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--csv", default="cost.csv")
    args = parser.parse_args()
    programs: list[tuple[Program, Object | None]] = []
    for file in sorted(HELD_OUT.glob("*.bpf.c")):
        obj = read_object(Compiler.default().compile(file))
        programs += [(program, obj) for program in obj.programs]
    with Bench() as bench, ExitStack() as stack:
        if args.measure:
            results = measure(of_tables(PREDICTION_TABLES), bench, say=lambda text: print(text, file=sys.stderr))
            profile = with_fit(from_results(results, os.getloadavg()[0]), bench.object(TRAIN_FILE))
        else:
            profile = load_profile(args.profile)
        fitted = bench.object(TRAIN_FILE)
        yardsticks = [(fitted.program(name), fitted) for name in TRAIN_PROGRAMS]
        actions, maps = side_by_side(bench, stack, [*programs, *yardsticks])
        samplers = {name: (lambda name=name, action=action: action()[name]) for name, action in actions.items()}
        # What a program leaves in its maps the first time is what it finds from then on.
        for sampler in samplers.values():
            sampler()
        contents = {
            program.name: {
                spec.name: maps[program.name].read(spec.name)
                for spec in program.maps
                if "HASH" in spec.type or (spec.type == "BPF_MAP_TYPE_ARRAY" and spec.initial is None)
            }
            for program, _ in programs
        }
        samples = rounds_of(samplers, args.rounds)
    model = Model(profile)
    pace = statistics.median(
        estimate(above(samples[program.name], samples[f"floor_{program.section}"])).value / then.value
        for program, _ in yardsticks
        if (then := profile.find("train", program.name)) is not None and then.value > LEAST_NS
    )
    rows = []
    for program, _ in programs:
        floor = samples[f"floor_{program.section}"]
        measured = estimate(above(samples[program.name], floor))
        path = paths(program, packet=PACKET, maps=contents[program.name]).paths[0]
        cost = model.cost(program, path.steps)
        rows.append((program.name, len(path.steps), measured.value, measured.spread, cost.ns, error(cost.ns, measured.value)))
    print(f"{'program':20} {'insns run':>9} {'measured':>9} {'spread':>7} {'predicted':>9} {'error':>6}")
    for name, steps, value, spread, predicted, off in rows:
        print(f"{name:20} {steps:9} {value:9.1f} {spread:7.1f} {predicted:9.1f} {off:6.0%}")
    pairs = [
        (a, b) for a, b in itertools.combinations(rows, 2) if abs(a[2] - b[2]) > APART * max(a[2], b[2]) and max(a[2], b[2]) > 1
    ]
    right = sum((a[2] < b[2]) == (a[4] < b[4]) for a, b in pairs)
    print(f"{len(rows)} programs; median error {statistics.median(row[5] for row in rows):.1%} (the bar: 20 %)")
    print(f"the machine is {pace:.2f} times as slow as when the profile was made; without that", end=" ")
    print(f"{statistics.median(error(row[4], row[2] / pace) for row in rows):.1%}")
    print(f"{right} of {len(pairs)} pairs {APART:.0%} apart are in the right order: {right / len(pairs):.1%} (bar 90 %)")
    with Path(args.csv).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("program", "insns_run", "measured_ns", "spread_ns", "predicted_ns", "error"))
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
