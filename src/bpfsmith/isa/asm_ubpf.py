"""Assembler for the text of public test vectors (bpf_conformance, uBPF): a mnemonic and its operands.

            mov %r6, 10              # comments begin with `#`, `;` or `//`
            mov32 %r0, -1            ; a `32` behind an operation or a condition: the lower halves
    again:  jeq %r6, 0x0, done       // a label, or a distance in slots: +2, -3
            sub %r6, 1
            stxdw [%r10-8], %r6
            lock fetch_add [%r10-8], %r6
            ldxdw %r0, [%r10-8]
            call local twice
            ja again
    done:   exit
    twice:  add %r0, %r0
            exit

    mov add sub mul div sdiv mod smod or and xor lsh rsh arsh   %rD, %rS | NUMBER      neg %rD
    movsx832 movsx864 movsx1632 movsx1664 movsx3264             %rD, %rS
    le16 be16 swap16 (also bswap16; 32 and 64)                  %rD
    lddw %rD, NUMBER                                            ldxb ldxh ldxw ldxdw ldxsb ldxsh ldxsw   %rD, [%rS+N]
    stb sth stw stdw [%rD+N], NUMBER                            stxb stxh stxw stxdw                     [%rD+N], %rS
    lock add or and xor fetch_add .. fetch_xor xchg cmpxchg     [%rD+N], %rS
    jeq jne jgt jge jlt jle jsgt jsge jslt jsle jset            %rD, %rS | NUMBER, TARGET
    ja TARGET    ja32 TARGET    call NUMBER    call local TARGET    callx %rD    exit

`jeq %r1, 0, exit` goes to the next `exit` where no label of that name is written.

The result is one flat sequence, as a suite hands it to its plug-ins: `isa.flat` finds the functions in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import assert_never

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa import insn as isa
from bpfsmith.isa.asm_lexer import Line, Token, tokenize
from bpfsmith.isa.asm_operands import AsmError, error
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.source import SourceText

_COMMENT = re.compile(r"(?:#|;|//).*")  # no operand has a `#` in it here, so a comment may follow without a space
_MOST_DIGITS = 40
_EXIT = isa.BPF_JMP | isa.BPF_EXIT
CALLX = isa.BPF_JMP | isa.BPF_CALL | isa.BPF_X
"""A call of the helper whose number a register holds: clang emits it, suites test it, RFC 9669 and the kernel leave it out."""

_S16 = (-(1 << 15), (1 << 15) - 1)


class Operand(StrEnum):
    """What stands behind a mnemonic, and which fields it fills."""

    DST = "dst"  # %r1
    SRC = "src"
    VALUE = "value"  # %r1, or a number: then the opcode's BPF_X bit is off
    NUMBER = "number"
    WIDE = "wide"  # a number of 64 bits
    DST_PLACE = "dst_place"  # [%r1+8]
    SRC_PLACE = "src_place"
    TARGET = "target"  # +2 or a label, into offset
    LONG_TARGET = "long_target"  # the same into imm
    HELPER = "helper"  # a number or a helper's name


@dataclass(frozen=True, slots=True)
class Form:
    """One mnemonic: `insn` has the fields that no operand fills. Where a VALUE is a register, BPF_X joins the opcode."""

    insn: Insn
    operands: tuple[Operand, ...] = ()


@dataclass(slots=True)
class _Statement:
    """An insn as read; `label` is what `label_field` waits for."""

    line: Line
    insn: Insn
    label: Token | None = None
    label_field: str = ""


@dataclass(slots=True)
class _File:
    path: str
    statements: list[_Statement] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # the index of the statement that follows
    problems: list[Diagnostic] = field(default_factory=list)


def assemble(text: str, path: str) -> tuple[Insn, ...]:
    """The insns of a test vector's text in their order, jumps and local calls resolved, each with its line as span.

    Raises InputError with an `asm-syntax` diagnostic for each line that is wrong, or when there is no instruction.
    """
    file = _File(path)
    for number, line_text in enumerate(text.split("\n"), 1):
        code = _COMMENT.sub("", line_text).rstrip()
        try:
            _read_line(file, Line(path, number, code, tokenize(code)))
        except AsmError as found:
            file.problems.append(found.diagnostic)
    insns = tuple(_resolved(file))
    if not insns and not file.problems:
        file.problems.append(Diagnostic("asm-syntax", f"{path} has no instruction", help="write one a line: `mov %r0, 0`"))
    if file.problems:
        source = SourceText(path, text)
        problems = [replace(problem, source=source) for problem in file.problems]
        raise InputError(*sorted(problems, key=lambda item: item.primary.span.line if item.primary else 0))
    return insns


def _read_line(file: _File, line: Line) -> None:
    tokens = line.tokens
    while len(tokens) > 2 and tokens[0].kind == "word" and tokens[1].text == ":":
        if tokens[0].text in file.labels:
            raise error(line, tokens[0], f"label `{tokens[0].text}` is here a second time")
        file.labels[tokens[0].text] = len(file.statements)
        tokens = tokens[2:]
    if tokens[0].kind != "end":
        file.statements.append(_statement(line, tokens))


def _statement(line: Line, tokens: Sequence[Token]) -> _Statement:
    words = 2 if tokens[0].text == "lock" or [token.text for token in tokens[:2]] == ["call", "local"] else 1
    mnemonic = " ".join(token.text for token in tokens[:words]).lower()
    form = forms().get(mnemonic)
    if form is None:
        raise error(line, tokens[0], f"`{mnemonic}` is no instruction", help=_suggestion(mnemonic), last=tokens[words - 1])
    reader = _Reader(line, tokens[words:], form.insn)
    for index, operand in enumerate(form.operands):
        if index:
            reader.expect(",")
        reader.read(operand)
    if reader.token.kind != "end":
        raise reader.unexpected("the end of the line")
    insn = replace(reader.insn, span=line.span(tokens[0], tokens[-2]))
    return _Statement(line, insn, reader.label, reader.label_field)


def _suggestion(mnemonic: str) -> str:
    if mnemonic.startswith("movsx"):
        return "a sign extension says from and to: movsx832, movsx864, movsx1632, movsx1664, movsx3264"
    if mnemonic.startswith("lock"):
        return "write `lock add [%r1+8], %r2`; the operations are add, or, and, xor, fetch_.. of these, xchg, cmpxchg"
    if mnemonic in ("callx", "callr"):
        return "calls through a register are in no conformance group; write `call local LABEL`"
    if mnemonic.split()[0] in ("r0", "r1", "w0", "if", "goto", "."):
        return "this looks like the kernel's syntax: leave --dialect out"
    return "write `mov %r0, 1`, `ldxw %r0, [%r1+4]`, `jeq %r0, 1, +2`, `exit`"


class _Reader:
    """Reads one operand after the other into `insn`."""

    def __init__(self, line: Line, tokens: Sequence[Token], insn: Insn) -> None:
        self.line, self.tokens, self.insn = line, tokens, insn
        self.at = 0
        self.label: Token | None = None
        self.label_field = ""

    @property
    def token(self) -> Token:
        return self.tokens[min(self.at, len(self.tokens) - 1)]

    def unexpected(self, wanted: str) -> AsmError:
        return error(self.line, self.token, f"found {self.token} where {wanted} could stand", "not understood")

    def expect(self, text: str) -> None:
        if self.token.text != text:
            raise self.unexpected(f"`{text}`")
        self.at += 1

    def read(self, operand: Operand) -> None:
        insn = self.insn
        match operand:
            case Operand.DST:
                self.insn = replace(insn, dst_reg=self._register())
            case Operand.SRC:
                self.insn = replace(insn, src_reg=self._register())
            case Operand.VALUE if self.token.text == "%" or self.token.kind == "word":
                self.insn = replace(insn, opcode=insn.opcode | isa.BPF_X, src_reg=self._register())
            case Operand.VALUE | Operand.NUMBER:
                self.insn = replace(insn, imm=self._bits(32))
            case Operand.WIDE:
                self.insn = replace(insn, imm=self._bits(64))
            case Operand.DST_PLACE:
                register, offset = self._place()
                self.insn = replace(insn, dst_reg=register, offset=offset)
            case Operand.SRC_PLACE:
                register, offset = self._place()
                self.insn = replace(insn, src_reg=register, offset=offset)
            case Operand.TARGET:
                self._target("offset", _S16)
            case Operand.LONG_TARGET:
                self._target("imm", (-(1 << 31), (1 << 31) - 1))
            case Operand.HELPER:
                self._helper()
            case _:
                assert_never(operand)

    def _register(self) -> int:
        """`%r3`; the percent sign may be left out."""
        if self.token.text == "%":
            self.at += 1
        found = re.fullmatch(r"[rR](\d{1,3})", self.token.text)
        if found is None:
            raise self.unexpected("a register %r0 to %r10")
        if int(found[1]) > 10:
            raise error(self.line, self.token, f"there is no register {self.token}", "they are 0 to 10")
        self.at += 1
        return int(found[1])

    def _number(self, what: str) -> tuple[int, Token, Token]:
        """A number with or without a sign, and its first and last token."""
        first = self.token
        if first.text in ("+", "-"):
            self.at += 1
        last = self.token
        if last.kind != "number" or len(last.text) > _MOST_DIGITS:
            raise self.unexpected(what)
        self.at += 1
        value = int(last.text, 16) if last.text[:2].lower() == "0x" else int(last.text)
        return -value if first.text == "-" else value, first, last

    def _ranged(self, what: str, low: int, high: int, help_text: str = "") -> int:
        value, first, last = self._number(what)
        if not low <= value <= high:
            message = f"{value} does not fit: {low} to {high} would"
            raise error(self.line, first, message, "out of range", help_text, last)
        return value

    def _bits(self, width: int) -> int:
        """A number as the field holds it, written as signed or unsigned, or sign-extended to 64 bits."""
        value, first, last = self._number("a number")
        signed = (value & (1 << width) - 1 ^ 1 << width - 1) - (1 << width - 1)
        if value in (signed, signed & (1 << width) - 1, signed & (1 << 64) - 1):
            return signed
        message = f"{value:#x} does not fit {width} bits"
        raise error(self.line, first, message, "out of range", "load it with `lddw` first" if width == 32 else "", last)

    def _place(self) -> tuple[int, int]:
        self.expect("[")
        register = self._register()
        offset = 0 if self.token.text == "]" else self._offset()
        self.expect("]")
        return register, offset

    def _offset(self) -> int:
        if self.token.text not in ("+", "-"):
            raise self.unexpected("`]` or an offset such as `+8`")
        return self._ranged("an offset such as `+8`", *_S16)

    def _target(self, name: str, bounds: tuple[int, int]) -> None:
        if self.token.kind == "word":
            self.label, self.label_field = self.token, name
            self.at += 1
            return
        far = "`ja32` reaches further" if name == "offset" else ""
        value = self._ranged("a label or a distance such as `+2`", *bounds, far)
        self.insn = replace(self.insn, offset=value) if name == "offset" else replace(self.insn, imm=value)

    def _helper(self) -> None:
        if self.token.text == "%" or re.fullmatch(r"[rR]\d+", self.token.text):
            raise error(self.line, self.token, "a call through a register is no instruction", help=_suggestion("callx"))
        if self.token.text in HELPER_IDS:
            self.insn = replace(self.insn, imm=HELPER_IDS[self.token.text])
            self.at += 1
            return
        if self.token.kind == "word":
            help_text = f"write `call local {self.token.text}` for a function of this text"
            raise error(self.line, self.token, f"{self.token} is no helper", help=help_text)
        self.insn = replace(self.insn, imm=self._bits(32))


def _resolved(file: _File) -> Iterator[Insn]:
    """The insns with the distances to their labels, counted in slots."""
    starts = slot_starts(statement.insn for statement in file.statements)
    for index, statement in enumerate(file.statements):
        label = statement.label
        if label is None:
            yield statement.insn
            continue
        target = file.labels.get(label.text)
        if target is None and label.text == "exit":
            target = _exit_behind(file, index)
        if target is None:
            help_text = f"write `{label.text}:` before the instruction to go to"
            file.problems.append(
                error(statement.line, label, f"there is no label `{label.text}` here", help=help_text).diagnostic
            )
            continue
        distance = starts[target] - starts[index + 1]
        if statement.label_field == "imm":
            yield replace(statement.insn, imm=distance)
        elif _S16[0] <= distance <= _S16[1]:
            yield replace(statement.insn, offset=distance)
        else:
            message = f"label `{label.text}` is {distance} slots away, 16 bits do not hold it"
            file.problems.append(error(statement.line, label, message, help="go there with `ja32`").diagnostic)


def _exit_behind(file: _File, index: int) -> int | None:
    """The next `exit` after a statement, else the last one before it: what the label `exit` is where none is written."""
    exits = [at for at, statement in enumerate(file.statements) if statement.insn.opcode == _EXIT]
    return next((at for at in exits if at > index), exits[-1] if exits else None)


# --- the table ----------------------------------------------------------------------------------------------------------
_ARITHMETIC = {
    "mov": isa.BPF_MOV, "add": isa.BPF_ADD, "sub": isa.BPF_SUB, "mul": isa.BPF_MUL, "div": isa.BPF_DIV, "mod": isa.BPF_MOD,
    "or": isa.BPF_OR, "and": isa.BPF_AND, "xor": isa.BPF_XOR, "lsh": isa.BPF_LSH, "rsh": isa.BPF_RSH, "arsh": isa.BPF_ARSH,
}  # fmt: skip
_SIGNED = {"sdiv": isa.BPF_DIV, "smod": isa.BPF_MOD}  # offset 1, RFC 9669 section 4.1
_CONDITIONS = {
    "jeq": isa.BPF_JEQ, "jne": isa.BPF_JNE, "jgt": isa.BPF_JGT, "jge": isa.BPF_JGE, "jlt": isa.BPF_JLT, "jle": isa.BPF_JLE,
    "jsgt": isa.BPF_JSGT, "jsge": isa.BPF_JSGE, "jslt": isa.BPF_JSLT, "jsle": isa.BPF_JSLE, "jset": isa.BPF_JSET,
}  # fmt: skip
_SIZES = {"b": isa.BPF_B, "h": isa.BPF_H, "w": isa.BPF_W, "dw": isa.BPF_DW}
_ATOMICS = {
    **{name: _ARITHMETIC[name] for name in ("add", "or", "and", "xor")},
    **{f"fetch_{name}": _ARITHMETIC[name] | isa.BPF_FETCH for name in ("add", "or", "and", "xor")},
    "xchg": isa.BPF_XCHG, "cmpxchg": isa.BPF_CMPXCHG,
}  # fmt: skip


@cache
def forms() -> Mapping[str, Form]:
    """Every mnemonic, those of two words ("lock add", "call local") included. Opcodes: RFC 9669 sections 4 and 5."""
    return dict([*_alu(), *_jumps(), *_memory(), *_atomics()])


def _alu() -> Iterator[tuple[str, Form]]:
    both = Operand.DST, Operand.VALUE
    for bits, insn_class in (("", isa.BPF_ALU64), ("64", isa.BPF_ALU64), ("32", isa.BPF_ALU)):
        for name, code in _ARITHMETIC.items():
            yield name + bits, Form(Insn(insn_class | code), both)
        for name, code in _SIGNED.items():
            yield name + bits, Form(Insn(insn_class | code, offset=1), both)
        yield f"neg{bits}", Form(Insn(insn_class | isa.BPF_NEG), (Operand.DST,))
    for to, insn_class in ((32, isa.BPF_ALU), (64, isa.BPF_ALU64)):
        for width in (8, 16, 32):
            if width < to:
                form = Form(Insn(insn_class | isa.BPF_MOV | isa.BPF_X, offset=width), (Operand.DST, Operand.SRC))
                yield f"movsx{width}{to}", form
                yield f"movsx{width}to{to}", form
    for width in (16, 32, 64):
        for name, opcode in (
            ("le", isa.BPF_ALU | isa.BPF_TO_LE), ("be", isa.BPF_ALU | isa.BPF_TO_BE),
            ("swap", isa.BPF_ALU64), ("bswap", isa.BPF_ALU64),
        ):  # fmt: skip
            yield f"{name}{width}", Form(Insn(opcode | isa.BPF_END, imm=width), (Operand.DST,))


def _jumps() -> Iterator[tuple[str, Form]]:
    for bits, insn_class in (("", isa.BPF_JMP), ("32", isa.BPF_JMP32)):
        for name, code in _CONDITIONS.items():
            yield name + bits, Form(Insn(insn_class | code), (Operand.DST, Operand.VALUE, Operand.TARGET))
    yield "ja", Form(Insn(isa.BPF_JMP | isa.BPF_JA), (Operand.TARGET,))
    yield "ja32", Form(Insn(isa.BPF_JMP32 | isa.BPF_JA), (Operand.LONG_TARGET,))
    yield "call", Form(Insn(isa.BPF_JMP | isa.BPF_CALL), (Operand.HELPER,))
    yield "call local", Form(Insn(isa.BPF_JMP | isa.BPF_CALL, src_reg=isa.BPF_PSEUDO_CALL), (Operand.LONG_TARGET,))
    yield "callx", Form(Insn(CALLX), (Operand.DST,))
    yield "exit", Form(Insn(_EXIT))


def _memory() -> Iterator[tuple[str, Form]]:
    yield "lddw", Form(Insn(isa.LD_IMM64), (Operand.DST, Operand.WIDE))
    for name, size in _SIZES.items():
        yield f"ldx{name}", Form(Insn(isa.BPF_LDX | size | isa.BPF_MEM), (Operand.DST, Operand.SRC_PLACE))
        yield f"st{name}", Form(Insn(isa.BPF_ST | size | isa.BPF_MEM), (Operand.DST_PLACE, Operand.NUMBER))
        yield f"stx{name}", Form(Insn(isa.BPF_STX | size | isa.BPF_MEM), (Operand.DST_PLACE, Operand.SRC))
        if size != isa.BPF_DW:
            signed = Form(Insn(isa.BPF_LDX | size | isa.BPF_MEMSX), (Operand.DST, Operand.SRC_PLACE))
            yield f"ldxs{name}", signed
            yield f"ldx{name}sx", signed


def _atomics() -> Iterator[tuple[str, Form]]:
    for bits, size in (("", isa.BPF_DW), ("64", isa.BPF_DW), ("32", isa.BPF_W)):
        for name, code in _ATOMICS.items():
            insn = Insn(isa.BPF_STX | size | isa.BPF_ATOMIC, imm=code)
            yield f"lock {name}{bits}", Form(insn, (Operand.DST_PLACE, Operand.SRC))
