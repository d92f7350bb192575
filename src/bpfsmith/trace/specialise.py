"""Programs for one loading and one attachment: what is known of it is folded into their code, and what that decides goes.

    --set targ_tgid=42              a constant that the loader sets (.rodata)
    --set handle_entry.cookie=7     what bpf_get_attach_cookie says to a program where it is attached

The value of a constant is written into the object, too, so that a loader need not set it. A way out of a session that asks
again what its way in has asked loses the question (`trials`); that it means the same is for `trace.proof` to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind, Imm
from bpfsmith.ir.registers import defines
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn, slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.objfile.elf import read_elf
from bpfsmith.objfile.object import Object, Variable, read_object
from bpfsmith.objfile.writer import ElfImage, NewCode, rewrite
from bpfsmith.optimize.admit import surroundings
from bpfsmith.optimize.graph import Block, Graph, Irregular, Node
from bpfsmith.optimize.improve import Effort, improve
from bpfsmith.optimize.make import constant
from bpfsmith.trace.rewriting import COOKIE

RODATA = ".rodata"
LEAVES = "the loader leaves "
COOKIE_OF = ".cookie"
_SECONDS = 5
_COOKIE_CALL = HELPER_IDS["bpf_get_attach_cookie"]
_LOOKUPS = frozenset(
    HELPER_IDS[name] for name in ("bpf_map_lookup_elem", "bpf_task_storage_get", "bpf_sk_storage_get", "bpf_map_update_elem")
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known: `constants` are variables of .rodata as bytes, `cookies` what programs are attached with."""

    constants: Mapping[str, bytes] = field(default_factory=dict)
    cookies: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.constants or self.cookies)

    def said(self) -> tuple[str, ...]:
        """As assumptions."""
        values = (f"{name} = {int.from_bytes(raw, 'little')}" for name, raw in self.constants.items())
        cookies = (f"{name} is attached with the cookie {value}" for name, value in self.cookies.items())
        return (*(f"{LEAVES}{text}" for text in values), *cookies)


NOTHING_KNOWN = Known()


def known_of(obj: Object, texts: Sequence[str]) -> Known:
    """NAME=VALUE of the command line. InputError `bad-command`, `bad-constant`, `unknown-variable`, `unknown-program`."""
    constants: dict[str, bytes] = {}
    cookies: dict[str, int] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            number = int(value, 0)
        except ValueError:
            number, equals = 0, ""
        if not (name and equals):
            raise InputError(
                Diagnostic("bad-command", f"`--set {text}` is not NAME=NUMBER", help="such as `--set targ_tgid=42`")
            )
        if name.endswith(COOKIE_OF):
            program = obj.program(name.removesuffix(COOKIE_OF))
            if not 0 <= number < 1 << 31:
                raise _bad(f"the cookie {number} is not from 0 to {(1 << 31) - 1}", "leave it to the attachment")
            cookies[program.name] = number
            continue
        variable = obj.variable(name)
        if variable.section != RODATA:
            raise _bad(f"{name} is a variable ({variable.section}), no constant", "declare it `const volatile`")
        try:
            constants[name] = number.to_bytes(variable.size, "little", signed=number < 0)
        except OverflowError:
            raise _bad(f"{name} has {variable.size} bytes and cannot be {number}", "give a number that fits") from None
    return Known(constants, cookies)


def _bad(message: str, help_text: str) -> InputError:
    return InputError(Diagnostic("bad-constant", message, help=help_text))


def with_values(data: bytes, obj: Object, known: Known) -> bytes:
    """The object with these values in its .rodata."""
    if not known.constants:
        return data
    image = ElfImage.of(data, read_elf(data, obj.path))
    part = next(part for part in image.parts if part.name == RODATA)
    content = bytearray(part.data)
    for name, raw in known.constants.items():
        at = obj.variable(name).offset
        content[at : at + len(raw)] = raw
    part.data = bytes(content)
    return image.written(set(), set())


def with_cookie(program: Program, known: Known) -> Program:
    """The program with the cookie's number in the place of the question for it, as a reference for proofs."""
    value = known.cookies.get(program.name)
    if value is None:
        return program

    def insns(code: tuple[Insn, ...]) -> tuple[Insn, ...]:
        return tuple(_number(0, value, insn) if _asks_cookie(insn) else insn for insn in code)

    subs = tuple(replace(sub, insns=insns(sub.insns)) for sub in program.subprograms)
    return replace(program, insns=insns(program.insns), subprograms=subs)


def _asks_cookie(insn: Insn) -> bool:
    return insn.opcode == isa.BPF_JMP | isa.BPF_CALL and insn.src_reg == 0 and insn.imm == _COOKIE_CALL


def _number(dst: int, value: int, where: Insn) -> Insn:
    return constant(dst, value, where.span) or Insn(isa.LD_IMM64, dst, imm=value, span=where.span)


