"""What makes a day easier: doctor, settings, watch, Ctrl-C, reports and annotations of the command as it is run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.running import ROOT, bpfsmith


def started(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """The command, left to run; its diagnostics and results come down one pipe."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "bpfsmith", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell ignores for what it runs behind
    )  # fmt: skip


def until(process: subprocess.Popen[str], words: str) -> str:
    """What it prints up to a line with these words."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def test_doctor_looks_at_all_and_names_a_cure() -> None:
    """Law: what compile and check need is there, and what is missing has a command that mends it."""
    done = bpfsmith("doctor", "--output-format", "json")
    assert done.status == 0
    checks = {item["name"]: item for item in done.envelope["checks"]}
    assert {"Python", "clang", "z3", "bitwuzla", "bpf(2)", "ip", "cache"} <= set(checks)
    assert [name for name, item in checks.items() if item["needed"] and item["state"] != "ok"] == []
    cures = [item for item in checks.values() if item["state"] == "missing" and item["name"] != "bpf(2)"]
    assert [item["name"] for item in cures if not item["mend"]] == []
    concise = bpfsmith("doctor", "--output-format", "concise").out
    assert not [line for line in concise.splitlines()[:-1] if line.startswith("ok ")]


def test_settings_are_taken_and_mistakes_in_them_stop(there: Path) -> None:
    (there / "bpfsmith.toml").write_text('[check]\noutput-format = "concise"\n')
    assert bpfsmith("check", "drop.appnet", "same.bpf.c", cwd=there).out.count("\n") <= 3
    (there / "bpfsmith.toml").write_text('[check]\nmcpu = "v0"\n')
    done = bpfsmith("check", "drop.appnet", "same.bpf.c", cwd=there)
    assert (done.status, done.ids) == (2, ["bad-config"])
    assert "bpfsmith.toml:2" in done.err


def test_report_annotations_and_sarif_go_with_the_verdict(there: Path) -> None:
    """Law: they change neither verdict nor exit code, and each is written whole, errors among them."""
    done = bpfsmith(
        "check",
        "drop.appnet",
        "double.bpf.c",
        "--report",
        "r.html",
        "--sarif",
        "r.sarif",
        "--output-format",
        "github",
        cwd=there,
    )
    assert done.status == 1
    assert "::error file=double.bpf.c,line=1," in done.out
    assert (there / "r.html").read_text().startswith("<!doctype html>")
    (result,) = json.loads((there / "r.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "semantic-mismatch"
    broken = bpfsmith("check", "drop.appnet", "none.bpf.c", "--sarif", "e.sarif", cwd=there)
    assert broken.status == 2
    (result,) = json.loads((there / "e.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "unreadable-file"
    own = bpfsmith("check", "drop.appnet", "same.bpf.c", "--report", "drop.appnet", cwd=there)
    assert (own.status, own.ids) == (2, ["unwritable-output"])


def test_watch_runs_again_on_a_change_and_ends_on_interrupt(there: Path) -> None:
    """Law: after a change of a file that it reads the command runs again; Ctrl-C ends it with the last run's status."""
    process = started("check", "drop.appnet", "double.bpf.c", "--watch", cwd=there)
    assert "different" in until(process, "waiting for a change")
    (there / "double.bpf.c").write_text((there / "same.bpf.c").read_text())
    assert "equal" in until(process, "waiting for a change")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) == 0


def test_an_interrupted_compile_leaves_nothing(there: Path) -> None:
    """Law: Ctrl-C in the middle of work is exit code 130 with a word on stderr, no traceback, and no half-written file."""
    running = there / "running"
    clang = there / "clang"  # one that says when it runs, which is well into the work, and does not end by itself
    clang.write_text(f"#!/bin/sh\ntouch {running}\nexec sleep 60\n")
    clang.chmod(0o755)
    before = {path.name for path in there.iterdir()} | {running.name}
    process = started("compile", "drop.appnet", "-o", "out.bpf.o", "--report", "out.html", "--clang", str(clang), cwd=there)
    while not running.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=20)[0]
    # Python itself dies of the signal where it struck inside eval(); a shell says 130 in either case.
    assert process.returncode in (130, -signal.SIGINT)
    assert said.splitlines()[-1:] == ["interrupted"], said
    assert {path.name for path in there.iterdir()} == before


def test_examples_can_be_had_without_a_checkout(tmp_path: Path) -> None:
    assert bpfsmith("demo", "--copy", str(tmp_path)).status == 0
    assert (tmp_path / "examples" / "appnet" / "fault.appnet").is_file()
    assert (tmp_path / "examples" / "servers" / "kv.c").is_file()
    again = bpfsmith("demo", "--copy", str(tmp_path))
    assert (again.status, again.ids) == (2, ["unwritable-output"])
