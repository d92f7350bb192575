"""What is known while a server's functions are written anew, and how a place hands the request over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from bpfsmith.csource.tree import CType, Function, Node, Shape
from bpfsmith.offload.declare import Declarer
from bpfsmith.offload.half import FIRST_REASON, RUN, Reason
from bpfsmith.offload.landmarks import Findings
from bpfsmith.offload.program import Server
from bpfsmith.source import Span


@dataclass(slots=True)
class Context(ABC):
    """What is known while functions are turned into C text. `private` maps what moves to the run's memory to its name there."""

    server: Server
    findings: Findings
    types: Declarer
    states: dict[str, tuple[int, str, CType, Span, bool, str, str]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    reasons: list[Reason] = field(default_factory=list)
    literals: dict[str, tuple[str, int]] = field(default_factory=dict)
    locals: dict[str, str] = field(default_factory=dict)  # name in the run's memory -> declaration
    private: dict[str, str] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    machinery: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)
    prototypes: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    function: Function | None = None
    reads_client: bool = False
    in_region: bool = False
    hoisted: set[str] = field(default_factory=set)
    # What hands over whenever it is evaluated: nodes by identity, and functions.
    futile: set[int] = field(default_factory=set)
    futile_functions: set[str] = field(default_factory=set)

    @property
    def here(self) -> Function:
        assert self.function is not None
        return self.function

    # --- handing over -------------------------------------------------------------------------------------------------
    def reason(self, node: Node, why: str, help_text: str = "") -> int:
        found = Reason(self.here.span(node), why, help_text, self.here.ref, node.start)
        if found not in self.reasons:
            self.reasons.append(found)
        return FIRST_REASON + self.reasons.index(found)

    def over(self, node: Node, why: str, help_text: str = "", ctype: CType | None = None) -> str:
        """An expression of the type of `node` that hands the request over."""
        self.futile.add(id(node))
        call = f"bs_over({RUN}, {self.reason(node, why, help_text)})"
        ctype = ctype or node.type
        if ctype is None or ctype.bare.shape is Shape.VOID:
            return f"((void){call})"
        if ctype.bare.shape is Shape.RECORD:
            return f"(*({{ {call}; ({self.types.declare(ctype)} __arena *){RUN}->sink; }}))"
        if ctype.bare.shape in (Shape.INTEGER, Shape.POINTER):
            return f"(({self.types.declare(ctype)}){call})"
        if ctype.bare.shape is Shape.ARRAY and ctype.bare.target is not None:
            return f"(({self.types.declare(ctype.bare.target)} __arena *)({{ {call}; {RUN}->sink; }}))"
        return f"((int){call})"

    # --- what the parts of the writer ask of each other -----------------------------------------------------------------
    @abstractmethod
    def expr(self, node: Node) -> str:
        """An expression as C text."""

    @abstractmethod
    def call(self, node: Node) -> str:
        """A call as C text."""

    @abstractmethod
    def braced(self, node: Node) -> str:
        """An initializer in braces as C text."""

    @abstractmethod
    def statement(self, node: Node, loop: bool = False, switch: bool = False) -> str:
        """A statement as C text."""

    @abstractmethod
    def hands_over(self, node: Node) -> bool:
        """Is the request handed over whenever this is evaluated?"""
