"""What the command answers: verdicts, exit codes, JSON, files."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from bpfsmith import __version__
from tests.cli.running import bpfsmith
from tests.cli.sources import ATOMIC, PLAIN, REJECTED_LINE, SAME

ENVELOPE = {"version", "command", "verdict", "assumptions", "counterexample", "programs", "diagnostics"}
PROGRAM = {
    "name", "section", "insns", "xlated_slots", "jited_bytes", "jited_insns", "processed_insns", "states", "run_ns", "floor_ns",
}  # fmt: skip


# --- compile ----------------------------------------------------------------------------------------------------------
@pytest.mark.kernel
def test_compile_writes_a_proved_object(there: Path) -> None:
    done = bpfsmith("compile", "drop.appnet", "--output-format", "json", cwd=there)
    assert (done.status, done.err) == (0, "")
    report = done.envelope
    assert set(report) >= ENVELOPE
    assert (report["version"], report["command"], report["verdict"]) == (__version__, "compile", "equal")
    assert report["counterexample"] is None
    (program,) = report["programs"]
    assert set(program) >= PROGRAM
    assert (program["name"], program["section"], program["verdict"]) == ("drop", "xdp", "accepted")
    assert all(program[name] > 0 for name in ("insns", "xlated_slots", "processed_insns", "run_ns", "floor_ns"))
    assert (there / "drop.bpf.o").read_bytes().startswith(b"\x7fELF")


def test_what_is_emitted_is_equal_again(there: Path) -> None:
    """Law: the C and the object that compile writes pass `check` against the program they come from."""
    for what, name in (("c", "out.bpf.c"), ("obj", "out.bpf.o")):
        assert bpfsmith("compile", "drop.appnet", "--no-timing", "--emit", what, "-o", name, cwd=there).status == 0
        assert bpfsmith("check", "drop.appnet", name, cwd=there).status == 0


def test_emitted_assembly_is_equal_to_the_object(there: Path) -> None:
    for what, name in (("asm", "out.bpf.s"), ("obj", "out.bpf.o")):
        assert bpfsmith("compile", "drop.appnet", "--no-timing", "--emit", what, "-o", name, cwd=there).status == 0
    done = bpfsmith("check", "out.bpf.o", "out.bpf.s", cwd=there)
    assert done.status == 0, done.out + done.err


@pytest.mark.parametrize("what", ["c", "asm", "obj"])
def test_output_to_stdout_is_the_file_and_nothing_else(there: Path, what: str) -> None:
    """Law: `-o -` puts onto stdout what `-o FILE` puts into the file, and no file."""
    assert bpfsmith("compile", "drop.appnet", "--no-timing", "--emit", what, "-o", "file", cwd=there).status == 0
    before = set(there.iterdir())
    done = bpfsmith("compile", "drop.appnet", "--no-timing", "--emit", what, "-o", "-", cwd=there)
    assert (done.status, done.err) == (0, "")
    assert done.out == (there / "file").read_bytes().decode(errors="replace")
    assert set(there.iterdir()) == before


def test_bytes_are_the_same_every_time(there: Path) -> None:
    """Law: the same text gives the same C and the same object."""
    for what in ("c", "obj"):
        for number in ("1", "2"):
            done = bpfsmith("compile", "drop.appnet", "--no-timing", "--emit", what, "-o", what + number, cwd=there)
            assert done.status == 0
        assert (there / f"{what}1").read_bytes() == (there / f"{what}2").read_bytes()


# --- check ------------------------------------------------------------------------------------------------------------
def test_check_equal(there: Path) -> None:
    done = bpfsmith("check", "drop.appnet", "same.bpf.c", "--output-format=json", cwd=there)
    assert done.status == 0, done.out
    assert done.envelope["verdict"] == "equal"
    assert done.envelope["assumptions"]


@pytest.mark.kernel
def test_check_different_names_the_state_and_was_replayed(there: Path) -> None:
    done = bpfsmith("check", "drop.appnet", "double.bpf.c", "--output-format", "json", cwd=there)
    assert done.status == 1
    example = done.envelope["counterexample"]
    assert "count" in example["observable"]
    before, expected, actual = (int(part["state"]["count"]) for part in (example, example["expected"], example["actual"]))
    assert (expected, actual) == ((before + 1) % 2**32, (before + 2) % 2**32)
    assert [where.split()[0] for where in example["replayed_on"]] == ["kernel"]
    text = bpfsmith("check", "drop.appnet", "double.bpf.c", cwd=there).out
    assert f"count = {actual}" in text
    assert "replayed on kernel" in text


def test_a_count_that_can_be_lost_is_not_equal(there: Path) -> None:
    """Law: unknown has an exit code of its own and a reason; a plain `count++` is no step."""
    assert ATOMIC in SAME
    assert ATOMIC not in PLAIN
    done = bpfsmith("check", "drop.appnet", "plain.bpf.c", "--output-format", "json", cwd=there)
    assert done.status == 3, done.out
    assert done.envelope["unknown"].startswith("lost-atomicity: ")


# --- verify, explain --------------------------------------------------------------------------------------------------
@pytest.mark.kernel
def test_verify_accepted(there: Path) -> None:
    done = bpfsmith("verify", "drop.appnet", "same.bpf.c", "--output-format", "json", cwd=there)
    assert (done.status, done.envelope["verdict"]) == (0, "accepted")
    assert [program["verdict"] for program in done.envelope["programs"]] == ["accepted", "accepted"]


@pytest.mark.kernel
def test_verify_rejected_shows_the_line_of_the_c(there: Path) -> None:
    done = bpfsmith("verify", "rejected.bpf.c", cwd=there)
    assert (done.status, done.ids) == (1, ["verifier-packet-unchecked"])
    assert f"rejected.bpf.c:{REJECTED_LINE}:" in done.err
    assert "return data[10]" in done.err
    assert "invalid access to packet" in done.err


def test_explain() -> None:
    done = bpfsmith("explain", "type-mismatch")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("# type-mismatch\n")
    assert "type-mismatch" in bpfsmith("explain").out.split()


# --- the terminal -----------------------------------------------------------------------------------------------------
def test_no_colour_into_a_pipe(there: Path) -> None:
    for arguments in (("compile", "drop.appnet"), ("check", "drop.appnet", "double.bpf.c"), ("compile", "nothing.appnet")):
        done = bpfsmith(*arguments, cwd=there)
        assert "\x1b" not in done.out + done.err


def test_version() -> None:
    """Law: the first line is our version alone; what moves verdicts, counts and messages follows."""
    first, *rest = bpfsmith("--version").out.splitlines()
    assert first == f"bpfsmith {__version__}"
    assert {line.split()[0] for line in rest} >= {"clang", "z3", "bitwuzla", "lark", "Python"}
    assert not [line for line in rest if "missing" in line]


def test_help_is_quick() -> None:
    """Law: `--help` imports no solver; it takes less than 0.2 s of the CPU (the least of several), start of Python included."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert bpfsmith("--help").status == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times) < 0.2, times
