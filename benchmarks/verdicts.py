#!/usr/bin/env python3
"""Verdicts and counts of `bpfsmith verify` on real objects, beside those of libbpf's own loader.

    python benchmarks/verdicts.py [--objects N] [--keep DIRECTORY]

The objects are Debian's public tools (`debian.py`), each compiled at several levels for several instruction sets. The
reference loads them with libbpf built from its own source, and reads the verifier's statistics; what libbpf does not open is
not compared. Needs gcc and libelf's headers.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import debian

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import ToolError

HERE = Path(__file__).resolve().parent
WAYS = tuple(product(("-O2", "-Os"), ("v3", "v2", "v1")))
Counts = tuple[int, int, int]


def reference_loader(directory: Path) -> Path:
    """libbpf's sources and a main around them, compiled."""
    source = debian.unpacked("libbpf")
    target = directory / "reference_loader"
    (directory / "bpf").symlink_to(source / "src")
    files = [str(path) for path in sorted((source / "src").glob("*.c")) if not path.name.endswith(".bpf.c")]
    include = [f"-I{directory}", f"-I{source / 'include'}", f"-I{source / 'include/uapi'}", f"-I{source / 'src'}"]
    command = ["gcc", "-O1", "-w", "-D_GNU_SOURCE", *include, str(HERE / "reference_loader.c"), *files, "-lelf", "-lz"]
    subprocess.run([*command, "-o", str(target)], check=True)
    return target


def objects(directory: Path, most: int) -> list[Path]:
    """What Debian's tools compile to, until there are enough."""
    jobs = []
    for way, package in product(WAYS, ("bpfcc", "xdp-tools")):
        found = debian.sources(package)
        jobs += [(path, found.flags, way) for path in found.files]

    def one(job: tuple[Path, tuple[str, ...], tuple[str, str]]) -> Path | None:
        path, flags, (level, cpu) = job
        try:
            data = Compiler.default().compile(path, cpu=cpu, flags=(level, f"-I{path.parent}", *flags))
        except ToolError:
            return None
        target = directory / f"{path.name.split('.')[0]}{level}-{cpu}.bpf.o"
        target.write_bytes(data)
        return target

    out: list[Path] = []
    with ThreadPoolExecutor(2) as pool:
        for target in pool.map(one, jobs[: most * 2]):
            out += [target] if target else []
            if len(out) % 25 == 0:
                print(f"{len(out)} objects", file=sys.stderr)
    return out[:most]


def ours(paths: list[Path]) -> tuple[dict[tuple[str, str], tuple[bool, Counts]], float, int]:
    """What one command says of all of them, in how many seconds, with what exit status."""
    started = time.monotonic()
    command = [sys.executable, "-m", "bpfsmith", "verify", "--output-format", "csv", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    spent = time.monotonic() - started
    rows = {}
    for row in csv.DictReader(io.StringIO(done.stdout)):
        counts = tuple(int(row[name] or 0) for name in ("processed_insns", "states", "peak_states"))
        rows[row["file"], row["name"]] = row["verdict"] == "accepted", (counts[0], counts[1], counts[2])
    return rows, spent, done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="where the objects are, or go")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bpfsmith-verdicts-") as scratch:
        where = args.keep or Path(scratch)
        where.mkdir(exist_ok=True)
        paths = sorted(where.glob("*.bpf.o"))[: args.objects] or objects(where, args.objects)
        loader = reference_loader(Path(scratch))
        started = time.monotonic()
        told = subprocess.run([loader, *map(str, paths)], capture_output=True, text=True, check=True).stdout
        print(f"libbpf: {time.monotonic() - started:.0f} s", flush=True)
        found, spent, status = ours(paths)
    unopened, same, verdicts, counts = set(), 0, [], []
    for line in told.splitlines():
        path, name, *numbers = line.split("\t")
        accepted, *others = map(int, numbers)
        if name == "open":
            unopened.add(path)
            continue
        mine = found.get((path, name))
        if mine is None or mine[0] != bool(accepted):
            verdicts.append(f"{Path(path).name}:{name} libbpf {'accepted' if accepted else 'refused'}, here {mine}")
        elif accepted and list(mine[1]) != others:
            counts.append(f"{Path(path).name}:{name} libbpf {others}, here {mine[1]}")
        else:
            same += 1
    print(f"bpfsmith: {len(paths)} objects, {len(found)} programs, {spent:.0f} s, exit status {status}")
    print(
        f"libbpf opens all but {len(unopened)}; {same} programs alike, {len(verdicts)} verdicts and {len(counts)} counts differ"
    )
    for text in (*verdicts, *counts):
        print(text)


if __name__ == "__main__":
    main()
