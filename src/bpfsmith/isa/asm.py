"""Assembler for the text that `isa.disasm` and the verifier's log print.

    .license GPL                        # for the whole file; GPL unless stated
    .map counts array key=4 value=8 max=16
    .section xdp                        ; libbpf's section name, for the programs that follow
    .program count                      // names the program; its section's name unless stated
            r2 = 0
            *(u32 *)(r10 -4) = r2
            r2 = r10
            r2 += -4
            r1 = map[counts]            # clang's `r1 = counts ll` means the same
            call bpf_map_lookup_elem    # or bpf_map_lookup_elem#1
            if r0 == 0 goto out
            r1 = 1
            lock *(u64 *)(r0 +0) += r1
    out:    r0 = 2
            exit
    .function twice                     # `call twice` and `subprog[twice]` name it; `.function NAME global` is verified alone
            r0 = r1
            r0 += r1
            exit

`.map` also takes `flags=N`, `initial=HEX` and `frozen`. Numbers are decimal or 0x.. . Jumps go to a label or to `pc+N`, N slots
beyond the next insn. Immediates of 32-bit operations and comparisons may be signed or unsigned; in a comparison `0xffffffff` is
-1, as the kernel prints it. `.insn opcode=0x8d dst=1 src=0 offset=0 imm=0` is any insn at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa.asm_lexer import Line, Token, read_line
from bpfsmith.isa.asm_operands import AsmError, Statement, error, read_statement
from bpfsmith.isa.insn import BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, Insn, slot_starts
from bpfsmith.isa.program import MapSpec, Program, Subprogram, is_subprogram_reference
from bpfsmith.isa.tables import HELPER_IDS, MAP_TYPES
from bpfsmith.source import SourceText

_MAP_REFERENCES = (BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE)


@dataclass(slots=True)
class _Function:
    """A program or a function while it is read; `section` is None for a function."""

    name: str
    section: str | None
    is_global: bool = False
    statements: list[tuple[Line, Statement]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # the index of the statement that follows


@dataclass(slots=True)
class _File:
    """What has been read so far; `problems` are of all lines, so that one run shows them all."""

    path: str
    is_fragment: bool = False  # instructions and labels only
    section: str = ""
    license: str = "GPL"
    functions: list[_Function] = field(default_factory=list)
    open: _Function | None = None  # where insns go; None behind `.section`
    maps: dict[str, MapSpec] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)


def assemble(text: str, path: str) -> tuple[Program, ...]:
    """The programs of an assembly file, each with the functions it reaches and the maps that they name.

    `path` stands in the spans of insns and diagnostics. Raises InputError with an `asm-syntax` diagnostic for each line that is
    wrong, or when the file has no program.
    """
    file = _File(path)
    _read(file, text)
    bodies = {function.name: _finish(file, function) for function in file.functions}
    if not file.problems and not any(function.section is not None for function in file.functions):
        help_text = "begin with `.section xdp` and the program's instructions"
        file.problems.append(Diagnostic("asm-syntax", f"{path} has no program", help=help_text))
    _raise_problems(file, text)
    return tuple(_program(file, function, bodies) for function in file.functions if function.section is not None)


def assemble_insns(text: str, path: str = "<text>") -> tuple[Insn, ...]:
    """The insns of a piece of assembly without directives: labels work, and maps and functions may have any name.

    Raises InputError as `assemble` does.
    """
    function = _Function("", None)
    file = _File(path, is_fragment=True, open=function)
    _read(file, text)
    insns = _finish(file, function)
    _raise_problems(file, text)
    return insns


def _read(file: _File, text: str) -> None:
    for number, line_text in enumerate(text.split("\n"), 1):
        line = read_line(file.path, number, line_text)
        try:
            _read_line(file, line)
        except AsmError as found:
            file.problems.append(found.diagnostic)


def _raise_problems(file: _File, text: str) -> None:
    if file.problems:
        source = SourceText(file.path, text)
        problems = [replace(problem, source=source) for problem in file.problems]
        raise InputError(*sorted(problems, key=lambda item: item.primary.span.line if item.primary else 0))


def _read_line(file: _File, line: Line) -> None:
    tokens = line.tokens
    while tokens[0].kind == "word" and tokens[1].text == ":":
        function = _current(file, line, tokens[0])
        if tokens[0].text in function.labels:
            raise error(line, tokens[0], f"label `{tokens[0].text}` is here a second time")
        function.labels[tokens[0].text] = len(function.statements)
        tokens = tokens[2:]
    first = tokens[0]
    if first.kind == "end":
        return
    if first.text == ".insn":
        _current(file, line, first).statements.append((line, Statement(_raw_insn(line, tokens))))
    elif first.text.startswith("."):
        _directive(file, line, tokens)
    else:
        _current(file, line, first).statements.append((line, read_statement(line, tokens)))


def _current(file: _File, line: Line, token: Token) -> _Function:
    """The function that an insn belongs to; a section's first insn without `.program` starts one named after the section."""
    if file.open is not None:
        return file.open
    if not file.section:
        file.section = "xdp"  # said once; the insns that follow are still checked
        file.problems.append(
            error(line, token, "an instruction stands before the first section", help=_SECTION_HELP).diagnostic
        )
    return _start(file, line, token, re.sub(r"\W", "_", file.section), file.section)


