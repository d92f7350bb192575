"""Which registers an instruction reads and writes, by itself: what is around it may narrow that (`optimize.effects`)."""

from __future__ import annotations

from bpfsmith.ir import ops
from bpfsmith.ir.ops import Op, Operand
from bpfsmith.isa.tables import HELPERS

ARGUMENTS = (1, 2, 3, 4, 5)


def helper_arguments(helper_id: int) -> tuple[int, ...]:
    """The registers that a helper reads."""
    helper = HELPERS.get(helper_id)
    if helper is None or helper.variadic:
        return ARGUMENTS
    return ARGUMENTS[: len(helper.args)]


def uses(op: Op) -> tuple[int, ...]:
    """The registers that an instruction reads; of a call to a function of the program all arguments, of an exit r0."""
    match op:
        case ops.Alu(kind=ops.AluKind.MOV, src=src):
            return _register(src)
        case ops.Alu(dst=dst, src=src):
            return (dst, *_register(src))
        case ops.Negate(dst=dst) | ops.ByteOrder(dst=dst):
            return (dst,)
        case ops.MoveSigned(src=src):
            return (src,)
        case ops.Load(base=base):
            return (base,)
        case ops.Store(base=base, src=src):
            return (base, *_register(src))
        case ops.Atomic(kind=ops.AtomicKind.CMPXCHG, base=base, src=src):
            return (base, src, 0)
        case ops.Atomic(base=base, src=src):
            return (base, src)
        case ops.LoadSkb(index=index):
            return (6,) if index is None else (6, index)
        case ops.CallHelper(helper_id=helper_id):
            return helper_arguments(helper_id)
        case ops.CallSubprogram() | ops.CallKfunc():
            return ARGUMENTS
        case ops.Branch(left=left, right=right):
            return (left, *_register(right))
        case ops.Exit():
            return (0,)
        case _:
            return ()


def defines(op: Op) -> tuple[int, ...]:
    """The registers that an instruction changes or leaves without a value."""
    match op:
        case ops.Alu(dst=dst) | ops.Negate(dst=dst) | ops.MoveSigned(dst=dst) | ops.ByteOrder(dst=dst) | ops.Load(dst=dst):
            return (dst,)
        case ops.LoadImm(dst=dst) | ops.LoadMap(dst=dst) | ops.LoadMapValue(dst=dst) | ops.LoadFunction(dst=dst):
            return (dst,)
        case ops.LoadSymbol(dst=dst):
            return (dst,)
        case ops.Atomic(kind=ops.AtomicKind.CMPXCHG):
            return (0,)
        case ops.Atomic(src=src, fetch=True):
            return (src,)
        case ops.CallHelper() | ops.CallSubprogram() | ops.CallKfunc() | ops.LoadSkb():
            return (0, 1, 2, 3, 4, 5)
        case _:
            return ()


def _register(operand: Operand) -> tuple[int, ...]:
    return () if isinstance(operand, ops.Imm) else (operand,)
