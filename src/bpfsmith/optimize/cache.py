"""What searches have found, so that the next program gets it at once: an SQLite file of windows and their shorter forms.

Beside windows it holds rules that were made of them (`generalise`), under their first part: a window that one of them fits is
not searched for, and what it gives is proved for all numbers. Three layers: what this process has found, the user's file (read
and written), and the one that ships with the package (read only).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bpfsmith.optimize.generalise import generalised
from bpfsmith.optimize.rules import Pattern, Rule, applied, read
from bpfsmith.optimize.search import shorter
from bpfsmith.optimize.steps import Step, Window

SHIPPED = Path(__file__).parent / "rules.sqlite3"
_SCHEMA = "CREATE TABLE IF NOT EXISTS rules (window TEXT PRIMARY KEY, found TEXT) WITHOUT ROWID"
NOTHING = "-"
"""In the place of a found sequence: the search was made, and there is none."""
_RULE = "rule"
"""What the keys of rules start with; those of windows start with a number."""


def user_file() -> Path:
    """Where this user's rules are: $XDG_CACHE_HOME/bpfsmith/rules.sqlite3."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpfsmith" / "rules.sqlite3"


@dataclass(slots=True)
class RuleCache:
    """Answers for windows, by search where none is known. `fresh` are those that were searched for."""

    known: Mapping[str, str]
    fresh: dict[str, str] = field(default_factory=dict)
    searches: bool = True  # False: an ablation, which finds nothing
    _rules: dict[int, list[Pattern]] | None = None  # by the number of their steps

    def shorter(self, window: Window) -> tuple[Step, ...] | None:
        """A proved shorter form, or None."""
        if not self.searches:
            return None
        key = window.key
        text = self.fresh.get(key) or self.known.get(key)
        if text is not None:
            return _decoded(text)
        for pattern in self.rules().get(len(window.steps), ()):
            steps = applied(pattern, window)
            if steps is not None:
                return steps
        found = shorter(window)
        self.fresh[key] = _encoded(found)
        return found

    def rules(self) -> dict[int, list[Pattern]]:
        """The learnt rules, by the number of steps that they take the place of."""
        if self._rules is None:
            self._rules = {}
            for key, after in sorted((*self.known.items(), *self.fresh.items())):
                if key.startswith(_RULE):
                    self._add(_rule(key, after))
        return self._rules

    def learn(self, window: Window, found: tuple[Step, ...]) -> Rule | None:
        """Makes a rule of what was found for a window, if there is one and no other rule gives that already."""
        if any(applied(pattern, window) == found for pattern in self.rules().get(len(window.steps), ())):
            return None
        rule = generalised(window, found)
        if rule is not None:
            self.fresh[_rule_key(rule)] = rule.after or "="
            self._add(rule)
        return rule

    def generalise(self, windows: Mapping[str, str]) -> int:
        """Makes rules of those windows that have a shorter form; how many are new. What is found in a run does not hang on the
        order of its programs, so that this comes after it."""
        self._rules = None  # those of other processes have come in
        count = 0
        for key, text in sorted(windows.items()):
            found = _decoded(text) if is_window(key) else None
            count += found is not None and self.learn(_window(key), found) is not None
        return count

    def _add(self, rule: Rule) -> None:
        pattern = read(rule)
        assert self._rules is not None
        self._rules.setdefault(len(pattern.before), []).append(pattern)


def _rule_key(rule: Rule) -> str:
    return "\t".join((_RULE, rule.before, rule.when, ",".join(map(str, rule.zeros)), str(rule.cpu)))


def is_window(key: str) -> bool:
    """Is this the key of a window, not of a rule?"""
    return not key.startswith(_RULE)


def _window(key: str) -> Window:
    cpu, zeros, output, steps = key.split("|")
    return Window(_decoded(steps) or (), tuple(int(item) for item in zeros.split(",") if item), int(output), int(cpu))


def _rule(key: str, after: str) -> Rule:
    _, before, when, zeros, cpu = key.split("\t")
    known = tuple(int(item) for item in zeros.split(",") if item)
    return Rule("learnt", before, "" if after == "=" else after, "", when, known, int(cpu))


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
