"""Runs the command as a user does: another process, its exit status, its two streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """stdout as the one JSON object that it must be."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def ids(self) -> list[str]:
        """Ids of the errors on stderr, in order."""
        lines = self.err.splitlines()
        return [line.split("[")[1].split("]")[0] for line in lines if line.startswith("error[")]


def bpfsmith(*arguments: str | Path, cwd: Path | None = None, prefix: tuple[str, ...] = ()) -> Done:
    """`python -m bpfsmith ARGUMENTS` in the directory `cwd`."""
    command = [*prefix, sys.executable, "-m", "bpfsmith", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "FORCE_COLOR": ""}
    environment.pop("BPFSMITH_TRACEBACK", None)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False, timeout=120)
    return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
