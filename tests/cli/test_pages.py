"""Every diagnostic has its page, and every page its diagnostic."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.cli.running import ROOT

PAGES = {path.stem: path for path in (ROOT / "docs" / "diagnostics").glob("*.md")}
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
REPORTERS = {"Diagnostic", "error", "warning", "note"}
"""Calls that give a diagnostic its id: the first argument, or `id=`."""
TABLE = "_REFUSED"
"""Names of tables whose entries begin with an id."""


def words(node: ast.expr | None) -> set[str]:
    """The texts that an expression may be: a literal, or a choice between several."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return words(node.body) | words(node.orelse)
    if isinstance(node, ast.Tuple) and node.elts:
        return words(node.elts[0])
    return set()


def ids_of(path: Path) -> set[str]:
    """The ids that a module gives to diagnostics."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in REPORTERS:
                keyword = next((item.value for item in node.keywords if item.arg == "id"), None)
                found |= words(node.args[0] if node.args else keyword) | words(keyword)
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values)) if name == TABLE:
                found |= set().union(*(words(value) for value in values))
    return {word for word in found if KEBAB.fullmatch(word)}


EMITTED = set().union(*(ids_of(path) for path in (ROOT / "src" / "bpfsmith").rglob("*.py")))


def test_ids_are_found() -> None:
    """The search sees ids in all the ways in which they are written."""
    assert {
        "verifier-rejected",
        "ambiguous-program",
        "unsupported-vec",
        "witness-not-reproduced",
        "type-mismatch",
    } <= EMITTED


def test_every_id_has_a_page() -> None:
    assert sorted(EMITTED - set(PAGES)) == []


def test_every_page_has_its_id_as_title_and_the_usual_parts() -> None:
    for id, path in PAGES.items():
        text = path.read_text()
        assert text.startswith(f"# {id}\n"), path
        assert "\n## Example" in text, path
        assert "\n## What to do" in text, path


def test_no_page_without_an_id() -> None:
    """A page of an id that nothing emits is left over."""
    text = "\n".join(path.read_text() for path in (ROOT / "src" / "bpfsmith").rglob("*.py"))
    assert [id for id in sorted(PAGES) if f'"{id}"' not in text] == []
