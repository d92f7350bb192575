"""Ask, judge, tell the model why, ask again: until a candidate is good enough, the budget is spent, or nothing new comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from bpfsmith.propose.answer import code_in
from bpfsmith.propose.examples import Example
from bpfsmith.propose.prompt import following, opening
from bpfsmith.propose.task import Failure, Judge, Message, Model, Passed, Question, Refused, Reply, Stage, T, Task


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, in the prompt and in the answer."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class Budget:
    """What the asking may take. None: no limit. `rounds` are conversations one after the other, `candidates` asked for at the
    same time in each; `cost` is dollars at `price`."""

    rounds: int = 4
    candidates: int = 2
    tokens: int | None = None
    cost: float | None = None
    price: Price = field(default_factory=Price)
    seconds: float = 300.0
    answer_tokens: int = 2048


@dataclass(slots=True)
class Spent:
    """What it took. `judging_s` is our own time in the gate, `asking_s` that of the model."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    asking_s: float = 0.0
    judging_s: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, reply: Reply) -> None:
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """One candidate: what came, and what became of it. `text` is its code, empty where there was none."""

    round: int
    index: int
    answer: Reply | Failure
    text: str
    judged: Refused | Passed[T] | None  # None: no answer

    @property
    def stage(self) -> Stage:
        match self.judged:
            case Refused(stage=stage):
                return stage
            case Passed(enough=enough):
                return Stage.ACCEPTED if enough else Stage.SIZE
            case _:
                return Stage.ANSWER

    @property
    def words(self) -> str:
        """What became of it, in a line."""
        if isinstance(self.answer, Failure):
            return self.answer.message
        return self.judged.reason if self.judged is not None else ""


