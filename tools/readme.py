"""Runs the commands in README.md and puts their real output below them: `.venv/bin/python tools/readme.py`.

A line `<!-- $ COMMAND -->` is followed by a fenced block, which is replaced by the command as typed and what it printed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(<!-- \$ (?P<command>.*?) -->\n)```\w*\n.*?```\n", re.DOTALL)


def main() -> int:
    readme = ROOT / "README.md"
    environment = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "examples").symlink_to(ROOT / "examples")
        (Path(scratch) / "benchmarks").symlink_to(ROOT / "benchmarks")
        (Path(scratch) / ".venv").symlink_to(ROOT / ".venv")

        def run(match: re.Match[str]) -> str:
            command = match["command"]
            done = subprocess.run(
                ["bash", "-c", command], cwd=scratch, env=environment, text=True, capture_output=True, check=False
            )
            shown = "" if command.startswith(("cat ", "tail ", "sed ")) else f"$ {command}\n"
            both = done.stdout + ("\n" if done.stdout and done.stderr else "") + done.stderr.rstrip("\n")
            return f"{match[1]}```console\n{shown}{both.rstrip()}\n```\n"

        readme.write_text(_BLOCK.sub(run, readme.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
