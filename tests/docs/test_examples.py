"""What pages show can be typed: examples of mistakes are told as their page says, and commands have the options shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

import bpfsmith as bs
from bpfsmith.cli.main import parser

ROOT = Path(__file__).parents[2]
DIAGNOSTICS = sorted((ROOT / "docs" / "diagnostics").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "src").rglob("*.py")),  # messages and docstrings name commands, too
]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:\$ | {4}(?:\$ )?)(bpfsmith .*)$|`(bpfsmith [^`\n]+)`", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in _FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


@pytest.mark.parametrize("page", [page for page in DIAGNOSTICS if blocks(page, "appnet")], ids=lambda page: page.stem)
def test_an_example_of_a_mistake_is_told_as_its_page_says(page: Path, tmp_path: Path) -> None:
    """Law: the AppNet program on the page of a diagnostic, with the binding that stands there, gives that diagnostic."""
    (text,) = blocks(page, "appnet")
    (tmp_path / "x.appnet").write_text(text)
    for binding in blocks(page, "toml"):
        (tmp_path / "x.bind.toml").write_text(binding)
    try:
        told = bs.compile(tmp_path / "x.appnet", timed=False).diagnostics
    except bs.ToolError as error:
        told = error.diagnostics
    assert page.stem in {item.id for item in told}


def commands() -> Iterator[tuple[str, list[str]]]:
    """The words of commands in blocks of text and in sentences, with the page; what a shell or the command behind `--` reads,
    and remarks behind two spaces, are no part of them."""
    for page in PAGES:
        for block, inline in _COMMAND.findall(page.read_text(encoding="utf-8")):
            words = shlex.split((block or inline).partition("  ")[0].replace("\\|", "|"), comments=True)
            yield page.name, list(takewhile(lambda word: word not in ("|", ">", "<", "--"), words))


def test_commands_are_found() -> None:
    """Law: the search sees them on pages of all kinds, so that the test below cannot pass on nothing."""
    pages = {page for page, _ in commands()}
    assert {"README.md", "index.md", "cost.md", "optimize.md", "models.md", "appnet.md", "bad-endpoint.md"} <= pages


def test_every_command_on_a_page_can_be_typed() -> None:
    """Law: a command that a page shows has the arguments and options that the command line has."""
    top, wrong = parser(), []
    for page, words in commands():
        if any(
            ".." in word or word in ("COMMAND", "--help", "--version") for word in words
        ):  # stands for what depends on the reader
            continue
        try:
            top.parse_args(words[1:])
        except bs.InputError as error:
            message = error.diagnostics[0].message
            if not re.search(r"arguments are required|expected one argument", message):  # as a sentence may name a command
                wrong.append(f"{page}: {shlex.join(words)}: {message}")
    assert wrong == []
