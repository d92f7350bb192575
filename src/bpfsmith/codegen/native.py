"""Compiles C for this machine with the clang and C library of the ziglang wheel: the user halves of measurements."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError, InternalError

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


def preprocess(path: str, flags: Sequence[str] = ()) -> str:
    """A file of a user's program after the preprocessor, as Latin-1, with line markers that name `path` as it is given.

    The C library's headers are those of the wheel. InputError `c-error`, with what the preprocessor says.
    """
    target = f"{os.uname().machine}-linux-musl"
    command = [sys.executable, "-m", "ziglang", "cc", "-E", "-target", target, "-D_GNU_SOURCE", "-w", *flags, path]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        notes = tuple(done.stderr.decode("utf-8", "replace").strip().splitlines()[:8])
        help_text = "give the flags that it is compiled with by --cflags or --compile-commands"
        raise InputError(Diagnostic("c-error", f"{path} does not pass the preprocessor", notes=notes, help=help_text))
    return done.stdout.decode("latin-1")


def compile_users(sources: Sequence[Path], out: Path, flags: Sequence[str] = ()) -> str | None:
    """Compiles and links a user's program with `cc`, or the wheel's clang where there is none. Gives what the compiler said if
    it failed, else None."""
    compiler = [found] if (found := shutil.which("cc")) else [sys.executable, "-m", "ziglang", "cc"]
    command = [*compiler, "-O2", "-g", "-w", *flags, *(str(item) for item in sources), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    return done.stderr.strip() or "the compiler failed without a word" if done.returncode else None
