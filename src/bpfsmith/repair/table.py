"""Every kind of rejection that is told apart, in the order in which they are tried."""

from __future__ import annotations

from bpfsmith.repair.table_memory import MEMORY
from bpfsmith.repair.table_program import PROGRAM

KINDS = (*MEMORY, *PROGRAM)
BY_ID = {kind.id: kind for kind in KINDS}
