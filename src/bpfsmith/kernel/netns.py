"""Network namespaces of our own, which vanish with the process that made them, also when it is killed.

A namespace has no name: a child that sleeps keeps it, and the kernel ends that child with us (PR_SET_PDEATHSIG). Devices,
addresses and attached programs go with it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from bpfsmith.diagnostic import Diagnostic, KernelError

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """For a child between fork and exec: the kernel kills it when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _leave_network() -> None:
    die_with_parent()
    if _libc.unshare(_CLONE_NEWNET) != 0:
        os._exit(126)


class Namespace:
    """A network namespace with a loopback device that is up. A context manager; KernelError `no-network-namespace`."""

    def __init__(self) -> None:
        if shutil.which("ip") is None:
            raise _refused("the command ip is missing", "install iproute2")
        self._holder = subprocess.Popen(
            ["sleep", "infinity"], preexec_fn=_leave_network, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.path = Path(f"/proc/{self._holder.pid}/ns/net")
        try:
            if self._holder.poll() is not None or self.path.readlink() == Path("/proc/self/ns/net").readlink():
                raise _refused("unshare(CLONE_NEWNET) failed", "run as root, or with CAP_SYS_ADMIN")
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self.ip("link set lo up")
        except BaseException:
            self._holder.kill()
            self._holder.wait()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process that keeps the namespace."""
        return self._holder.pid

    def close(self) -> None:
        """Let the namespace go; the kernel removes it when no process and no device needs it. A second call does nothing."""
        if self._holder.poll() is None:
            self._holder.kill()
            self._holder.wait()
            os.close(self._fd)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and children it starts, are in the namespace until the block ends."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _set_namespace(self._fd)
            try:
                yield
            finally:
                _set_namespace(home)
        finally:
            os.close(home)

    def ip(self, *commands: str) -> None:
        """Run commands of ip(8) in the namespace ("addr add 10.0.0.1/24 dev veth0"); KernelError `no-network-namespace`."""
        with self.entered():
            done = subprocess.run(
                ["ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise _refused(f"ip: {done.stderr.strip().splitlines()[0]}", "check that this kernel has veth devices")


NAMED = Path("/run/netns")
"""Where ip-netns(8) keeps namespaces by name."""


@contextmanager
def entered(name: str) -> Iterator[None]:
    """This thread is in the namespace called `name` (or whose file `name` is) until the block ends. KernelError
    `no-network-namespace` where there is none, or where it is the one that the thread is in: nothing is attached there."""
    path = Path(name) if "/" in name else NAMED / name
    try:
        if path.samefile("/proc/thread-self/ns/net"):
            raise _refused(f"{name} is the namespace that this runs in", "attach inside another one: `ip netns add NAME`")
        fd, home = os.open(path, os.O_RDONLY | os.O_CLOEXEC), os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(f"{path}: {error.strerror}", "make one with `ip netns add NAME`") from error
    try:
        try:
            _set_namespace(fd)
        except OSError as error:
            raise _refused(f"{path}: {error.strerror}", "run as root, or with CAP_SYS_ADMIN") from error
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(fd)
        os.close(home)


def _set_namespace(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "setns")


def _refused(reason: str, help_text: str) -> KernelError:
    return KernelError(
        Diagnostic("no-network-namespace", "this network namespace cannot be used", notes=(reason,), help=help_text)
    )
