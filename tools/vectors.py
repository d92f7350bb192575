"""Runs directories of public test vectors through `asm --dialect ubpf` and the conformance plug-in, and says which are wrong.

    .venv/bin/python tools/vectors.py DIR.. [--verbose]

A vector is a file of sections: `-- asm` (text) or `-- raw` (one 64-bit number a slot), `-- mem` (bytes in hex), `-- result`
(what r0 holds), or `-- error` where a run must fail. Other sections (`-- c`, `-- no jit`, ..) say nothing about an interpreter.
Each is run as a suite's driver would: two commands, the bytecode between them in hex. (The vectors of bpf_conformance and uBPF
have this form; they are not part of this project. tests/conformance/vectors has some of our own.)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from bpfsmith.cli.main import main as bpfsmith

_SECTION = re.compile(r"^--\s*(.*?)\s*$")


@dataclass(frozen=True)
class Vector:
    """`expected` is r0, or None where the run must fail."""

    path: Path
    asm: str | None
    raw: bytes | None
    memory: str
    expected: int | None


def read_vector(path: Path) -> Vector | None:
    """A vector, or None for a file that is none."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text(errors="replace").splitlines():
        found = _SECTION.match(line)
        if found:
            name = found[1].lower()
            sections[name] = []
        elif name:
            sections[name].append(line)
    if not ({"asm", "raw"} & sections.keys() and {"result", "error", "error pattern"} & sections.keys()):
        return None
    result = _words(sections.get("result", []))
    raw = b"".join(struct.pack("<Q", int(word, 0)) for word in _words(sections.get("raw", [])))
    fails = not result
    return Vector(
        path,
        "\n".join(sections["asm"]) if "asm" in sections else None,
        raw or None,
        "".join(_words(sections.get("mem", []))),
        None if fails else int(result[0], 0) & (1 << 64) - 1,
    )


def _words(lines: list[str]) -> list[str]:
    return [word for line in lines for word in re.split(r"[\s,]+", line.partition("#")[0]) if word]


def _command(arguments: list[str], stdin: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    source = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch("sys.stdin", source):
        return bpfsmith(arguments), out.getvalue(), err.getvalue()


def judge(vector: Vector) -> str:
    """Why the vector is not right, "" when it is."""
    if vector.asm is not None:
        status, bytecode, said = _command(["asm", "-", "--dialect", "ubpf", "--hex"], vector.asm)
        if status:
            return "" if vector.expected is None else f"not assembled: {said.strip()}"
    else:
        assert vector.raw is not None
        bytecode = vector.raw.hex()
    status, out, said = _command(["try", "--conformance-plugin", *([vector.memory] if vector.memory else [])], bytecode)
    if vector.expected is None:
        return "" if status else f"should fail, and gives {out.strip()}"
    if status:
        return f"not run: {said.strip()}"
    return "" if int(out, 16) == vector.expected else f"gives {out.strip()}, not {vector.expected:x}"


def vectors_in(directory: Path) -> Iterator[Vector]:
    """The vectors below a directory, in order of their names."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix in (".data", ".txt", ".vector", ""):
            vector = read_vector(path)
            if vector is not None:
                yield vector


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--verbose", action="store_true", help="name what is right too")
    args = parser.parse_args()
    right = total = 0
    for directory in args.directories:
        for vector in vectors_in(directory):
            reason = judge(vector)
            total, right = total + 1, right + (not reason)
            if reason or args.verbose:
                sys.stdout.write(f"{vector.path}: {reason or 'right'}\n")
    sys.stdout.write(f"{right} of {total} vectors are right\n")
    return 0 if right == total else 1


if __name__ == "__main__":
    sys.exit(main())
