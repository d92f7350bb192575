"""One line of assembly to one instruction: the forms of `isa.forms` as a tree of tokens, and a reader for each operand.

All forms that begin alike share the path from the root, so that the place where no form goes on is the place of the error, and
the edges that leave it are what could have stood there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from bpfsmith.diagnostic import Diagnostic, Label
from bpfsmith.isa.asm_lexer import Line, Token, tokenize
from bpfsmith.isa.forms import FORMS, Form, Group, Operand
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.tables import HELPER_IDS

_S16 = (-(1 << 15), (1 << 15) - 1)
_S32 = (-(1 << 31), (1 << 31) - 1)
_W32 = (-(1 << 31), (1 << 32) - 1)
_W64 = (-(1 << 63), (1 << 64) - 1)
_NAMELESS = ("unknown", "bpf_unspec")  # what the kernel prints for helpers that it does not have
_LOOKAHEAD = 5  # how far beyond its own token a reader may look


@dataclass(frozen=True, slots=True)
class Name:
    """Something named where a number could stand. `bare` if nothing says what it names (`r1 = NAME ll`, `call NAME`)."""

    text: str
    imm: int = 0  # what the field holds beside the name: a kfunc's number, the offset behind map[NAME][0]+ in its upper half
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """An insn as read. `label` is the name that a jump goes to, with its field still zero; `name` the token of a bare symbol,
    which `isa.asm` looks up once it has seen the whole file."""

    insn: Insn
    label: Token | None = None
    label_field: str = ""
    bare: Token | None = None


class AsmError(Exception):
    """What is wrong with a line; `isa.asm` collects them."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def error(line: Line, token: Token, message: str, under: str = "", help: str = "", last: Token | None = None) -> AsmError:
    """An `asm-syntax` diagnostic at `token`."""
    return AsmError(Diagnostic("asm-syntax", message, Label(line.span(token, last), under), help=help))


# --- the tree of forms ------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    operands: dict[Operand, _Node] = field(default_factory=dict)
    form: Form | None = None


@cache
def _tree() -> _Node:
    root = _Node()
    for form in FORMS:
        node = root
        for piece in form.pieces:
            if isinstance(piece, Operand):
                node = node.operands.setdefault(piece, _Node())
            else:
                for token in tokenize(piece)[:-1]:
                    node = node.words.setdefault(token.text, _Node())
        node.form = form
    return root


@dataclass(frozen=True, slots=True)
class _Read:
    operand: Operand
    value: int | Name
    first: Token
    last: Token


@dataclass(slots=True)
class _Search:
    """A depth-first walk of the tree; `furthest` is where the best attempt stopped and `expected` what it wanted there."""

    tokens: Sequence[Token]
    furthest: int = -1
    expected: list[str] = field(default_factory=list)

    def walk(self, node: _Node, at: int) -> tuple[Form, list[_Read]] | None:
        token = self.tokens[at]
        if node.form is not None:
            if token.kind == "end":
                return node.form, []
            self._missed(at, "the end of the line")
        following = node.words.get(token.text)
        if following is not None:
            found = self.walk(following, at + 1)
            if found:
                return found
        for word in node.words:
            self._missed(at, f"`{word}`")
        for operand, below in node.operands.items():
            reader = _READERS[operand]
            result = reader.read(self.tokens, at)
            if result is None:
                self._missed(at, reader.what)
                continue
            found = self.walk(below, result[0])
            if found:
                form, reads = found
                return form, [_Read(operand, result[1], token, self.tokens[result[0] - 1]), *reads]
        return None

    def _missed(self, at: int, what: str) -> None:
        if at > self.furthest:
            self.furthest, self.expected = at, []
        if at == self.furthest and what not in self.expected:
            self.expected.append(what)


