"""Compiles C for this machine with the clang and C library of the ziglang wheel: the user halves of measurements."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InternalError

_FLAGS = ("-O2", "-Wall", "-fno-omit-frame-pointer", "-fno-sanitize=all", "-fno-stack-protector", "-fcf-protection=none")


def compile_native(sources: Sequence[Path], out: Path, flags: Sequence[str] = ()) -> None:
    """Compiles and links `sources` into the executable `out`.

    The first time on a machine takes seconds (the C library's stubs are built), later calls a tenth of one. InternalError
    `native-compile-failed`: the sources are ours.
    """
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, *flags, *(str(item) for item in sources), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    if done.returncode:
        notes = tuple(done.stderr.strip().splitlines()[:8])
        help_text = "check that the cache directory of zig (XDG_CACHE_HOME) can be written and the disk is not full"
        raise InternalError(
            Diagnostic("native-compile-failed", "a program of ours does not compile", notes=notes, help=help_text)
        )
