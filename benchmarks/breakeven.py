"""The break-even of a small cache in front of a UDP server (examples/cost/cache.bpf.c): predicted, and measured.

    .venv/bin/python benchmarks/breakeven.py [--profile profile.json | --measure] [--rounds N]

Measured: closed-loop round trips in namespaces, with the program and without it in the same rounds, at shares of hits from 0
to 100 %; the break-even is where a line through the ratios is 1; `ratios` are those at 0, 50 and 100 %. The program is taken
as it is, and with 1 and 4 KB hashed before it asks its map, which makes it dear.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from bpfsmith.codegen.clang import Compiler
from bpfsmith.cost.advice import advise
from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiments import EXPERIMENTS, of_tables
from bpfsmith.cost.experiments.train import FILE as TRAIN_FILE
from bpfsmith.cost.experiments.wiring import PORT, network
from bpfsmith.cost.fitting import with_fit
from bpfsmith.cost.measure import measure
from bpfsmith.cost.model import Model
from bpfsmith.cost.predict import predict
from bpfsmith.cost.profile import from_measurement, load_profile
from bpfsmith.cost.sampling import estimate
from bpfsmith.cost.workload import of_share
from bpfsmith.kernel import links, syscall
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.workflow.costing import Question, costs_of

CACHE = Path(__file__).parent.parent / "examples" / "cost" / "cache.bpf.c"
DIGESTS = (0, 1024, 4096)
SHARES = tuple(range(0, 101, 10))
BAR = 0.10


def measured_ratios(bench: Bench, obj: Object, rounds: int) -> dict[int, list[float]]:
    """Round trips past the program by those without it, by the share of hits in percent."""
    with ExitStack() as stack:
        net = network(bench, stack, 2, ("pass_xdp",))
        plain, cached = net.wires
        program = obj.programs[0]
        maps = stack.enter_context(open_maps(program, obj=obj))
        accepted = load(program, maps)
        assert isinstance(accepted, Accepted), accepted
        stack.enter_context(accepted)
        syscall.map_update(maps.fd("known"), (1).to_bytes(4, "little"), bytes(8))
        with cached.server.entered():
            stack.enter_context(links.xdp(accepted.fd, cached.server_device))
        net.open_client_xdp(cached)
        net.serve_udp(plain)
        net.serve_udp(cached)
        without, past = net.connect("udp", plain), net.connect("udp", cached)

        def mean(index: int, share: int) -> float:
            return net.client.ask(f"ping {index} 300 32 {share}")[2]

        assert PORT == 7
        ratios: dict[int, list[float]] = {share: [] for share in SHARES}
        for _ in range(rounds):
            for share in SHARES:
                ratios[share].append(mean(past, share) / mean(without, share))
        return ratios


def crossing(ratios: dict[int, list[float]]) -> float | None:
    """Where the line through the median ratios (Theil and Sen: the median of slopes) is 1; None where it is not between 0 and
    1."""
    points = [(share / 100, statistics.median(values)) for share, values in ratios.items()]
    slopes = [(y1 - y0) / (x1 - x0) for i, (x0, y0) in enumerate(points) for x1, y1 in points[i + 1 :]]
    slope = statistics.median(slopes)
    start = statistics.median(y - slope * x for x, y in points)
    where = (1 - start) / slope if slope else 2.0
    return where if 0 <= where <= 1 else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", help="a profile of this machine (default: the shipped one)")
    parser.add_argument("--measure", action="store_true", help="measure what the prediction needs first, about a minute")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    within = True
    with Bench() as bench:
        profile = load_profile(args.profile)
        if args.measure:
            wanted = [item for item in EXPERIMENTS if item.id == "hooks.echo"]
            wanted += of_tables(("maps", "chain", "helpers", "insns"))
            results = measure(wanted, bench, say=lambda text: print(text, file=sys.stderr))
            profile = with_fit(from_measurement(results, os.getloadavg()[0]), bench.object(TRAIN_FILE))
        print(f"{'hashed':>7} {'rho_fast':>9} {'rho_slow':>9} {'predicted':>10} {'measured':>9} {'points':>7}  ratios")
        for digest in DIGESTS:
            obj = read_object(Compiler.default().compile(CACHE, flags=(f"-DDIGEST={digest}",)))
            prediction = predict(obj.programs[0], Model(profile))
            workload = of_share(prediction, 0.5, "")
            advice = advise(costs_of(Question(), profile, obj.programs[0], workload), 0.5)
            ratios = measured_ratios(bench, obj, args.rounds)
            found = crossing(ratios)
            predicted = advice.break_even
            off = abs(predicted - found) if predicted is not None and found is not None else None
            # That it never pays is an answer too, and the same one.
            within &= off <= BAR if off is not None else predicted is None and found is None
            ends = ", ".join(f"{estimate(ratios[share]).value:.2f}" for share in (0, 50, 100))
            words = [f"{value:.0%}" if value is not None else "never" for value in (predicted, found)]
            points = f"{100 * off:.0f}" if off is not None else "-"
            print(
                f"{digest:5} B {advice.rho_fast:9.2f} {advice.rho_slow:9.2f} {words[0]:>10} {words[1]:>9} {points:>7}   {ends}"
            )
    print(f"within {100 * BAR:.0f} percentage points: {'yes' if within else 'no'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
