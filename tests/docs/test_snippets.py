"""What the documentation shows is run: commands exit as it says and print the lines it prints, numbers aside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((*(ROOT / "docs" / "tutorials").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md")))
NEEDS_KERNEL = {"probes", "offload"}
_BLOCK = re.compile(r"(?:<!-- (?P<what>file|run): (?P<word>.*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """A file to write, a command to prepare with, a script, or commands with what they print."""

    kind: str
    word: str
    text: str


def steps(page: Path) -> list[Step]:
    found = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["what"] == "run":
            found.append(Step("run", match["word"], ""))
        found.append(
            Step("file", match["word"], match["text"])
            if match["what"] == "file"
            else Step(match["language"], "", match["text"])
        )
    return found


def masked(line: str) -> str:
    """A line as far as it is the same on every machine."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*", "N", line)).strip()


def run(command: str, cwd: Path) -> tuple[int, str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def shown(text: str) -> list[tuple[str, int, list[str]]]:
    """The commands of a console block: each with its exit status and the lines that it is said to print."""
    found: list[tuple[str, int, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            command, _, status = line[2:].partition(" # exit ")
            found.append((command, int(status or 0), []))
        elif line.strip() not in ("", ".."):
            found[-1][2].append(line)
    return found


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.stem, marks=[pytest.mark.kernel] * (page.stem in NEEDS_KERNEL)) for page in PAGES]
)
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for step in steps(page):
        match step.kind:
            case "file":
                (tmp_path / step.word).parent.mkdir(exist_ok=True)
                (tmp_path / step.word).write_text(step.text)
            case "run":
                assert run(step.word, tmp_path)[0] == 0
            case "python":
                (tmp_path / "snippet.py").write_text(step.text)
                status, said = run("python snippet.py", tmp_path)
                assert status == 0, said
            case "console":
                for command, wanted, lines in shown(step.text):
                    status, said = run(command, tmp_path)
                    assert status == wanted, f"$ {command}\n{said}"
                    printed = {masked(line) for line in said.splitlines()}
                    assert [line for line in lines if masked(line) not in printed] == [], f"$ {command}\n{said}"
            case _:
                pass


def test_the_search_finds_what_a_page_shows() -> None:
    """Law: the reader of pages sees files, commands, exit codes and lines, so that the test above cannot pass on nothing."""
    found = steps(ROOT / "docs" / "tutorials" / "appnet.md")
    assert [step.kind for step in found].count("console") == 3
    assert {step.word for step in found if step.kind == "file"} == {"sampler.appnet", "mine.bpf.c"}
    (command, status, lines), *_ = shown(next(step.text for step in found if "exit 1" in step.text))
    assert (command.split()[1], status, len(lines)) == ("check", 1, 3)
