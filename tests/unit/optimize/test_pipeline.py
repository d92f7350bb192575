"""What the passes make of small functions, in slots, and that it is proved."""

from __future__ import annotations

from random import Random

import pytest

from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.pipeline import PASSES, optimise, settled
from bpfsmith.optimize.simulate import Simulated, simulate
from tests.unit.optimize.programs import around, graph

KEY = "*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[counts]\ncall bpf_map_lookup_elem\n"
PACKET = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 16\nif r4 > r3 goto out\n"
DELETE = "r1 = map[flows]\nr2 = r10\nr2 += -4\ncall bpf_map_delete_elem\n"
THRICE = "*(u32 *)(r10 -4) = 0\n" + 3 * DELETE + "r0 = 0\nexit"
OUT = "\nout: r0 = 1\nexit"

# name: (the function, what it takes in the end)
SMALLER = {
    "a number in a register": ("r1 = 0\n*(u32 *)(r10 -4) = r1\nr2 = *(u32 *)(r10 -4)\nr0 = r2\nexit", 2),
    "an upper half that is zero already": ("r0 = *(u32 *)(r1 +12)\nr0 <<= 32\nr0 >>= 32\nexit", 2),
    "a mask of bits that are zero already": ("r0 = *(u32 *)(r1 +12)\nw0 &= -1\nexit", 2),
    "a branch that is decided": ("r0 = 1\nif r0 == 1 goto out\nr0 = 2\nout: exit", 2),
    "a test that was made before": (
        "r2 = *(u32 *)(r1 +12)\nr0 = 1\nif r2 == 5 goto a\nr0 = 2\na: if r2 == 5 goto b\nr0 = 3\nb: exit",
        5,
    ),
    "bytes that form a word": (PACKET + "r5 = *(u8 *)(r2 +0)\nr0 = *(u8 *)(r2 +1)\nr0 <<= 8\nr0 |= r5\nexit" + OUT, 9),
    "bytes in network order": (PACKET + "r5 = *(u8 *)(r2 +1)\nr0 = *(u8 *)(r2 +0)\nr0 <<= 8\nr0 |= r5\nexit" + OUT, 10),
    "neighbouring constants": ("*(u32 *)(r10 -8) = 0\n*(u32 *)(r10 -4) = 0\nr1 = *(u64 *)(r10 -8)\nr0 = r1\nexit", 2),
    "bytes that are copied": (
        PACKET + "\n".join(f"r5 = *(u8 *)(r2 +{i})\n*(u8 *)(r2 +{i + 8}) = r5" for i in range(4)) + "\nr0 = 2\nexit" + OUT,
        11,
    ),
    "a store that is overwritten": ("*(u32 *)(r10 -4) = 7\n" + KEY + "exit", 7),
    "a second lookup in an array": (KEY + "r6 = r0\n" + KEY + "if r0 == 0 goto out\nr0 = *(u64 *)(r6 +0)\nexit" + OUT, 11),
    "a map that is named three times": (THRICE, 16),
    "a move that a register spares": ("r2 = *(u32 *)(r1 +12)\nr3 = r2\nr3 += 5\nr0 = r3\nexit", 3),
    "code at the end of both ways": (
        "r2 = *(u32 *)(r1 +12)\nr3 = *(u32 *)(r1 +16)\nif r2 == 5 goto a\nr3 += 1\nr3 *= 7\nr0 = r3\nexit\n"
        "a: r3 += 2\nr3 *= 7\nr0 = r3\nexit",
        8,
    ),
    "addresses that are swapped": (
        PACKET
        + "r5 = *(u16 *)(r2 +0)\nr0 = *(u16 *)(r2 +4)\n*(u16 *)(r2 +0) = r0\nr0 = *(u16 *)(r2 +6)\nr4 = *(u16 *)(r2 +2)\n"
        "*(u16 *)(r2 +4) = r5\n*(u16 *)(r2 +2) = r0\n*(u16 *)(r2 +6) = r4\nr0 = 2\nexit" + OUT,
        13,
    ),
    "a way that decides a later branch": (
        "r2 = *(u32 *)(r1 +12)\nr3 = *(u32 *)(r1 +16)\nr4 = 1\nif r2 == 5 goto on\nr4 = 0\non: r3 += 1\nif r4 == 0 goto out\n"
        "r0 = r3\nexit" + OUT,
        7,
    ),
    "a shorter test of a packet before a longer one": (
        "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\nr4 = r2\nr4 += 34\n"
        "if r4 > r3 goto out\nr0 = *(u8 *)(r2 +33)\nexit" + OUT,
        9,
    ),
    "one counter or its neighbour": (
        "r6 = *(u32 *)(r1 +12)\n" + KEY + "if r0 == 0 goto out\nif r6 == 5 goto a\nr1 = *(u32 *)(r0 +4)\nr1 += 1\n"
        "*(u32 *)(r0 +4) = r1\ngoto out\na: r1 = *(u32 *)(r0 +0)\nr1 += 1\n*(u32 *)(r0 +0) = r1" + OUT,
        15,
    ),
    "a constant that several ways end with": (
        "r0 = 1\nr2 = *(u32 *)(r1 +12)\nif r2 == 5 goto out\nr3 = r1\ncall bpf_ktime_get_ns\nr6 = r0\nr0 = 1\n"
        "if r6 == 7 goto out\ncall bpf_ktime_get_ns\nr6 = r0\nr0 = 1\nif r6 == 9 goto out\nr0 = r6\nout: exit",
        8,
    ),
    "one number for both ways": (
        "r6 = 1\n" + KEY + "if r0 == 0 goto on\n*(u64 *)(r0 +0) = 7\nr6 = 0\non: r0 = r6\nexit",
        11,
    ),
    "a copy that comes late": (
        "r2 = *(u32 *)(r1 +12)\nr6 = r1\nr1 = r2\nr2 = 0\ncall bpf_redirect\nr0 = *(u32 *)(r6 +16)\nexit",
        6,
    ),
    "what is done without an entry that is always there": (
        KEY + "if r0 == 0 goto none\n*(u64 *)(r0 +0) = 7\nr0 = 0\nexit\nnone: " + DELETE + "r0 = 1\nexit",
        10,
    ),
    "an index that is cut off": (
        "r6 = *(u32 *)(r1 +12)\nif r6 < 3 goto on\nr6 = 3\non: *(u32 *)(r10 -4) = r6\n" + KEY.partition("\n")[2]
        + "if r0 == 0 goto none\n*(u64 *)(r0 +0) = 7\nr0 = 0\nexit\nnone: " + DELETE + "r0 = 1\nexit",
        13,
    ),
    "two comparisons of neighbours": (
        PACKET + "r5 = *(u16 *)(r2 +12)\nif r5 != 8 goto out\nr5 = *(u8 *)(r2 +14)\nif r5 != 69 goto out\nr0 = 2\nexit" + OUT,
        12,
    ),
    "a name that is compared letter by letter": (
        "r1 = r10\nr1 += -16\nr2 = 16\ncall bpf_get_current_comm\n"
        + "".join(f"r1 = *(u8 *)(r10 {at})\nif r1 != {letter} goto out\n" for at, letter in enumerate(b"bash", -16))
        + "r0 = 2\nexit" + OUT,
        10,
    ),
    "two comparisons of parts of a byte": (
        PACKET + "r5 = *(u8 *)(r2 +14)\nr4 = r5\nr4 &= 240\nif r4 != 64 goto out\nr5 &= 15\nif r5 != 5 goto out\nr0 = 2\nexit"
        + OUT,
        11,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALLER)
def test_small_functions_reach_their_shortest_form(name: str) -> None:
    text, slots = SMALLER[name]
    before = graph(text)
    after = optimise(before, around(), Ledger())
    assert isinstance(simulate(before, after, around()), Simulated)
    assert after.slots() <= slots


def test_the_same_function_takes_the_same_steps() -> None:
    ledgers = [Ledger(), Ledger()]
    codes = [optimise(graph(SMALLER["bytes that are copied"][0]), around(), ledger).code() for ledger in ledgers]
    assert codes[0] == codes[1]
    assert ledgers[0].steps == ledgers[1].steps


def test_a_step_that_is_left_out_is_not_taken() -> None:
    text = SMALLER["bytes that form a word"][0]
    before = graph(text)
    whole = Ledger()
    optimise(before, around(), whole)
    number = next(step.number for step in whole.steps if step.rule == "word-load")
    after = optimise(before, around(), Ledger(left_out=frozenset({number})))
    assert after.slots() > optimise(before, around(), Ledger()).slots()


def test_nothing_is_done_under_a_limit_of_zero() -> None:
    before = graph(SMALLER["bytes that are copied"][0])
    assert optimise(before, around(), Ledger(limit=0)).slots() == before.slots()


@pytest.mark.parametrize("name", SMALLER)
def test_the_order_of_the_passes_does_not_matter(name: str) -> None:
    before = graph(SMALLER[name][0])
    wanted = settled(before.copy(), around(), Ledger()).slots()
    random = Random(name)
    for _ in range(2):
        order = random.sample(PASSES, len(PASSES))
        assert settled(before.copy(), around(), Ledger(), order).slots() == wanted