def read_statement(line: Line, tokens: Sequence[Token]) -> Statement:
    """The insn that `tokens`, a line's without its labels, stand for; raises AsmError."""
    search = _Search([*tokens, *[tokens[-1]] * _LOOKAHEAD])
    found = search.walk(_tree(), 0)
    if found is None:
        token = tokens[min(search.furthest, len(tokens) - 1)]
        expected = search.expected
        if search.furthest == 0:
            raise error(line, token, f"{token} starts no instruction", help="see `r1 = 5`, `if r1 == 0x0 goto pc+2`, `exit`")
        listed = ", ".join(expected[:8]) + (" or others" if len(expected) > 8 else "")
        raise error(line, token, f"found {token} where {listed} could stand", "not understood")
    form, reads = found
    return _build(line, form, reads, tokens)


def _build(line: Line, form: Form, reads: Sequence[_Read], tokens: Sequence[Token]) -> Statement:
    fields: dict[str, int] = dict(form.fixed)
    read_at: dict[str, _Read] = {}
    symbol: str | None = None
    label = bare = None
    label_field = ""
    for read in reads:
        name, value = read.operand.field, read.value
        if isinstance(value, Name) and read.operand in (Operand.TARGET, Operand.LONG_TARGET):
            label, label_field, number = read.first, name, 0
        elif isinstance(value, Name):
            symbol, number = value.text, value.imm
            bare = read.first if value.bare else None
        else:
            number = _checked(line, read, value)
        if name in read_at and fields[name] != number:
            raise error(
                line, read.first, f"{read.first} must be {read_at[name].first} again", "another register", last=read.last
            )
        fields[name] = number
        read_at[name] = read
    if form.group is Group.INTERNAL:
        raise error(line, tokens[0], "only the kernel itself may write this instruction", last=tokens[-2])
    if Operand.KFUNC in form.pieces and symbol == "kernel-function":
        symbol = None
    insn = Insn(form.opcode, **fields, symbol=symbol, span=line.span(tokens[0], tokens[-2]))
    return Statement(insn, label, label_field, bare)


def _checked(line: Line, read: _Read, value: int) -> int:
    """The value if its field can hold it, wrapped to a signed number where both readings of its bits are usual."""
    if read.operand is Operand.HELPER and HELPER_IDS.get(read.first.text, value) != value:
        message = f"helper {value} is not {read.first}, which is helper {HELPER_IDS[read.first.text]}"
        raise error(line, read.first, message, help="leave the number out", last=read.last)
    low, high, bits = _RANGES.get(read.operand, (*_S32, 32))
    if low <= value <= high:
        return _signed(value, bits) if bits else value
    if bits == 0:
        raise error(line, read.first, f"there is no register {read.first}", "they are 0 to 10")
    help_text = ""
    if read.operand is Operand.IMM:
        help_text = f"a 32-bit immediate is sign-extended; write `{value & (1 << 64) - 1:#x} ll` into a register first"
    if read.operand is Operand.TARGET:
        help_text = "`gotol` reaches further"
    raise error(line, read.first, f"{value} does not fit: {low} to {high} would", "out of range", help_text, read.last)


def _signed(value: int, bits: int) -> int:
    half = 1 << bits - 1
    return (value & (1 << bits) - 1 ^ half) - half


_RANGES = {
    Operand.DST: (0, 10, 0),
    Operand.SRC: (0, 10, 0),
    Operand.WDST: (0, 10, 0),
    Operand.WSRC: (0, 10, 0),
    Operand.OFFSET: (*_S16, 16),
    Operand.TARGET: (*_S16, 16),
    Operand.IMM32: (*_W32, 32),
    Operand.HEX: (*_W32, 32),
    Operand.SPACES: (*_W32, 32),
    Operand.WIDE: (*_W64, 64),
    Operand.MAP: (*_W64, 64),
    Operand.MAP_VALUE: (*_W64, 64),
    Operand.MAP_INDEX: (*_W64, 64),
    Operand.MAP_INDEX_VALUE: (*_W64, 64),
    Operand.BTF: (*_W64, 64),
    Operand.FUNCTION: (*_W64, 64),
}


# --- readers: where an operand ends and what it is worth ----------------------------------------------------------------
_Result = tuple[int, int | Name] | None


@dataclass(frozen=True, slots=True)
class _Reader:
    what: str  # for "found X where WHAT could stand"
    read: Callable[[Sequence[Token], int], _Result]


