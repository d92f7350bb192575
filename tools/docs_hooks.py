"""Pages of the documentation that are made from the code while mkdocs builds: commands, diagnostics, rules, helpers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from bpfsmith.cli.main import VERBS, _verbs, parser
from bpfsmith.isa import tables
from bpfsmith.optimize.rules import RULES
from bpfsmith.semantics.helpers import HELPERS
from bpfsmith.semantics.kfuncs import KFUNCS

DOCS = Path(__file__).resolve().parent.parent / "docs"


def commands() -> str:
    """Every command's own help, as `--help` prints it."""
    os.environ["COLUMNS"] = "100"
    verbs = _verbs(parser())
    parts = ["# Commands\n", "As `bpfsmith COMMAND --help` prints them. What they exit with: [exit codes](exit-codes.md).\n"]
    for module in VERBS:
        parts.append(f"## {module.NAME}\n\n```text\n{verbs[module.NAME].format_help(everything=True)}```\n")
    return "\n".join(parts)


def diagnostics() -> str:
    """The pages of all diagnostics with their first sentence."""
    rows = []
    for path in sorted((DOCS / "diagnostics").glob("*.md")):
        meaning = path.read_text(encoding="utf-8").partition("## What it means")[2].strip().split("\n\n")[0]
        rows.append(f"| [{path.stem}](../diagnostics/{path.name}) | {_cell(meaning)} |")
    head = "# Diagnostics\n\n`bpfsmith explain ID` shows the same pages.\n\n| id | what it means |\n| --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def rules() -> str:
    """The rewrite rules as `optimize` applies them."""
    rows = [f"| {rule.name} | {_code(rule.before)} | {_code(rule.after)} |" for rule in RULES]
    text = (
        "# Rewrite rules\n\nEach is proved for all numbers, and a near miss of each is refuted (tests/rules). Passes that are "
        "code and no rule: [the optimizer](../optimize.md).\n\n| rule | what stands there | what takes its place |\n"
        "| --- | --- | --- |\n"
    )
    return text + "\n".join(rows) + "\n"


def helpers() -> str:
    """The helpers and kfuncs that the equivalence check knows."""
    names = sorted({tables.HELPERS[number].name for number in HELPERS} | set(KFUNCS))
    text = (
        f"# Helper models\n\nThe equivalence check knows {len(names)} helpers and kfuncs; a program that calls another one is "
        "`Unknown`, never a guess. [Decision 6](../decisions/0006-recorded-calls.md) says how calls are compared.\n\n"
    )
    return text + "\n".join(f"- `{name}`" for name in names) + "\n"


def decisions() -> str:
    """The pages of docs/decisions by their titles."""
    lines = []
    for path in sorted((DOCS / "decisions").glob("*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}](../decisions/{path.name})")
    return "# Decisions\n\nWhy some things are as they are.\n\n" + "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/commands.md": commands,
    "reference/diagnostics.md": diagnostics,
    "reference/rules.md": rules,
    "reference/helpers.md": helpers,
    "reference/decisions.md": decisions,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """mkdocs asks for the files of the site here."""
    for name, text in PAGES.items():
        files.append(File.generated(config, name, content=text()))
    return files


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else "nothing"
