"""Runs the BPF-capable clang: C in, object bytes out, its complaints as diagnostics at the user's line.

The compiler is the one in the pinned `ziglang` wheel, so that counts are the same on every machine; another can be named. The
kernel's uapi headers come with it too.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bpfsmith.codegen.headers import INCLUDE_DIR
from bpfsmith.diagnostic import Diagnostic, InputError, Label, Severity
from bpfsmith.source import Span

DEFAULT_CPU = "v3"
_FLAGS = ("-O2", "-g", "-Wall", "-Wno-unused-function", "-fwrapv", "-fno-jump-tables", "-fno-stack-protector")
_MESSAGE = re.compile(
    r"^(?P<path>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?P<kind>fatal error|error|warning|note): (?P<text>.*)$"
)


@dataclass(frozen=True, slots=True)
class Compiler:
    """A clang: the command line prefix that starts it, and the include directories it needs for kernel headers.

    `fallbacks` are searched after those that the user's flags name. Temporary directories are made in `scratch`, if that is
    set.
    """

    command: tuple[str, ...]
    includes: tuple[str, ...]
    fallbacks: tuple[str, ...] = ()
    scratch: str | None = None

    @classmethod
    def default(cls) -> Compiler:
        """The clang of the ziglang wheel; InputError `missing-compiler` when the wheel is not installed."""
        return _bundled()

    @classmethod
    def at(cls, path: str) -> Compiler:
        """The clang at `path`, with the system's headers."""
        if not (Path(path).is_file() and os.access(path, os.X_OK)):
            raise InputError(
                Diagnostic("missing-compiler", f"{path} is not an executable file", help="give --clang the path of a clang")
            )
        system = ("/usr/include", f"/usr/include/{os.uname().machine}-linux-gnu")
        return cls((path,), tuple(item for item in system if Path(item).is_dir()))

    def compile(
        self,
        source: str | Path,
        *,
        cpu: str = DEFAULT_CPU,
        flags: Sequence[str] = (),
        name: str = "program.bpf.c",
        assembly: bool = False,
    ) -> bytes:
        """Compiles C text, or the file at a Path, for BPF. Gives the object (or assembly text) as bytes.

        `name` is what messages call C text. Raises InputError with clang's errors (`c-error`), each at its own line.
        """
        with tempfile.TemporaryDirectory(prefix="bpfsmith-", dir=self.scratch) as scratch:
            if isinstance(source, str):
                path = Path(scratch) / Path(name).name
                path.write_text(source)
            else:
                path = source
            out = Path(scratch) / "out"
            command = [
                *self.command, "-target", "bpf", f"-mcpu={cpu}", *_FLAGS, f"-ffile-prefix-map={scratch}=.", *self.search(),
                *flags, "-S" if assembly else "-c", str(path), "-o", str(out),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
            if done.returncode or not out.exists():
                raise InputError(*_diagnostics(done.stderr, str(path), name if isinstance(source, str) else str(path)))
            return out.read_bytes()

    def search(self) -> tuple[str, ...]:
        """The flags by which headers are found and know the machine."""
        places = (*(f"-isystem{item}" for item in self.includes), *(f"-idirafter{item}" for item in self.fallbacks))
        return f"-D__TARGET_ARCH_{_target_arch()}", f"-I{INCLUDE_DIR}", *places


@cache
def _bundled() -> Compiler:
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise InputError(
            Diagnostic(
                "missing-compiler",
                "the package ziglang, which holds the BPF-capable clang, is not installed",
                help="pip install ziglang, or name a clang with --clang PATH",
            )
        )
    root = Path(spec.origin).parent
    headers = root / "lib" / "libc" / "include"
    uapi = {"x86_64": "x86", "aarch64": "aarch64"}.get(os.uname().machine, "x86")
    first = (root / "lib" / "include", headers / "any-linux-any", headers / f"{uapi}-linux-any")
    # Then a C library's, for what programs include by habit (arpa/inet.h), and libbpf's where they are installed.
    last = (headers / f"{os.uname().machine}-linux-musl", headers / "generic-musl", *_libbpf_headers())
    return Compiler((str(root / "zig"), "clang", "-nostdinc"), tuple(map(str, first)), tuple(map(str, last)))


def _libbpf_headers() -> tuple[Path, ...]:
    """For <bpf/bpf_helpers.h>, and for the "bpf_helpers.h" of older programs."""
    found = next((place for place in (Path("/usr/include"), Path("/usr/local/include")) if (place / "bpf").is_dir()), None)
    return (found, found / "bpf") if found else ()


def _target_arch() -> str:
    """libbpf's name of this machine's architecture, for PT_REGS macros."""
    return {"x86_64": "x86", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _header_help(text: str) -> str:
    """Which package a missing header comes in."""
    if text.startswith(("'bpf/", "'bpf_")) and text.endswith("file not found"):
        return "install libbpf's headers: apt-get install libbpf-dev"
    return ""


def _diagnostics(stderr: str, path: str, shown: str) -> list[Diagnostic]:
    """clang's errors, each with the notes that follow it; its text unaltered."""
    found: list[Diagnostic] = []
    for line in stderr.splitlines():
        match = _MESSAGE.match(line)
        if match is None:
            continue
        where = shown if match["path"] == path else match["path"]
        span = Span(where, int(match["line"]), int(match["column"]))
        if match["kind"] in ("error", "fatal error"):
            found.append(Diagnostic("c-error", match["text"], Label(span), Severity.ERROR, help=_header_help(match["text"])))
    if not found:
        text = stderr.strip() or "clang gave no message"
        found.append(Diagnostic("c-error", "clang failed", notes=tuple(text.splitlines()[:12])))
    return found
