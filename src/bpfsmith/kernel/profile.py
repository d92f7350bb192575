"""Where the verifier spends its budget: how often it visits each insn, on all paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import LOG_INSNS, load
from bpfsmith.kernel.maps import MapSet

_VISIT = re.compile(r"^(\d+): \([0-9a-f]{2}\)", re.MULTILINE)


def visits(program: Program, maps: MapSet) -> Mapping[int, int]:
    """Visits by slot of the linked program, accepted or not.

    The log of every step is about 100 bytes a visit: a program at the limit of a million insns takes some 150 MB and half a
    minute.
    """
    with load(program, maps, log_level=LOG_INSNS) as outcome:
        log = outcome.log
    return Counter(int(slot) for slot in _VISIT.findall(log))
