"""What was asked and answered, one file for each candidate, so that a run can be read, and made again without a model.

round-01-candidate-02.json      {"question": {..}, "reply": {..}}   or "failure" in the place of the reply
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.propose.task import Failure, Model, Question, Reply


@dataclass(slots=True)
class Recording:
    """A model whose answers are written to a directory. InputError `unwritable-output`."""

    inner: Model
    directory: Path

    def ask(self, questions: Sequence[Question], seconds: float) -> list[Reply | Failure]:
        answers = self.inner.ask(questions, seconds)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for question, answer in zip(questions, answers, strict=True):
                kind = "reply" if isinstance(answer, Reply) else "failure"
                text = json.dumps({"question": asdict(question), kind: asdict(answer)}, indent=2)
                (self.directory / file_name(question)).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            message = f"transcripts cannot be written to {self.directory}: {error.strerror}"
            raise InputError(Diagnostic("unwritable-output", message, help="name another directory")) from error
        return answers


@dataclass(slots=True)
class Replay:
    """A model that answers as it did when the transcripts were made. What was not asked then has no answer: that ends the loop.

    `changed` counts the questions that are no longer word for word those that were asked.
    """

    directory: Path
    changed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not any(self.directory.glob("round-*.json")):
            message = f"{self.directory} holds no transcripts"
            raise InputError(Diagnostic("no-transcripts", message, help="--save-transcripts DIR makes them"))

    def ask(self, questions: Sequence[Question], seconds: float) -> list[Reply | Failure]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Reply | Failure:
        path = self.directory / file_name(question)
        if not path.is_file():
            return Failure("no-transcripts", f"{self.directory} ends before round {question.round}", lasting=True)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            asked = found["question"]["messages"]
            answer = Reply(**_of(found["reply"])) if "reply" in found else Failure(**_of(found["failure"]))
            words = (answer.text,) if isinstance(answer, Reply) else (answer.id, answer.message, answer.help)
            counts = (answer.prompt_tokens, answer.completion_tokens) if isinstance(answer, Reply) else ()
            if not all(isinstance(item, str) for item in words) or not all(isinstance(item, int) for item in counts):
                raise TypeError("a text or a count is of another kind")
        except (ValueError, KeyError, TypeError) as error:
            message = f"{path} is no transcript: {type(error).__name__}: {error}"
            raise InputError(Diagnostic("no-transcripts", message, help="make it again with --save-transcripts")) from error
        self.changed += asked != [asdict(item) for item in question.messages]
        return answer


def _of(found: object) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise TypeError("an object is needed")
    return found


def file_name(question: Question) -> str:
    """The file of one candidate."""
    return f"round-{question.round:02}-candidate-{question.index:02}.json"
