"""What other people's repositories take from this one: the pre-commit hooks and the GitHub action do what they say."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import sources

ROOT = Path(__file__).parents[2]
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin"


@pytest.mark.parametrize(("hook", "status"), [("bpfsmith-fmt", 0), ("bpfsmith-compile", 0)])
def test_a_hook_passes_good_files_and_stops_on_bad_ones(hook: str, status: int, tmp_path: Path) -> None:
    """Law: a hook's command with a good file is 0, and with a wrong one among others it is not."""
    (tmp_path / "drop.appnet").write_text(sources.DROP)
    (tmp_path / "wrong.appnet").write_text("state:\n    x: nothing\n")

    def run(*files: str) -> int:
        command = [*shlex.split(HOOKS[hook]["entry"]), *files]
        return subprocess.run(command, cwd=tmp_path, env={"PATH": PATH}, capture_output=True, check=False).returncode

    assert run("drop.appnet") == status
    assert run("wrong.appnet", "drop.appnet") != 0


def test_the_action_annotates_and_keeps_its_files(tmp_path: Path) -> None:
    """Law: the action's script prints annotations, writes SARIF and page, and fails where the command does."""
    (tmp_path / "drop.appnet").write_text(sources.DROP)
    (tmp_path / "mine.bpf.c").write_text(sources.TWO_AT_ONCE)
    script = ACTION["runs"]["steps"][-1]["run"]
    environment = {"PATH": PATH, "COMMAND": "check drop.appnet mine.bpf.c", "SARIF": "x.sarif", "REPORT": "x.html"}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "::error file=mine.bpf.c,line=1," in done.stdout
    assert (tmp_path / "x.sarif").is_file()
    assert (tmp_path / "x.html").is_file()
