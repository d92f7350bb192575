"""A refused insn's place in the C text, and what a change there can be made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from bpfsmith.repair.diagnose import Diagnosis
from bpfsmith.repair.patch import Edit, Patch
from bpfsmith.repair.statement import Function
from bpfsmith.source import Span


@dataclass(frozen=True)
class Site:
    """The refused insn's line in the file that can be changed."""

    found: Diagnosis
    text: str
    span: Span

    @cached_property
    def function(self) -> Function:
        return Function(self.text, self.span.line)

    @property
    def lines(self) -> list[str]:
        return self.function.lines

    @property
    def name(self) -> str:
        """The variable at the place of the access."""
        return re.split(r"->|\.|\[", self.found.case.expression(self.span))[0]

    @property
    def names(self) -> list[str]:
        """The variable at the place of the access, and the others of its line that are followed as pointers."""
        line = self.function.code[self.span.line - 1]
        found = re.findall(r"(?<![\w.>])([A-Za-z_]\w*)\s*(?:->|\[)", line) + re.findall(
            r"\*\s*(?:\([^()]*\)\s*)?([A-Za-z_]\w*)", line
        )
        called = re.search(r"\b(?:__builtin_)?mem\w+\s*\(([^;]*)\)", line)
        found += re.findall(r"(?<![\w.>&])([A-Za-z_]\w*)\b(?!\s*\()", called[1]) if called else []
        names = [self.name, *found]
        return [
            name
            for name in dict.fromkeys(names)
            if name and not name.startswith("__builtin") and self.function.is_pointer(name)
        ]

    def before(self, *text: str, number: int | None = None) -> Edit:
        """Lines put in before the statement around a line, with its indentation."""
        line = number or self.span.line
        if self.function.loop_body(line):
            indent = self.function.indent(line)
            outer = indent[:-1] if indent.endswith("\t") else indent[:-4]
            _, end = self.function.statement(line)
            body = (*(indent + item for item in text), *self.lines[line - 1 : end])
            return Edit(line, (f"{outer}{{", *body, f"{outer}}}"), end - line + 1)
        start, _ = self.function.statement(line)
        indent = self.function.indent(start)
        return Edit(start, tuple(indent + line for line in text))

    def after(self, number: int, *text: str) -> Edit:
        _, end = self.function.statement(number)
        return Edit(end + 1, tuple(self.function.indent(number) + line for line in text))

    def check(self, condition: str, number: int | None = None) -> Edit:
        """An early exit under a condition."""
        leave = self.function.leave(number or self.span.line)
        return self.before(f"if ({condition})", f"\t{leave}", number=number)


Proposer = Callable[[Site], Iterator[Patch]]
"""Candidates of one idea, the most faithful first. Nobody trusts them: each is compiled, loaded and compared."""
