"""What a body of a program knows at one point: its names, and which of them are set on the way there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpfsmith.appnet import core
from bpfsmith.diagnostic import Label
from bpfsmith.source import Span


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a local holds that was assigned from `get(map, key)` or `get(vec, index)`; `key` is a constant or a local set
    there."""

    map: str
    key: core.Expr
    type: core.Type
    in_vec: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A local: its name in the core and its type, None when a mistake in its value is reported already.

    `lookup` is given for a local that holds an Option; `bound` says that a pattern binds it, and nothing assigns to it.
    """

    core_name: str
    type: core.Type | None
    span: Span
    lookup: Lookup | None = None
    bound: bool = False


@dataclass(slots=True)
class Flow:
    """The facts that hold on every path to a point; `ended` means that no path leads there any more."""

    known_set: frozenset[str] = frozenset()
    unset_because: Mapping[str, Label] = field(default_factory=dict)
    changed: Mapping[str, Span] = field(default_factory=dict)  # Option locals whose Map was changed since, and where
    ended: Span | None = None  # the `send` that ended the path

    def copy(self) -> Flow:
        return Flow(self.known_set, self.unset_because, self.changed, self.ended)

    def with_set(self, name: str) -> None:
        self.known_set |= {name}
        self.unset_because = {key: label for key, label in self.unset_because.items() if key != name}
        self.changed = {key: span for key, span in self.changed.items() if key != name}

    def without(self, name: str, because: Label) -> None:
        self.known_set -= {name}
        self.unset_because = {**self.unset_because, name: because}


def join(ways: list[tuple[Flow, Label]]) -> Flow:
    """The facts behind a match from those at the end of its ways; each label says which way left a variable unset."""
    alive = [(flow, label) for flow, label in ways if flow.ended is None]
    if not alive:
        return ways[-1][0].copy()
    everywhere = frozenset.intersection(*(flow.known_set for flow, _ in alive))
    reasons: dict[str, Label] = {}
    changed: dict[str, Span] = {}
    for flow, _ in alive:
        reasons |= {name: reason for name, reason in flow.unset_because.items() if name not in reasons}
        changed |= flow.changed
    somewhere = frozenset.union(*(flow.known_set for flow, _ in alive))
    for name in somewhere - everywhere:
        reasons[name] = next(label for flow, label in alive if name not in flow.known_set)
    return Flow(everywhere, {name: reason for name, reason in reasons.items() if name not in everywhere}, changed)
