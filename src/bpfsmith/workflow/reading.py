"""An AppNet program read aloud, so that a person can say whether that is what they meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bpfsmith.appnet import core
from bpfsmith.source import SourceText, Span

_RUNS = {"init": "once, at the start", "req": "for each request", "resp": "for each response"}


def reading(element: core.Element, source: SourceText) -> Iterator[str]:
    """The program in sentences, in its own words where those are plain: conditions and values are quoted."""
    for item in element.state:
        bound = f", at most {item.max_entries} entries" if item.max_entries else ""
        yield f"remembers {item.name}: {item.type}{bound}"
    for body in ("init", *element.steps):
        statements = element.body(body)
        if statements or body != "init":
            yield f"{_RUNS[body]}:"
            yield from (f"  {line}" for line in _statements(statements, source))
            if body != "init" and not _always_ends(statements):
                yield "  in all other cases the message goes on"


def _statements(statements: Sequence[core.Stmt], source: SourceText) -> Iterator[str]:
    for item in statements:
        match item:
            case core.SetLocal(name=name, value=value) | core.SetState(name=name, value=value):
                yield f"{name} becomes {_text(value.span, source)}"
            case core.Forward():
                yield "the message goes on"
            case core.Abort(message=message):
                yield f"the message is refused: {message!r}"
            case core.Match():
                yield from _match(item, source)
            case _:
                yield _text(item.span, source)


def _match(item: core.Match, source: SourceText) -> Iterator[str]:
    subject = _text(item.subject.span, source)
    for number, arm in enumerate(item.arms):
        yield f"{'if' if number == 0 else 'else if'} {_condition(subject, arm.pattern)}:".replace(
            "else if anything else", "else"
        )
        yield from (f"  {line}" for line in _statements(arm.body, source) or ["nothing happens"])


def _condition(subject: str, pattern: core.Pattern) -> str:
    match pattern:
        case core.Equals(value=value) if isinstance(value.value, bool):
            return subject if value.value else f"not {subject}"
        case core.Equals(value=value):
            shown = value.value.decode(errors="replace") if isinstance(value.value, bytes) else value.value
            return f"{subject} is {shown}"
        case core.Some(name=name):
            return f"{subject} has a value, called {name} here"
        case core.Nothing():
            return f"{subject} has no value"
        case core.Anything():
            return "anything else"


def _always_ends(statements: Sequence[core.Stmt]) -> bool:
    return bool(statements) and isinstance(statements[-1], core.Forward | core.Abort)


def _text(span: Span, source: SourceText) -> str:
    """What stands at a place of the program, on one line."""
    lines = source.text.split("\n")[span.line - 1 : span.end_line]
    if not lines:
        return ".."
    lines[-1] = lines[-1][: span.end_column - 1] if span.end_column > 1 else lines[-1]
    lines[0] = lines[0][span.column - 1 :]
    return " ".join(" ".join(lines).split()) or ".."
