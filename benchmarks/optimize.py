"""What `bpfsmith optimize` makes of real programs, beside the published figures of K2, Merlin and EPSO.

    .venv/bin/python benchmarks/optimize.py OBJECT.. [--mcpu v3] [--no-search] [--timing] [--csv FILE]

Objects are what clang -O2 makes; slots of 8 bytes are counted, with no padding on either side. Each program is loaded before
and after, and proved. Means are over programs, as the papers have it; programs below --least slots are left out. `--no-search`
is the ablation: passes alone, without window search and its cache. Published figures start from other inputs: compare
reductions, not counts.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from bpfsmith.diagnostic import ToolError
from bpfsmith.optimize import cache
from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.semantics.verdict import Equal
from bpfsmith.workflow.optimizing import slots

# clang's count -> the best of K2 (SIGCOMM '21) and Merlin (ASPLOS '24); their bases differ for some.
PUBLISHED = {
    "xdp_exception": (18, 16), "xdp_redirect_err": (18, 15), "xdp_devmap_xmit": (36, 29), "xdp_cpumap_kthread": (24, 18),
    "xdp_cpumap_enqueue": (26, 21), "sys_enter_open": (24, 18), "socket/0": (29, 26), "socket/1": (32, 30),
    "xdp_router_ipv4": (111, 99), "xdp_redirect": (43, 35), "xdp1": (61, 55), "xdp2": (78, 69), "xdp_fwd": (155, 116),
    "xdp_pktcntr": (22, 19), "xdp_fw": (72, 65), "xdp_map_access": (30, 25), "from-network": (39, 27), "recvmsg4": (94, 81),
    "xdp-balancer": (1771, 1571),
}  # fmt: skip
KNOWN_AS = {
    ("xdp_monitor", "trace_xdp_exception"): "xdp_exception", ("xdp_monitor", "trace_xdp_redirect_err"): "xdp_redirect_err",
    ("xdp_monitor", "trace_xdp_devmap_xmit"): "xdp_devmap_xmit", ("xdp_redirect", "xdp_redirect_prog"): "xdp_redirect",
    ("xdp_monitor", "trace_xdp_cpumap_kthread"): "xdp_cpumap_kthread", ("xdp_fwd", "xdp_fwd_prog"): "xdp_fwd",
    ("xdp_monitor", "trace_xdp_cpumap_enqueue"): "xdp_cpumap_enqueue", ("xdp1", "xdp_prog1"): "xdp1",
    ("syscall_tp", "trace_enter_open"): "sys_enter_open", ("xdp2", "xdp_prog1"): "xdp2",
    ("xdp_router_ipv4", "xdp_router_ipv4_prog"): "xdp_router_ipv4", ("sockex3", "main_prog"): "socket/0",
    ("sockex3", "bpf_func_PARSE_VLAN"): "socket/1",
}  # fmt: skip
"""The programs of K2's evaluation that are kernel samples (kernel_samples.py), by object and function."""

MEANS = (
    ("K2, its 19 programs", 13.95),
    ("Merlin, the same 19", 12.9),
    ("Merlin rerun with clang-19 at v3, with atomics", 12.8),
    ("Merlin rerun with clang-19 at v4, with atomics", 10.3),
    ("EPSO, seven projects", 24.4),
)

Row = tuple[str, str, int, int, float, str, str, int | None, int | None, float | None, float | None, float, str]
TITLES = (
    "object",
    "program",
    "before",
    "after",
    "saved %",
    "proof",
    "verifier",
    "jited",
    "jited'",
    "ns",
    "ns'",
    "seconds",
    "published",
)


def measure(path: str, settings: Settings, least: int) -> Iterator[Row]:
    """One row a program; a file that cannot be read is named on stderr."""
    started = perf_counter()
    try:
        done = optimize(Path(path).read_bytes(), path, settings)
    except (ToolError, OSError) as error:
        print(f"{path}: left out: {error}", file=sys.stderr)
        return
    seconds = perf_counter() - started
    for item in done.programs:
        before, after = slots(item)
        if before < least:
            continue
        proof = "whole" if isinstance(item.verdict, Equal) else "simulation"
        jited = item.before.jited_bytes, item.after.jited_bytes
        times = item.before.run_ns, item.after.run_ns
        saved = 100 * (before - after) / before
        judged = item.judged.partition(":")[0]
        known = PUBLISHED.get(KNOWN_AS.get((Path(path).stem, item.before.name), ""))
        beside = f"{known[0]}->{known[1]}" if known else ""
        yield Path(path).name, item.before.name, before, after, saved, proof, judged, *jited, *times, seconds, beside


def main() -> int:
    parser = argparse.ArgumentParser(description="What the optimizer makes of real programs.")
    parser.add_argument("objects", nargs="+", metavar="OBJECT")
    parser.add_argument("--mcpu", choices=("v1", "v2", "v3", "v4"), default="v3", help="instruction set of the objects")
    parser.add_argument("--least", type=int, default=15, metavar="SLOTS", help="leave out smaller programs (default: 15)")
    parser.add_argument("--no-search", action="store_true", help="neither search nor cache")
    parser.add_argument("--atomics", action="store_true", help="with the refinement to atomic additions, as K2 counts")
    parser.add_argument("--timing", action="store_true", help="time the programs too")
    parser.add_argument("--budget", type=int, default=20, help="seconds for each whole-program proof (default: 20)")
    parser.add_argument("--csv", metavar="FILE", help="write the rows there too")
    args = parser.parse_args()
    if args.no_search:
        cache.usual().searches = False
    settings = Settings(timed=args.timing, budget=args.budget, jobs=2, cpu=int(args.mcpu.removeprefix("v")))
    settings = replace(settings, atomics=args.atomics)
    rows = []
    for path in args.objects:
        for row in measure(path, settings, args.least):
            rows.append(row)
            print("  ".join("-" if cell is None else f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row))
    if rows:
        total = sum(row[2] for row in rows), sum(row[3] for row in rows)
        print(f"\n{len(rows)} programs, {total[0]} -> {total[1]} slots: {100 * (total[0] - total[1]) / total[0]:.1f} % in all")
        print(f"mean {statistics.mean(row[4] for row in rows):.1f} %, median {statistics.median(row[4] for row in rows):.1f} %")
        whole = sum(row[5] == "whole" for row in rows)
        accepted = sum(row[6] == "accepted" for row in rows)
        print(f"proved as a whole {whole}, by simulation {len(rows) - whole}; the verifier accepted {accepted}, "
              f"of the others it does not load the input here")  # fmt: skip
    for name, mean in MEANS:
        print(f"published   {mean:5.1f} %  {name}")
    reductions = [100 * (before - after) / before for before, after in PUBLISHED.values()]
    print(f"published   {statistics.mean(reductions):5.1f} %  the better of K2 and Merlin on each of the 19")
    if args.csv:
        with Path(args.csv).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(TITLES)
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