def _register(prefix: str) -> _Reader:
    pattern = re.compile(rf"{prefix}(\d+)")

    def read(tokens: Sequence[Token], at: int) -> _Result:
        match = pattern.fullmatch(tokens[at].text)
        return (at + 1, int(match[1])) if match else None

    return _Reader(f"a register {prefix}0 to {prefix}10", read)


def _number(tokens: Sequence[Token], at: int, signs: str = "-") -> tuple[int, int] | None:
    negative = tokens[at].text == "-"
    if tokens[at].text and tokens[at].text in signs:
        at += 1
    if tokens[at].kind != "number":
        return None
    value = int(tokens[at].text, 0) if tokens[at].text[:2].lower() == "0x" else int(tokens[at].text)
    return at + 1, -value if negative else value


def _offset(tokens: Sequence[Token], at: int) -> _Result:
    return _number(tokens, at, "+-") if tokens[at].text in ("+", "-") else None


def _is_name(token: Token) -> bool:
    return token.kind == "word"


def _target(tokens: Sequence[Token], at: int) -> _Result:
    """`pc+3`, clang's `+3`, or a label."""
    after_pc = at + (tokens[at].text == "pc")
    if tokens[after_pc].text in ("+", "-"):
        return _number(tokens, after_pc, "+-")
    return (at + 1, Name(tokens[at].text)) if _is_name(tokens[at]) else None


def _wide(tokens: Sequence[Token], at: int) -> _Result:
    number = _number(tokens, at)
    return (number[0] + 1, number[1]) if number and tokens[number[0]].text == "ll" else None


def _texts(tokens: Sequence[Token], at: int, count: int) -> list[str]:
    return [token.text for token in tokens[at : at + count]]


def _map_base(tokens: Sequence[Token], at: int, key: str) -> _Result:
    """`map[NAME]` or `map[KEY:NUMBER]`."""
    if _texts(tokens, at, 2) != ["map", "["]:
        return None
    if key == "fd" and _is_name(tokens[at + 2]) and tokens[at + 3].text == "]":
        return at + 4, Name(tokens[at + 2].text)
    if _texts(tokens, at + 2, 2) != [key, ":"]:
        return None
    number = _number(tokens, at + 4)
    return (number[0] + 1, number[1]) if number and tokens[number[0]].text == "]" else None


def _map(key: str) -> Callable[[Sequence[Token], int], _Result]:
    def read(tokens: Sequence[Token], at: int) -> _Result:
        if key == "fd" and _is_name(tokens[at]) and tokens[at + 1].text == "ll":
            return at + 2, Name(tokens[at].text, bare=True)
        base = _map_base(tokens, at, key)
        return None if base is None or tokens[base[0]].text == "[" else base

    return read


def _map_value(key: str) -> Callable[[Sequence[Token], int], _Result]:
    def read(tokens: Sequence[Token], at: int) -> _Result:
        base = _map_base(tokens, at, key)
        if base is None or _texts(tokens, base[0], 3) != ["[", "0", "]"]:
            return None
        upper = _number(tokens, base[0] + 4) if tokens[base[0] + 3].text == "+" else (base[0] + 3, 0)
        if upper is None or not 0 <= upper[1] < 1 << 32:
            return None
        if isinstance(base[1], Name):
            return upper[0], Name(base[1].text, _signed(upper[1] << 32, 64))
        return upper[0], upper[1] << 32 | base[1] & 0xFFFFFFFF

    return read


def _btf(tokens: Sequence[Token], at: int) -> _Result:
    """`btf[NAME]`, `btf[id:7]`, or with the fd of a module's BTF `btf[id:7 fd:3]`."""
    if _texts(tokens, at, 2) != ["btf", "["]:
        return None
    if _is_name(tokens[at + 2]) and tokens[at + 3].text == "]":
        return at + 4, Name(tokens[at + 2].text)
    if _texts(tokens, at + 2, 2) != ["id", ":"]:
        return None
    lower = _number(tokens, at + 4)
    if lower is None:
        return None
    upper: tuple[int, int] | None = lower[0], 0
    if _texts(tokens, lower[0], 2) == ["fd", ":"]:
        upper = _number(tokens, lower[0] + 2)
    if upper is None or tokens[upper[0]].text != "]":
        return None
    return upper[0] + 1, upper[1] << 32 | lower[1] & 0xFFFFFFFF


