"""Pages of the documentation that are made from the code while mkdocs builds: commands, diagnostics, hooks, map types, .."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from bpfsmith.appnet import targets
from bpfsmith.cli.main import VERBS, _verbs, parser
from bpfsmith.isa import tables
from bpfsmith.isa.progtype import PROGRAM_TYPES, ProgramType
from bpfsmith.optimize.rules import RULES
from bpfsmith.semantics import maps
from bpfsmith.semantics.helpers import HELPERS
from bpfsmith.semantics.kfuncs import KFUNCS
from bpfsmith.workflow.costing import HOOKS

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


def hooks() -> str:
    """The program types with their sections, contexts and return values."""
    parts = [
        "# Hooks\n",
        "The program types that bpfsmith knows, with libbpf's section names; behind a `+` stands a target, as in "
        "`kprobe/do_unlinkat`. Types without fields of a context get arguments of the kernel's own types, by its BTF.\n",
    ]
    for name, group in groupby(sorted(PROGRAM_TYPES, key=lambda item: item.name), key=lambda item: item.name):
        parts.append("\n".join((f"## {name.removeprefix('BPF_PROG_TYPE_')}", "", *_program_type(list(group)), "")))
    return "\n".join(parts)


def _program_type(sections: Sequence[ProgramType]) -> Iterator[str]:
    used = [
        *(["AppNet runs here"] if {item.section for item in sections} & _APPNET else []),
        *(["`cost` knows what the hook itself takes"] if sections[0].name in HOOKS else []),
    ]
    if used:
        yield f"{'; '.join(used)}.\n"
    yield "| section | attached as | sleepable | return values |"
    yield "| --- | --- | --- | --- |"
    for item in sections:
        attach = (item.expected_attach_type or "-").removeprefix("BPF_")
        actions = ", ".join(f"`{action}` {value}" for action, value in item.actions.items()) or "-"
        section = f"`{item.section}{'+' * item.takes_target}`"
        yield f"| {section} | {attach} | {'yes' if item.sleepable else '-'} | {actions} |"
    layouts = {item.context_type: item.context for item in sections if item.context}
    for context, fields in layouts.items():
        names = ", ".join(f"`{field.name}`" for field in fields)
        yield f"\nContext `{context}`: {names}."


_APPNET = {target.section for target in (targets.XDP, targets.TC_INGRESS, targets.TC_EGRESS)}

_FOLLOWED: tuple[tuple[Collection[str], str], ...] = (
    (maps.EVICTING, "entry by entry; a run is taken to be too short for entries to be evicted"),
    (maps.HASHES, "entry by entry, with what updates, deletions and a full map do"),
    (maps.ARRAYS, "as memory: every value is there"),
    (maps.LOCAL, "entry by entry, by the object that it belongs to"),
    (maps.OF_MAPS, "the maps inside as one, whose keys begin with the outer key"),
    (maps.READ_ONLY, "a lookup is some function of the key and of what changed the map before; values are read only"),
    (maps.OF_SOCKETS, "a lookup gives a socket that is some function of the key and of what changed the map before"),
    (("BPF_MAP_TYPE_ARENA",), "as places that addresses do not leave, in the proof of `offload`"),
    (("BPF_MAP_TYPE_PROG_ARRAY",), "a tail call ends the run: the index and what it leaves behind are compared"),
)


_RECORDED = "calls that have a model are recorded, and what they are given compared"


def map_types() -> str:
    """The kernel's map types, and what the equivalence check makes of each."""
    rows = []
    for name in tables.MAP_TYPES:
        if name == "BPF_MAP_TYPE_UNSPEC":
            continue
        how = next(
            (words for types, words in _FOLLOWED if name in types),
            "calls that have a model are recorded, and what they are given compared",
        )
        note = "of the CPU that runs" if name in maps.PER_CPU else "-"
        rows.append(f"| `{name.removeprefix('BPF_MAP_TYPE_')}` | {how} | {note} |")
    head = (
        "# Map types\n\nWhat the equivalence check follows of each type of the kernel. Where a program does with a map what "
        "its row does not cover, the verdict is `Unknown`, with the instruction.\n\n"
        "| type | how it is followed | copies |\n| --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


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
    "reference/hooks.md": hooks,
    "reference/maps.md": map_types,
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
