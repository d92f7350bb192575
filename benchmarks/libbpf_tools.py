"""Pairs of public tools: which are found, and which of their fused forms are proved and accepted. Writes CSV with --csv.

    .venv/bin/python benchmarks/libbpf_tools.py [--form session|storage|best] [--kernel host|7.2] [--only NAME..]
        [--csv out.csv] [--keep DIR]

The tools are the libbpf-tools of Debian's bpfcc source package (`debian.py` fetches it), compiled here. Each tool is fused in a
process of its own; what this kernel refuses as it is (fentry, where that is locked down) is not asked: --keep leaves the
fused objects, for `bpfsmith verify --kernel 7.2 DIR/*.o`, with functions of the kernel's in the place of those that the tools'
loaders set.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from collections import Counter
from pathlib import Path

import debian

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import ToolError
from bpfsmith.objfile.regroup import regrouped
from bpfsmith.semantics.verdict import Equal
from bpfsmith.trace.forms import Form, kernel_of, running_kernel
from bpfsmith.trace.fuse import MADE, FusedObject, fuse

TARGETS = {
    "dummy_file_read": "generic_file_read_iter", "dummy_file_write": "generic_file_write_iter",
    "dummy_file_open": "generic_file_open", "dummy_file_sync": "vfs_fsync_range", "dummy_getattr": "vfs_getattr",
    "dummy_fentry": "vfs_read", "dummy_fexit": "vfs_read",
}  # fmt: skip
"""What loaders set where sections name nothing that there is."""
FORMS = {
    "best": frozenset(MADE),
    "session": frozenset({Form.SESSION, Form.SESSION_STORAGE}),
    "storage": frozenset({Form.TASK_STORAGE}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", choices=tuple(FORMS), default="best")
    parser.add_argument("--kernel", default="host")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--csv")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    here = args.kernel == "host"
    kernel = running_kernel(platform.release()) if here else kernel_of(args.kernel)
    found = debian.sources("bpfcc")
    rows: list[list[object]] = []
    tools = 0
    for path in found.files:
        name = path.name.removesuffix(".bpf.c")
        if args.only and name not in args.only:
            continue
        tools += 1
        started = time.perf_counter()
        try:
            data = Compiler.default().compile(path, flags=("-O2", f"-I{path.parent}", *found.flags))
            made = fuse(data, path.name, kernel, here=here, only=FORMS[args.form])
        except ToolError as error:
            print(f"{name}: {error.diagnostics[0].message}", file=sys.stderr)
            continue
        rows += list(outcomes(name, made))
        if args.keep and any(outcome.form for outcome in made.outcomes):
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / f"{name}.bpf.o").write_bytes(targeted(made))
        if made.outcomes:
            print(f"{name}: {len(made.outcomes)} pairs, {time.perf_counter() - started:.1f} s", flush=True)
    summary(tools, rows)
    if args.csv:
        with Path(args.csv).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["tool", "entry", "exit", "kind", "maps", "form", "proof", "verifier", "put_aside"])
            writer.writerows(rows)
    return 0


def targeted(made: FusedObject) -> bytes:
    """The object with its fentry programs and their like at functions that there are."""
    sections = {}
    for program in made.obj.programs:
        stem, _, target = program.section.partition("/")
        if stem in ("fentry", "fexit", "fsession") and target in TARGETS:
            sections[program.name] = f"{stem}/{TARGETS[target]}"
    return regrouped(made.data, sections)


def outcomes(name: str, made: FusedObject) -> list[list[object]]:
    return [
        [
            name, item.pair.entry.program.name, item.pair.exit.program.name, str(item.pair.kind),
            " ".join(f"{known.spec.name}:{known.key_class}" for known in item.pair.maps), str(item.form or ""),
            "equal" if isinstance(item.verdict, Equal) else "", item.loaded,
            "; ".join(f"{form}: {reason}" for form, reason in item.put_aside),
        ]
        for item in made.outcomes
    ]  # fmt: skip


def summary(tools: int, rows: list[list[object]]) -> None:
    """Counts by kind and by form."""
    print(f"{len({row[0] for row in rows})} of {tools} tools have pairs, {len(rows)} in all")
    for kind, count in Counter(row[3] for row in rows).most_common():
        fused = [row for row in rows if row[3] == kind and row[5]]
        print(f"  {kind:<10} {count:>4} found, {len(fused)} fused and proved")
    for form, count in Counter(row[5] for row in rows if row[5]).most_common():
        accepted = sum(row[7] == "accepted" for row in rows if row[5] == form)
        print(f"  {form:<22} {count:>4} proved, {accepted} accepted by this kernel, {count - accepted} not asked")


if __name__ == "__main__":
    sys.exit(main())