def _function(tokens: Sequence[Token], at: int) -> _Result:
    if _texts(tokens, at, 2) != ["subprog", "["]:
        return None
    inner = _offset(tokens, at + 2) or ((at + 3, Name(tokens[at + 2].text)) if _is_name(tokens[at + 2]) else None)
    return (inner[0] + 1, inner[1]) if inner and tokens[inner[0]].text == "]" else None


def _helper(tokens: Sequence[Token], at: int) -> _Result:
    """`bpf_ktime_get_ns#5`, `bpf_ktime_get_ns`, `unknown#9999`, or clang's bare number."""
    number = _number(tokens, at)
    if number is not None:
        return number
    name = tokens[at].text
    if tokens[at + 1].text == "#":
        return _number(tokens, at + 2) if name in HELPER_IDS or name in _NAMELESS else None
    return (at + 1, HELPER_IDS[name]) if name in HELPER_IDS else None


def _kfunc(tokens: Sequence[Token], at: int) -> _Result:
    """`NAME#BTF_ID`; the kernel prints `kernel-function` where it has no name."""
    name, after = tokens[at].text, at + 1
    if _texts(tokens, at, 3) == ["kernel", "-", "function"]:
        name, after = "kernel-function", at + 3
    elif not _is_name(tokens[at]) or name in HELPER_IDS or name in _NAMELESS:
        return None
    number = _number(tokens, after + 1) if tokens[after].text == "#" else None
    return None if number is None else (number[0], Name(name, number[1]))


def _callee(tokens: Sequence[Token], at: int) -> _Result:
    if tokens[at].text == "pc":
        return _offset(tokens, at + 1)
    if not _is_name(tokens[at]) or tokens[at].text in HELPER_IDS:
        return None
    return at + 1, Name(tokens[at].text, bare=True)


def _spaces(tokens: Sequence[Token], at: int) -> _Result:
    upper = _number(tokens, at)
    lower = _number(tokens, upper[0] + 1) if upper and tokens[upper[0]].text == "," else None
    if upper is None or lower is None or not (0 <= upper[1] < 1 << 16 and 0 <= lower[1] < 1 << 16):
        return None
    return lower[0], upper[1] << 16 | lower[1]


_READERS: dict[Operand, _Reader] = {
    Operand.DST: _register("r"),
    Operand.SRC: _register("r"),
    Operand.WDST: _register("w"),
    Operand.WSRC: _register("w"),
    Operand.OFFSET: _Reader("an offset such as `+8`", _offset),
    Operand.IMM: _Reader("a number", _number),
    Operand.IMM32: _Reader("a number", _number),
    Operand.HEX: _Reader("a number", _number),
    Operand.TARGET: _Reader("`pc+N` or a label", _target),
    Operand.LONG_TARGET: _Reader("`pc+N` or a label", _target),
    Operand.WIDE: _Reader("a number and `ll`", _wide),
    Operand.MAP: _Reader("`map[NAME]`", _map("fd")),
    Operand.MAP_VALUE: _Reader("`map[NAME][0]+N`", _map_value("fd")),
    Operand.MAP_INDEX: _Reader("`map[idx:N]`", _map("idx")),
    Operand.MAP_INDEX_VALUE: _Reader("`map[idx:N][0]+N`", _map_value("idx")),
    Operand.BTF: _Reader("`btf[id:N]`", _btf),
    Operand.FUNCTION: _Reader("`subprog[NAME]`", _function),
    Operand.HELPER: _Reader("a helper", _helper),
    Operand.CALLEE: _Reader("a function", _callee),
    Operand.KFUNC: _Reader("a kfunc as `NAME#BTF_ID`", _kfunc),
    Operand.SPACES: _Reader("two address spaces", _spaces),
}