@dataclass(frozen=True, slots=True)
class Proposed(Generic[T]):
    """What the asking came to. `best` is the smallest proved candidate, None where none was; `ended` says why no more was
    asked, `learnt` what the model was told after each round but the last."""

    best: Attempt[T] | None
    attempts: tuple[Attempt[T], ...]
    spent: Spent
    ended: str
    learnt: tuple[str, ...]
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked."""

    budget: Budget = field(default_factory=Budget)
    examples: tuple[Example, ...] = ()
    temperature: float = 0.2
    seed: int = 0
    feedback: bool = True  # without it each round asks the same again, with other seeds


@dataclass(slots=True)
class _Loop(Generic[T]):
    task: Task
    model: Model
    judge: Judge[T]
    asking: Asking
    progress: Callable[[str], None]
    attempts: list[Attempt[T]] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    learnt: list[str] = field(default_factory=list)
    known: dict[str, Refused | Passed[T]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def best(self) -> Attempt[T] | None:
        proved = [item for item in self.attempts if isinstance(item.judged, Passed)]
        return min(proved, key=lambda item: item.judged.size if isinstance(item.judged, Passed) else 0, default=None)

    def run(self) -> str:
        """Asks until there is a reason to stop, and gives that."""
        first = opening(self.task, self.asking.examples)
        messages = first
        for number in range(1, self.asking.budget.rounds + 1):
            over = self._over()
            if over:
                return over
            attempts = self._round(number, messages)
            self.attempts += attempts
            if any(isinstance(item.judged, Passed) and item.judged.enough for item in attempts):
                return "accepted"
            failures = [item.answer for item in attempts if isinstance(item.answer, Failure)]
            if len(failures) == len(attempts) and (any(item.lasting for item in failures) or number > 1):
                return "no answer"
            if number > 1 and not self._new(attempts):
                return "no progress: the candidates are those of the rounds before"
            if self.asking.feedback and number < self.asking.budget.rounds:
                messages = self._told(first, messages, attempts)
        return f"{self.asking.budget.rounds} rounds were asked for"

    def _over(self) -> str:
        budget, spent = self.asking.budget, self.spent
        if budget.tokens is not None and spent.tokens >= budget.tokens:
            return f"the budget of {budget.tokens} tokens is spent"
        cost = budget.price.of(spent.prompt_tokens, spent.completion_tokens)
        if budget.cost is not None and cost >= budget.cost:
            return f"the budget of ${budget.cost:g} is spent"
        if self._left() <= 0:
            return f"the budget of {budget.seconds:g} s is spent"
        return ""

    def _left(self) -> float:
        return self.asking.budget.seconds - (time.monotonic() - self.started)

    def _room(self, messages: Sequence[Message]) -> tuple[int, int]:
        """How many candidates and how many tokens of an answer the rest of the budget has room for. Before it is asked nobody
        knows a prompt's tokens: a third of its characters is more than most models make of code."""
        budget = self.asking.budget
        prompt = sum(len(item.content) for item in messages) // 3
        count, most = budget.candidates, budget.answer_tokens
        if budget.tokens is not None:
            left = budget.tokens - self.spent.tokens
            count = max(1, min(count, left // (prompt + most)))
            most = max(1, min(most, left - prompt))
        if budget.cost is not None and budget.price.completion > 0:
            left_cost = budget.cost - budget.price.of(self.spent.prompt_tokens, self.spent.completion_tokens)
            each = budget.price.of(prompt, most)
            count = max(1, min(count, int(left_cost // each)))
            most = max(1, min(most, int((left_cost - budget.price.of(prompt, 0)) / budget.price.completion * 1e6)))
        return count, most

    def _round(self, number: int, messages: tuple[Message, ...]) -> list[Attempt[T]]:
        asking = self.asking
        count, most = self._room(messages)
        questions = [
            Question(
                number,
                index,
                messages,
                # Several of the same would be one: the first keeps to the temperature that was asked for.
                asking.temperature if index == 1 else max(asking.temperature, 0.7),
                asking.seed + 1000 * number + index,
                most,
            )
            for index in range(1, count + 1)
        ]
        self.progress(f"round {number}: asking for {len(questions)} candidates")
        before = time.monotonic()
        answers = self.model.ask(questions, max(self._left(), 0.1))
        self.spent.asking_s += time.monotonic() - before
        self.spent.requests += len(questions)
        out = []
        for question, answer in zip(questions, answers, strict=True):
            if isinstance(answer, Reply):
                self.spent.add(answer)
            self.progress(f"round {number}: judging candidate {question.index} of {len(questions)}")
            before = time.monotonic()
            out.append(self._judged(question, answer))
            self.spent.judging_s += time.monotonic() - before
        return out

    def _judged(self, question: Question, answer: Reply | Failure) -> Attempt[T]:
        if isinstance(answer, Failure):
            return Attempt(question.round, question.index, answer, "", None)
        text = code_in(answer.text, self.task.language)
        if text is None:
            cut = f"it was cut off after {answer.completion_tokens} tokens" if answer.cut else "no code block in it"
            told = f"Your answer held no ```{self.task.language} block with the whole file ({cut})."
            return Attempt(question.round, question.index, answer, "", Refused(Stage.ANSWER, f"no code: {cut}", told))
        judged = self.known.get(text)
        if judged is None:
            judged = self.known[text] = self.judge(text)
        return Attempt(question.round, question.index, answer, text, judged)

    def _new(self, attempts: Sequence[Attempt[T]]) -> bool:
        """Did a round bring anything that was not there before?"""
        before = {item.text for item in self.attempts if item.round < attempts[0].round}
        return any(item.text not in before for item in attempts if not isinstance(item.answer, Failure))

    def _told(
        self, first: tuple[Message, ...], messages: tuple[Message, ...], attempts: Sequence[Attempt[T]]
    ) -> tuple[Message, ...]:
        """The next conversation: about the candidate that came furthest in this round."""
        judged = [item for item in attempts if item.judged is not None]
        if not judged:
            return messages
        furthest = max(judged, key=lambda item: (item.stage, -item.index))
        assert furthest.judged is not None
        self.learnt.append(furthest.judged.reason)
        return following(first, furthest.text, furthest.judged.feedback, self.task.language)


def propose(
    task: Task,
    model: Model,
    judge: Judge[T],
    asking: Asking,
    progress: Callable[[str], None] = lambda text: None,
) -> Proposed[T]:
    """Asks the model for the task's code until the judge has enough, or there is a reason to stop. Never raises for what a
    model does: that is in the result."""
    loop = _Loop(task, model, judge, asking, progress)
    ended = loop.run()
    failures = tuple(dict.fromkeys(item.answer for item in loop.attempts if isinstance(item.answer, Failure)))
    return Proposed(loop.best, tuple(loop.attempts), loop.spent, ended, tuple(loop.learnt), failures)
