"""`try`, `asm` and `disasm` as a user calls them: another process, its streams, its exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bpfsmith.isa.asm_ubpf import assemble
from bpfsmith.isa.encoding import encode
from tests.cli.running import ROOT, Done, bpfsmith
from tests.unit.workflow.vectors import VECTORS, Vector


def piped(text: str, *arguments: str, cwd: Path | None = None) -> Done:
    """The command with `text` on stdin."""
    command = [sys.executable, "-m", "bpfsmith", *arguments]
    done = subprocess.run(
        command, input=text, cwd=cwd, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("vector", VECTORS[-3:], ids=str)
def test_the_plugin_of_a_suite(vector: Vector) -> None:
    bytecode = piped(vector.text, "asm", "-", "--dialect", "ubpf", "--hex")
    assert (bytecode.status, bytecode.err) == (0, "")
    done = piped(bytecode.out, "try", "--conformance-plugin", vector.memory)
    assert (done.status, done.out, done.err) == (0, f"{vector.expected:x}\n", "")


def test_the_plugin_is_loud_and_prints_no_number() -> None:
    done = piped("85000000090000009500000000000000", "try", "--conformance-plugin")
    assert (done.status, done.out, done.ids) == (2, "", ["run-not-modelled"])


def test_a_run_from_c(there: Path) -> None:
    done = bpfsmith("try", "same.bpf.c", cwd=there)
    assert (done.status, done.err) == (0, "")
    assert "returns     XDP_DROP (1)" in done.out
    assert "maps        count = 1  (was 0)" in done.out


def test_a_run_from_appnet_with_a_breakpoint_in_json(there: Path) -> None:
    done = bpfsmith("try", "drop.appnet", "--break", "drop", "--output-format", "json", cwd=there)
    assert (done.status, done.envelope["verdict"], len(done.envelope["stops"])) == (0, "done", 1)


# --- asm and disasm ---------------------------------------------------------------------------------------------------
TEXT = "lddw %r0, 0x123456789\nexit\n"
CODE = encode(assemble(TEXT, "v"))


def test_asm_prints_writes_and_reports_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(TEXT)
    words = "asm", "v.txt", "--dialect", "ubpf"
    assert bpfsmith(*words, cwd=tmp_path).out == f"v {CODE.hex()}\n"
    lines = "".join(f"{CODE[at : at + 8].hex(' ')}\n" for at in range(0, len(CODE), 8))
    assert bpfsmith(*words, "--hex", cwd=tmp_path).out == lines
    assert bpfsmith(*words, "-o", "out", cwd=tmp_path).out == ""
    assert (tmp_path / "out").read_bytes() == CODE
    assert bpfsmith(*words, "--hex", "-o", "out", cwd=tmp_path).out == ""
    assert (tmp_path / "out").read_text() == lines
    report = bpfsmith(*words, "--output-format", "json", cwd=tmp_path).envelope
    assert (report["command"], report["verdict"], report["bytecode"]) == ("asm", "done", {"v": CODE.hex()})


def test_asm_of_several_programs_wants_one_named(tmp_path: Path) -> None:
    (tmp_path / "two.s").write_text(".section xdp\n.program a\nr0 = 1\nexit\n.program b\nr0 = 2\nexit\n")
    assert len(bpfsmith("asm", "two.s", cwd=tmp_path).out.splitlines()) == 2
    done = bpfsmith("asm", "two.s", "--hex", cwd=tmp_path)
    assert (done.status, done.out, done.ids) == (2, "", ["ambiguous-program"])
    assert bpfsmith("asm", "two.s:b", "--hex", cwd=tmp_path).out == "b7 00 00 00 02 00 00 00\n95 00 00 00 00 00 00 00\n"


def test_disasm_in_json_has_each_insn(tmp_path: Path) -> None:
    (tmp_path / "p.s").write_text(".section xdp\n.program p\nr0 = 0x1 ll\nexit\n")
    rows = bpfsmith("disasm", "p.s", "--output-format", "json", cwd=tmp_path).envelope["listings"]["p"]
    assert [(row["slot"], row["text"], row["line"]) for row in rows] == [(0, "r0 = 0x1 ll", 3), (2, "exit", 4)]
    assert "p.s:" not in bpfsmith("disasm", "p.s", "--output-format", "concise", cwd=tmp_path).out
