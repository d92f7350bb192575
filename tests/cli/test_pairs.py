"""`pairs`, `pairs-run` and `trace` as a user runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.cost.profile import load_profile
from tests.cli.running import bpfsmith

EXAMPLES = Path(__file__).parents[2] / "examples"
FUNCLATENCY = str(EXAMPLES / "pairs" / "funclatency.bpf.c")


def test_pairs_are_told_with_what_can_be_done_and_why_not_more() -> None:
    done = bpfsmith("pairs", str(EXAMPLES / "pairs" / "funclatency.bpf.c"), "--kernel", "6.1", "--output-format", "json")
    assert done.status == 0
    (pair,) = done.envelope["pairs"]
    assert (pair["entry"], pair["exit"], pair["kind"]) == ("function_entry", "function_exit", "function")
    (state,) = pair["maps"]
    assert (state["name"], state["key_class"], state["value_size"], state["private"]) == ("starts", "tid", 8, True)
    assert pair["forms"] == ["task-storage"]
    assert {item["form"] for item in pair["refused"]} >= {"session", "reread-arguments"}
    hooks = [load_profile().value("tracing", case, 0.0) for case in ("uprobe_push", "uretprobe_push")]
    assert pair["inlining_saves_ns"] == sum(hooks) > 0


def test_a_program_fused_wrongly_by_hand_is_exit_code_1(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.bpf.c"
    wrong.write_text("#define WRONG\n" + (EXAMPLES / "pairs" / "session.bpf.c").read_text())
    done = bpfsmith("pairs", str(EXAMPLES / "pairs" / "funclatency.bpf.c"), "--against", str(wrong))
    assert (done.status, "different" in done.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "ident"),
    [
        (("pairs", "/no/such.o"), "unreadable-file"),
        (("pairs", "x.o", "--fuse"), "bad-command"),
        (("pairs-run", "x.o"), "bad-command"),
        (("pairs", "x.o", "--set", "targ_tgid=1"), "bad-command"),
        (("pairs", FUNCLATENCY, "--fuse", "-o", "/tmp/no.o", "--set", "targ_tgid=x"), "bad-command"),
        (("pairs", FUNCLATENCY, "--fuse", "-o", "/tmp/no.o", "--set", "calls=1"), "bad-constant"),
        (("trace", "-e", "probe uprobe:f { filter ; }"), "probe-syntax"),
    ],
)
def test_wrong_input_is_exit_code_2_with_its_diagnostic(arguments: tuple[str, ...], ident: str) -> None:
    done = bpfsmith(*arguments)
    assert (done.status, f"error[{ident}]" in done.err) == (2, True)
