"""The prompts: instructions for each kind of task as text files, examples as turns of the conversation, then the task."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from bpfsmith.propose.examples import Example
from bpfsmith.propose.task import Message, Task

_PROMPTS = Path(__file__).parent / "prompts"
LONGEST_FEEDBACK = 2_400
"""Characters of what a model is told of its last candidate: a small model has a small window, and the first lines say most."""


@cache
def instructions(kind: str) -> str:
    """What a model is told of a kind of task, whatever the task."""
    return (_PROMPTS / f"{kind}.md").read_text(encoding="utf-8").strip()


def opening(task: Task, examples: Sequence[Example]) -> tuple[Message, ...]:
    """The conversation up to the first answer. The same for each round, so that an endpoint can keep what it made of it."""
    turns = [Message("system", instructions(task.kind))]
    for item in examples:
        facts = (f"Idea: {item.idea}",) if item.idea else ()
        if item.kind == "generate":
            facts = (*facts, to_fill_in(skeleton(item.answer)))
        turns.append(Message("user", _asked(item.question, _language(item.kind), facts)))
        turns.append(Message("assistant", _fenced(item.answer, "c")))
    return (*turns, Message("user", _asked(task.source, task.source_language, task.facts)))


def following(first: Sequence[Message], candidate: str, feedback: str, language: str) -> tuple[Message, ...]:
    """The conversation after a refused candidate: the candidate and what the gate says of it. Older ones are left out."""
    told = feedback if len(feedback) <= LONGEST_FEEDBACK else feedback[:LONGEST_FEEDBACK].rpartition("\n")[0] + "\n.."
    answered = (Message("assistant", _fenced(candidate, language)),) if candidate else ()
    wanted = f"Answer with the whole corrected file in a ```{language} block."
    return (*first, *answered, Message("user", f"{told}\n\n{wanted}"))


_FUNCTION = re.compile(r'^(SEC\("[^"]+"\)\nint \w+\([^)]*\)\n)\{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


def skeleton(c_text: str, kept: Callable[[str], str] = lambda body: "") -> str:
    """C with the bodies of its programs left out, but for what is `kept` of each."""
    return _FUNCTION.sub(lambda match: f"{match[1]}{{\n{kept(match[2])}\t/* your code */\n}}", c_text)


def to_fill_in(c_text: str) -> str:
    """A skeleton as a fact of a task."""
    return "Fill in this file:\n" + _fenced(c_text, "c")


def _language(kind: str) -> str:
    return "appnet" if kind == "generate" else "c"


def _asked(source: str, language: str, facts: Sequence[str]) -> str:
    body = source.strip() if language == "english" else _fenced(source, language)
    return "\n\n".join([body, *facts])


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def shown(messages: Sequence[Message]) -> str:
    """A conversation as text, for a person."""
    return "\n\n".join(f"--- {message.role}\n{message.content}" for message in messages)
