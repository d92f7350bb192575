"""`--watch`: the command again whenever one of its files changes, each time in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_INPUTS = ("programs", "files", "file", "reference", "candidate", "bind", "workload")
PERIOD = 0.3
"""Seconds between two looks at the files: below what a person notices, and no work worth naming."""

Stamp = dict[str, tuple[int, int]]


def watched(args: argparse.Namespace) -> list[Path]:
    """The files that a command reads: those it names, and headers and bindings beside them."""
    from bpfsmith.workflow.inputs import split_program

    named: list[Path] = []
    for name in _INPUTS:
        value = getattr(args, name, None)
        for text in value if isinstance(value, list) else [value] if value else []:
            path = Path(split_program(text)[0])
            if path.exists():
                named.append(path)
    beside = (path.parent for path in named if path.is_file())
    near = [item for directory in dict.fromkeys(beside) for item in (*directory.glob("*.h"), *directory.glob("*.bind.toml"))]
    return list(dict.fromkeys((*named, *near)))


def stamps(paths: Sequence[Path]) -> Stamp:
    """When each file was changed last, and its size; what is gone is left out."""
    return dict(_stamps(paths))


def _stamps(paths: Sequence[Path]) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in paths:
        for item in path.rglob("*.o") if path.is_dir() else [path]:
            try:
                found = item.stat()
            except OSError:
                continue
            yield str(item), (found.st_mtime_ns, found.st_size)


def rerun(argv: Sequence[str], args: argparse.Namespace) -> int:
    """Runs until Ctrl-C; the exit status is that of the last run."""
    command = [sys.executable, "-m", "bpfsmith", *(word for word in argv if word != "--watch")]
    status = 0
    try:
        while True:
            before = stamps(watched(args))
            status = subprocess.run(command, check=False).returncode
            print(f"-- exit {status}; waiting for a change (Ctrl-C ends)", file=sys.stderr, flush=True)
            while stamps(watched(args)) == before:
                time.sleep(PERIOD)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return status
