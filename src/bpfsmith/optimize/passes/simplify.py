"""Forward over the code with what every place holds: constants, copies, values that are there already, decided branches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.optimize import make
from bpfsmith.optimize.effects import Surroundings, defines, is_pure
from bpfsmith.optimize.facts import known
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.state import Event, State, TooHard
from bpfsmith.semantics.terms import Term
from bpfsmith.source import Span

MAX_IMMEDIATES = 4
"""How many stores of one register in a block are made stores of its number: each is four bytes longer in machine code, and one
instruction is saved for all."""


def simplify(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger) -> bool:
    """One walk over every block that can be reached; `flow` is the analysis of `graph`. Did anything change?"""
    changed = False
    relocated = _relocated_constants(graph, flow)
    for number in graph.order():
        entry = flow.entries.get((number,))
        if entry is None:
            continue
        walk = _Walk(graph, flow, around, ledger, entry.states[0].copy(), entry.facts, relocated)
        changed |= walk.block(number)
    graph.prune()
    return changed


def _relocated_constants(graph: Graph, flow: Flow) -> dict[Term, Node]:
    """What the loader will fill in, and an instruction that has it as its number."""
    return {
        flow.values.unknown(node): node
        for node in graph.nodes()
        if node.relo is not None and isinstance(node.op, ops.Alu) and node.op.kind is AluKind.MOV and node.op.width == 64
    }


@dataclass(slots=True)
class _Walk:
    graph: Graph
    flow: Flow
    around: Surroundings
    ledger: Ledger
    state: State
    facts: frozenset[Term]
    relocated: dict[Term, Node]
    stored: Counter[ops.Reg] = field(default_factory=Counter)  # how often the block stores a register

    def block(self, number: int) -> bool:
        block = self.graph.blocks[number]
        self.stored = Counter(
            node.op.src for node in block.nodes if isinstance(node.op, ops.Store) and not isinstance(node.op.src, ops.Imm)
        )
        changed = False
        age = [-1] * 11
        out: list[Node] = []
        events: list[Event] = []
        for position, node in enumerate(block.nodes):
            new = self._better(node, age)
            if new is not node:
                changed = True
            if new is None:
                continue
            out.append(new)
            # Stepping over what was there is the same, and does not depend on whether the change was right.
            self.flow.values.step(self.state, node, self.around, events, tag_of((number,)))
            for register in defines(node.op):
                age[register] = position
        block.nodes = out
        if block.end is not None and block.taken is not None and isinstance(block.end.op, ops.Branch):
            condition = self.flow.values.condition(self.state, block.end.op)
            decided = known(self.flow.values, condition, self.facts)
            span = block.end.insn.span
            if decided is not None:
                if self.ledger.allows("decided-branch", span, f"always {'taken' if decided else 'passed'}"):
                    block.next = block.taken if decided else block.next
                    block.end, block.taken = None, None
                    changed = True
            else:
                new_end = self._operands(block.end, age)
                changed |= new_end is not block.end
                block.end = new_end
        return changed

    def _better(self, node: Node, age: list[int]) -> Node | None:
        """What to put in the place of an instruction: itself, another, or nothing."""
        op = node.op
        span = node.insn.span
        if is_pure(op):
            (dst,) = defines(op)
            value = self._result(node)
            if value is not None:
                if self.state.regs[dst] is value and self.ledger.allows("no-change", span, f"r{dst} holds that already"):
                    return None
                found = self._known(node, dst, value, age)
                if found is not None:
                    return Node(found)
        if isinstance(op, ops.Store) and node.relo is None and not op.release and self._is_there(op) and self._may_drop(span):
            return None
        return self._operands(node, age)

    def _may_drop(self, span: Span | None) -> bool:
        return self.ledger.allows("store-of-same", span, "the memory holds that already")

    def _result(self, node: Node) -> Term | None:
        trial = State(
            list(self.state.regs), self.state.stack, self.state.mem, self.state.versions, self.state.stores, self.state.rest
        )
        if node.relo is not None and isinstance(node.op, ops.Load):
            trial = self.state.copy()
        (dst,) = defines(node.op)
        try:
            self.flow.values.step(trial, node, self.around, [], "?")
        except TooHard:
            return None
        return trial.regs[dst]

    def _known(self, node: Node, dst: int, value: Term, age: list[int]) -> Insn | None:
        """An instruction that gives dst a value which is a constant or in a register already."""
        insn, op = node.insn, node.op
        if value.is_const:
            new = make.constant(dst, value.number, insn.span)
            is_constant = isinstance(op, ops.Alu) and op.kind is AluKind.MOV and isinstance(op.src, ops.Imm)
            if new is not None and not is_constant and self.ledger.allows("constant", insn.span, f"r{dst} = {insn_imm(new)}"):
                return new
            return None
        if isinstance(op, ops.Alu) and op.kind is AluKind.MOV and op.width == 64:
            return None
        holders = [r for r in range(10) if r != dst and self.state.regs[r] is value]
        if not holders:
            return None
        source = min(holders, key=lambda r: (age[r], -r))
        if isinstance(op, ops.Alu) and op.kind is AluKind.MOV and op.src == source:
            # w2 = w1 of what has no upper half: the copy of all 64 bits lets others see that it is one.
            if self.ledger.allows("whole-copy", insn.span, f"r{dst} = r{source}"):
                return make.move(dst, source, insn.span)
            return None
        if self.ledger.allows("value-in-register", insn.span, f"r{dst} = r{source}"):
            return make.move(dst, source, insn.span)
        return None

    def _is_there(self, op: ops.Store) -> bool:
        values = self.flow.values
        address = self.state.regs[op.base]
        value = values.t.const(64, op.src.value) if isinstance(op.src, ops.Imm) else self.state.regs[op.src]
        if address is None or value is None:
            return False
        base, offset = values.place(address)
        on_stack = base.op == "app" and base.name == "fp"
        for i in range(op.size):
            at = offset + op.offset + i
            there = self.state.stack.get(at) if on_stack else self.state.mem.get((base, at))
            if there is not values.t.extract(value, 64, 8 * i + 7, 8 * i):
                return False
        return True

    # --- operands -----------------------------------------------------------------------------------------------------
    def _operands(self, node: Node, age: list[int]) -> Node:
        """The instruction with numbers and older registers in the place of its sources."""
        insn, op = node.insn, node.op
        if node.relo is not None:
            return node
        new = insn
        relocated = self._relocated(node)
        if relocated is not None:
            return relocated
        match op:
            case ops.Alu(kind=kind, src=src, width=width) if not isinstance(src, ops.Imm):
                new = self._source(insn, src, width, age, pointers=kind is AluKind.MOV)
            case ops.Branch(width=width, right=right) if not isinstance(right, ops.Imm):
                new = self._source(insn, right, width, age, pointers=True)
                left = self._older(op.left, age)
                new = replace(new, dst_reg=left)
            case ops.Branch(left=left_register):
                new = replace(insn, dst_reg=self._older(left_register, age))
            case ops.MoveSigned(src=src):
                new = replace(insn, src_reg=self._older(src, age))
            case ops.Load(base=base, offset=offset, acquire=False):
                register, at = self._place(base, offset, age)
                new = replace(insn, src_reg=register, offset=at)
            case ops.Store(base=base, offset=offset, size=size, src=src, release=False):
                register, at = self._place(base, offset, age)
                new = replace(insn, dst_reg=register, offset=at)
                if not isinstance(src, ops.Imm):
                    value = self.state.regs[src]
                    t = self.flow.values.t
                    stored = None if value is None else t.extract(value, 64, 8 * size - 1, 0)
                    is_number = stored is not None and stored.is_const and self.stored[src] <= MAX_IMMEDIATES
                    short = make.store_immediate(new, stored.number, size) if stored is not None and is_number else None
                    new = short or replace(new, src_reg=self._older(src, age))
            case ops.Atomic(base=base, src=src, fetch=False):
                new = replace(insn, src_reg=self._older(src, age))
            case _:
                pass
        if new == insn:
            return node
        rule = "immediate" if new.opcode != insn.opcode else "copy"
        if not self.ledger.allows(
            rule, insn.span, "a number in the place of a register" if rule == "immediate" else "the original"
        ):
            return node
        return replace(node, insn=new)

    def _relocated(self, node: Node) -> Node | None:
        """r3 += K for r1 = K; r3 += r1, where the loader fills K in: libbpf does that for the number of any ALU instruction
        (bpf_core_patch_insn in tools/lib/bpf/relo_core.c)."""
        op = node.op
        if not isinstance(op, ops.Alu) or isinstance(op.src, ops.Imm) or op.kind is AluKind.MOV or op.width != 64:
            return None
        value = self.state.regs[op.src]
        made = None if value is None else self.relocated.get(value)
        if made is None or not self.ledger.allows("relocated-immediate", node.insn.span, "a relocated number in its place"):
            return None
        return Node(replace(node.insn, opcode=node.insn.opcode & ~isa.BPF_X, src_reg=0, imm=made.insn.imm), made.relo)

    def _source(self, insn: Insn, src: int, width: int, age: list[int], pointers: bool) -> Insn:
        value = self.state.regs[src]
        if value is None:
            return insn
        low = self.flow.values.t.extract(value, 64, width - 1, 0)
        if low.is_const:
            short = make.immediate_form(insn, low.number, width)
            if short is not None:
                return short
        return replace(insn, src_reg=self._older(src, age))

    def _older(self, register: int, age: list[int]) -> int:
        """The register that has held the same value for longest."""
        value = self.state.regs[register]
        if value is None or register == 10 or value.is_const:  # a constant may be a NULL pointer in another register
            return register
        holders = [r for r in range(11) if self.state.regs[r] is value]
        return min(holders, key=lambda r: (age[r], r != register, -r))

    def _place(self, base: int, offset: int, age: list[int]) -> tuple[int, int]:
        """Another register and offset that lead to the same address."""
        values = self.flow.values
        address = self.state.regs[base]
        if address is None or base == 10:
            return base, offset
        root, at = values.place(address)
        best = (age[base], False, base, offset)
        for register in range(11):
            held = self.state.regs[register]
            if held is None or register == base:
                continue
            other, start = values.place(held)
            distance = at + offset - start
            if other is root and make.fits_signed(distance, 16):
                candidate = (age[register] if register != 10 else -2, True, register, distance)
                best = min(best, candidate)
        return best[2], best[3]


def insn_imm(insn: Insn) -> int:
    return insn.imm & 0xFFFFFFFF if insn.insn_class == isa.BPF_ALU else insn.imm
