"""How the kernel's refusals are told to a person."""

from __future__ import annotations

import errno
import os

from bpfsmith.diagnostic import Diagnostic, KernelError

ENOTSUPP = 524  # the kernel's own "not supported", unknown to libc (include/linux/errno.h)


def errno_name(number: int) -> str:
    """An errno as people search for it: "EINVAL (Invalid argument)"."""
    if number == ENOTSUPP:
        return "ENOTSUPP (Operation is not supported)"
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"


def not_permitted(what: str, number: int) -> KernelError:
    """The error for a refusal that is about who asks, or about what this kernel offers, not about the program."""
    return KernelError(
        Diagnostic(
            "bpf-not-permitted",
            f"the kernel does not let this process {what}",
            notes=(f"bpf(2) failed with {errno_name(number)} and no log",),
            help="run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; where the kernel is locked down, "
            "`bpfsmith verify --kernel 6.12` loads it in a virtual machine",
        )
    )
