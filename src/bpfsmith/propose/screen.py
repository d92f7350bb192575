"""What a candidate may not hold, found before it is compiled: in its tokens as the compiler itself sees them.

    raw tokens             of the text alone, no file opened: directives, includes, names that are never needed
    tokens after macros    of the lines of the candidate: attributes with their arguments, inline assembly

Nothing here is needed for a proof to hold: what is proved is the bytecode. It keeps a candidate from reading files into
messages that go back to the model, and from saying in ways that are hard to read what it could say plainly.
"""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bpfsmith.codegen.clang import Compiler

HEADERS = frozenset(
    {
        *(f"<linux/{name}.h>" for name in (
            "bpf", "types", "if_ether", "if_vlan", "ip", "ipv6", "in", "in6", "udp", "tcp", "icmp", "icmpv6", "pkt_cls",
            "stddef", "ptrace",
        )),
        *(f"<bpf/{name}.h>" for name in ("bpf_helpers", "bpf_endian", "bpf_tracing", "bpf_core_read")),
        *(f"<{name}.h>" for name in ("stdbool", "stddef", "stdint")),
        "<bpfsmith/helpers.h>", "<bpfsmith/fixed.h>", "<asm/types.h>",
    }
)  # fmt: skip
"""What may be included. None of them reads anything but other headers of these packages."""

DIRECTIVES = frozenset("include define undef if ifdef ifndef elif elifdef elifndef else endif".split())

NAMES = {
    **dict.fromkeys(("_Pragma", "__pragma"), "pragmas change what the rest of the text means"),
    **dict.fromkeys(("__has_include", "__has_include_next", "__has_embed"), "it asks what files there are"),
    **dict.fromkeys(("__FILE__", "__BASE_FILE__", "__FILE_NAME__", "__INCLUDE_LEVEL__"), "it tells where the text lies"),
    **dict.fromkeys(("__DATE__", "__TIME__", "__TIMESTAMP__"), "the same text has to give the same bytes"),
    "__COUNTER__": "names made by counting are hard to follow",
    "__declspec": "only plain attributes are understood here",
}
"""Names that no candidate needs, and why they are refused."""

ATTRIBUTES = frozenset(
    "section used unused maybe_unused always_inline noinline packed aligned hidden visibility preserve_access_index "
    "btf_type_tag fallthrough gnu_inline".split()
)
"""Attributes that say where things lie, or nothing about the meaning. Others (alias, cleanup, pure, weak, mode, ..) let code do
what does not stand in it."""

DATA_SECTIONS = re.compile(r"\.maps|license|version|\.(?:data|rodata|bss)(?:\.\w+)*")

_END = re.compile(r"\tLoc=<(?P<where>.*)>\n")
_SPLICE = re.compile(r"\\[ \t\v\f\r]*\n")
_PLACE = re.compile(r"^(?P<path>[^<\n]*?):(?P<line>\d+):(?P<column>\d+)")
_INCLUDE = re.compile(r'[ \t]*#[ \t]*include[ \t]*(?P<name><[\w./-]+>|"[\w./-]+")[ \t]*(?://.*|/\*[^*]*\*/[ \t]*)?')
_FILE = "candidate.bpf.c"
MOST_DUMPED = 16 << 20
"""Bytes of a candidate's list of tokens, of which each takes about a hundred; macros that call each other can make any
number."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of clang's; `kind` is its name of it."""

    kind: str
    text: str
    line: int
    starts_line: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a candidate may not hold: line (from 1), what it is, and why it is refused."""

    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what} is not allowed: {self.why}"


def includes(text: str) -> frozenset[str]:
    """The headers that a text names: what the one that it is made from may include, it may include too."""
    return frozenset(match["name"] for line in text.split("\n") if (match := _INCLUDE.fullmatch(line)))


def screened(
    text: str,
    compiler: Compiler,
    sections: Iterable[str],
    flags: Sequence[str] = (),
    headers: frozenset[str] = frozenset(),
) -> list[Finding]:
    """What is wrong with a candidate; nothing is for most. `sections` are those that its programs may be in, `compiler` one
    that
    may be given any text, `headers` are more that may be included. Where the text does not get through the preprocessor, what
    clang says of it comes when it is compiled.
    """
    found = _plain(text)
    if found:
        return found
    with TemporaryDirectory(prefix="bpfsmith-", dir=compiler.scratch) as scratch:
        path = Path(scratch) / _FILE
        path.write_text(text)
        raw = _tokens(_dumped(compiler, "-dump-raw-tokens", path, ()), str(path))
        if raw is None:
            return [Finding(1, "this text", "clang cannot read it as C")]
        found = [*_directives(raw, text.split("\n"), HEADERS | headers), *_names(raw)]
        if found:
            return found
        # No token of the candidate has a line break in it any more: those of headers, which are most, are left out by line.
        dump = _dumped(compiler, "-dump-tokens", path, (*compiler.search(), *flags), f"\tLoc=<{path}:")
    if dump is None:
        return [Finding(1, "this text", "its macros stand for more than a compiler should be given")]
    meant = _tokens(dump, str(path)) or []
    return [*_attributes(meant, frozenset(sections)), *_assembly(meant)]


def _plain(text: str) -> list[Finding]:
    """What would make the compiler's list of tokens ambiguous: control characters, and text that reads like such a list."""
    for number, line in enumerate(text.split("\n"), 1):
        bad = next(
            (char for char in line if char != "\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")), None
        )
        if bad is not None:
            return [Finding(number, f"the character U+{ord(bad):04X}", "it cannot be seen")]
    if "Loc=<" in _SPLICE.sub("", text):
        return [Finding(1, "`Loc=<`", "it reads like the compiler's own messages")]
    return []


