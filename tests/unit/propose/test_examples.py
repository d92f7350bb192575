"""What a model is shown is proved, has an idea, and is what is most like the task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpfsmith.appnet.typecheck import type_check
from bpfsmith.codegen.clang import Compiler
from bpfsmith.propose.examples import SHIPPED, chosen, library
from bpfsmith.propose.prompt import opening, skeleton
from bpfsmith.propose.task import Task
from bpfsmith.source import SourceText
from bpfsmith.workflow.compiling import opened_appnet
from bpfsmith.workflow.example_library import add, judged
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.proposing import compile_task

EXAMPLES = library([SHIPPED])


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{item.kind}-{item.name}" for item in EXAMPLES])
def test_every_shipped_example_is_proved_by_the_gate(example: object) -> None:
    found = judged(next(item for item in EXAMPLES if item is example), Toolchain())
    assert found.refused is None, found.refused


def test_every_shipped_example_says_its_idea_and_does_not_show_it_as_code() -> None:
    for item in EXAMPLES:
        assert len(item.idea) > 20
        assert item.idea not in item.question


def test_the_most_alike_example_is_chosen_and_stands_last() -> None:
    step = "req(rpc):\n    match randomf(0.0, 1.0) < 0.1:\n        true => send(err('x'), Drop)\n"
    source = f"state:\n    lost: uint\ninit():\n    lost = 0\n{step}"
    found = chosen(Task("generate", "x", source), EXAMPLES, 3)
    assert len(found) == 3
    assert found[-1].name == "lottery"
    assert all(item.kind == "generate" for item in found)
    assert chosen(Task("generate", "x", source), EXAMPLES, 0) == []


def test_examples_are_turns_of_the_conversation_before_the_task() -> None:
    task = Task("generate", "x", "state:\n", ("Keep to this.",))
    turns = opening(task, chosen(task, EXAMPLES, 2))
    assert [item.role for item in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert turns[-1].content == "```appnet\nstate:\n```\n\nKeep to this."


def test_what_is_to_be_filled_in_is_the_answer_without_its_bodies() -> None:
    both = next(item for item in EXAMPLES if item.name == "both_ways")
    left = skeleton(both.answer)
    assert left.count("/* your code */") == 2 and "return" not in left and "bpf_spin_lock(" not in left
    assert 'SEC("tcx/egress")\nint both_ways_resp(struct __sk_buff *ctx)\n{\n\t/* your code */\n}' in left
    assert '__hidden __s32 open SEC(".data.state") = 0;' in left and 'SEC("license") = "GPL"' in left


def test_the_task_of_a_program_with_messages_says_how_to_find_them_and_what_its_numbers_are() -> None:
    root = Path(__file__).parents[3] / "examples" / "appnet"
    opened = opened_appnet(str(root / "acl.appnet"), Toolchain())
    (fact,) = compile_task(opened, None, Toolchain()).facts
    assert "// A message:" in fact and fact.count("/* your code */") == 2 and "bpf_map_lookup_elem" not in fact
    fault = compile_task(opened_appnet(str(root / "fault.appnet"), Toolchain()), None, Toolchain()).facts
    assert "a draw below 0.05 is a random word < 214748365u" in fault[1]


def test_the_examples_in_the_prompts_for_writing_are_right() -> None:
    prompts = Path(SHIPPED).parent / "prompts"
    (appnet,) = re.findall(r"```appnet\n(state.*?)```", (prompts / "write_appnet.md").read_text(), re.DOTALL)
    type_check(SourceText("shown.appnet", appnet))
    (c_text,) = re.findall(r"```c\n(#include.*?)```", (prompts / "write_c.md").read_text(), re.DOTALL)
    assert Compiler.default().compile(c_text)


# --- a user's own ------------------------------------------------------------------------------------------------------
@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    count = next(item for item in EXAMPLES if item.name == "count")
    question, answer = tmp_path / "mine.appnet", tmp_path / "mine.bpf.c"
    question.write_text(f"# My own idea of counting.\n{count.question}")
    answer.write_text(count.answer.replace("int count(", "int mine("))
    return question, answer


def test_a_proved_pair_is_taken_into_the_users_library(pair: tuple[Path, Path]) -> None:
    found, path = add(str(pair[0]), str(pair[1]), None, "", Toolchain())
    assert found.refused is None and path is not None
    (own,) = [item for item in library() if not item.shipped]
    assert (own.name, own.idea) == ("mine", "My own idea of counting.")


def test_a_pair_that_is_not_proved_is_not_taken(pair: tuple[Path, Path]) -> None:
    pair[1].write_text(pair[1].read_text().replace("1u", "2u"))
    found, path = add(str(pair[0]), str(pair[1]), None, "", Toolchain())
    assert path is None and found.refused is not None
    assert all(item.shipped for item in library())
