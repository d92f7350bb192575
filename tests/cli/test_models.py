"""A model beside the rule-based result: with one, without one, and with one that is no good, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import pytest

from bpfsmith.cli.main import main
from tests.cli.running import ROOT, Done
from tests.support.endpoint import Answer, endpoint, fenced

FAULT = ROOT / "examples" / "appnet" / "fault.appnet"
TRANSCRIPTS = ROOT / "tests" / "corpus" / "transcripts" / "fault"
ICMP = (ROOT / "src" / "bpfsmith" / "propose" / "prompts" / "write_c.md").read_text().split("```c\n#inc")[1].split("```")[0]


class Command(Protocol):
    """`bpfsmith ARGUMENTS` in a directory of its own."""

    def __call__(self, *arguments: str | Path) -> Done: ...


@pytest.fixture
def bpfsmith(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """In this process: a new one for each test takes longer than what it does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*arguments: str | Path) -> Done:
        status = main([str(item) for item in arguments])
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return run


def test_a_transcript_is_replayed_to_the_same_end_without_a_model(bpfsmith: Command, tmp_path: Path) -> None:
    done = bpfsmith("compile", FAULT, "--replay", TRANSCRIPTS, "--candidates", "1", "--no-timing", "--output-format", "json")
    assert done.status == 0, done.err
    model = done.envelope["model"]
    assert [item["stage"] for item in model["candidates"]] == ["equivalence", "equivalence", "accepted"]
    assert "lost-atomicity" in model["learnt"][0] and "probabilities differ" in model["learnt"][1]
    assert model["written"] == "rules" and (tmp_path / "fault.bpf.o").is_file()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "https://models.invalid/v1"], ids=["nobody there", "no key"])
def test_without_an_endpoint_the_rule_based_result_stands_and_is_said_to(bpfsmith: Command, tmp_path: Path, url: str) -> None:
    done = bpfsmith("compile", FAULT, "--model", "m", "--base-url", url, "--retries", "0", "--no-timing")
    assert done.status == 0, done.err
    assert "warning[model-" in done.err and "the rule-based result stands" in done.err
    assert (tmp_path / "fault.bpf.o").is_file() and "wrote       fault.bpf.o" in done.out


def test_the_prompt_is_shown_and_nobody_is_asked(bpfsmith: Command, tmp_path: Path) -> None:
    done = bpfsmith("compile", FAULT, "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--dry-run")
    assert done.status == 0, done.err
    assert "--- system" in done.out and "served = served + 1" in done.out and "a random word < 214748365u" in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_model_makes_c_smaller_and_the_object_is_written(bpfsmith: Command, tmp_path: Path) -> None:
    library = ROOT / "src" / "bpfsmith" / "propose" / "library" / "optimize"
    source = tmp_path / "ports.bpf.c"
    source.write_text((library / "one_check.before.bpf.c").read_text())
    better = (library / "one_check.after.bpf.c").read_text()
    with endpoint(lambda asked: Answer(fenced(better))) as server:
        arguments = ("--model", "m", "--base-url", server.url, "--candidates", "1", "--no-timing", "--save-transcripts", "said")
        done = bpfsmith("optimize", source, *arguments)
    assert done.status == 0, done.err
    assert "chosen      the model: 14 insns, 20 without it" in done.out
    assert (tmp_path / "ports.opt.bpf.o").is_file() and (tmp_path / "said" / "round-01-candidate-01.json").is_file()


def test_a_sentence_becomes_c_that_is_shown_by_what_it_does_and_written_only_when_confirmed(
    bpfsmith: Command, tmp_path: Path
) -> None:
    code = f"#inc{ICMP}".replace("no_ping", "quiet")
    with endpoint(lambda asked: Answer(fenced(code))) as server:
        arguments = ("drop ICMP packets", "--name", "quiet", "--model", "m", "--base-url", server.url, "--candidates", "1")
        asked = bpfsmith("write", *arguments)
        assert asked.status == 3 and "not confirmed" in asked.out and list(tmp_path.iterdir()) == []
        done = bpfsmith("write", *arguments, "--yes")
    assert done.status == 0, done.err
    rows = [line for line in done.out.splitlines() if "XDP_" in line and line.startswith(("icmp", "udp 192.0.2.1 to port 9 "))]
    assert len(rows) == 2 and "XDP_PASS" in rows[0] and "XDP_DROP" in rows[1]
    assert (tmp_path / "quiet.bpf.c").is_file() and (tmp_path / "quiet.bpf.o").is_file()


def test_a_sentence_becomes_appnet_that_is_read_back(bpfsmith: Command, tmp_path: Path) -> None:
    text = (ROOT / "examples" / "appnet" / "logging_fault.appnet").read_text()
    with endpoint(lambda asked: Answer(fenced(text, "appnet"))) as server:
        arguments = ("--name", "faults", "--model", "m", "--base-url", server.url, "--candidates", "1", "--yes")
        done = bpfsmith("write", "refuse one request in twenty after a warm-up of 100", *arguments)
    assert done.status == 0, done.err
    for line in (
        "remembers faults: uint",
        "for each request:",
        "  requests becomes requests + 1",
        "    the message is refused",
    ):
        assert line in done.out
    assert (tmp_path / "faults.appnet").is_file() and (tmp_path / "faults.bpf.o").is_file()


def test_an_interrupt_ends_the_asking_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    with endpoint(lambda asked: Answer("late", delay_s=60)) as server:
        command = [
            sys.executable,
            "-m",
            "bpfsmith",
            "compile",
            str(FAULT),
            "--model",
            "m",
            "--base-url",
            server.url,
            "--no-timing",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            # Where the tests run in the background, a shell has made them deaf to it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while not server.requests and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip()) == (130, "interrupted")
    assert time.monotonic() - started < 15 and list(tmp_path.iterdir()) == []


def test_a_sentence_without_a_usable_answer_is_written_nowhere_and_exits_1(bpfsmith: Command, tmp_path: Path) -> None:
    with endpoint(lambda asked: Answer("I would rather not.")) as server:
        done = bpfsmith("write", "drop everything", "--model", "m", "--base-url", server.url, "--rounds", "1")
    assert done.status == 1 and "warning[no-candidate]" in done.err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("write", "x"),
        ("compile", FAULT, "--model", "m", "--rounds", "0"),
        ("compile", FAULT, "--model", "m", "--cost-budget", "1"),
        ("compile", FAULT, "--model", "m", "--price", "cheap"),
        ("compile", FAULT, "--model", "m", "--base-url", "nowhere"),
        ("compile", FAULT, "--replay", "nothing-here"),
        ("examples", "add", "one.appnet"),
        ("examples", "add", "one.txt", "two.txt"),
    ],
)
def test_a_command_that_cannot_be_is_refused(bpfsmith: Command, tmp_path: Path, arguments: tuple[str | Path, ...]) -> None:
    done = bpfsmith(*arguments)
    assert (done.status, len(done.ids)) == (2, 1), done.err


def test_the_examples_are_listed(bpfsmith: Command, tmp_path: Path) -> None:
    done = bpfsmith("examples")
    assert done.status == 0 and "lottery" in done.out and "one_check" in done.out
