"""The running kernel's types as a C header, vmlinux.h, for programs that include one. bpftool writes it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, Unsupported
from bpfsmith.kernel.cache import cache_directory

_BTF = Path("/sys/kernel/btf/vmlinux")


def header_directory(btf: Path = _BTF) -> Path:
    """A directory that holds a vmlinux.h made from `btf`; made once for each kernel. Unsupported `no-vmlinux-header`."""
    try:
        key = hashlib.sha256(btf.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise _cannot(f"{btf} cannot be read: {error.strerror}") from error
    directory = cache_directory("headers", key)
    header = directory / "vmlinux.h"
    if not header.exists():
        tool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
        if tool is None:
            raise _cannot("bpftool is not installed")
        made = subprocess.run([tool, "btf", "dump", "file", btf, "format", "c"], capture_output=True, check=False)
        if made.returncode:
            raise _cannot(made.stderr.decode("utf-8", "replace").strip() or "bpftool failed")
        handle, scratch = tempfile.mkstemp(dir=directory)
        with os.fdopen(handle, "wb") as file:
            file.write(made.stdout)
        Path(scratch).replace(header)
    return directory


def _cannot(why: str) -> Unsupported:
    return Unsupported(
        Diagnostic(
            "no-vmlinux-header",
            "the program includes vmlinux.h, and none can be made here",
            notes=(why,),
            help="apt-get install bpftool, or give the directory of a vmlinux.h with --cflags=-IDIR",
        )
    )
