"""bpfsmith: state what you want, get eBPF that the kernel accepts and that is proved to mean it.

import bpfsmith as bs

made = bs.compile("fault.appnet")          # AppNet to a proved object
made.save("fault.bpf.o")
bs.check("fault.appnet", "mine.bpf.c")     # proved equal, or an input on which they differ
bs.verify("mine.bpf.c")                    # the kernel's verdict, explained at your line
bs.optimize("mine.bpf.o").save("less.bpf.o")
bs.fuse("latency.bpf.o").save("one.bpf.o") # entry and exit probe as one
bs.cost("cache.bpf.c", hits=0.6).advice    # ns by path and line, and whether it pays
bs.offload("server.c", advise=True).advice # is a half of the server better off in the kernel?
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bpfsmith.api import (
        Check,
        Compilation,
        DoNotOffload,
        Fusion,
        Measurement,
        Offload,
        Optimization,
        Pairs,
        Prediction,
        Result,
        Verification,
        check,
        compile,
        cost,
        fuse,
        measure,
        offload,
        optimize,
        pairs,
        profile,
        verify,
    )
    from bpfsmith.diagnostic import Diagnostic, InputError, InternalError, KernelError, ToolError, Unsupported
    from bpfsmith.report import Outcome, ProgramReport, Report

_HOMES = {
    "bpfsmith.api": (
        "Check", "Compilation", "DoNotOffload", "Fusion", "Measurement", "Offload", "Optimization", "Pairs", "Prediction",
        "Result", "Verification", "check", "compile", "cost", "fuse", "measure", "offload", "optimize", "pairs", "profile",
        "verify",
    ),
    "bpfsmith.diagnostic": ("Diagnostic", "InputError", "InternalError", "KernelError", "ToolError", "Unsupported"),
    "bpfsmith.report": ("Outcome", "ProgramReport", "Report"),
}  # fmt: skip

__all__ = [
    "Check", "Compilation", "Diagnostic", "DoNotOffload", "Fusion", "InputError", "InternalError", "KernelError",
    "Measurement", "Offload", "Optimization", "Outcome", "Pairs", "Prediction", "ProgramReport", "Report", "Result",
    "ToolError", "Unsupported", "Verification", "__version__", "check", "compile", "cost", "fuse", "measure", "offload",
    "optimize", "pairs", "profile", "verify",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Each name is imported when it is first asked for: the command line needs none of them."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'bpfsmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _kept(name: str) -> property:
    """A function of the API that has the name of a package here: importing that would put it in the function's place."""

    def function(module: ModuleType) -> object:
        from bpfsmith import api

        return getattr(api, name)

    def package(module: ModuleType, package: object) -> None:
        """The import system's wish to have the package here; it is found in sys.modules all the same."""

    return property(function, package)


class _Package(ModuleType):
    cost, offload, optimize = _kept("cost"), _kept("offload"), _kept("optimize")


sys.modules[__name__].__class__ = _Package
