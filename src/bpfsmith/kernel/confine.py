"""Runs a compiler on text that nobody trusts: no network, few files, little time. Also a script, which needs nothing else of
us.

    python -I confine.py WRITABLE READABLE.. -- COMMAND..

The process has a network namespace of its own with nothing in it, may read the compiler and its headers and write below
WRITABLE
only (Landlock, Documentation/userspace-api/landlock.rst), has limits on CPU seconds, memory, sizes of files and open files,
and an environment without the caller's secrets. Where the kernel has no Landlock, or permits no namespace, the rest holds, and
`missing` says so.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Sequence

CPU_S, MEMORY_BYTES, FILE_BYTES, OPEN_FILES = 20, 4 << 30, 32 << 20, 128
WALL_S = 30

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all architectures since 5.13
_GET_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_TCP, _KNOWS_TCP = 0b11, 4
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many of the rights on files, bit 0 on, each version of Landlock knows."""


def confined(command: Sequence[str], writable: str, readable: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs `command` confined."""
    return (sys.executable, "-I", "-S", __file__, writable, *readable, "--", *command)


def missing() -> str:
    """What of the confinement this kernel does not have, in a sentence; "" where nothing is missing."""
    return "" if landlock_version() else "this kernel has no Landlock: the compiler can read what the user can read"


def landlock_version() -> int:
    """The version of Landlock's interface; 0 where there is none."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION)))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _without_network(libc: ctypes.CDLL) -> None:
    """A namespace with a loopback that is down. Who is not root needs a user namespace for it, where that is permitted."""
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _only_files(libc: ctypes.CDLL, writable: str, readable: Sequence[str]) -> None:
    version = landlock_version()
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not version:
        return
    handled = (1 << _RIGHTS_BY_ABI[min(version, max(_RIGHTS_BY_ABI))]) - 1
    # From version 4 on TCP too: no right to bind or connect is given, should there be no namespace.
    attributes = struct.pack("=QQ", handled, _TCP) if version >= _KNOWS_TCP else struct.pack("=Q", handled)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    devices = handled & (_READ_FILE | _WRITE_FILE | _TRUNCATE)
    rules = [(writable, handled), ("/dev/null", devices), *((path, _READING) for path in readable)]
    for path, rights in rules:
        _permit(libc, ruleset, path, rights)
    if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)


def _permit(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 (a script that starts in a few milliseconds)
            rights &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, parent), 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
    finally:
        os.close(parent)


def _limits() -> None:
    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def main(arguments: Sequence[str]) -> None:
    """Gives up what a compiler does not need, and becomes it."""
    import signal

    at = arguments.index("--")
    (writable, *readable), command = arguments[:at], list(arguments[at + 1 :])
    libc = _libc()
    _limits()
    signal.alarm(WALL_S)  # survives exec
    _without_network(libc)
    _only_files(libc, writable, readable)
    kept = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": writable, "TMPDIR": writable}
    os.execve(command[0], command, kept)


if __name__ == "__main__":
    main(sys.argv[1:])
