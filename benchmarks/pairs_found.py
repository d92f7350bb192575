"""Which pairs are found in public tools, against tables that were made by reading their sources. Exit code 1 below the bars.

    .venv/bin/python benchmarks/pairs_found.py [--package bpfcc|linux-tracing ..] [--show]

A row names the maps that carry state from one hook of a tool to another: from the way in to the way out of a call, or from an
object's begin to its end. Tools that are compiled and have no row have no pairs. Maps that only one program uses (tcplife), and
the life of an object between its allocation and its release (memleak's allocs), are no pairs. `linux-tracing` is perf's and the
kernel's samples: nothing of the analysis was made for them but what this table showed to be missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path

import debian

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import ToolError
from bpfsmith.objfile.object import read_object
from bpfsmith.trace.pairs import find_pairs

TOOL_BAR, MAP_BAR = 1.0, 0.97
COMPAT = Path(__file__).with_name("compat.h")
TRUTH: Mapping[str, Mapping[str, str]] = {
    "bpfcc": {
        "bindsnoop": "sockets", "biolatency": "start", "biosnoop": "start infobyreq", "biostacks": "rqinfos",
        "biotop": "start whobyreq", "capable": "start", "drsnoop": "start", "execsnoop": "execs", "filelife": "start currevent",
        "fsdist": "starts", "fsslower": "starts", "funclatency": "starts", "futexctn": "start", "gethostlatency": "starts",
        "hardirqs": "start", "javagc": "data_map", "klockstat": "task_states lockholder_map locks",
        "ksnoop": "ksnoop_func_stack", "memleak": "sizes memptrs", "mountsnoop": "args", "numamove": "start",
        "opensnoop": "start", "readahead": "in_readahead birth", "runqlat": "start", "runqslower": "start",
        "sigsnoop": "values", "softirqs": "start", "solisten": "values", "statsnoop": "values", "syscount": "start",
        "tcpconnect": "sockets", "tcpconnlat": "start", "tcppktlat": "start", "tcptracer": "sockets tuplepid",
        "wakeuptime": "start",
    },
    "linux-tracing": {
        "bpf_prog_profiler": "fentry_readings", "func_latency": "functime", "kwork_top": "kwork_top_irq_time",
        "kwork_trace": "perf_kwork_time", "lathist_kern": "my_map", "lock_contention": "tstamp tstamp_cpu",
        "offwaketime": "wokeby", "runqslower": "start", "tracex3": "my_map",
    },
}  # fmt: skip


def found_in(package: str) -> Iterator[tuple[str, frozenset[str]]]:
    """The tools of a package that compile here, and the maps of their pairs."""
    sources, types = debian.sources(package), debian.sources("bpfcc").flags  # where vmlinux.h is
    for path in sources.files:
        name = path.name.removesuffix(".c").removesuffix(".bpf")
        flags = ("-O2", f"-I{path.parent}", *sources.flags, *types)
        if name.endswith("_kern"):
            flags = (*flags, "-include", str(COMPAT))
        try:
            obj = replace(read_object(Compiler.default().compile(path, flags=flags)), path=name)
            pairs = find_pairs(obj).pairs
        except ToolError as error:
            print(f"  {name}: {error.diagnostics[0].message}", file=sys.stderr)
            continue
        yield name, frozenset(item.spec.name for pair in pairs for item in pair.maps)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", nargs="*", choices=tuple(TRUTH), default=list(TRUTH))
    parser.add_argument("--show", action="store_true", help="every tool with what was found")
    args = parser.parse_args()
    below = False
    for package in args.package:
        found = dict(found_in(package))
        truth = {name: frozenset(TRUTH[package].get(name, "").split()) for name in found}
        for name in sorted(found):
            if args.show and found[name]:
                print(f"  {name}: {' '.join(sorted(found[name]))}")
            if found[name] != truth[name]:
                missed, wrong = truth[name] - found[name], found[name] - truth[name]
                print(f"  {name}: missed {' '.join(sorted(missed)) or '-'}, wrong {' '.join(sorted(wrong)) or '-'}")
        tools = {name for name in found if found[name]}, {name for name in found if truth[name]}
        maps = {(n, m) for n, names in found.items() for m in names}, {(n, m) for n, names in truth.items() for m in names}
        below |= shown(package, "tools", *tools, TOOL_BAR) | shown(package, "maps", *maps, MAP_BAR)
        print(f"{package}: {len(found)} tools compiled, {len(TRUTH[package].keys() - found.keys())} rows of others")
    return 1 if below else 0


def shown(package: str, what: str, found: Set[object], truth: Set[object], bar: float) -> bool:
    """Prints precision and recall; whether one is below the bar."""
    right = len(found & truth)
    precision, recall = right / max(len(found), 1), right / max(len(truth), 1)
    print(f"{package}: {what}: {len(truth)} have pairs, {len(found)} found; precision {precision:.3f}, recall {recall:.3f}")
    return min(precision, recall) < bar


if __name__ == "__main__":
    sys.exit(main())
