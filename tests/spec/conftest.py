"""Literate golden files: in each Markdown file here a program's block is followed by a block of what the tool says about it.

    ```appnet          the program
    ```text            the diagnostics, or `ok`

`pytest tests/spec --update-spec` writes what the tool says now into the files; look at the difference before you commit it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.appnet.typecheck import type_check
from bpfsmith.diagnostic import ToolError
from bpfsmith.render import diagnostic_text
from bpfsmith.source import SourceText

_EXAMPLE = re.compile(
    r"^```(?P<language>\w+)\n(?P<program>.*?)^```\n+^```(?:text|console)\n(?P<expected>.*?)^```$", re.MULTILINE | re.DOTALL
)


def appnet(program: str) -> str:
    """What the type checker says about an AppNet program."""
    try:
        checked = type_check(SourceText("example.appnet", program))
    except ToolError as error:
        return "\n\n".join(diagnostic_text(item) for item in error.diagnostics)
    return "\n\n".join([*(diagnostic_text(item) for item in checked.warnings), "ok"])


SPEAKERS: dict[str, Callable[[str], str]] = {"appnet": appnet}
"""What the tool says, by the language of the first block."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-spec", action="store_true", help="rewrite the expected blocks of tests/spec/*.md")


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> SpecFile | None:
    return SpecFile.from_parent(parent, path=file_path) if file_path.suffix == ".md" else None


class SpecFile(pytest.File):
    """One Markdown file; every example under a heading is a test that carries the heading's name."""

    def collect(self) -> Iterator[SpecItem]:
        text = self.path.read_text(encoding="utf-8")
        numbers: dict[str, int] = {}
        for found in _EXAMPLE.finditer(text):
            if found["language"] not in SPEAKERS:
                continue
            headings = re.findall(r"^#+ (.*)$", text[: found.start()], re.MULTILINE)
            heading = headings[-1] if headings else self.path.stem
            numbers[heading] = numbers.get(heading, 0) + 1
            name = heading if numbers[heading] == 1 else f"{heading} ({numbers[heading]})"
            yield SpecItem.from_parent(self, name=name, example=found)


class SpecItem(pytest.Item):
    def __init__(self, *, example: re.Match[str], **rest: Any) -> None:
        super().__init__(**rest)
        self.example = example

    def runtest(self) -> None:
        said = SPEAKERS[self.example["language"]](self.example["program"])
        if said.strip() == self.example["expected"].strip():
            return
        if not self.config.getoption("--update-spec", default=False):
            raise SpecMismatch(said, self.example["expected"])
        text = self.path.read_text(encoding="utf-8")
        written = self.example.group()
        start = self.example.start("expected") - self.example.start()
        end = self.example.end("expected") - self.example.start()
        self.path.write_text(text.replace(written, written[:start] + said + "\n" + written[end:], 1), encoding="utf-8")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        if isinstance(excinfo.value, SpecMismatch):
            return f"{self.path.name}: {self.name}\n--- said\n{excinfo.value.said}\n--- expected\n{excinfo.value.expected}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.example.string.count("\n", 0, self.example.start()), self.name


class SpecMismatch(AssertionError):
    def __init__(self, said: str, expected: str) -> None:
        super().__init__(said)
        self.said = said
        self.expected = expected
