"""A refused program with everything that can be asked about it: the verifier's path, the source lines, the file's text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bpfsmith.isa.insn import slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.verifier_trace import Trace, Visit, parse_trace
from bpfsmith.objfile.object import Object
from bpfsmith.source import SourceText, Span

_WRITTEN = re.compile(r"^(?:\([0-9a-f]+\) )?[rw](\d+) (?:=|\+=|-=|\*=|/=|%=|&=|\|=|\^=|<<=|>>=|s>>=|s/=|s%=)")
_STACK_STORE = re.compile(r"^(?:lock )?\*\((?:u|s)(\d+) \*\)\(r10 ([+-]\d+)\) = (.*)$")
_STACK_LOAD = re.compile(r"^[rw]\d+ = \*\((?:u|s)\d+ \*\)\(r10 ([+-]\d+)\)$")
_COPY = re.compile(r"^[rw](\d+) = (?:\(s\d+\))?([rw])(\d+)$")
_IDENTIFIER = re.compile(r"(?<![\w.>])[A-Za-z_]\w*(?:(?:->|\.)[A-Za-z_]\w*)*")
_CAST = re.compile(
    r"\(\s*(?:const |volatile |struct |union |unsigned |signed |enum )*\w+(?:\s+\w+)*[\s*]*\*?\s*\)(?=\s*[\w(&*])"
)


_NO_NAMES = frozenset("return if else for while do sizeof const volatile struct".split())
_COPIES = re.compile(r"(?:__builtin_)?mem(?:cpy|move|cmp|set)")
_OPERATORS = frozenset(("", "=", "+", "-", "*", "/", "|", "&", "^", "++", "--", "<<", ">>", "[", ")"))


@dataclass(frozen=True)
class Case:
    """`given` is the text of the program's own file where it was compiled from text."""

    program: Program
    rejected: Rejected
    obj: Object | None = None
    given: str | None = None

    @cached_property
    def trace(self) -> Trace:
        return parse_trace(self.rejected.log)

    @property
    def words(self) -> tuple[str, ...]:
        return self.rejected.error_lines

    @property
    def visits(self) -> tuple[Visit, ...]:
        return self.trace.visits

    @cached_property
    def _spans(self) -> dict[int, Span]:
        """The source position of each slot; insns without one have that of the insn before them."""
        linked = self.program.linked()
        found: dict[int, Span] = {}
        for insn, slot in zip(linked, slot_starts(linked), strict=False):
            if insn.span is not None:
                found[slot] = replace(insn.span, path=shown_path(insn.span.path))
        return found

    def span(self, visit: Visit | int | None) -> Span | None:
        """Where an insn came from. The log's own line stands in where the object has none."""
        if visit is None:
            return None
        slot = visit if isinstance(visit, int) else visit.slot
        return self._spans.get(slot)

    def is_compiled(self, path: str, line: int) -> bool:
        """Did an insn come from this line?"""
        return (path, line) in self._lines

    @cached_property
    def _lines(self) -> frozenset[tuple[str, int]]:
        return frozenset((span.path, span.line) for span in self._spans.values())

    @cached_property
    def function_span(self) -> Span | None:
        """The first place of the program's entry function."""
        return next((self._spans[slot] for slot in sorted(self._spans)), None)

    @cached_property
    def source(self) -> SourceText | None:
        """The text of the file that the program's own lines are in."""
        span = self.function_span
        return self.text(span.path) if span else None

    @cached_property
    def _texts(self) -> dict[str, SourceText | None]:
        return {}

    def text(self, path: str) -> SourceText | None:
        """The text of a file that the program was compiled from: the file, if it is still what was compiled, else the lines of
        it that the object quotes, each at its place."""
        if self.given is not None and self.function_span is not None and path == self.function_span.path:
            return SourceText(path, self.given)
        if path not in self._texts:
            self._texts[path] = _compiled_text(path, _quoted(self.obj, path))
        return self._texts[path]

    def line_text(self, span: Span | None) -> str:
        """The user's line at a span, empty when it cannot be read."""
        text = self.text(span.path) if span else None
        return (text.line(span.line) or "") if text and span else ""

    def expression(self, span: Span | None) -> str:
        """The name or member chain at a place, casts passed over: clang points at a member's name or at an operator.

        In `eth->h_proto = 0` both places say `eth->h_proto`.
        """
        line = self.line_text(span)
        if span is None or not line:
            return ""
        at = span.column - 1
        chains = list(_IDENTIFIER.finditer(_CAST.sub(lambda found: " " * len(found[0]), line)))
        around = next((chain for chain in chains if chain.start() <= at < chain.end()), None)
        if around is not None and _COPIES.fullmatch(around[0]):
            return self._copied(line, around.end()) or around[0]
        if around is not None and around[0] not in _NO_NAMES:
            return around[0]
        if line[at : at + 2].strip().rstrip("=") in _OPERATORS:
            before = [chain for chain in chains if chain.end() <= at and chain[0] not in _NO_NAMES]
            return before[-1][0] if before else ""
        return next((chain[0] for chain in chains if chain.start() >= at and chain[0] not in _NO_NAMES), "")

    def _copied(self, line: str, at: int) -> str:
        """The pointer argument of a copy that the refused insn follows: where it goes for a store, else where it comes from."""
        found = re.match(r"\s*\(((?:[^()]|\([^()]*\))*)\)", line[at:])
        last = self.trace.last
        if found is None or last is None:
            return ""
        names = [_IDENTIFIER.search(_CAST.sub("", part)) for part in found[1].split(",")[:2]]
        pointers = [name[0] for name in names if name is not None]
        return pointers[0 if last.text.startswith(("*(", "lock ")) else -1] if pointers else ""


