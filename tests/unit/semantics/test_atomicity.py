"""Is one run one step? Each program comes with the interleaving that says why it is not, or the reason why it is."""

from __future__ import annotations

import pytest

from bpfsmith.isa.asm import assemble
from bpfsmith.semantics.atomicity import lost_atomicity
from bpfsmith.semantics.behaviour import of_program
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Terms

MAPS = """\
.map .bss array key=4 value=64 max=1
.map .data.lock array key=4 value=16 max=1
.map .data.other array key=4 value=16 max=1
.map m hash key=4 value=8 max=16
.map wide array key=4 value=16 max=4
.section xdp
.program p
"""
STATE = "r7 = map[.bss][0]\n"
LOCK = "r1 = map[.data.lock][0]\ncall bpf_spin_lock\n"
UNLOCK = "r1 = map[.data.lock][0]\ncall bpf_spin_unlock\n"
KEY = "r1 = 1\n*(u32 *)(r10 -4) = r1\n*(u64 *)(r10 -16) = r1\n*(u64 *)(r10 -24) = r1\n"
DELETE = "r1 = map[m]\nr2 = r10\nr2 += -4\ncall bpf_map_delete_elem\n"
END = "r0 = 2\nexit\n"


def update(name: str, flags: int = 0) -> str:
    return f"r1 = map[{name}]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -24\nr4 = {flags}\ncall bpf_map_update_elem\n"


def increment(offset: int) -> str:
    return f"r2 = *(u64 *)(r7 +{offset})\nr2 += 1\n*(u64 *)(r7 +{offset}) = r2\n"


def add(offset: int) -> str:
    return f"r1 = 1\nlock *(u64 *)(r7 +{offset}) += r1\n"


def lost(body: str) -> str | None:
    t = Terms()
    return lost_atomicity(t, of_program(t, assemble(MAPS + body + END, "<test>")[0], "x"))


ATOMIC = {
    "nothing shared": "r0 = *(u32 *)(r1 +12)\n",
    "reads of what nothing writes": STATE + "r2 = *(u64 *)(r7 +0)\nr3 = *(u64 *)(r7 +8)\n",
    "one addition": STATE + add(0),
    "additions to several counters commute": STATE + add(0) + add(8) + add(0),
    "counters beside one place that is only overwritten": STATE + add(0) + "r1 = 5\n*(u64 *)(r7 +8) = r1\n",
    "one place overwritten twice": STATE + "r1 = 5\n*(u64 *)(r7 +8) = r1\nr1 = 6\n*(u64 *)(r7 +8) = r1\n",
    "one fetch and add whose old value is used": STATE + "r1 = 1\nr1 = atomic64_fetch_add((u64 *)(r7 +0), r1)\nr2 = r1\n",
    "one of two stores, never both": (
        "r6 = *(u32 *)(r1 +12)\n" + STATE + "r1 = 1\nif r6 == 1 goto a\n*(u64 *)(r7 +0) = r1\ngoto b\n"
        "a: *(u64 *)(r7 +8) = r1\nb: r1 = 0\n"
    ),
    "all of it in one critical section": STATE + LOCK + increment(0) + increment(8) + UNLOCK,
    "one section on each of two paths": (
        "r6 = *(u32 *)(r1 +12)\n" + STATE + "if r6 == 1 goto a\n" + LOCK + increment(0) + UNLOCK + "goto b\na: r1 = 0\n"
        + LOCK + increment(8) + UNLOCK + "b: r1 = 0\n"
    ),
    "one delete": KEY + DELETE,
    "one update of a hash": KEY + update("m"),
}  # fmt: skip

NOT_ATOMIC = {
    # A: read 0, B: read 0, A: write 1, B: write 1; two steps count one.
    "a load and a store": STATE + increment(0),
    "the lock let go between the load and the store": (
        STATE + LOCK + "r8 = *(u64 *)(r7 +0)\n" + UNLOCK + "r8 += 1\n" + LOCK + "*(u64 *)(r7 +0) = r8\n" + UNLOCK
    ),
    "an access behind the critical section": STATE + LOCK + increment(0) + UNLOCK + increment(8),
    # A writes both places, B overwrites one in between: the places end as no single step leaves them.
    "two places overwritten": STATE + "r1 = 5\n*(u64 *)(r7 +0) = r1\n*(u64 *)(r7 +8) = r1\n",
    "an addition beside a look at the sum": STATE + add(0) + "r2 = *(u64 *)(r7 +0)\n",
    "an addition to a place that is also overwritten": STATE + add(0) + "r1 = 0\n*(u64 *)(r7 +0) = r1\n",
    "additions of two sizes to one place": STATE + add(0) + "r1 = 1\nlock *(u32 *)(r7 +0) += r1\n",
    # A takes one lock and B the other: nothing keeps them apart.
    "one of two locks, by the context": (
        "r6 = *(u32 *)(r1 +12)\nr8 = map[.data.lock][0]\nif r6 == 1 goto a\nr8 = map[.data.other][0]\na: r1 = r8\n"
        "call bpf_spin_lock\n" + STATE + increment(0) + "r1 = r8\ncall bpf_spin_unlock\n"
    ),
    # 256 sections are 0 modulo 2**8.
    "256 critical sections": (
        STATE + "r6 = 0\nagain: r8 = 0\n" + 4 * (LOCK + increment(0) + UNLOCK) + "r6 += 1\nif r6 < 64 goto again\n"
    ),
    # A: delete finds nothing; B: the same, and inserts; A: inserts. One after the other, the second deletes.
    "a delete, and an insert where it found nothing": KEY + DELETE + "if r0 == 0 goto a\n" + update("m") + "a: r1 = 0\n",
    # Both halves of a value that an array update copies can come from different CPUs.
    "an array update of more bytes than a CPU writes at once": KEY + update("wide"),
    "a lookup and a store into the entry": (
        KEY + "r1 = map[m]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto a\nr1 = *(u64 *)(r0 +0)\n"
        "r1 += 1\n*(u64 *)(r0 +0) = r1\na: r1 = 0\n"
    ),
}


@pytest.mark.parametrize("body", ATOMIC.values(), ids=ATOMIC.keys())
def test_what_cannot_be_interleaved_is_one_step(body: str) -> None:
    """Law: a run that no other CPU's run can be told apart from is certified."""
    assert lost(body) is None


@pytest.mark.parametrize("body", NOT_ATOMIC.values(), ids=NOT_ATOMIC.keys())
def test_what_can_be_interleaved_is_not_one_step(body: str) -> None:
    """Law: a run into which another CPU can come is not certified, and the reason is said; not to model it is an answer too."""
    try:
        assert lost(body) is not None
    except Unmodelled as gap:
        assert gap.gap
