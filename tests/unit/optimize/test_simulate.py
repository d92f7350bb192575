"""The simulation proof: what it must accept, and above all what it must not."""

from __future__ import annotations

import pytest

from bpfsmith.optimize.simulate import NotSimulated, Simulated, simulate
from tests.unit.optimize.programs import around, graph

PACKET = """
        r2 = *(u32 *)(r1 +0)
        r3 = *(u32 *)(r1 +4)
        r4 = r2
        r4 += 16
        if r4 > r3 goto out
"""
END = """
        r0 = 2
        exit
out:    r0 = 1
        exit
"""
LOOKED_UP = """
        *(u32 *)(r10 -4) = 0
        r2 = r10
        r2 += -4
        r1 = map[flows]
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r6 = r0
        *(u32 *)(r10 -4) = 1
        r2 = r10
        r2 += -4
        r1 = map[flows]
        call bpf_map_lookup_elem
        if r0 == 0 goto out
"""

EQUAL = {
    "bytes that form a word": (
        PACKET + "r5 = *(u8 *)(r2 +0)\nr0 = *(u8 *)(r2 +1)\nr0 <<= 8\nr0 |= r5\nexit\nout: r0 = 1\nexit",
        PACKET + "r0 = *(u16 *)(r2 +0)\nexit\nout: r0 = 1\nexit",
    ),
    "stores that are neighbours": (
        PACKET + "*(u8 *)(r2 +0) = 1\n*(u8 *)(r2 +1) = 2" + END,
        PACKET + "*(u16 *)(r2 +0) = 513" + END,
    ),
    "another register": (PACKET + END, PACKET.replace("r4", "r5") + END),
    "a branch the other way round": (
        "r2 = *(u32 *)(r1 +12)\nif r2 == 1 goto out\nr0 = 2\nexit\nout: r0 = 1\nexit",
        "r2 = *(u32 *)(r1 +12)\nif r2 != 1 goto out\nr0 = 1\nexit\nout: r0 = 2\nexit",
    ),
    "a branch that does not matter": (
        "r2 = *(u32 *)(r1 +12)\nr0 = 2\nif r2 == 1 goto out\nr0 = 2\nout: exit",
        "r0 = 2\nexit",
    ),
    "a loop in other registers": (
        "r2 = *(u32 *)(r1 +12)\nr0 = 0\nr3 = 0\nmore: r0 += r2\nr3 += 1\nif r3 != 9 goto more\nexit",
        "r4 = *(u32 *)(r1 +12)\nr0 = 0\nr5 = 0\nmore: r0 += r4\nr5 += 1\nif r5 != 9 goto more\nexit",
    ),
    "a dead store to the stack": ("*(u64 *)(r10 -8) = 5\nr0 = 2\nexit", "r0 = 2\nexit"),
}
UNEQUAL = {
    # The published unsound rewrites of others: a load is widened over bytes that were stored to in between, a store moves
    # across one that may alias, a store moves across the load that reads it.
    "a load widened over a store": (
        PACKET + "r5 = *(u8 *)(r2 +0)\n*(u8 *)(r2 +1) = 7\nr0 = *(u8 *)(r2 +1)\nr0 <<= 8\nr0 |= r5\nexit\nout: r0 = 1\nexit",
        PACKET + "r0 = *(u16 *)(r2 +0)\n*(u8 *)(r2 +1) = 7\nexit\nout: r0 = 1\nexit",
    ),
    "a store moved across an alias": (
        LOOKED_UP + "*(u32 *)(r6 +0) = 1\n*(u32 *)(r0 +0) = 2\n*(u32 *)(r6 +4) = 3" + END,
        LOOKED_UP + "*(u32 *)(r0 +0) = 2\n*(u32 *)(r6 +0) = 1\n*(u32 *)(r6 +4) = 3" + END,
    ),
    "a store moved across a load of it": (
        LOOKED_UP + "*(u32 *)(r6 +0) = 1\nr7 = *(u32 *)(r0 +0)\n*(u32 *)(r6 +4) = 3\nr0 = r7\nexit\nout: r0 = 1\nexit",
        LOOKED_UP + "r7 = *(u32 *)(r0 +0)\n*(u32 *)(r6 +0) = 1\n*(u32 *)(r6 +4) = 3\nr0 = r7\nexit\nout: r0 = 1\nexit",
    ),
    "another constant": ("r0 = 2\nexit", "r0 = 1\nexit"),
    "a store that is lost": (PACKET + "*(u8 *)(r2 +0) = 1" + END, PACKET + END),
    "a store that is too wide": (PACKET + "*(u8 *)(r2 +0) = 1" + END, PACKET + "*(u16 *)(r2 +0) = 1" + END),
    "a call that is lost": ("call bpf_ktime_get_ns\nr0 = 0\nexit", "r0 = 0\nexit"),
    "a key that was not written": (
        LOOKED_UP + END,
        LOOKED_UP.replace("*(u32 *)(r10 -4) = 1\n", "") + END,
    ),
    "a value that a call may have changed": (
        LOOKED_UP
        + "r7 = *(u32 *)(r6 +0)\ncall bpf_ktime_get_ns\nr1 = map[flows]\nr2 = r10\nr2 += -4\ncall bpf_map_delete_elem\n"
        "r0 = *(u32 *)(r6 +0)\nexit\nout: r0 = 1\nexit",
        LOOKED_UP
        + "r7 = *(u32 *)(r6 +0)\ncall bpf_ktime_get_ns\nr1 = map[flows]\nr2 = r10\nr2 += -4\ncall bpf_map_delete_elem\n"
        "r0 = r7\nexit\nout: r0 = 1\nexit",
    ),
    "a comparison of fewer bits": (
        "r2 = *(u64 *)(r10 -8)\nr0 = 1\nif r2 == 0 goto out\nr0 = 2\nout: exit",
        "r2 = *(u64 *)(r10 -8)\nr0 = 1\nif w2 == 0 goto out\nr0 = 2\nout: exit",
    ),
    "a loop with one round less": (
        "r0 = 0\nr3 = 0\nmore: r0 += r3\nr3 += 1\nif r3 != 9 goto more\nexit",
        "r0 = 0\nr3 = 0\nmore: r0 += r3\nr3 += 1\nif r3 != 8 goto more\nexit",
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_what_does_the_same_is_proved(name: str) -> None:
    before, after = EQUAL[name]
    assert isinstance(simulate(graph(before), graph(after), around()), Simulated)


@pytest.mark.parametrize("name", UNEQUAL)
def test_what_does_something_else_is_not(name: str) -> None:
    before, after = UNEQUAL[name]
    assert isinstance(simulate(graph(before), graph(after), around()), NotSimulated)
