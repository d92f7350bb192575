"""What a page is made of: a verdict, facts, and sections, each of a kind that the template knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a listing as HTML. Lines of several listings that share a `key` light up together; "" shares with none."""

    number: str
    html: str
    key: str = ""
    mark: str = ""  # "added", "removed": against the listing beside it


@dataclass(frozen=True, slots=True)
class Pane:
    """One listing: a source, generated C, or the instructions of a program."""

    title: str
    language: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A basic block as it is drawn: centre and size in pixels, and its instructions."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[tuple[str, bool], ...]  # text, and is it changed
    changed: bool
    key: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from block to block: an SVG path. `back` ways lead up, in loops; `kind` is "taken", "else" or "next"."""

    path: str
    kind: str
    back: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawn control-flow graph."""

    title: str
    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One number of a chart. `low` and `high` are ends of its spread, `floor` the part that an empty program takes, `reference`
    a number to hold it against, all in the chart's unit."""

    label: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    reference: float | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Headers:
    """A run of bytes of a packet with what they are; `changed` are the offsets whose bytes differ from the input's."""

    offset: int
    data: bytes
    text: str
    changed: frozenset[int] = frozenset()


# --- sections ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Listings:
    """Panes side by side."""

    kind: ClassVar[str] = "listings"
    title: str
    panes: tuple[Pane, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Graphs:
    kind: ClassVar[str] = "graphs"
    title: str
    graphs: tuple[Graph, ...]
    note: str = ""
    legend: str = "block with instructions that the other form lacks"

    @property
    def is_marked(self) -> bool:
        """Is there a block that stands out?"""
        return any(node.changed for graph in self.graphs for node in graph.nodes)

    @property
    def is_decided(self) -> bool:
        """Is there a way that depends on a condition?"""
        return any(edge.kind == "taken" for graph in self.graphs for edge in graph.edges)


@dataclass(frozen=True, slots=True)
class Items:
    """Sentences."""

    kind: ClassVar[str] = "items"
    title: str
    items: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns whose name begins with "#" hold numbers."""

    kind: ClassVar[str] = "table"
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars on one scale from 0."""

    kind: ClassVar[str] = "chart"
    title: str
    unit: str
    bars: tuple[Bar, ...]
    note: str = ""

    @property
    def largest(self) -> float:
        """The end of the scale."""
        ends = [end for bar in self.bars for end in (bar.value, bar.high, bar.floor, bar.reference) if end is not None]
        return max(ends, default=0) or 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one side of a counterexample did."""

    title: str
    returns: str
    state: tuple[tuple[str, str, str], ...]  # name, value, value before ("" where it is the same)
    packet: tuple[Headers, ...]  # empty where it left the packet as it was
    trace: tuple[tuple[str, str, bool], ...]  # place, text, and does only this side come here


@dataclass(frozen=True, slots=True)
class Example:
    """A counterexample: the input, and what both sides did with it."""

    kind: ClassVar[str] = "example"
    title: str
    observable: str
    inputs: tuple[tuple[str, str], ...]
    packet: tuple[Headers, ...]
    sides: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Diagnostics: severity, id, text with the user's lines."""

    kind: ClassVar[str] = "findings"
    title: str
    findings: tuple[tuple[str, str, str], ...]
    note: str = ""


Section = Listings | Graphs | Items | Table | Chart | Example | Findings


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report. `tone` is "good", "bad" or "open"; `facts` are label and value."""

    title: str
    verdict: str
    tone: str
    headline: str
    command: str
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
