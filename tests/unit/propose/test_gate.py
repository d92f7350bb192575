"""Wrong programs from an endpoint are refused with what a model needs to know, right ones are accepted however written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from adversary import Change, examples, mutants, trial, variants

from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.propose.examples import SHIPPED
from bpfsmith.propose.task import Passed, Refused, Stage
from bpfsmith.workflow.compiling import compile_appnet
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input
from bpfsmith.workflow.judging import AppnetGate, CodeGate
from bpfsmith.workflow.sandbox import sandbox

COUNT = next(item for item in examples() if item.name == "count")
WARM = next(item for item in examples() if item.name == "warm_drop")


def _sample(kinds: str, text: str) -> Iterator[Change]:
    """The first mutant of each kind."""
    seen: set[str] = set()
    for item in mutants(text):
        if item.kind in kinds.split() and item.kind not in seen:
            seen.add(item.kind)
            yield item


def test_mutants_from_an_endpoint_are_refused_and_right_programs_are_accepted() -> None:
    kinds = "comparison operator branch dropped doubled helper atomicity loop float effect object"
    wrong = list(_sample(kinds, WARM.answer))
    assert len(wrong) >= 10
    rows = trial(WARM, [*wrong, *list(variants(WARM.answer))[1:4]], runs=200)
    assert [row.change for row in rows if row.accepted and not row.right] == []
    assert [row.change for row in rows if row.right and not row.accepted] == []


def test_a_share_that_is_off_by_one_word_in_four_billion_is_refused() -> None:
    off = Change("constant", "off by one", WARM.answer.replace("429496730u", "429496729u"))
    assert not trial(WARM, [off])[0].accepted


# --- what the model is told -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def gate() -> Iterator[AppnetGate]:
    toolchain = Toolchain()
    opened = open_input(str(WARM.path), toolchain)
    assert isinstance(opened, AppnetInput)
    rules = compile_appnet(opened, toolchain, timed=False, optimized=False)
    with sandbox(toolchain, ("-fno-builtin",)) as box:
        yield AppnetGate(opened, rules, box, toolchain.level, timed=False)


def _refused(gate: AppnetGate, old: str, new: str) -> Refused:
    assert old in WARM.answer
    found = gate(WARM.answer.replace(old, new))
    assert isinstance(found, Refused), found
    return found


def test_an_error_of_the_compiler_comes_back_with_the_line(gate: AppnetGate) -> None:
    found = _refused(gate, "count = count + 1;", "count = cuont + 1;")
    assert found.stage is Stage.COMPILE
    assert "line 15: use of undeclared identifier 'cuont'" in found.feedback
    assert "count = cuont + 1;" in found.feedback


def test_a_difference_comes_back_as_an_input_with_both_outcomes_and_both_traces(gate: AppnetGate) -> None:
    found = _refused(gate, "count > 50", "count >= 50")
    assert found.stage is Stage.EQUIVALENCE
    for words in ("count = ", "expected (reference)", "actual (candidate)", "the AppNet program runs", "your C runs"):
        assert words in found.feedback
    assert "count = count + 1" in found.feedback.partition("the AppNet program runs")[2]


@pytest.mark.kernel
def test_a_rejection_comes_back_with_the_line_and_the_kernels_words(gate: AppnetGate) -> None:
    found = _refused(gate, "\t__u32 draw", "\tchar *p = (void *)(long)ctx->data;\n\tif (p[1])\n\t\treturn 1;\n\t__u32 draw")
    assert found.stage is Stage.VERIFIER
    assert "if (p[1])" in found.feedback and "verifier: " in found.feedback


def test_state_that_is_not_there_comes_back_by_name(gate: AppnetGate) -> None:
    found = gate(WARM.answer.replace("count", "counted"))
    assert isinstance(found, Refused)
    assert "count" in found.reason and "state-correspondence" in found.reason


def test_a_program_beside_the_proved_one_is_refused_whatever_it_does(gate: AppnetGate) -> None:
    found = _refused(gate, "char LICENSE", 'SEC("xdp")\nint more(struct xdp_md *ctx)\n{\n\treturn 2;\n}\n\nchar LICENSE')
    assert found.stage is Stage.OBJECT and "more was not asked for" in found.reason


# --- C ----------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def code_gate() -> Iterator[tuple[CodeGate, str]]:
    path = SHIPPED / "optimize" / "one_check.before.bpf.c"
    data = Toolchain().compile(path)
    settings = Settings(timed=False)
    with sandbox(Toolchain()) as box:
        yield CodeGate(path.name, data, optimize(data, path.name, settings), box, settings), path.read_text()


def test_smaller_c_that_is_equal_is_accepted(code_gate: tuple[CodeGate, str]) -> None:
    gate, _ = code_gate
    found = gate((SHIPPED / "optimize" / "one_check.after.bpf.c").read_text())
    assert isinstance(found, Passed) and found.enough, found


def test_equal_c_that_is_no_smaller_is_not_enough_and_says_by_how_much(code_gate: tuple[CodeGate, str]) -> None:
    gate, text = code_gate
    found = gate(text.replace("return XDP_PASS;", "return 2;"))
    assert isinstance(found, Passed) and not found.enough
    assert "no smaller" in found.feedback and f"{found.size} after optimizing" in found.feedback


@pytest.mark.parametrize(
    ("old", "new"),
    [("data + 42", "data + 41"), ("!= 17", "!= 6"), ("0x3500", "0x0035"), ("XDP_DROP", "XDP_ABORTED"), ("14 >", "60 >")],
)
def test_c_that_differs_is_refused(code_gate: tuple[CodeGate, str], old: str, new: str) -> None:
    gate, text = code_gate
    assert old in text
    assert isinstance(gate(text.replace(old, new, 1)), Refused)


def test_the_users_own_headers_stay_allowed_and_others_are_not(tmp_path: Path) -> None:
    from bpfsmith.propose.screen import includes

    assert includes('#include <linux/bpf.h>\n#include "mine.h" // here\n') == {"<linux/bpf.h>", '"mine.h"'}
