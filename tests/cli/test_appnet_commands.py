"""`fmt`, `attach` and chains as a user meets them: what is written, what is said, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import ROOT, bpfsmith

EXAMPLES = ROOT / "examples" / "appnet"
UNTIDY = "state:\n  n : int  # how many\ninit():\n  n=0\nreq(rpc):\n  n=n+1\n"
TIDY = "state:\n    n: int  # how many\ninit():\n    n = 0\nreq(rpc):\n    n = n + 1\n"


def test_fmt_rewrites_checks_and_shows(tmp_path: Path) -> None:
    """Law: fmt rewrites a file in place once; --check and --diff write nothing."""
    path = tmp_path / "x.appnet"
    path.write_text(UNTIDY)
    checked = bpfsmith("fmt", "--check", path)
    assert (checked.status, path.read_text()) == (1, UNTIDY)
    shown = bpfsmith("fmt", "--diff", path)
    assert shown.status == 0
    assert "+    n = n + 1\n" in shown.out
    assert bpfsmith("fmt", path).status == 0
    assert path.read_text() == TIDY
    assert bpfsmith("fmt", "--check", path).status == 0


@pytest.mark.parametrize(
    ("arguments", "id"),
    [
        (["compile", "acl.appnet", "--bind", "udp:99999"], "bad-binding"),
        (["compile", "acl.appnet", "--bind", "udp:9000"], "unbound-field"),
        (["compile", "fault.appnet", "--side", "client", "--hook", "xdp"], "hook-direction"),
        (["compile", "rewrite.appnet", "--side", "client"], "unsupported-payload"),
        (["compile", "deny_reply.appnet", "--hook", "tc"], "unsupported-reply"),
        (["compile", "acl.appnet", "fault.appnet"], "chain-binding"),
        (["fmt", "nosuch.appnet"], "unreadable-file"),
        (["attach", "fault.appnet", "--dev", "lo"], "bad-command"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_wrong_use_is_exit_code_2(arguments: list[str], id: str) -> None:
    """Law: what cannot be done is said at its place, with exit code 2 and no output file."""
    done = bpfsmith(*arguments, cwd=EXAMPLES)
    assert (done.status, done.ids) == (2, [id])
    assert not list(EXAMPLES.glob("*.bpf.o"))
