"""Probe programs beside bpftrace one-liners of the same meaning: how long each is, and what it costs, measured in turns.

    .venv/bin/python benchmarks/probes.py [--rounds 15] [--calls 40000] [--only WORDS] [--csv out.csv]

bpftrace comes from Debian's package, unpacked into a directory of its own and run in a mount namespace with its own tracefs;
nothing is installed. Both trace one process of ours: bpftrace by `-c` and, where the kernel would run the program for every
process, a filter of its pid. Costs are CPU time of the process, nanoseconds a call beyond no probes. Lengths are characters
without blanks that mean nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from pairs import progress, target
from turns import FLOOR, Rounds, busy, in_turns

from bpfsmith.trace.running import Waiting
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.tracing import Program, compiled, trace

CACHE = Path(tempfile.gettempdir()) / "bpfsmith-bpftrace"
KEYS = 10240
"""Keys that a table has room for: as a probe's, so given to bpftrace's (4096 by itself). What finds no room is not counted."""
LENGTH_BAR = 2 / 3
"""A one-liner is to be no shorter than this part of the probe."""


@dataclass(frozen=True)
class Case:
    """`mode` is what the process does (see `pairs`); FILE stands for its executable."""

    name: str
    mode: str
    probe: str
    bpftrace: str


CASES = (
    Case(
        "count calls", "call",
        "probe uprobe:FILE:handle { count; }",
        "uprobe:FILE:handle { @ = count(); }",
    ),
    Case(
        "count calls by result", "call",
        "probe uprobe:FILE:handle { on return { count by ret; } }",
        "uretprobe:FILE:handle { @[retval] = count(); }",
    ),
    Case(
        "latency of calls", "call",
        "probe uprobe:FILE:handle { let t = nsecs; on return { hist us = (nsecs - t) / us; } }",
        "uprobe:FILE:handle { @t[tid] = nsecs; } uretprobe:FILE:handle /@t[tid]/ { @us = hist((nsecs - @t[tid]) / 1000); "
        "delete(@t[tid]); }",
    ),
    Case(
        "latency of calls that pass a filter", "call",
        "probe uprobe:FILE:handle(n) { filter n % 16 == 0; let t = nsecs; on return { hist us = (nsecs - t) / us; } }",
        "uprobe:FILE:handle /arg0 % 16 == 0/ { @t[tid] = nsecs; } uretprobe:FILE:handle /@t[tid]/ "
        "{ @us = hist((nsecs - @t[tid]) / 1000); delete(@t[tid]); }",
    ),
    Case(
        "count reads", "pread",
        "probe syscall:pread64 { count; }",
        "tracepoint:syscalls:sys_enter_pread64 /pid == cpid/ { @ = count(); }",
    ),
    Case(
        "latency of reads", "pread",
        "probe syscall:pread64 { let t = nsecs; on return { hist us = (nsecs - t) / us; } }",
        "tracepoint:syscalls:sys_enter_pread64 /pid == cpid/ { @t[tid] = nsecs; } "
        "tracepoint:syscalls:sys_exit_pread64 /@t[tid]/ { @us = hist((nsecs - @t[tid]) / 1000); delete(@t[tid]); }",
    ),
    Case(
        "bytes and latency of reads and writes", "random",
        "probe syscall:pread64(fd, buf, n) { let t = nsecs; on return { sum read = ret; lhist us = (nsecs - t) / us in 0..100 "
        "step 5; } } probe syscall:pwrite64 { on return { sum written = ret; } }",
        "tracepoint:syscalls:sys_enter_pread64 /pid == cpid/ { @t[tid] = nsecs; } "
        "tracepoint:syscalls:sys_exit_pread64 /@t[tid]/ { @read = sum(args->ret); "
        "@us = lhist((nsecs - @t[tid]) / 1000, 0, 100, 5); delete(@t[tid]); } "
        "tracepoint:syscalls:sys_exit_pwrite64 /pid == cpid/ { @written = sum(args->ret); }",
    ),
)  # fmt: skip


def length(text: str) -> int:
    """Characters, of blanks only those between words."""
    return len(re.sub(r"\s*([^\w\s$@])\s*", r"\1", text.replace("FILE", "./a").strip()))


def bpftrace() -> list[str]:
    """The command; fetched by apt into CACHE the first time. RuntimeError where it cannot be had."""
    root = CACHE / "root"
    if not (root / "usr/bin/bpftrace").exists():
        (CACHE / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        options = ["-o", f"Dir::Cache={CACHE / 'cache'}", "-o", "APT::Sandbox::User=root"]
        fetch = ["apt-get", "-qq", "-d", "-y", *options, "--no-install-recommends", "install", "bpftrace"]
        done = subprocess.run(fetch, capture_output=True, text=True, check=False)
        packages = sorted((CACHE / "cache/archives").glob("*.deb"))
        if not packages:
            raise RuntimeError(f"apt cannot fetch bpftrace: {done.stderr.strip()}")
        for package in packages:
            subprocess.run(["dpkg", "-x", package, root], check=True)
    script = 'mount -t tracefs none /sys/kernel/tracing && exec "$0" "$@"'
    return ["unshare", "-m", "sh", "-c", script, str(root / "usr/bin/bpftrace")]


def by_bpftrace(case: Case, binary: Path, command: list[str]) -> None:
    text = case.bpftrace.replace("FILE", str(binary))
    libraries = {"LD_LIBRARY_PATH": str(CACHE / "root/usr/lib/x86_64-linux-gnu")}
    libraries["BPFTRACE_MAP_KEYS_MAX"] = str(KEYS)
    done = subprocess.run(
        [*bpftrace(), "-c", " ".join(command), "-e", text],
        env={**os.environ, **libraries}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode or "Attaching" not in done.stdout:
        raise RuntimeError(f"bpftrace: {done.stderr.strip()[-300:]}")


def cost(case: Case, way: Program | str | None, binary: Path, calls: int) -> float:
    """Nanoseconds a call, as the process measures it itself. `way` "bpftrace", a compiled probe, or none."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        command = [str(binary), case.mode, str(calls), file.name, out.name]
        match way:
            case str():
                by_bpftrace(case, binary, command)
            case None:
                with Waiting(command, quiet=True) as process:
                    process.run()
            case program:
                trace(program, command, None, None, lambda seen: None, quiet=True)
        return float(Path(out.name).read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--csv")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    args = parser.parse_args()
    rows: list[list[object]] = []
    slower = False
    print(busy())
    with tempfile.TemporaryDirectory() as directory:
        binary = target(Path(directory))
        for case in CASES:
            if args.only not in case.name:
                continue
            progress(f"{case.name}: compiling")
            program = compiled(case.probe.replace("FILE", str(binary)), Toolchain(), inline=True)
            ours, theirs = length(case.probe), length(case.bpftrace)
            found: dict[str, Program | str | None] = {FLOOR: None, "bpftrace": "bpftrace", "probe": program}
            ways = {name: partial(cost, case, way, binary, args.calls) for name, way in found.items()}
            measured = in_turns(ways, args.rounds, lambda text, name=case.name: progress(f"{name}: {text}"))
            progress("")
            ratio = measured.interval(relation)
            said = "at most as fast" if ratio.low >= 1 else "faster" if ratio.high < 1 else "not resolved"
            slower |= said == "faster"
            nanoseconds = {name: median(values) for name, values in measured.extra.items()}
            forms = ", ".join(item["form"] for item in program.forms.values()) or "one program"
            print(
                f"{case.name}: bpftrace {nanoseconds['bpftrace']:+.0f} ns, probe {nanoseconds['probe']:+.0f} ns a call "
                f"({forms}); "
                f"bpftrace takes {ratio.value:.2f} times as long "
                f"({ratio.low:.2f} to {ratio.high:.2f}): {said}; "
                f"{theirs} characters against {ours}{'' if theirs >= LENGTH_BAR * ours else ', shorter by more than a third'}"
            )
            rows.append(
                [case.name, nanoseconds["bpftrace"], nanoseconds["probe"], ratio.value, ratio.low, ratio.high, theirs, ours]
            )
    if args.csv:
        with Path(args.csv).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["case", "bpftrace_ns", "probe_ns", "ratio", "low", "high", "bpftrace_chars", "probe_chars"])
            writer.writerows(rows)
    return 1 if slower else 0


def relation(rounds: Rounds) -> float:
    return median(rounds["bpftrace"]) / median(rounds["probe"])


if __name__ == "__main__":
    sys.exit(main())
