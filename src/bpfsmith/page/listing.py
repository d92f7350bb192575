"""Source, C and bytecode as panes whose lines light up together: they share the source line that an instruction stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer, RegexLexer
from pygments.lexers.c_cpp import CLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Text

from bpfsmith.isa.disasm import listing
from bpfsmith.isa.insn import Insn
from bpfsmith.page.model import Line, Pane

_HEADERS = Path(__file__).resolve().parent.parent / "codegen" / "include"

Place = tuple[str, int]
"""File and line, as line information names them."""


class AppnetLexer(RegexLexer):
    """AppNet, in both of its dialects."""

    name = "AppNet"
    tokens: ClassVar = {
        "root": [
            (r"(#|//).*", Comment),
            (r"'[^'\n]*'|\"[^\"\n]*\"", String),
            (r"\b(state|init|req|resp|match|for|foreach|if|else)\b", Keyword),
            (r"\b(uint|int|float|bool|string|Instant|Map|Vec|Pair)\b", Keyword.Type),
            (r"\b(true|false|True|False|None|Some|Up|Down)\b", Keyword.Constant),
            (r"\d+(\.\d+)?", Number),
            (r"[A-Za-z_]\w*(?=\()", Name.Function),
            (r"[A-Za-z_]\w*", Name),
            (r"=>|[-+*/%<>=!:.,(){}\[\];@]", Operator),
            (r"\s+|.", Text),
        ]
    }


class ProbeLexer(RegexLexer):
    """The probe language."""

    name = "probe"
    tokens: ClassVar = {
        "root": [
            (r"//.*", Comment),
            (r'"[^"\n]*"', String),
            (r"\b(probe|filter|let|on|return|count|sum|min|max|hist|lhist|by|emit|if|else|in|step)\b", Keyword),
            (r"\b(ns|us|ms|s|ret|pid|tid|uid|gid|cpu|comm|cgroup|kstack|ustack)\b", Keyword.Constant),
            (r"\d+", Number),
            (r"[A-Za-z_]\w*(?=\()", Name.Function),
            (r"[A-Za-z_$]\w*", Name),
            (r"\s+|.", Text),
        ]
    }


class BytecodeLexer(RegexLexer):
    """eBPF instructions as the kernel writes them."""

    name = "bytecode"
    tokens: ClassVar = {
        "root": [
            (r"[#;].*", Comment),
            (r"\b(if|goto|gotol|call|exit|lock|ll|may_goto|callx)\b", Keyword),
            (r"\b(u8|u16|u32|u64|s8|s16|s32|s64|be16|be32|be64|le16|le32|le64)\b", Keyword.Type),
            (r"\b[rw](10|[0-9])\b", Name.Variable),
            (r"\b(map|subprog|btf|kfunc)(?=\[)", Name.Builtin),
            (r"[-+]?\b0x[0-9a-f]+\b|[-+]?\b\d+\b", Number),
            (r"[a-z_]\w*(?=#)", Name.Function),
            (r"\s+|\w+|.", Text),
        ]
    }


_LEXERS: Mapping[str, type[Lexer]] = {"AppNet": AppnetLexer, "probe": ProbeLexer, "C": CLexer, "bytecode": BytecodeLexer}


def highlighted(text: str, language: str) -> list[str]:
    """Each line of a text as HTML, escaped; tokens have pygments' short classes."""
    lexer = _LEXERS.get(language, BytecodeLexer)(stripnl=False, ensurenl=False)
    out: str = highlight(text, lexer, HtmlFormatter(nowrap=True))
    lines = out.split("\n")
    wanted = text.count("\n") + 1
    return (lines + [""] * wanted)[:wanted]


def language_of(path: str) -> str:
    """What a file is written in, by its ending."""
    return {".appnet": "AppNet", ".probe": "probe", ".c": "C", ".h": "C"}.get(Path(path).suffix, "C")


class Keys:
    """Gives each source line a name that is the same in every pane."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._same: dict[Place, Place] = {}

    def of(self, place: Place | None) -> str:
        if place is None:
            return ""
        path, line = self._same.get(place, place)
        return f"{self._files.setdefault(_file_name(path), len(self._files))}:{line}"

    def stands_for(self, place: Place, other: Place) -> None:
        """`place` is no line that can be shown; `other` is the one that it came from."""
        self._same[place] = other


def _file_name(path: str) -> str:
    """What was compiled from text lay in a directory that is gone: its name is all that counts."""
    return str(Path(path).resolve()) if Path(path).is_file() else Path(path).name


def source_pane(title: str, path: str, text: str, keys: Keys, blamed: frozenset[int] = frozenset()) -> Pane:
    """A file as the user wrote it; `blamed` lines are the ones that a diagnostic points at."""
    language = language_of(path)
    lines = highlighted(text.rstrip("\n").expandtabs(4), language)
    rows = (
        Line(str(number), html, keys.of((path, number)), "removed" if number in blamed else "")
        for number, html in enumerate(lines, 1)
    )
    return Pane(title, language, tuple(rows))


_GONE = "/generated"
"""Where generated C is taken to lie: no file of the user's, whatever its name."""

_DIRECTIVE = re.compile(r'#line (\d+) "(.*)"')


def generated_pane(title: str, name: str, c_text: str, sources: Mapping[str, int], keys: Keys) -> Pane:
    """Generated C without its `#line` directives, whose lines share the keys of what they were generated from.

    `name` is what line information calls the C file; `sources` are the files that it may point to, resolved, with their number
    of lines.
    """
    shown: list[str] = []
    places: list[Place] = []
    path, line = f"{_GONE}/{Path(name).name}", 1
    origin = path, line
    for text in c_text.rstrip("\n").split("\n"):
        directive = _DIRECTIVE.fullmatch(text)
        if directive:
            path, line = directive[2], int(directive[1])
            origin = path, line
            continue
        place = path, line
        if line > sources.get(_file_name(path), line):
            keys.stands_for(place, origin)
        shown.append(text.expandtabs(4))
        places.append(place)
        line += 1
    html = highlighted("\n".join(shown), "C")
    rows = (Line(str(n), text, keys.of(place)) for n, (text, place) in enumerate(zip(html, places, strict=True), 1))
    return Pane(title, "C", tuple(rows))


def bytecode_pane(title: str, insns: Sequence[Insn], keys: Keys, marks: Iterable[str] | None = None) -> Pane:
    """A program's instructions; `marks` say which of them are new or gone."""
    rows = listing(insns)
    html = highlighted("\n".join(text for _, _, text in rows), "bytecode")
    given = list(marks) if marks is not None else [""] * len(rows)
    lines = (
        Line(str(slot), text, keys.of((insn.span.path, insn.span.line) if insn.span else None), mark)
        for (slot, insn, _), text, mark in zip(rows, html, given, strict=True)
    )
    return Pane(title, "bytecode", tuple(lines))


def spanned_files(insns: Iterable[Insn]) -> list[str]:
    """The files that instructions came from and that can be read here, those with the most instructions first; our own headers
    are left out."""
    counts: dict[str, int] = {}
    for insn in insns:
        if insn.span is not None:
            name = _file_name(insn.span.path)
            counts[name] = counts.get(name, 0) + 1
    found = [path for path in sorted(counts, key=lambda name: -counts[name]) if Path(path).is_file()]
    return [path for path in found if not Path(path).is_relative_to(_HEADERS)]