_SECTION_HELP = "put `.section xdp`, or another section name of libbpf, above it"


# --- directives ---------------------------------------------------------------------------------------------------------
def _directive(file: _File, line: Line, tokens: Sequence[Token]) -> None:
    words = line.text[tokens[0].column - 1 :].split(maxsplit=1)
    rest = words[1].strip() if len(words) > 1 else ""
    if file.is_fragment:
        raise error(line, tokens[0], f"found {tokens[0]} where an instruction could stand", help="leave the directives out")
    if not rest:
        raise error(line, tokens[0], f"{tokens[0]} needs a name behind it")
    match words[0]:
        case ".section":
            file.section, file.open = rest.strip('"'), None
        case ".license":
            file.license = rest.strip('"')
        case ".program":
            if not file.section:
                raise error(line, tokens[0], "a program stands before the first section", help=_SECTION_HELP)
            _start(file, line, tokens[1], rest, file.section)
        case ".function":
            name, _, linkage = rest.partition(" ")
            if linkage.strip() not in ("", "global"):
                raise error(line, tokens[2], f"found {tokens[2]} where `global` or the end of the line could stand")
            _start(file, line, tokens[1], name, None, is_global=bool(linkage.strip()))
        case ".map":
            spec = _map(line, tokens, rest)
            if spec.name in file.maps:
                raise error(line, tokens[1], f"map `{spec.name}` is here a second time")
            file.maps[spec.name] = spec
        case _:
            known = "`.section`, `.program`, `.function`, `.map`, `.license` and `.insn`"
            raise error(line, tokens[0], f"{tokens[0]} is no directive", help=f"the directives are {known}")


def _start(file: _File, line: Line, token: Token, name: str, section: str | None, is_global: bool = False) -> _Function:
    if any(function.name == name for function in file.functions):
        raise error(line, token, f"`{name}` is here a second time")
    if name in HELPER_IDS:
        raise error(line, token, f"`{name}` is the name of a helper", help="give it another name")
    file.open = _Function(name, section, is_global)
    file.functions.append(file.open)
    return file.open


def _map(line: Line, tokens: Sequence[Token], rest: str) -> MapSpec:
    name, *words = rest.split()
    if not words:
        raise error(line, tokens[-1], "the map's type is missing", help="write `.map NAME hash key=4 value=8 max=16`")
    type_name = words[0] if words[0].startswith("BPF_MAP_TYPE_") else f"BPF_MAP_TYPE_{words[0].upper()}"
    if type_name not in MAP_TYPES:
        raise error(
            line, tokens[2], f"{tokens[2]} is no map type", help="use the kernel's names: hash, array, lru_hash, ringbuf, .."
        )
    numbers = {"key": 0, "value": 0, "max": 0, "flags": 0}
    initial: bytes | None = None
    for word in words[1:]:
        key, _, value = word.partition("=")
        try:
            if key in numbers:
                numbers[key] = int(value, 0)
            elif key == "initial":
                initial = bytes.fromhex(value)
            elif word != "frozen":
                raise error(
                    line,
                    tokens[1],
                    f"`{word}` is no property of a map",
                    help="they are key, value, max, flags, initial, frozen",
                )
        except ValueError:
            raise error(line, tokens[1], f"`{value}` is no value for {key}", help="write numbers as 16 or 0x10") from None
    sizes = numbers["key"], numbers["value"], numbers["max"], numbers["flags"]
    return MapSpec(name, type_name, *sizes, initial=initial, frozen="frozen" in words)


