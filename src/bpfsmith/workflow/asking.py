"""What the options about a model make: who is asked, with what budget and examples, and what came of it as data and as
lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, Severity
from bpfsmith.kernel.confine import missing
from bpfsmith.propose.examples import Example, chosen, library
from bpfsmith.propose.loop import Asking, Attempt, Budget, Proposed, propose
from bpfsmith.propose.model import Endpoint, Remote
from bpfsmith.propose.prompt import opening, shown
from bpfsmith.propose.task import Failure, Judge, Model, Reply, Stage, T, Task
from bpfsmith.propose.transcript import Recording, Replay
from bpfsmith.render import visible


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """A model and how it is asked. Of `endpoint` and `replay` one is set, or `dry_run`: then the prompt is shown and nobody
    asked. `transcripts` is where what is said is kept."""

    endpoint: Endpoint | None
    budget: Budget = field(default_factory=Budget)
    examples: int = 2
    temperature: float = 0.2
    seed: int = 0
    feedback: bool = True
    replay: Path | None = None
    transcripts: Path | None = None
    dry_run: bool = False

    @property
    def who(self) -> str:
        """The model in words."""
        if self.replay is not None:
            return f"transcripts in {self.replay}"
        return f"{self.endpoint.model} at {self.endpoint.place}" if self.endpoint else "no model"


@dataclass(frozen=True, slots=True)
class Said:
    """The prompt of a task, and the examples that are in it."""

    task: Task
    examples: tuple[Example, ...]

    @property
    def text(self) -> str:
        return shown(opening(self.task, self.examples))


def said(task: Task, options: ModelOptions) -> Said:
    """What a model would be told of a task first."""
    return Said(task, tuple(chosen(task, library(), options.examples)))


def model_of(options: ModelOptions) -> Model:
    """Whoever answers. InputError `no-model-client` or `no-transcripts`."""
    model: Model
    if options.replay is not None:
        model = Replay(options.replay)
    else:
        assert options.endpoint is not None
        model = Remote(options.endpoint)
    return Recording(model, options.transcripts) if options.transcripts is not None else model


def asked(
    prompt: Said, model: Model, judge: Judge[T], options: ModelOptions, progress: Callable[[str], None] = lambda text: None
) -> Proposed[T]:
    """Asks until there is a candidate that the gate lets through, or no more is to be expected."""
    asking = Asking(options.budget, prompt.examples, options.temperature, options.seed, options.feedback)
    found = propose(prompt.task, model, judge, asking, progress)
    if isinstance(model, Replay) and model.changed:
        return replace(found, ended=f"{found.ended} (replayed; {model.changed} prompts were others when these answers came)")
    return found


def warnings(found: Proposed[T], options: ModelOptions, instead: str) -> tuple[Diagnostic, ...]:
    """Failures of the endpoint, and that no candidate was good enough; `instead` says what stands in its place."""
    out = [
        Diagnostic(item.id, item.message, severity=Severity.WARNING, help=item.help)
        for item in {failure.message: failure for failure in found.failures}.values()
    ]
    unconfined = missing()
    if unconfined:
        message = "candidates were compiled without part of their confinement"
        help = "the screen refuses headers outside a list all the same; a kernel from 5.13 on with Landlock does the rest"
        out.append(Diagnostic("not-confined", message, severity=Severity.WARNING, notes=(unconfined,), help=help))
    accepted = any(item.stage is Stage.ACCEPTED for item in found.attempts)
    if not accepted:
        best = max(found.attempts, key=lambda item: item.stage, default=None)
        notes = [f"why it stopped: {found.ended}"]
        if best is not None and not isinstance(best.answer, Failure):
            notes.insert(0, f"the best candidate came as far as {_stage(best.stage)}: {best.words}")
        message = f"{options.who} gave nothing that can be used: {instead}"
        out.append(Diagnostic("no-candidate", message, severity=Severity.WARNING, notes=tuple(notes), help=_ADVICE))
    return tuple(out)


_ADVICE = "ask for more with --rounds and --candidates, or another model; `--save-transcripts DIR` keeps what was said"

NOT_ASKED = Diagnostic(
    "no-candidate",
    "the model was not asked: the rule-based result is not proved here, and its guarantees are what candidates are held to",
    severity=Severity.WARNING,
    help="look at why it is not, or at the verifier's words",
)
"""For a program whose rule-based form does not stand."""

_STAGES = {
    Stage.ANSWER: "answer",
    Stage.SCREEN: "screen",
    Stage.COMPILE: "compile",
    Stage.OBJECT: "object",
    Stage.VERIFIER: "verifier",
    Stage.EQUIVALENCE: "equivalence",
    Stage.SIZE: "size",
    Stage.ACCEPTED: "accepted",
}


def _stage(stage: Stage) -> str:
    return _STAGES[stage]


def asked_json(found: Proposed[T], options: ModelOptions) -> dict[str, object]:
    """The rounds as data. No key is in it: none ever was in what it is made of."""
    spent = found.spent
    return {
        "who": options.who,
        "ended": found.ended,
        "requests": spent.requests,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost_usd": options.budget.price.of(spent.prompt_tokens, spent.completion_tokens),
        "asking_s": round(spent.asking_s, 3),
        "judging_s": round(spent.judging_s, 3),
        "candidates": [_candidate(item) for item in found.attempts],
        "learnt": list(found.learnt),
    }


def _candidate(item: Attempt[T]) -> dict[str, object]:
    reply = item.answer if isinstance(item.answer, Reply) else None
    return {
        "round": item.round,
        "index": item.index,
        "stage": "no answer" if item.judged is None else _stage(item.stage),
        "reason": item.words,
        "text": item.text,
        "prompt_tokens": reply.prompt_tokens if reply else None,
        "completion_tokens": reply.completion_tokens if reply else None,
        "seconds": round(reply.seconds, 3) if reply else None,
    }


def asked_lines(found: Proposed[T], options: ModelOptions, concise: bool = False) -> Iterator[str]:
    """Who was asked, what it took, and what became of each candidate."""
    spent, price = found.spent, options.budget.price
    cost = price.of(spent.prompt_tokens, spent.completion_tokens)
    money = f", ${cost:.4f}" if price.prompt or price.completion else ""
    took = f"{spent.asking_s:.1f} s asking, {spent.judging_s:.1f} s judging"
    tokens = f"{spent.prompt_tokens} + {spent.completion_tokens} tokens{money}"
    yield f"model       {options.who}: {found.ended}; {spent.requests} candidates, {tokens}, {took}"
    if concise:
        return
    number = 0
    for item in found.attempts:
        label = f"round {item.round}" if item.round != number else ""
        if label and number and number <= len(found.learnt):
            yield f"{'':<12}told back: {visible(found.learnt[number - 1])}"
        number = item.round
        stage = "no answer" if item.judged is None else _stage(item.stage)
        yield f"{label:<12}{item.index}  {stage:<12} {visible(item.words)}"


def table(rows: Sequence[Sequence[object]], titles: Sequence[str]) -> list[str]:
    """Rows as lines, the first column to the left; None is a dash."""
    cells = [list(titles), *([("-" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(titles))]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
