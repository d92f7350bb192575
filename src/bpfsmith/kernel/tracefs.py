"""The kernel's list of tracepoints, from a tracefs that is mounted for as long as it takes to read it."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError

_libc = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2


@contextmanager
def _mounted() -> Iterator[Path]:
    """Where tracefs is: where the machine has it, else at a directory of our own."""
    known = next((Path(p) for p in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing") if Path(p, "events").is_dir()), None)
    if known is not None:
        yield known
        return
    with tempfile.TemporaryDirectory(prefix="bpfsmith-tracefs-") as directory:
        if _libc.mount(b"tracefs", directory.encode(), b"tracefs", 0, None) != 0:
            number = ctypes.get_errno()
            raise KernelError(
                Diagnostic(
                    "no-tracefs",
                    f"tracefs cannot be mounted: {os.strerror(number)}",
                    notes=("tracepoints are attached by the ids that it lists",),
                    help="run as root, with CAP_SYS_ADMIN",
                )
            )
        try:
            yield Path(directory)
        finally:
            _libc.umount2(directory.encode(), _MNT_DETACH)


@cache
def tracepoint_id(name: str) -> int:
    """The id of a tracepoint such as "syscalls/sys_enter_openat". InputError `unknown-tracepoint`."""
    return int(_file(name, "id"))


@cache
def tracepoint_fields(name: str) -> dict[str, tuple[int, int, bool]]:
    """Offset, size and signedness of what a tracepoint hands over, by name. InputError `unknown-tracepoint`."""
    fields = {}
    for line in _file(name, "format").splitlines():
        parts = dict(part.strip().partition(":")[::2] for part in line.split(";") if ":" in part)
        if "field" in parts and "offset" in parts:
            field = parts["field"].split()[-1].partition("[")[0].lstrip("*")
            fields[field] = int(parts["offset"]), int(parts["size"]), parts.get("signed") == "1"
    return fields


def _file(name: str, file: str) -> str:
    with _mounted() as root:
        try:
            return (root / "events" / name / file).read_text()
        except OSError:
            group, _, event = name.partition("/")
            known = root / "events" / group
            close = sorted(item.name for item in known.iterdir() if event[:8] in item.name)[:6] if known.is_dir() else []
    raise InputError(
        Diagnostic(
            "unknown-tracepoint",
            f"this kernel has no tracepoint {name}",
            notes=(f"group {group} has {', '.join(close)}",) if close else (),
            help="write tracepoint:GROUP:EVENT as in events/ of tracefs",
        )
    )
