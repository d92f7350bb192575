"""The mistakes that the literature tells of are told apart, with a counterexample that a person can follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.semantics.verdict import Different
from bpfsmith.workflow.checking import check
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.text import check_lines
from tests.kernel.conftest import require_bpf

MISTAKES = Path(__file__).parents[2] / "examples" / "mistakes"

SEEN = {
    # Two in five are refused instead of one in two.
    ("half.appnet", "half.bpf.c"): ("return value", "50.000000% of all random words from the rest, the candidate 40.000000%"),
    # The clock is set forward at each request.
    ("refill.appnet", "refill.bpf.c"): ("state epoch", "epoch = 0 ns"),
    # Tokens wrap around in 64 bits.
    ("bucket.bpf.c", "wrap.bpf.c"): ("map buckets", "if (bucket->tokens + elapsed * RATE < BURST)"),
    # An index of 15 in an array of 15.
    ("spread.bpf.c", "range.bpf.c"): ("return value", "__u32 index = (ip->saddr ^ ip->daddr) & SERVERS;"),
    # Two bytes merged as if they were half bytes.
    ("options.bpf.c", "merged.bpf.c"): ("return value", "if ((tag->kind << 4 | tag->length) == 0x45)"),
}


@pytest.mark.kernel
@pytest.mark.parametrize("pair", SEEN, ids=lambda pair: Path(pair[1]).stem)
def test_a_known_mistake_is_told_apart_and_shown(pair: tuple[str, str]) -> None:
    require_bpf()
    reference, candidate = (str(MISTAKES / name) for name in pair)
    checked = check(reference, candidate, Toolchain())
    assert isinstance(checked.verdict, Different)
    observable, shown = SEEN[pair]
    example = checked.verdict.counterexample
    assert example.observable == observable
    assert example.replayed_on
    assert example.expected != example.actual
    assert any(shown in line for line in check_lines(checked))
