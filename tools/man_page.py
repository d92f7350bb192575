"""bpfsmith(1), made from the commands' own help: hatchling runs this when it builds a wheel."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent


class ManPage(BuildHookInterface[Any]):
    """Adds the page where pip and pipx look for it; an editable install has none."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self._scratch = tempfile.TemporaryDirectory(prefix="bpfsmith-")
        path = Path(self._scratch.name) / "bpfsmith.1"
        path.write_text(man_page(), encoding="utf-8")
        build_data["shared_data"][str(path)] = "share/man/man1/bpfsmith.1"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._scratch.cleanup()


def man_page() -> str:
    """The page as roff. Needs nothing installed but the standard library: commands import what they need when they run."""
    sys.path.insert(0, str(ROOT / "src"))
    os.environ["COLUMNS"] = "80"
    from bpfsmith import __version__
    from bpfsmith.cli.main import VERBS, _verbs, parser

    verbs = _verbs(parser())
    parts = [
        f'.TH BPFSMITH 1 "" "bpfsmith {__version__}" "User Commands"',
        ".SH NAME",
        r"bpfsmith \- eBPF that the kernel accepts and that is proved to mean what you wrote",
        ".SH SYNOPSIS",
        ".B bpfsmith",
        r".I COMMAND \fR[OPTION ..] FILE ..",
        ".SH COMMANDS",
    ]
    for module in VERBS:
        parts += [
            f".SS {_escaped(module.NAME)}",
            ".nf",
            _escaped(verbs[module.NAME].format_help(everything=True).rstrip()),
            ".fi",
        ]
    codes = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in codes.splitlines() if line.startswith("| ") and line[2].isdigit()]
    parts.append(".SH EXIT STATUS")
    for code, means, example in rows:
        parts += [".TP", f".B {code}", _escaped(f"{means} ({example})".replace("`", ""))]
    parts += [".SH FILES", ".TP", ".I bpfsmith.toml", "Defaults of options, for each command; see the documentation."]
    return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    """Text that roff prints as it is: no escapes, no line that begins with a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))
