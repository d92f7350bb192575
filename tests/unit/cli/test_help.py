"""Help that is read: it fits a screen, has an example that is one, and hides nothing without saying so."""

from __future__ import annotations

import io
import shlex
import subprocess
from contextlib import redirect_stdout

import pytest
import shtab

from bpfsmith.cli.main import VERBS, _verbs, parser

SCREEN = 40
"""Lines of a terminal window at 80 columns on a laptop."""


@pytest.mark.parametrize("module", VERBS, ids=[module.NAME for module in VERBS])
def test_help_fits_a_screen_and_its_example_can_be_typed(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: `--help` has at most 40 lines of 80 columns, names its example, and the example is a command that parses."""
    monkeypatch.setenv("COLUMNS", "80")
    name, example = str(getattr(module, "NAME")), str(getattr(module, "EXAMPLE"))  # noqa: B009
    text = _verbs(parser())[name].format_help()
    assert text.count("\n") <= SCREEN
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(example.split()) in " ".join(text.split())
    words = shlex.split(example.partition(" > ")[0].partition(" -- ")[0])
    assert words[:2] == ["bpfsmith", name]
    parser().parse_args(words[1:])


def test_the_list_of_commands_fits_a_screen_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = parser().format_help().splitlines()
    assert len(lines) <= SCREEN
    assert [
        module.NAME for module in VERBS if not any(line.split()[:1] == [module.NAME] and module.HELP in line for line in lines)
    ] == []


def test_what_help_leaves_out_help_all_shows() -> None:
    """Law: every option is in --help-all, and --help says how many it leaves out."""
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        parser().parse_args(["compile", "--help-all"])
    options = [
        text for action in _verbs(parser())["compile"]._actions for text in action.option_strings if text.startswith("--")
    ]
    assert [text for text in options if text not in out.getvalue()] == []
    assert "more options, shown by --help-all" in _verbs(parser())["compile"].format_help()


def test_completion_is_a_script_that_the_shell_reads() -> None:
    """Law: bash parses what `completion bash` prints, and it knows every command."""
    script = shtab.complete(parser(), shell="bash")
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [module.NAME for module in VERBS if module.NAME not in script] == []
