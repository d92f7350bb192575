"""Settings: what stands in the file is as if typed, what is typed wins, and a mistake is told at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.cli import settings
from bpfsmith.cli.main import _verbs, parser
from bpfsmith.diagnostic import InputError


def parsed(directory: Path, *arguments: str) -> dict[str, object]:
    top = parser()
    found = settings.found(directory)
    assert found is not None
    settings.apply(found, _verbs(top))
    return vars(top.parse_args(arguments))


def refused(directory: Path) -> tuple[str, int, str]:
    """The message, its line, and the help."""
    with pytest.raises(InputError) as raised:
        parsed(directory, "check", "a", "b")
    (told,) = raised.value.diagnostics
    assert told.id == "bad-config"
    return told.message, told.primary.span.line if told.primary else 0, told.help


def test_a_setting_is_as_if_typed_and_what_is_typed_wins(tmp_path: Path) -> None:
    (tmp_path / "bpfsmith.toml").write_text(
        'mcpu = "v4"\n[verify]\nkernel = "6.12,host"\ntime = true\nfilter = ["insns>9"]\n[optimize]\nmcpu = "v2"\nbudget = 7\n'
    )
    verify = parsed(tmp_path, "verify", "x.bpf.c")
    typed = vars(parser().parse_args(
        ["verify", "x.bpf.c", "--mcpu", "v4", "--kernel", "6.12,host", "--time", "--filter", "insns>9"]
    ))  # fmt: skip
    assert verify == typed
    optimize = parsed(tmp_path, "optimize", "x.bpf.c")
    assert (optimize["mcpu"], optimize["budget"]) == ("v2", 7)
    assert parsed(tmp_path, "verify", "x.bpf.c", "--mcpu", "v1")["mcpu"] == "v1"


def test_the_nearest_file_counts_and_pyproject_only_with_a_table_of_ours(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.bpfsmith]\nmcpu = "v1"\n')
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert parsed(below, "check", "a", "b")["mcpu"] == "v1"
    (tmp_path / "a" / "bpfsmith.toml").write_text('mcpu = "v2"\n')
    assert parsed(below, "check", "a", "b")["mcpu"] == "v2"


@pytest.mark.parametrize(
    ("text", "line", "words", "help"),
    [
        ('# mine\nmcp = "v4"\n', 2, "no command has an option --mcp", "did you mean mcpu"),
        ('mcpu = "v9"\n', 1, "'v9' is no value of mcpu", "v1, v2, v3, v4"),
        ('[chek]\nmcpu = "v4"\n', 1, "there is no command chek", "did you mean check"),
        ('[verify]\n\nkernels = "host"\n', 3, "`verify` has no option --kernels", "did you mean kernel"),
        ("[verify]\ntime = 1\n", 2, "time is a switch", "long options"),
        ("[optimize]\nbudget = 'soon'\n", 2, "'soon' is no value of budget", "long options"),
        ('[verify]\nfilter = "insns>9"\n', 2, "filter takes a list", "long options"),
        ("mcpu = \n", 1, "cannot be read", "mend the TOML"),
        ('[check]\nreport = "x.html"\n', 2, "`check` has no option --report", "it is one of bind"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, text: str, line: int, words: str, help: str) -> None:
    (tmp_path / "bpfsmith.toml").write_text(text)
    message, at, hint = refused(tmp_path)
    assert words in message
    assert (at, help in hint) == (line, True), hint
