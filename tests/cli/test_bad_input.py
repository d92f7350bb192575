"""Bad input and bad commands: exit 2, exactly one clear diagnostic on stderr, no traceback, no output."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli import sources
from tests.cli.running import Done, bpfsmith

HEADINGS = "state:\n    n: int\ninit():\n    pass\nreq(rpc):\n"


def complains(done: Done, id: str) -> None:
    """Law: what is wrong is said once, with an action (or in clang's own words), and nothing else happens."""
    assert done.status == 2, done.out + done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.ids == [id], done.err
    assert done.err.count("error[") == 1
    assert " = help: " in done.err or id == "c-error", "no action is given"
    assert "<bytes>" not in done.err


# --- programs ---------------------------------------------------------------------------------------------------------
TEXTS = {
    "empty": (b"", "appnet-sections"),
    "garbage": (bytes(range(256)) * 8, "appnet-syntax"),
    "null_bytes": (b"state:\n\0\0", "appnet-syntax"),
    "one_megabyte": (b"lorem ipsum dolor sit amet\n" * 40_000, "unsupported-size"),
    "one_long_line": (b"x" * 1_000_000, "unsupported-size"),
    "deep_sums": (HEADINGS.encode() + b"    n = " + b"(1 + " * 3_000 + b"n" + b")" * 3_000 + b"\n", "unsupported-nesting"),
    "unbalanced_indentation": (HEADINGS.encode() + b"    n = 1\n  n = 2\n", "appnet-syntax"),
    "unknown_name": (HEADINGS.encode() + b"    n = m + 1\n", "unknown-name"),
    "wrong_type": (HEADINGS.encode() + b"    n = 1.5\n", "type-mismatch"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_program(tmp_path: Path, name: str) -> None:
    data, id = TEXTS[name]
    (tmp_path / "bad.appnet").write_bytes(data)
    complains(bpfsmith("compile", "bad.appnet", cwd=tmp_path), id)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.appnet"]


def test_json_says_the_same(tmp_path: Path) -> None:
    """Law: with `--output-format json`, stdout is one envelope also when the command stops."""
    (tmp_path / "bad.appnet").write_text(HEADINGS + "    n = m + 1\n")
    done = bpfsmith("compile", "bad.appnet", "--output-format", "json", cwd=tmp_path)
    assert (done.status, done.envelope["verdict"], done.envelope["command"]) == (2, "error", "compile")
    (diagnostic,) = done.envelope["diagnostics"]
    assert (diagnostic["id"], diagnostic["primary"]["line"]) == ("unknown-name", 6)


# --- files ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["missing.appnet", "missing.bpf.c", "missing.bpf.o", "missing.s"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    complains(bpfsmith("verify", name, cwd=tmp_path), "unreadable-file")


@pytest.mark.parametrize("name", ["folder.appnet", "folder.bpf.c", "folder.bpf.o", "folder.s"])
def test_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    complains(bpfsmith("verify", name, cwd=tmp_path), "unreadable-file")


def test_unknown_suffix(there: Path) -> None:
    (there / "drop.txt").write_text(sources.DROP)
    complains(bpfsmith("compile", "drop.txt", cwd=there), "unknown-file-type")
    complains(bpfsmith("compile", "same.bpf.c", cwd=there), "unknown-file-type")


def test_program_that_is_not_there(there: Path) -> None:
    complains(bpfsmith("check", "drop.appnet", "same.bpf.c:nobody", cwd=there), "unknown-program")


@pytest.mark.parametrize("size", [0, 3, 64, 200, 1000, -100])
def test_truncated_object(there: Path, size: int) -> None:
    assert bpfsmith("compile", "drop.appnet", "--no-timing", "-o", "whole.bpf.o", cwd=there).status == 0
    (there / "part.bpf.o").write_bytes((there / "whole.bpf.o").read_bytes()[:size])
    complains(bpfsmith("check", "drop.appnet", "part.bpf.o", cwd=there), "not-a-bpf-object")


def test_garbage_object(there: Path) -> None:
    for number, data in enumerate((b"hello", b"\x7fELF" + bytes(range(256)), b"\x7fELF" + bytes(1000))):
        (there / f"{number}.bpf.o").write_bytes(data)
        complains(bpfsmith("check", "drop.appnet", f"{number}.bpf.o", cwd=there), "not-a-bpf-object")


def test_object_of_another_machine(there: Path) -> None:
    shutil.copy(os.path.realpath("/proc/self/exe"), there / "python.bpf.o")
    complains(bpfsmith("check", "drop.appnet", "python.bpf.o", cwd=there), "not-a-bpf-object")


@pytest.mark.parametrize("command", [("check", "drop.appnet"), ("verify",)])
@pytest.mark.parametrize("text", ["", "int x;\n"], ids=["empty", "no_program"])
def test_c_without_programs(there: Path, text: str, command: tuple[str, ...]) -> None:
    (there / "none.bpf.c").write_text(text)
    complains(bpfsmith(*command, "none.bpf.c", cwd=there), "no-program")


def test_c_with_a_syntax_error(there: Path) -> None:
    (there / "broken.bpf.c").write_text(sources.SYNTAX_ERROR)
    done = bpfsmith("verify", "broken.bpf.c", cwd=there)
    complains(done, "c-error")
    assert f"broken.bpf.c:{sources.SYNTAX_ERROR_LINE}:" in done.err
    assert "XDP_PAS" in done.err


def test_assembly_with_errors(there: Path) -> None:
    """Law: each wrong line is reported, and only those."""
    (there / "bad.s").write_text(".license GPL\n.section xdp\n.program p\n\tr0 = r77\n\tw0 = 2\n\tfrobnicate\n\texit\n")
    done = bpfsmith("verify", "bad.s", cwd=there)
    assert (done.status, set(done.ids), done.out) == (2, {"asm-syntax"}, "")
    assert [line for line in ("bad.s:4:", "bad.s:5:", "bad.s:6:") if line in done.err] == ["bad.s:4:", "bad.s:6:"]


def test_empty_assembly(there: Path) -> None:
    (there / "empty.s").write_text("")
    assert bpfsmith("verify", "empty.s", cwd=there).status == 2


# --- commands ---------------------------------------------------------------------------------------------------------
COMMANDS = {
    "nothing": ((), "bad-command"),
    "unknown_command": (("frobnicate",), "bad-command"),
    "unknown_option": (("compile", "drop.appnet", "--frobnicate"), "bad-command"),
    "unknown_choice": (("compile", "drop.appnet", "--emit", "poem"), "bad-command"),
    "one_argument": (("check", "drop.appnet"), "bad-command"),
    "no_file": (("compile",), "bad-command"),
    "clang": (("compile", "drop.appnet", "--clang", "/nonexistent"), "missing-compiler"),
    "clang_directory": (("compile", "drop.appnet", "--clang", "/"), "missing-compiler"),
    "clang_of_another_kind": (("compile", "drop.appnet", "--clang", "/bin/false"), "c-error"),
    "cflags_quotes": (("compile", "drop.appnet", "--cflags", "-DX='"), "bad-command"),
    "cflags": (("compile", "drop.appnet", "--cflags=-frobnicate"), "c-error"),
    "state": (("check", "drop.appnet", "same.bpf.c", "--state", "nonsense"), "bad-state-option"),
    "state_offset": (("check", "drop.appnet", "same.bpf.c", "--state", "count=.bss:x"), "bad-state-option"),
    "state_unknown": (("check", "drop.appnet", "same.bpf.c", "--state", "nobody=.bss:0"), "bad-state-option"),
    "explain": (("explain", "unknown-id"), "unknown-diagnostic"),
    "explain_path": (("explain", "../../README"), "unknown-diagnostic"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command(there: Path, name: str) -> None:
    arguments, id = COMMANDS[name]
    before = set(there.iterdir())
    complains(bpfsmith(*arguments, cwd=there), id)
    assert set(there.iterdir()) == before


# --- output -----------------------------------------------------------------------------------------------------------
def test_output_into_a_directory_that_is_missing(there: Path) -> None:
    complains(bpfsmith("compile", "drop.appnet", "--no-timing", "-o", "missing/out.o", cwd=there), "unwritable-output")


def test_output_that_is_a_directory(there: Path) -> None:
    (there / "out.o").mkdir()
    before = set(there.iterdir())
    complains(bpfsmith("compile", "drop.appnet", "--no-timing", "-o", "out.o", cwd=there), "unwritable-output")
    assert set(there.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_output_without_permission(there: Path) -> None:
    """Somebody else's directory can be read and not written."""
    for folder in (there, *there.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    done = bpfsmith("compile", "drop.appnet", "-o", "out.o", cwd=there, prefix=nobody)
    errors = [id for id in done.ids if id != "no-bpf"]
    assert (done.status, errors) == (2, ["unwritable-output"]), done.err
    assert not (there / "out.o").exists()


@pytest.mark.parametrize("text", ["nonsense", sources.DROP.replace("count + 1", "cuont + 1")])
def test_an_old_output_survives_a_failed_compile(there: Path, text: str) -> None:
    """Law: a command that fails leaves the file that it would have written as it was."""
    (there / "out.o").write_bytes(b"precious")
    (there / "bad.appnet").write_text(text)
    before = set(there.iterdir())
    assert bpfsmith("compile", "bad.appnet", "-o", "out.o", cwd=there).status == 2
    assert (there / "out.o").read_bytes() == b"precious"
    assert set(there.iterdir()) == before
