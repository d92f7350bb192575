"""The library of examples: pairs of a question and its answer, each proved by the gate before it is shown to a model.

    generate/NAME.appnet       generate/NAME.bpf.c         AppNet and C that does what it means
    optimize/NAME.before.bpf.c optimize/NAME.after.bpf.c   C and smaller C that does the same

A user's own lie in a directory of the same form. The comment on the first line of a question is its idea.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bpfsmith.propose.task import Task

SHIPPED = Path(__file__).parent / "library"
QUESTIONS = {"generate": (".appnet", ".bpf.c"), "optimize": (".before.bpf.c", ".after.bpf.c")}
"""How the files of a question and of its answer end, by kind."""

_WORD = re.compile(r"[A-Za-z_]\w*|\d+|[<>=!]=|&&|\|\||[-+*/%<>]")
_COMMENT = re.compile(r"^\s*(?:#(?!\s*(?:include|define|if|endif|undef|el))|//)\s?(.*)$")


@dataclass(frozen=True, slots=True)
class Example:
    """`kind` is "generate" or "optimize"; `idea` one sentence; `path` the file of the question, `answer_path` the other."""

    kind: str
    name: str
    idea: str
    question: str
    answer: str
    path: Path
    answer_path: Path

    @property
    def shipped(self) -> bool:
        return self.path.is_relative_to(SHIPPED)


def user_directory() -> Path:
    """Where a user's own examples are kept: $XDG_DATA_HOME/bpfsmith/examples."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "bpfsmith" / "examples"


def library(directories: Iterable[Path] | None = None) -> list[Example]:
    """All examples, the shipped ones first; a user's own of the same name takes the place of a shipped one."""
    found: dict[tuple[str, str], Example] = {}
    for directory in (SHIPPED, user_directory()) if directories is None else directories:
        for kind, (ending, answer_ending) in QUESTIONS.items():
            for path in sorted((directory / kind).glob(f"*{ending}")):
                name = path.name.removesuffix(ending)
                answer = path.with_name(name + answer_ending)
                if answer.is_file():
                    found[kind, name] = read(kind, name, path, answer)
    return list(found.values())


def read(kind: str, name: str, path: Path, answer: Path) -> Example:
    """One example. The comments at its head are its idea, and are not part of what the model is shown."""
    idea, question = _without_head(path.read_text(encoding="utf-8"))
    return Example(kind, name, idea, question, _without_head(answer.read_text(encoding="utf-8"))[1], path, answer)


def _without_head(text: str) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    head = []
    while lines and (match := _COMMENT.match(lines[0])):
        head.append(match[1].strip())
        lines.pop(0)
    return " ".join(head), "".join(lines).lstrip("\n")


def chosen(task: Task, examples: Sequence[Example], count: int) -> list[Example]:
    """The `count` examples of the task's kind that are most like it, the most alike last, where a model looks first.

    Likeness is the cosine of word counts, each word weighted by how few examples have it.
    """
    own = [item for item in examples if item.kind == task.kind]
    words = {id(item): _words(item.question) for item in own}
    asked = _words(_without_head(task.source)[1])
    having = Counter(word for found in words.values() for word in set(found))
    weights = {word: math.log((1 + len(own)) / (1 + having[word])) + 0.1 for word in {*having, *asked}}
    ranked = sorted(own, key=lambda item: (-_cosine(asked, words[id(item)], weights), item.name))
    return ranked[: max(count, 0)][::-1]


def _words(text: str) -> Counter[str]:
    """Words and operators, pairs of neighbours too; numbers are alike."""
    found = ["0" if word[0].isdigit() else word for word in _WORD.findall(text)]
    return Counter([*found, *(f"{a} {b}" for a, b in pairwise(found))])


def _cosine(first: Counter[str], second: Counter[str], weights: dict[str, float]) -> float:
    def length(counts: Counter[str]) -> float:
        return math.sqrt(sum((weights.get(word, 0) * count) ** 2 for word, count in counts.items()))

    shared = sum(weights.get(word, 0) ** 2 * first[word] * second[word] for word in first.keys() & second.keys())
    size = length(first) * length(second)
    return shared / size if size else 0.0