# --- folding ----------------------------------------------------------------------------------------------------------
def applied(data: bytes, programs: Sequence[str], known: Known, path: str) -> bytes:
    """The object with what is known folded into these programs, as short as the optimizer makes them."""
    obj = read_object(data)
    around = surroundings(obj)
    changes: dict[str, NewCode] = {}
    for name in programs:
        function = obj.functions[name]
        try:
            graph = Graph.of(name, function.insns, function.core_relos)
        except Irregular:
            continue
        if _fold(graph, obj, known):
            code = graph.code()
            better = improve(replace(function, insns=code.insns, core_relos=code.core_relos), around[name], Effort(2, _SECONDS))
            changes[name] = better.code or code
    return rewrite(data, changes, path) if changes else data


_Places = dict[int, int]
"""Registers that hold an address in .rodata, and its offset."""


def _fold(graph: Graph, obj: Object, known: Known) -> int:
    """Puts numbers in the place of loads of what is known; how many."""
    values = [(obj.variable(name), raw) for name, raw in known.constants.items()]
    cookie, count = known.cookies.get(graph.name), 0
    before: dict[int, _Places] = {graph.entry: {}}
    work = [graph.entry]
    while work:
        number = work.pop()
        places = dict(before[number])
        for node in graph.blocks[number].nodes:
            _step(places, node)
        for following in graph.blocks[number].successors:
            arrives = places
            if following in before:
                arrives = {reg: at for reg, at in before[following].items() if places.get(reg) == at}
                if arrives == before[following]:
                    continue
            before[following] = dict(arrives)
            work.append(following)
    for number, block in graph.blocks.items():
        places = dict(before.get(number, {}))
        for position, node in enumerate(block.nodes):
            new: int | None = cookie if cookie is not None and _asks_cookie(node.insn) else None
            match node.op:
                case ops.Load(base=base, offset=offset, size=size, signed=signed) if base in places and node.relo is None:
                    new = _loaded(values, places[base] + offset, size, signed)
            _step(places, node)
            if new is not None:
                dst = 0 if _asks_cookie(node.insn) else node.insn.dst_reg
                block.nodes[position] = Node(_number(dst, new, node.insn))
                count += 1
    return count


def _loaded(values: Sequence[tuple[Variable, bytes]], at: int, size: int, signed: bool) -> int | None:
    for variable, raw in values:
        start = variable.offset
        if start <= at and at + size <= start + len(raw):
            return int.from_bytes(raw[at - start : at - start + size], "little", signed=signed) & ((1 << 64) - 1)
    return None


def _step(places: _Places, node: Node) -> None:
    match node.op:
        case ops.LoadMapValue(dst=dst, map=name, offset=offset) if name == RODATA:
            places[dst] = offset
        case ops.Alu(kind=AluKind.MOV, width=64, dst=dst, src=src) if not isinstance(src, Imm) and src in places:
            places[dst] = places[src]
        case ops.Alu(kind=AluKind.ADD, width=64, dst=dst, src=Imm(value)) if dst in places and node.relo is None:
            places[dst] += value
        case op:
            for register in defines(op):
                places.pop(register, None)


# --- questions that were asked before ---------------------------------------------------------------------------------
def trials(obj: Object, name: str) -> Iterator[NewCode]:
    """The program with one of its early ways out closed, of those before which nothing was looked up. Which of these mean the
    same is not known here."""
    function = obj.functions[name]
    graph = Graph.of(name, function.insns, function.core_relos)
    late = _behind_lookups(graph)
    for number in graph.order():
        block = graph.blocks[number]
        if number in late or block.end is None or not isinstance(block.end.op, ops.Branch):
            continue
        for closed, kept in ((block.taken, block.next), (block.next, block.taken)):
            if closed is not None and kept is not None and _only_leaves(graph, closed) and not _only_leaves(graph, kept):
                trial = graph.copy()
                changed = trial.blocks[number]
                changed.end, changed.next, changed.taken = None, kept, None
                trial.prune()
                code = trial.code()
                shorter = improve(
                    replace(function, insns=code.insns, core_relos=code.core_relos),
                    surroundings(obj)[name],
                    Effort(2, _SECONDS),
                )
                yield shorter.code or code


def _behind_lookups(graph: Graph) -> set[int]:
    """The blocks that a call on state may come before."""
    found = {number for number, block in graph.blocks.items() if any(_looks_up(node) for node in block.nodes)}
    work = list(found)
    while work:
        for following in graph.blocks[work.pop()].successors:
            if following not in found:
                found.add(following)
                work.append(following)
    return found


def _looks_up(node: Node) -> bool:
    match node.op:
        case ops.CallHelper(helper_id=helper_id):
            return helper_id in _LOOKUPS
        case ops.CallKfunc(name=name):
            return name == COOKIE
        case _:
            return False


def _only_leaves(graph: Graph, number: int) -> bool:
    """Does the block do nothing but to return a number?"""
    block: Block = graph.blocks[number]
    while not block.is_exit:
        if block.nodes or block.end is not None or block.next is None:
            return False
        block = graph.blocks[block.next]
    return all(isinstance(node.op, ops.Alu | ops.LoadImm) and node.insn.dst_reg == 0 for node in block.nodes)


def slots(obj: Object, names: Sequence[str]) -> int:
    """Instruction slots of these programs together."""
    return sum(slot_starts(obj.functions[name].insns)[-1] for name in names if name in obj.functions)
