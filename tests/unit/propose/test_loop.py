"""The loop stops on success, on an empty budget and where nothing new comes, and says back what was wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from bpfsmith.propose.loop import Asking, Budget, Price, Proposed, propose
from bpfsmith.propose.task import Failure, Passed, Question, Refused, Reply, Stage, Task

TASK = Task("generate", "t", "state:\n", ("Facts.",))


@dataclass
class Scripted:
    """Answers with what `text` makes of a question; each costs 100 and 10 tokens."""

    text: Callable[[Question], str | Failure]
    asked: list[Question] = field(default_factory=list)

    def ask(self, questions: Sequence[Question], seconds: float) -> list[Reply | Failure]:
        self.asked += questions
        found = [self.text(item) for item in questions]
        return [item if isinstance(item, Failure) else Reply(f"```c\n{item}\n```", 100, 10, 0.0) for item in found]


def judge(text: str) -> Refused | Passed[str]:
    """`good N` has the size N, and less than 10 is enough; all else is refused at the stage that it names."""
    word, _, number = text.strip().partition(" ")
    if word == "good":
        return Passed(text, int(number), int(number) < 10, "proved", "make it smaller")
    stage = Stage[word] if word in Stage.__members__ else Stage.COMPILE
    return Refused(stage, f"bad: {text.strip()}", f"told about {text.strip()}")


def run(
    text: Callable[[Question], str | Failure], budget: Budget | None = None, feedback: bool = True
) -> tuple[Proposed[str], Scripted]:
    model = Scripted(text)
    return propose(TASK, model, judge, Asking(budget or Budget(candidates=1), feedback=feedback)), model


def test_the_first_good_candidate_ends_it() -> None:
    found, model = run(lambda item: "good 5")
    assert found.ended == "accepted" and len(model.asked) == 1
    assert found.best is not None and found.best.text == "good 5\n"


def test_what_was_wrong_is_said_back_with_the_candidate_that_came_furthest() -> None:
    said = {(1, 1): "COMPILE a", (1, 2): "VERIFIER b", (2, 1): "good 1", (2, 2): "COMPILE c"}
    found, model = run(lambda item: said[item.round, item.index], Budget(candidates=2))
    second = next(item for item in model.asked if item.round == 2)
    assert second.messages[:-2] == model.asked[0].messages
    assert "VERIFIER b" in second.messages[-2].content and "told about VERIFIER b" in second.messages[-1].content
    assert found.learnt == ("bad: VERIFIER b",)


def test_without_feedback_the_same_is_asked_again_with_other_seeds() -> None:
    _, model = run(lambda item: f"COMPILE {item.seed}", Budget(rounds=3, candidates=1), feedback=False)
    assert len({item.messages for item in model.asked}) == 1
    assert len({item.seed for item in model.asked}) == 3


def test_the_smallest_proved_candidate_is_kept_where_none_is_enough() -> None:
    found, _ = run(lambda item: f"good {20 - item.round}", Budget(rounds=3, candidates=1))
    assert found.best is not None and found.best.text == "good 17\n"
    assert found.ended == "3 rounds were asked for"


def test_it_ends_where_nothing_new_comes() -> None:
    found, model = run(lambda item: "COMPILE same", Budget(rounds=9, candidates=2))
    assert found.ended.startswith("no progress") and len(model.asked) == 4


@pytest.mark.parametrize(
    ("budget", "requests", "why"),
    [
        (Budget(rounds=9, candidates=1, tokens=300, answer_tokens=50), 3, "300 tokens"),
        (Budget(rounds=9, candidates=1, cost=0.0004, price=Price(1.0, 10.0), answer_tokens=9), 2, "$0.0004"),
        (Budget(rounds=2, candidates=3), 6, "2 rounds"),
        (Budget(rounds=9, candidates=1, seconds=0.0), 0, "0 s"),
    ],
)
def test_a_budget_ends_it(budget: Budget, requests: int, why: str) -> None:
    found, model = run(lambda item: f"COMPILE {item.round} {item.index}", budget)
    assert (len(model.asked), found.spent.requests) == (requests, requests)
    assert why in found.ended


def test_a_tight_budget_asks_for_fewer_candidates_and_shorter_answers() -> None:
    _, model = run(lambda item: "COMPILE x", Budget(rounds=1, candidates=8, tokens=3000, answer_tokens=500))
    assert 1 <= len(model.asked) < 8


def test_a_lasting_failure_ends_it_and_one_that_may_pass_does_not() -> None:
    found, model = run(lambda item: Failure("model-refused", "no", lasting=True))
    assert len(model.asked) == 1 and found.best is None and found.failures[0].message == "no"
    found, model = run(lambda item: Failure("model-unreachable", "busy") if item.round == 1 else "good 1")
    assert found.ended == "accepted" and len(model.asked) == 2


def test_an_answer_without_code_is_told_so() -> None:
    class Plain:
        def ask(self, questions: Sequence[Question], seconds: float) -> list[Reply | Failure]:
            return [Reply("Sorry, no." if questions[0].round == 1 else "```c\ngood 1\n```", 1, 1, 0.0)]

    found = propose(TASK, Plain(), judge, Asking(Budget(candidates=1)))
    assert found.ended == "accepted" and "no code" in found.learnt[0]


def test_the_same_candidate_is_judged_once() -> None:
    judged: list[str] = []

    def counting(text: str) -> Refused | Passed[str]:
        judged.append(text)
        return judge(text)

    propose(TASK, Scripted(lambda item: "COMPILE same"), counting, Asking(Budget(rounds=2, candidates=4)))
    assert len(judged) == 1
