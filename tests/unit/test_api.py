"""The Python API: what a script gets is what the command finds."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import bpfsmith as bs
from bpfsmith.offload.prove import Proof
from bpfsmith.semantics.verdict import Unknown
from bpfsmith.workflow import offload_proof, splitting
from tests.cli import sources

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_all_names_are_there_and_the_function_is_not_the_package() -> None:
    """Law: every name of __all__ can be had, and importing a package of ours does not take a function of its name away."""
    assert all(getattr(bs, name) is not None for name in bs.__all__)
    for name in ("cost", "offload", "optimize"):
        package = importlib.import_module(f"bpfsmith.{name}")
        assert callable(getattr(bs, name))
        assert package is sys.modules[f"bpfsmith.{name}"]
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


def test_a_pair_is_found_fused_and_written(tmp_path: Path) -> None:
    """Law: what `fuse` gives is the proved object, with the loader's part, and shows itself."""
    source = EXAMPLES / "pairs" / "funclatency.bpf.c"
    (pair,) = bs.pairs(source, kernel="6.1").pairs
    assert pair["forms"] == ["task-storage"]
    fused = bs.fuse(source, kernel="6.13")
    assert (fused.verdict, [item["form"] for item in fused.pairs]) == (bs.Outcome.EQUAL, ["session"])
    fused.save(tmp_path / "fused.bpf.o")
    assert "attach_function_entry" in fused.loader
    assert "session" in fused._repr_html_()
    assert bs.pairs(source, against=tmp_path / "fused.bpf.o").holds


def test_what_cannot_be_fused_is_not_written(tmp_path: Path) -> None:
    alone = bs.fuse(EXAMPLES / "pairs" / "funclatency.bpf.c", kernel="5.4")
    assert not alone.object_bytes
    with pytest.raises(bs.InputError) as raised:
        alone.save(tmp_path / "out.o", allow_unknown=True)
    assert raised.value.diagnostics[0].id == "not-proved"
    assert not (tmp_path / "out.o").exists()


def test_costs_are_predicted_and_a_workload_gets_advice(tmp_path: Path) -> None:
    done = bs.cost(EXAMPLES / "cost" / "cache.bpf.c", hits=0.61)
    assert (done.verdict, done.holds) == (bs.Outcome.PAYS, True)
    assert done.advice is not None
    assert done.advice.break_even is not None
    assert "cache" in done.predictions
    shown = done._repr_html_()
    assert "offload: pays" in shown.lower()
    assert all(f"{index}: {path['outcome']}" in shown for index, path in enumerate(done.predictions["cache"]["paths"], 1))
    shipped = bs.profile()
    shipped.save(tmp_path / "profile.json")
    assert bs.profile(tmp_path / "profile.json").profile.experiments == shipped.profile.experiments


def test_a_server_is_split_but_not_written_without_a_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: both halves are there as files; a directory is made of them only where the kernel half is proved or one insists."""
    monkeypatch.setattr(splitting, "can_bpf_here", lambda: False)
    gave_up = Proof(Unknown("time-limit", "stopped"), 64, 0, 0.0)
    monkeypatch.setattr(offload_proof, "proof", lambda *arguments, **options: gave_up)
    done = bs.offload(EXAMPLES / "servers" / "kv.c", longest=64)
    assert (done.verdict, done.proved) == (bs.Outcome.UNKNOWN, False)
    with pytest.raises(bs.InputError) as raised:
        done.save(tmp_path / "out")
    assert raised.value.diagnostics[0].id == "not-proved"
    assert not (tmp_path / "out").exists()
    done.save(tmp_path / "out", allow_unknown=True)
    assert (tmp_path / "out" / "server").stat().st_mode & 0o100
    assert {"server.bpf.c", "server.bpf.o", "kv.user.c"} <= set(done.files)
    with pytest.raises(bs.DoNotOffload) as refused:
        bs.offload(EXAMPLES / "servers" / "tcp_line.c")
    assert refused.value.diagnostics[0].id == "do-not-offload"
