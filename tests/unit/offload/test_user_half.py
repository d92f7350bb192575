"""The user half is the server's own source with few changes."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from bpfsmith.codegen.native import compile_users
from bpfsmith.offload.user_half import user_half
from bpfsmith.workflow.offloading import RUNTIME
from tests.support.servers import EXAMPLES, half_of, read_text, with_handler


def _changed(tmp_path: Path, text: str) -> tuple[str, list[str]]:
    """The user half, and the lines of it that the server does not have."""
    read = read_text(tmp_path, text)
    (new,) = user_half(read.server, read.findings, half_of(read), read.sources).values()
    lines = difflib.ndiff(text.splitlines(), new.splitlines())
    return new, [line[2:].strip() for line in lines if line.startswith("+ ")]


@pytest.mark.parametrize(
    ("declaration", "use", "expected"),
    [
        ("static int a;", "a", "static int a BS_SHARED;"),
        ("static int a = 3, b[4];", "b[n & 3]++ + a", "static int a BS_SHARED = 3, b[4] BS_SHARED;"),
        ("struct { int x; } a[2];", "a[n & 1].x", "struct { int x; } a[2] BS_SHARED;"),
        ("static const int a[] = { 1, 2 };", "a[n & 1]", "static /* const */ int a[] BS_SHARED = { 1, 2 };"),
        ('static const char *const a = "x;y";', "a[0]", "static const char * /* const */ a BS_SHARED = bs_a_0;"),
    ],
)
def test_a_shared_variable_gets_its_section(tmp_path: Path, declaration: str, use: str, expected: str) -> None:
    text = with_handler(f"{declaration}\nint handle(char *in, int n, char *out)\n{{\n\tout[0] = {use};\n\treturn 1;\n}}\n")
    _, changed = _changed(tmp_path, text)
    assert expected.replace(" ", "") in [line.replace(" ", "") for line in changed]


def test_texts_that_a_table_points_to_move_with_it(tmp_path: Path) -> None:
    table = 'static struct { const char *name; char tag[4]; } names[] = {\n\t{ "one", "a" }, { "t\\"wo", "b" },\n};\n'
    body = "int handle(char *in, int n, char *out)\n{\n\tout[0] = names[n & 1].name[0] + names[0].tag[0];\n\treturn 1;\n}\n"
    new, _ = _changed(tmp_path, with_handler(table + body))
    assert 'static char bs_names_0[] BS_SHARED = "one";' in new
    assert '{ bs_names_0, "a" }, { bs_names_2, "b" },' in new


def test_the_user_half_of_every_example_compiles(tmp_path: Path) -> None:
    for name in ("echo.c", "kv.c", "names.c", "telemetry.c", "gateway.c", "files.c"):
        text = (EXAMPLES / name).read_text()
        new, _ = _changed(tmp_path, text)
        source = tmp_path / f"user_{name}"
        source.write_text(new)
        assert compile_users([source], tmp_path / "object.o", (f"-I{RUNTIME}", "-c", "-fsyntax-only")) is None, name


def test_only_declarations_and_calls_that_wait_change(tmp_path: Path) -> None:
    _, changed = _changed(tmp_path, (EXAMPLES / "kv.c").read_text())
    kept = [
        line for line in changed if "BS_" not in line and "bs_register" not in line and "offload_user.h" not in line and line
    ]
    assert kept == []
