"""The Python API: what a script gets is what the command finds."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import bpfsmith as bs
from tests.cli import sources


def test_all_names_are_there_and_the_function_is_not_the_package() -> None:
    """Law: every name of __all__ can be had, and importing the package bpfsmith.optimize does not take the function away."""
    assert all(getattr(bs, name) is not None for name in bs.__all__)
    package = importlib.import_module("bpfsmith.optimize")
    assert callable(bs.optimize)
    assert package is sys.modules["bpfsmith.optimize"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bs.nothing


def test_importing_it_costs_nothing_that_is_not_used() -> None:
    """Law: `import bpfsmith` draws in no module of ours and no dependency."""
    code = "import sys, bpfsmith; print([m for m in sys.modules if m.startswith(('bpfsmith.', 'z3', 'jinja2', 'lark'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_what_is_compiled_is_equal_and_shows_itself(tmp_path: Path) -> None:
    program = tmp_path / "drop.appnet"
    program.write_text(sources.DROP)
    made = bs.compile(program, timed=False)
    assert (made.verdict, made.holds) == (bs.Outcome.EQUAL, True)
    made.save(tmp_path / "drop.bpf.o")
    done = bs.check(program, tmp_path / "drop.bpf.o")
    assert done.holds
    assert done.assumptions
    assert done.json()["verdict"] == "equal"
    shown = done._repr_html_()
    assert "Proved equal" in shown
    assert "<script" not in shown
    assert made.html().startswith("<!doctype html>")
    assert 'SEC("xdp")' in made.c_text
    assert "exit" in made.assembly


def test_a_difference_is_a_result_and_a_wrong_file_an_error(tmp_path: Path) -> None:
    program, candidate = tmp_path / "drop.appnet", tmp_path / "plain.bpf.c"
    program.write_text(sources.DROP)
    candidate.write_text(sources.TWO_AT_ONCE)
    done = bs.check(program, candidate)
    assert (done.verdict, done.holds) == (bs.Outcome.DIFFERENT, False)
    assert done.counterexample is not None
    with pytest.raises(bs.InputError) as raised:
        bs.check(program, tmp_path / "missing.bpf.c")
    assert raised.value.diagnostics[0].id == "unreadable-file"
