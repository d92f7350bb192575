"""Where `compile` writes: never over its input, into what is there and not in its place, whatever the files are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpfsmith.cli.main import main
from tests.cli import sources
from tests.cli.running import bpfsmith
from tests.cli.test_bad_input import HEADINGS, complains

COMPILE = ("compile", "drop.appnet", "--no-timing", "--emit", "c")


def test_the_input_is_never_the_output(there: Path) -> None:
    """Law: under another name, too, the input is not overwritten, and nothing else is left behind."""
    (there / "link").symlink_to("drop.appnet")
    before = set(there.iterdir())
    complains(bpfsmith(*COMPILE, "-o", "link", cwd=there), "unwritable-output")
    assert (there / "drop.appnet").read_text() == sources.DROP
    assert (there / "link").is_symlink()
    assert set(there.iterdir()) == before


def test_an_empty_name_is_no_output(there: Path) -> None:
    """Law: `-o ''` is a mistake, and not the default name."""
    before = set(there.iterdir())
    complains(bpfsmith(*COMPILE, "-o", "", cwd=there), "unwritable-output")
    assert set(there.iterdir()) == before


def test_a_pipe_is_written_to_and_a_link_is_followed(there: Path) -> None:
    """Law: who reads a FIFO gets the bytes that a file would hold, and so does the file that a link leads to; both stay."""
    (there / "link").symlink_to("file")
    os.mkfifo(there / "fifo")
    # Both ends open, so that neither side waits for the other whatever is done to the name.
    handle = os.open(there / "fifo", os.O_RDWR | os.O_NONBLOCK)
    try:
        for output in ("link", "fifo"):
            done = bpfsmith(*COMPILE, "-o", output, cwd=there)
            assert done.status == 0, done.err
        assert (there / "fifo").is_fifo()
        assert (there / "link").is_symlink()
        assert os.read(handle, 1 << 20) == (there / "file").read_bytes()
    finally:
        os.close(handle)


@pytest.mark.parametrize("name", [b"two\nlines", b'quo"te', b"bad\xff\xfe"], ids=["a newline", "a quote", "no UTF-8"])
def test_any_name_of_a_file_will_do(there: Path, name: bytes) -> None:
    """Law: a program compiles to a proved object, and the default output has its name, however its file is called."""
    path = os.fsdecode(name)
    (there / f"{path}.appnet").write_text(sources.DROP)
    done = bpfsmith("compile", f"{path}.appnet", "--no-timing", cwd=there)
    assert done.status == 0, done.err
    assert "proof       equal" in done.out
    assert (there / f"{path}.bpf.o").read_bytes().startswith(b"\x7fELF")


# --- what a terminal would act upon -----------------------------------------------------------------------------------
CONTROL = "\x1b]0;gone\x07\x1b[31m\x9b31m"
TEXTS = {
    "a comment beside the mistake": f"    n = m # {CONTROL}\n",
    "the mistake itself": f"    n = {CONTROL}\n",
    "a text": f"    n = '{CONTROL}'\n",
    "an unfinished text": f"    send(err('{CONTROL}\n",
}


def refused_quietly(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> None:
    """Law: an error is told, and nothing that is told moves the cursor, changes colours or renames the window."""
    assert main([str(argument) for argument in arguments]) == 2
    told = "".join(capsys.readouterr())
    assert "error[" in told
    assert not {char for char in told if (ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160}


@pytest.mark.parametrize("line", TEXTS.values(), ids=TEXTS.keys())
def test_control_characters_of_a_program_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "bad.appnet").write_text(HEADINGS + line)
    refused_quietly(capsys, "compile", tmp_path / "bad.appnet")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("verify", "bad.s"), id="a token of assembly"),
        pytest.param(("compile", f"missing{CONTROL}.appnet"), id="a file that is missing"),
        pytest.param(("compile", f"drop{CONTROL}.txt"), id="a file of another kind"),
        pytest.param(("explain", f"some{CONTROL}"), id="a diagnostic"),
    ],
)
def test_control_characters_in_what_is_quoted_do_not_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.s").write_text(f".section xdp\n.program p\nr0 = {CONTROL}\nexit\n")
    refused_quietly(capsys, *arguments)
