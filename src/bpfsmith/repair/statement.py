"""Where statements begin and end in C text, and what the function around them offers: enough to put a check in place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from bpfsmith.repair.ctext import blanked

_NAME = r"[A-Za-z_]\w*"


@dataclass(frozen=True)
class Function:
    """The function around a line: `first` is the line of its opening brace, `last` that of the closing one (from 1)."""

    text: str
    line: int

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the whole file."""
        return self.text.split("\n")

    @cached_property
    def code(self) -> list[str]:
        """The lines with comments and strings blanked."""
        return blanked(self.text).split("\n")

    @cached_property
    def _range(self) -> tuple[int, int]:
        depth, start, begun = 0, 1, 1
        for number, line in enumerate(self.code, 1):
            for char in line:
                if char == "{":
                    if depth == 0:
                        begun = number
                    depth += 1
                elif char == "}":
                    depth -= 1
                    if depth == 0 and begun <= self.line <= number:
                        return begun, number
            start = number
        return 1, start

    @property
    def first(self) -> int:
        return self._range[0]

    @property
    def last(self) -> int:
        return self._range[1]

    @cached_property
    def top(self) -> int:
        """The line that the definition begins on, its section included: what goes before it is at file scope."""
        top = self.first
        while top > 1 and self.lines[top - 2].strip() and not self.code[top - 2].rstrip().endswith((";", "}")):
            top -= 1
        return top

    @cached_property
    def header(self) -> str:
        """The text of the declaration, up to the opening brace."""
        found: list[str] = []
        for number in range(self.first, max(self.first - 6, 0), -1):
            line = self.code[number - 1]
            if number != self.first and (line.rstrip().endswith((";", "}")) or line.startswith("#")):
                break
            found.insert(0, line)
        return " ".join(found).split("{")[0]

    def indent(self, number: int) -> str:
        found = re.match(r"\s*", self.lines[number - 1])
        return found[0] if found else ""

    def statement(self, number: int) -> tuple[int, int]:
        """First and last line of the statement around a line, a condition that governs it without braces included."""
        start = number
        while start - 1 > self.first:
            above = self.code[start - 2].strip()
            if not above or above.startswith("#") or above.endswith((";", "{", "}", ":")):
                break
            start -= 1
        end = number
        depth = sum(line.count("(") - line.count(")") for line in self.code[start - 1 : end])
        while end < self.last and (depth > 0 or not re.search(r"[;{}]\s*$", self.code[end - 1].strip() or ";")):
            depth += self.code[end].count("(") - self.code[end].count(")")
            end += 1
        return start, end

    def block_end(self, number: int) -> int:
        """The line of the closing brace of the block that a line lies in."""
        depth = 0
        for at in range(number, self.last + 1):
            for char in self.code[at - 1]:
                depth += (char == "{") - (char == "}")
                if depth < 0:
                    return at
        return self.last

    @cached_property
    def context(self) -> str | None:
        """The name of the first parameter."""
        match = re.search(rf"\(\s*(?:struct\s+)?{_NAME}[\s*]+\s*({_NAME})\s*[,)]", self.header)
        return match[1] if match else None

    def declared(self, name: str, before: int | None = None) -> int | None:
        """The line that declares a local variable, the last one before a line."""
        qualified = rf"(?!return\b|goto\b|else\b)(?:(?:struct|union|enum|const|volatile|unsigned|signed|static)\s+)*{_NAME}"
        pattern = re.compile(rf"^\s*{qualified}[\w\s*,]*[\s*]{name}\s*(?:[=;,\[]|$)")
        for number in range(min(before or self.last, self.last), self.first - 1, -1):
            if pattern.match(self.code[number - 1]):
                return number
        return None

    def pointer_to_end(self) -> str | None:
        """What holds data_end in this function: a variable, or the expression for it."""
        text = "\n".join(self.code[self.first - 1 : self.last])
        if match := re.search(rf"({_NAME})\s*=\s*(?:\([^()]*\)\s*)*\(?\s*{_NAME}->(?:data|optval)_end\s*\)*\s*[;,]", text):
            return match[1]
        if match := re.search(r"\*\s*(\w*end\w*)\s*[,)]", self.header):
            return match[1]
        if match := re.search(rf"\bstruct\s+({_NAME})\s*\*\s*({_NAME})\s*[,)]", self.header):
            members = re.search(rf"\bstruct\s+{match[1]}\s*\{{[^}}]*\*\s*(\w*end\w*)\s*;", "\n".join(self.code))
            if members:
                return f"{match[2]}->{members[1]}"
        if self.context and re.search(r"xdp_md|__sk_buff|sk_msg_md", self.header):
            return f"(void *)(long){self.context}->data_end"
        if self.context and "bpf_sockopt" in self.header:
            return f"{self.context}->optval_end"
        return None

    def is_pointer(self, name: str) -> bool:
        """Is there a declaration of this name as a pointer, in the function or its parameters?"""
        text = "\n".join((self.header, *self.code[self.first - 1 : self.last]))
        return re.search(rf"\*\s*(?:const\s+)?{re.escape(name)}\b", text) is not None

    def start_of_packet(self) -> str | None:
        """What holds data in this function, where the metadata before the packet ends."""
        text = "\n".join(self.code[self.first - 1 : self.last])
        if match := re.search(rf"({_NAME})\s*=\s*(?:\([^()]*\)\s*)*\(?\s*{_NAME}->data\s*\)*\s*[;,]", text):
            return match[1]
        return f"(void *)(long){self.context}->data" if self.context else None

    def loop_body(self, number: int) -> bool:
        """Is a line the whole body of a loop, without braces?"""
        above = next((self.code[n - 1] for n in range(number - 1, self.first - 1, -1) if self.code[n - 1].strip()), "")
        return bool(re.match(r"\s*(?:for|while)\b.*\)\s*$", above))

    def leave(self, number: int) -> str:
        """How this function leaves early near a line: as its nearest condition does, or with its last result."""
        returned = self.header.split("(")[0]
        if re.search(r"\bvoid\b", returned) and "*" not in returned:
            return "return;"
        jump = re.compile(r"\breturn\b[^;]*;|\bgoto\s+\w+\s*;")
        for line in (*range(number - 1, self.first - 1, -1), *range(number + 1, self.last)):
            found = jump.search(self.code[line - 1])
            if not found or not _is_simple(found[0]):
                continue
            above = self.code[line - 2]
            governed = re.search(r"\bif\s*\(", self.code[line - 1]) or re.search(r"\bif\s*\(.*\)\s*\{?\s*$", above)
            if governed and not self._needs_later(found[0], number):
                return str(self.lines[line - 1][found.start() : found.end()])
        for line in range(self.last, self.first - 1, -1):
            found = jump.search(self.code[line - 1])
            if found and _is_simple(found[0]):
                return str(self.lines[line - 1][found.start() : found.end()])
        return "return 0;"

    def _needs_later(self, jump: str, number: int) -> bool:
        """Does a `return x` name a local that is declared after a line?"""
        names = re.findall(r"\b[a-z]\w*\b", jump.replace("return", "").replace("goto", ""))
        return any((at := self.declared(name)) is not None and at > number for name in names)


def _is_simple(jump: str) -> bool:
    """A constant or a plain variable is returned, or control goes to a label."""
    return re.fullmatch(r"(?:return\s+(?:-?\w+|\(\w+\))|goto\s+\w+)\s*;", jump) is not None
