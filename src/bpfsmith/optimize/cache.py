"""What searches have found, so that the next program gets it at once: an SQLite file of windows and their shorter forms.

A search gives the same answer every time, so a cache changes how long a run takes and nothing else. Three layers: what this
process has found, the user's file (read and written), and the one that ships with the package (read only).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bpfsmith.optimize.search import shorter
from bpfsmith.optimize.steps import Step, Window

SHIPPED = Path(__file__).parent / "rules.sqlite3"
_SCHEMA = "CREATE TABLE IF NOT EXISTS rules (window TEXT PRIMARY KEY, found TEXT) WITHOUT ROWID"
NOTHING = "-"
"""In the place of a found sequence: the search was made, and there is none."""


def user_file() -> Path:
    """Where this user's rules are: $XDG_CACHE_HOME/bpfsmith/rules.sqlite3."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpfsmith" / "rules.sqlite3"


@dataclass(slots=True)
class RuleCache:
    """Answers for windows, by search where none is known. `fresh` are those that were searched for."""

    known: Mapping[str, str]
    fresh: dict[str, str] = field(default_factory=dict)
    searches: bool = True  # False: an ablation, which finds nothing

    def shorter(self, window: Window) -> tuple[Step, ...] | None:
        """A proved shorter form, or None."""
        if not self.searches:
            return None
        key = window.key
        text = self.fresh.get(key) or self.known.get(key)
        if text is None:
            text = self.fresh[key] = _encoded(shorter(window))
        return _decoded(text)


def opened(*files: Path) -> RuleCache:
    """The rules of these files, of which any may be missing; damaged ones count as empty."""
    known: dict[str, str] = {}
    for path in files:
        known.update(_rows(path))
    return RuleCache(known)


@cache
def usual() -> RuleCache:
    """What ships with the package and what the user has learnt."""
    return opened(SHIPPED, user_file())


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        if not path.is_file():
            return []
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            return list(database.execute("SELECT window, found FROM rules"))
    except (sqlite3.Error, OSError):
        return []


def save(path: Path, rules: Iterable[tuple[str, str]]) -> int:
    """Adds rules to a file; how many it then has. OSError or sqlite3.Error when that cannot be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as database:
        database.execute(_SCHEMA)
        database.executemany("INSERT OR REPLACE INTO rules VALUES (?, ?)", sorted(rules))
        (count,) = database.execute("SELECT count(*) FROM rules").fetchone()
    return int(count)


def _encoded(steps: tuple[Step, ...] | None) -> str:
    if steps is None:
        return NOTHING
    return ";".join(f"{s.what},{s.width},{s.dst},{'' if s.src is None else s.src},{s.imm}" for s in steps) or "="


def _decoded(text: str) -> tuple[Step, ...] | None:
    if text == NOTHING:
        return None
    if text == "=":
        return ()
    out = []
    for item in text.split(";"):
        what, width, dst, src, imm = item.split(",")
        out.append(Step(what, int(width), int(dst), int(src) if src else None, int(imm)))
    return tuple(out)