def shown_path(path: str) -> str:
    """BTF names files by absolute path: as the user would, where the file lies below the working directory."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def read_text(path: str) -> SourceText | None:
    """A file's text, None when it cannot be read."""
    try:
        return SourceText(path, Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _quoted(obj: Object | None, path: str) -> dict[int, str]:
    """The lines of a file that the line information of an object has in full, by number."""
    if obj is None or obj.btf is None:
        return {}
    found = {line: obj.btf.string(info.text_string) for (name, line), info in obj.lines.items() if shown_path(name) == path}
    return {line: text for line, text in found.items() if text.strip()}


def _compiled_text(path: str, quoted: Mapping[int, str]) -> SourceText | None:
    text = read_text(path)
    if text is not None and all((text.line(line) or "").strip() == words.strip() for line, words in quoted.items()):
        return text
    if not quoted:
        return text
    return SourceText(path, "\n".join(quoted.get(line, "") for line in range(1, max(quoted) + 1)))


def written(visit: Visit) -> str | None:
    """The register or stack slot that an insn writes: "R3", "fp-8"; a call writes R0."""
    if match := _WRITTEN.match(visit.text):
        return f"R{match[1]}"
    if match := _STACK_STORE.match(visit.text):
        return f"fp{int(match[2])}"
    return "R0" if visit.text.startswith("call ") and not visit.text.startswith("call pc") else None


def copied(visit: Visit) -> str | None:
    """What a plain copy, spill or fill takes its value from."""
    if match := _COPY.match(visit.text):
        return f"R{match[3]}"
    if match := _STACK_LOAD.match(visit.text):
        return f"fp{int(match[1])}"
    if (match := _STACK_STORE.match(visit.text)) and re.fullmatch(r"r\d+", match[3]):
        return f"R{match[3][1:]}"
    return None


def history(case: Case, name: str, before: int) -> Iterator[tuple[int, Visit, str]]:
    """The insns that made the value which `name` has before visit `before`, the latest first.

    Copies, spills, fills and the passing of arguments are followed; of `r1 += r2` it is r1 whose past is told.
    """
    frame = case.visits[before].frame if 0 <= before < len(case.visits) else 0
    for index in range(before - 1, -1, -1):
        visit = case.visits[index]
        if visit.frame > frame:
            continue
        if visit.frame < frame:
            if not visit.text.startswith("call pc") or name not in ("R1", "R2", "R3", "R4", "R5"):
                return
            frame = visit.frame
            continue
        if written(visit) != name:
            continue
        yield index, visit, name
        source = copied(visit)
        if source is not None:
            name = source
        elif not re.match(r"^[rw]\d+ (?:\+|-|\*|/|%|&|\||\^|<<|>>|s>>)=", visit.text):
            return


def origin(case: Case, name: str, before: int) -> tuple[int, Visit] | None:
    """The insn that first made a value: a call, a load from memory, a constant."""
    found = None
    for index, visit, _ in history(case, name, before):
        found = index, visit
    return found