def _raw_insn(line: Line, tokens: Sequence[Token]) -> Insn:
    """`.insn opcode=0x8d dst=1 ..`: any insn by its fields, those left out being zero."""
    names = {"opcode": "opcode", "dst": "dst_reg", "src": "src_reg", "offset": "offset", "imm": "imm"}
    fields = {"opcode": 0}
    symbol = None
    for word in line.text[tokens[0].column - 1 :].split()[1:]:
        key, _, value = word.partition("=")
        if key == "symbol" and value:
            symbol = value
            continue
        try:
            fields[names[key]] = int(value, 0)
        except (KeyError, ValueError):
            raise error(
                line, tokens[0], f"`{word}` is no field of an insn", help=f"they are {', '.join(names)}: `dst=1`"
            ) from None
    return Insn(**fields, symbol=symbol, span=line.span(tokens[0], tokens[-2]))


# --- references ---------------------------------------------------------------------------------------------------------
def _finish(file: _File, function: _Function) -> tuple[Insn, ...]:
    """The function's insns with jumps resolved and, unless the file is a fragment, every symbol looked up."""
    starts = slot_starts(statement.insn for _, statement in function.statements)
    insns = []
    for index, (line, statement) in enumerate(function.statements):
        try:
            insn = _jump(line, statement, function, starts, index)
            insns.append(insn if file.is_fragment else _reference(file, line, replace(statement, insn=insn)))
        except AsmError as found:
            file.problems.append(found.diagnostic)
    return tuple(insns)


def _jump(line: Line, statement: Statement, function: _Function, starts: Sequence[int], index: int) -> Insn:
    label = statement.label
    if label is None:
        return statement.insn
    target = function.labels.get(label.text)
    if target is None:
        where = f"in `{function.name}`" if function.name else "here"
        raise error(
            line, label, f"there is no label `{label.text}` {where}", help=f"write `{label.text}:` before the insn to go to"
        )
    distance = starts[target] - starts[index + 1]
    if statement.label_field == "imm":
        return replace(statement.insn, imm=distance)
    if not -(1 << 15) <= distance < 1 << 15:
        raise error(line, label, f"label `{label.text}` is {distance} slots away, 16 bits do not hold it", help="use `gotol`")
    return replace(statement.insn, offset=distance)


def _reference(file: _File, line: Line, statement: Statement) -> Insn:
    """The insn once its symbol is found to be a map or a function of this file."""
    insn, symbol = statement.insn, statement.insn.symbol
    functions = {function.name for function in file.functions}
    if symbol is None:
        return insn
    if statement.bare and insn.is_wide and symbol in functions and symbol not in file.maps:
        insn = replace(insn, src_reg=BPF_PSEUDO_FUNC)  # clang's `r1 = NAME ll` says map and function alike
    token = statement.bare or line.tokens[0]
    last = None if statement.bare else line.tokens[-2]
    if is_subprogram_reference(insn) and symbol not in functions:
        help_text = "a helper has its full name (`bpf_ktime_get_ns`), a kfunc its BTF id behind it (`bpf_rdonly_cast#0`)"
        raise error(line, token, f"`{symbol}` is neither a helper nor a function of this file", help=help_text, last=last)
    if insn.is_wide and insn.src_reg in _MAP_REFERENCES and symbol not in file.maps:
        help_text = f"declare it: `.map {symbol} hash key=4 value=8 max=16`"
        raise error(line, token, f"there is no map `{symbol}`", help=help_text, last=last)
    return insn


def _program(file: _File, function: _Function, bodies: dict[str, tuple[Insn, ...]]) -> Program:
    reached = [function.name]
    for name in reached:
        for insn in bodies[name]:
            if is_subprogram_reference(insn) and insn.symbol is not None and insn.symbol not in reached:
                reached.append(insn.symbol)
    called = [item for item in file.functions if item.name in reached[1:]]
    named = {insn.symbol for name in reached for insn in bodies[name] if insn.is_wide}
    return Program(
        function.name,
        function.section or "",
        bodies[function.name],
        tuple(spec for spec in file.maps.values() if spec.name in named),
        tuple(Subprogram(item.name, bodies[item.name], item.is_global) for item in called),
        file.license,
    )
