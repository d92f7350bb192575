"""bpfsmith: state what you want, get eBPF that the kernel accepts and that is proved to mean it.

import bpfsmith as bs

made = bs.compile("fault.appnet")          # AppNet to a proved object
made.save("fault.bpf.o")
bs.check("fault.appnet", "mine.bpf.c")     # proved equal, or an input on which they differ
bs.optimize("mine.bpf.o").save("less.bpf.o")
bs.verify("mine.bpf.c")                    # the kernel's verdict, explained at your line
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bpfsmith.api import Check, Compilation, Optimization, Result, Verification, check, compile, optimize, verify
    from bpfsmith.diagnostic import Diagnostic, InputError, InternalError, KernelError, ToolError, Unsupported
    from bpfsmith.report import Outcome, ProgramReport, Report

__all__ = [
    "Check", "Compilation", "Diagnostic", "InputError", "InternalError", "KernelError", "Optimization", "Outcome",
    "ProgramReport", "Report", "Result", "ToolError", "Unsupported", "Verification", "__version__", "check", "compile",
    "optimize", "verify",
]  # fmt: skip

_HOMES = {
    "bpfsmith.api": ("Check", "Compilation", "Optimization", "Result", "Verification", "check", "compile", "verify"),
    "bpfsmith.diagnostic": ("Diagnostic", "InputError", "InternalError", "KernelError", "ToolError", "Unsupported"),
    "bpfsmith.report": ("Outcome", "ProgramReport", "Report"),
}


def __getattr__(name: str) -> object:
    """Each name is imported when it is first asked for: the command line needs none of them."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'bpfsmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """There is a package bpfsmith.optimize, too, and importing it would put it in the place of the function."""

    @property
    def optimize(self) -> object:
        from bpfsmith.api import optimize

        return optimize

    @optimize.setter
    def optimize(self, package: object) -> None:
        """The import system's wish to have the package here; it is found in sys.modules all the same."""


sys.modules[__name__].__class__ = _Package
