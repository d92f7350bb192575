"""Random programs that the verifier accepts: interpreter, prover at constants and kernel must leave the same behind.

    .venv/bin/python benchmarks/random_programs.py [--count 10000] [--seed N] [--jobs N]

Programs are those of the test suite's property tests (tests/support/random_programs.py): arithmetic, memory of every kind,
spilled pointers, atomics, branches, loops, maps, functions that call functions. A disagreement is printed with its seed, with
which it can be made again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bpfsmith.gate.load import insn_count
from bpfsmith.kernel.maps import open_maps
from bpfsmith.semantics.concrete import run
from tests.support.oracles import by_kernel, by_prover_at_constants, without_calls
from tests.support.random_programs import MAPS, STEPS, program, run_input

MOST_STEPS = 16
CHUNK = 100


def judged(seeds: range) -> list[tuple[int, str, int]]:
    """(seed, what happened, insns) of each; "agree" is what should happen."""
    with open_maps(MAPS) as maps:
        return [(seed, *_judged(seed, maps)) for seed in seeds]


def _judged(seed: int, maps: object) -> tuple[str, int]:
    random = Random(seed)
    names = sorted(STEPS)
    steps = [(random.choice(names), random.getrandbits(32)) for _ in range(random.randint(1, MOST_STEPS))]
    made, given = program(steps), run_input(random)
    size = insn_count(made)
    try:
        kernel = by_kernel(made, given, maps)  # type: ignore[arg-type]
    except AssertionError as refused:
        return f"rejected by the verifier: {str(refused).splitlines()[0]}", size
    for name, oracle in (("interpreter", run), ("prover", by_prover_at_constants)):
        try:
            said = without_calls(oracle(made, given))
        except Exception as error:  # noqa: BLE001 (any end but the right one is a finding)
            return f"{name} stops: {error}", size
        if said != kernel:
            return f"{name} and kernel disagree", size
    return "agree", size


def chunks(count: int, seed: int) -> Iterator[range]:
    for start in range(seed, seed + count, CHUNK):
        yield range(start, min(start + CHUNK, seed + count))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program; the others follow")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    insns = 0
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool(args.jobs) as pool:
        for chunk in pool.imap_unordered(judged, chunks(args.count, args.seed)):
            for seed, what, size in chunk:
                counts[what.partition(":")[0]] += 1
                insns += size
                if what != "agree":
                    print(f"seed {seed}: {what}", flush=True)
    total = sum(counts.values())
    print(f"{total} programs, {insns / total:.0f} insns on average, {time.monotonic() - began:.0f} s: ", end="")
    print(", ".join(f"{count} {what}" for what, count in counts.most_common()))
    return 0 if counts["agree"] == total else 1


if __name__ == "__main__":
    sys.exit(main())
