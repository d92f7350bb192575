"""One way through a program as a list of steps: what is executed, in which order, on which memory. Costs are counted over
it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from bpfsmith.ir.ops import Op

ARGUMENTS = 5

Address = tuple[Hashable, Hashable, int]
"""A kind of memory, which piece of it, and the offset there."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a helper call: the map that it is given (None: it takes none, or which one is not known) and the
    constants among r1 to r5 (None: not a constant). `found` says whether the key was there (None: not known), `empty` that
    nothing is in the map, `key` where r2 points, as `Step.address`."""

    map: str | None
    constants: tuple[int | None, ...]
    found: bool | None = None
    key: Address | None = None
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One executed instruction. `address` is the memory that a load or store touches (kind, region, offset), None where
    it is not known."""

    function: str
    insn_idx: int
    op: Op
    address: Address | None = None
    call: Call | None = None
