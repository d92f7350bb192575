"""What every register and byte of memory holds at every point of a function, as terms: the analysis that the passes ask, and,
over two functions at once, the proof that one may take the place of the other.

Each place holds a `Term`; places with the same term hold the same value. Inputs, results of calls and memory that is not known
are apps named after where they come from. Where paths meet, places are put into classes by what they hold on each path, and a
class that holds different things gets a name of its own ("phi"), so that loops are covered too: the state at each block is
the greatest fixed point, found by starting with what the first path brings and only ever giving up equalities. A term never
outlives the loop round in which it was made: it can only be held where the place that made it dominates, in reducible code.

Memory is the function's own stack, byte by byte, and everything else. The latter is cut into kinds that do not overlap
(context, packet, each map, each data section; "any" overlaps them all), each with a version that stores and calls change. Other
CPUs are taken to be able to write at any time; that a value which is read twice without a call or an atomic in between is read
once is one of the orders that they may cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind, Imm
from bpfsmith.optimize import calls
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.graph import Node
from bpfsmith.optimize.memory import Memory
from bpfsmith.optimize.state import VERSIONS, Event, State, TooHard
from bpfsmith.semantics import eval as meaning
from bpfsmith.semantics.terms import Term


@dataclass(slots=True)
class Values(Memory):
    """The transfer functions, over one table of terms. One instance serves all functions that are to be compared."""

    # --- entry --------------------------------------------------------------------------------------------------------
    def start(self, around: Surroundings) -> State:
        t = self.t
        regs: list[Term | None] = [None] * 11
        regs[10] = t.app("fp", 64)
        if around.is_program:
            regs[1] = t.app("ctx", 64)
        else:
            for register in range(1, 6):
                regs[register] = t.app(f"arg:{register}", 64)
        return State(regs, versions={name: t.app(f"start:{name}", 64) for name in VERSIONS})

    # --- one instruction ----------------------------------------------------------------------------------------------
    def step(self, s: State, node: Node, around: Surroundings, events: list[Event], tag: str) -> None:
        """Executes one instruction that is no jump. What can be seen of it goes to `events`; `tag` names the place."""
        t = self.t
        op = node.op
        match op:
            case ops.Alu(kind=AluKind.MOV, width=64, dst=dst, src=src) if not isinstance(src, Imm):
                s.regs[dst] = s.regs[src]
            case ops.Alu(kind=kind, width=width, dst=dst, src=src):
                value = self.unknown(node) if node.relo is not None else self.operand(s, src)
                before = value if kind is AluKind.MOV else self.read(s, dst)
                s.regs[dst] = meaning.alu(t, kind, width, before, value)
            case ops.Negate(width=width, dst=dst):
                s.regs[dst] = meaning.negate(t, width, self.read(s, dst))
            case ops.MoveSigned(width=width, bits=bits, dst=dst, src=src):
                s.regs[dst] = meaning.move_signed(t, width, bits, self.read(s, src))
            case ops.ByteOrder(to=to, bits=bits, dst=dst):
                s.regs[dst] = meaning.byte_order(t, to, bits, self.read(s, dst))
            case ops.LoadImm(dst=dst, value=value):
                s.regs[dst] = self.unknown(node) if node.relo is not None else t.const(64, value)
            case ops.LoadMap(dst=dst, map=name):
                s.regs[dst] = t.app(f"map:{name}", 64)
            case ops.LoadMapValue(dst=dst, map=name, offset=offset):
                s.regs[dst] = t.add(64, t.app(f"data:{name}", 64), t.const(64, offset))
            case ops.LoadFunction(dst=dst, name=name):
                s.regs[dst] = t.app(f"function:{name}", 64)
            case ops.LoadSymbol(dst=dst, name=name):
                s.regs[dst] = t.app(f"symbol:{name}", 64)
            case ops.Load(dst=dst, acquire=False):
                s.regs[dst] = self.load(s, node, op, around)
            case ops.Store(release=False):
                self.store(s, node, op, events)
            case ops.Atomic(fetch=False) if node.refines:
                self.refine(s, op, events)
            case ops.Load() | ops.Store() | ops.Atomic():
                calls.atomic(self, s, node, op, events, tag)
            case ops.LoadSkb(offset=offset, size=size, index=index):
                given = (s.regs[6], None if index is None else s.regs[index])
                self.event(s, events, ("load_skb", offset, size, *given))
                # Bytes and halves are zero-extended on both ways that the kernel takes (bpf_gen_ld_abs in net/core/filter.c).
                bits = 8 * size if size < 4 else 64
                calls.clobber(s, t.zext(t.app(f"skb:{tag}:{len(events)}", bits), bits, 64))
            case ops.CallHelper() | ops.CallKfunc() | ops.CallSubprogram():
                calls.call(self, s, node, around, events, tag)
            case _:
                raise TooHard(f"{type(op).__name__} is not analysed")

    def condition(self, s: State, op: ops.Branch) -> Term:
        """Is the branch taken? A term of width 0."""
        return meaning.condition(self.t, op.condition, op.width, self.read(s, op.left), self.operand(s, op.right))
