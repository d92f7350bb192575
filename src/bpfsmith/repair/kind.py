"""One kind of rejection as a declaration: the kernel's words, what they mean, where the change belongs, and what it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bpfsmith.diagnostic import Label
from bpfsmith.repair.case import Case
from bpfsmith.source import Span


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the user's text, and the words under its carets."""

    span: Span | None
    text: str

    def label(self) -> Label | None:
        return Label(self.span, self.text) if self.span else None


@dataclass(frozen=True, slots=True)
class Story:
    """What a locator found: the place where the change belongs, places that led there, facts, and words for the templates.
    `help` takes the place of the kind's where the change is another."""

    primary: Place
    others: tuple[Place, ...] = ()
    facts: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    help: str = ""


Locator = Callable[[Case, re.Match[str]], Story]


@dataclass(frozen=True)
class Kind:
    """`words` are patterns of one line of the verifier's, `when` decides between kinds that share them.

    `title` and `help` are templates over the groups of the pattern and the names of the story; `meaning` is the page's text.
    `elsewhere` says where the rejection is seen when not on a current kernel by a privileged process.
    """

    id: str
    words: tuple[str, ...]
    title: str
    locate: Locator
    help: str
    meaning: str
    when: Callable[[Case, re.Match[str]], bool] | None = None
    elsewhere: str = ""

    def match(self, case: Case) -> re.Match[str] | None:
        """The first of the verifier's lines that is of this kind."""
        for pattern in self.words:
            for line in case.words:
                found = re.search(pattern, line)
                if found is not None and (self.when is None or self.when(case, found)):
                    return found
        return None

    @property
    def example(self) -> str:
        """The stem of the example program's file name."""
        return self.id.removeprefix("verifier-")


def recognise(case: Case, kinds: Iterable[Kind]) -> tuple[Kind, re.Match[str]] | None:
    """The kind of a rejection, None for one that the table lacks; the table's order decides between several."""
    for kind in kinds:
        found = kind.match(case)
        if found is not None:
            return kind, found
    return None
