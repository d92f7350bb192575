"""What a kernel half is made of, as data: where it hands over, which variables it shares, its text."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.csource.tree import CType, Shape
from bpfsmith.offload.forms import ERRNO
from bpfsmith.source import Span

FIRST_REASON = 11  # BS_FIRST_REASON of runtime/offload_kernel.h
RUN = "bs"  # the run's name in generated code: no name of the server's may be like it

VOID = CType(Shape.VOID, "void", 0)
FUNCTION = CType(Shape.FUNCTION, "", 0)


@dataclass(frozen=True, slots=True)
class Reason:
    """A place from which on a request is the user half's: `why` as a fact, `help` as an action."""

    span: Span
    why: str
    help: str = ""
    function: str = ""  # where it stands
    at: int = 0

    @property
    def ordinary(self) -> bool:
        """Is it what any server does that ends, or whose socket fails?"""
        return self.why.endswith("event loop ends here") or self.why.startswith(ERRNO)


@dataclass(frozen=True, slots=True)
class State:
    """A variable that both halves use. `written`: by the kernel half. `promoted`: it was a local one of the event loop."""

    name: str
    type: CType
    span: Span
    index: int
    written: bool
    promoted: bool
    function: str
    unit: str
    ref: str


@dataclass(frozen=True, slots=True)
class KernelHalf:
    """The C text of what is particular to a server, and what it says about it."""

    source: str
    states: tuple[State, ...]
    reasons: tuple[Reason, ...]
    buffers: tuple[str, ...]  # arrays of the event loop's that are taken to be written before they are read
    reads_client: bool