def _dumped(compiler: Compiler, how: str, path: Path, flags: Sequence[str], only: str = "") -> str | None:
    """clang's list of tokens, with `only` the lines that hold that text; None where it is too long."""
    command = [*compiler.command, "-target", "bpf", "-fsyntax-only", "-w", *flags, "-Xclang", how, str(path)]
    kept, size, wanted = [], 0, only.encode()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=path.parent) as process:
        assert process.stderr is not None
        while line := process.stderr.readline(MOST_DUMPED):
            if wanted in line:
                kept.append(line)
                size += len(line)
            if size > MOST_DUMPED:
                process.kill()
                return None
    return b"".join(kept).decode("utf-8", "replace")


def _tokens(dump: str | None, path: str) -> list[Token] | None:
    """The tokens of the file at `path`; None where there is no such list, or too long a one."""
    out: list[Token] = []
    at = 0
    for end in _END.finditer(dump or ""):
        piece, place = (dump or "")[at : end.start()].lstrip("\n"), _PLACE.match(end["where"])
        at = end.end()
        if place is None or place["path"] != path:
            continue
        kind, _, rest = piece.partition(" '")
        text, _, flags = rest.rpartition("'")
        if "[UnClean='" in rest and kind not in _BLANK:  # a backslash at the end of a line stands in the middle of it
            kind, text = "unclean", ""
        out.append(Token(kind, text, int(place["line"]), "StartOfLine" in flags))
    return out or None


_BLANK = frozenset({"unknown", "comment", "eof"})


def _code(tokens: Sequence[Token]) -> list[Token]:
    """Raw tokens without blanks and comments."""
    return [token for token in tokens if token.kind not in _BLANK]


def _directives(raw: Sequence[Token], lines: Sequence[str], headers: frozenset[str]) -> Iterator[Finding]:
    tokens = _code(raw)
    for at, token in enumerate(tokens):
        if token.kind == "hashhash" or (token.kind == "hash" and not token.starts_line and token.text == "##"):
            yield Finding(token.line, "`##`", "names that are pasted together cannot be seen")
        if token.kind != "hash" or not token.starts_line:
            continue
        name = tokens[at + 1] if at + 1 < len(tokens) and not tokens[at + 1].starts_line else None
        if name is None:
            continue
        if name.text not in DIRECTIVES:
            yield Finding(token.line, f"`#{name.text}`", "only includes, defines and conditions are")
        elif name.text == "include":
            match = _INCLUDE.fullmatch(lines[token.line - 1].rstrip("\r"))
            if match is None:
                yield Finding(token.line, "this #include", "the header has to be named as it is, on the line")
            elif match["name"] not in headers:
                known = "<linux/bpf.h>, <bpfsmith/helpers.h> and the headers of packet formats are"
                yield Finding(token.line, f"#include {match['name']}", known)


def _names(raw: Sequence[Token]) -> Iterator[Finding]:
    tokens = _code(raw)
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.kind == "raw_identifier" and token.text in NAMES:
            yield Finding(token.line, f"`{token.text}`", NAMES[token.text])
        if token.kind == "l_square" and after is not None and after.kind == "l_square":
            yield Finding(token.line, "`[[`", "attributes are written __attribute__((..))")
        if token.kind == "unclean" or (token.kind.endswith("literal") and "\n" in token.text):
            yield Finding(token.line, "a word or a string over two lines", "write it on one line")


def _attributes(tokens: Sequence[Token], sections: frozenset[str]) -> Iterator[Finding]:
    """Every attribute of the lines of the candidate, those that macros of headers stand for too."""
    at = 0
    while at < len(tokens):
        if tokens[at].kind != "__attribute":
            at += 1
            continue
        depth, at = 0, at + 1
        while at < len(tokens):
            token = tokens[at]
            depth += (token.kind == "l_paren") - (token.kind == "r_paren")
            if depth <= 0:
                break
            is_name = depth == 2 and token.kind not in ("l_paren", "r_paren", "comma")
            name = token.text.strip("_") if is_name else ""
            if is_name and name not in ATTRIBUTES:
                yield Finding(token.line, f"the attribute `{token.text}`", "it changes what the text means")
            if name == "section":
                yield from _section(tokens[at : at + 4], sections)
            at += 1


def _section(tokens: Sequence[Token], sections: frozenset[str]) -> Iterator[Finding]:
    kinds = [token.kind for token in tokens]
    if kinds != ["identifier", "l_paren", "string_literal", "r_paren"]:
        yield Finding(tokens[0].line, "this section", "its name has to be one plain string")
        return
    name = tokens[2].text.strip('"')
    if name not in sections and not DATA_SECTIONS.fullmatch(name):
        wanted = ", ".join(sorted(sections))
        yield Finding(tokens[0].line, f'the section "{name}"', f"programs go to {wanted}, maps to .maps")


def _assembly(tokens: Sequence[Token]) -> Iterator[Finding]:
    """Inline assembly with anything in it. An empty one makes no instruction: it is how one hides a value from the
    optimizer."""
    for at, token in enumerate(tokens):
        if token.kind != "asm":
            continue
        rest = [item for item in tokens[at + 1 : at + 6] if item.kind not in ("volatile", "inline")][:3]
        empty = len(rest) == 3 and rest[0].kind == "l_paren" and rest[1].text == '""' and rest[2].kind in ("colon", "r_paren")
        if not empty:
            yield Finding(token.line, "inline assembly", "say it in C")
