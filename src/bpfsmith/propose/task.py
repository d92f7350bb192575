"""What a model is asked for, what it answers, and what the gate says of that: the vocabulary of this layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Stage(IntEnum):
    """How far a candidate came: the gate's steps in their order."""

    ANSWER = 0  # there is code in the answer
    SCREEN = 1  # it holds nothing that a candidate may not have
    COMPILE = 2
    OBJECT = 3  # its programs, sections, maps and license are those that were asked for
    VERIFIER = 4
    EQUIVALENCE = 5
    SIZE = 6  # it is smaller than what there is already
    ACCEPTED = 7


@dataclass(frozen=True, slots=True)
class Task:
    """`kind` names the prompt ("generate", "optimize", "write"); `source` is what is to be turned into code, `facts` what the
    answer has to keep to: names, sections, state. `language` is that of the answer ("c", "appnet")."""

    kind: str
    name: str
    source: str
    facts: tuple[str, ...] = ()
    source_language: str = "appnet"
    language: str = "c"


@dataclass(frozen=True, slots=True)
class Refused:
    """A candidate that the gate does not let through: one line for a person, and what the model is told."""

    stage: Stage
    reason: str
    feedback: str


@dataclass(frozen=True, slots=True)
class Passed(Generic[T]):
    """A candidate that is proved. `size` is what fewer of is better (insns); `enough`: there is no need to ask again. Where
    there is, `feedback` is what the model is told."""

    product: T
    size: int
    enough: bool
    reason: str
    feedback: str = ""


class Judge(Protocol[T]):
    """The gate: says what becomes of a candidate's text."""

    def __call__(self, text: str) -> Refused | Passed[T]: ...


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent for one candidate: `round` and `index` count from 1."""

    round: int
    index: int
    messages: tuple[Message, ...]
    temperature: float
    seed: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer, the tokens that it was charged for, and the seconds that it took. `model` is the endpoint's own name
    of it; `cut` says that it ended at the limit of tokens."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    model: str = ""
    cut: bool = False

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer: `id` is that of the diagnostic, `message` one sentence, `lasting` says that asking again is of no use."""

    id: str
    message: str
    help: str = ""
    lasting: bool = False


class Model(Protocol):
    """Whatever answers questions. All of one call are asked at the same time, and the answers come in their order."""

    def ask(self, questions: Sequence[Question], seconds: float) -> list[Reply | Failure]:
        """Answers within `seconds`: what is not there by then is a Failure, and nobody waits for it any longer."""
        ...
