"""Programs at which an analysis of memory goes wrong: each changed form does something else, and must not be proved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import MapSpec
from bpfsmith.isa.progtype import for_section
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.graph import Graph
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.pipeline import optimise
from bpfsmith.optimize.simulate import NotSimulated, Simulated, simulate

MAPS = ".map counts array key=4 value=8 max=4\n.map flows hash key=4 value=16 max=4\n"
SPECS = {
    "counts": MapSpec("counts", "BPF_MAP_TYPE_ARRAY", 4, 8, 4),
    "flows": MapSpec("flows", "BPF_MAP_TYPE_HASH", 4, 16, 4),
    "seen": MapSpec("seen", "BPF_MAP_TYPE_BLOOM_FILTER", 0, 4, 4),
}
CHOSEN_SLOT = "r2 = r10\nr2 += -16\nr3 = *(u32 *)(r1 +12)\nif w3 == 0 goto on\nr2 += -8\non: "
FLOW = "*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[flows]\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\n"
OUT = "\nout: r0 = 1\nexit"

# name: (section, the program, the line that is taken out or changed, what stands there then)
WRONG = {
    "the stack read as kernel memory": (
        "kprobe",
        "*(u64 *)(r10 -8) = 7\nr1 = r10\nr1 += -16\nr2 = 8\nr3 = r10\nr3 += -8\ncall bpf_probe_read_kernel\n"
        "r0 = *(u64 *)(r10 -16)\nexit",
        ("*(u64 *)(r10 -8) = 7\n", ""),
    ),
    "a buffer that a failed load leaves alone": (
        "xdp",
        "*(u64 *)(r10 -8) = 7\nr2 = 4000\nr3 = r10\nr3 += -8\nr4 = 8\ncall bpf_xdp_load_bytes\nr0 = *(u64 *)(r10 -8)\nexit",
        ("*(u64 *)(r10 -8) = 7\n", ""),
    ),
    "a value that a Bloom filter is asked about": (
        "xdp",
        "*(u32 *)(r10 -4) = 7\nr1 = map[seen]\nr2 = r10\nr2 += -4\ncall bpf_map_peek_elem\nexit",
        ("*(u32 *)(r10 -4) = 7\n", ""),
    ),
    "a pointer into the stack kept at one of two places": (
        "xdp",
        "*(u64 *)(r10 -32) = 7\nr4 = r10\nr4 += -32\n*(u64 *)(r10 -16) = r4\n*(u64 *)(r10 -24) = r4\n" + CHOSEN_SLOT
        + "r5 = *(u64 *)(r2 +0)\n*(u64 *)(r5 +0) = 9\nr0 = *(u64 *)(r10 -32)\nexit",
        ("r0 = *(u64 *)(r10 -32)", "r0 = 7"),
    ),
    "a context field of which 16 bits are kept": (
        "tc",
        "r2 = 74565\n*(u32 *)(r1 +72) = r2\nr0 = *(u32 *)(r1 +72)\nexit",
        ("r0 = *(u32 *)(r1 +72)", "r0 = 74565"),
    ),
    "a context field after a store to another": (
        "sockops",
        "r2 = *(u32 *)(r1 +8)\n*(u32 *)(r1 +4) = 5\nr0 = *(u32 *)(r1 +8)\nr0 += r2\nexit",
        ("r0 = *(u32 *)(r1 +8)", "r0 = r2"),
    ),
    "all bits of what takes the place of a function": (
        "fmod_ret/f",
        "r0 = -1\nexit",
        ("r0 = -1", "w0 = -1"),
    ),
    "a distance that is added to a pointer of unknown kind": (
        "xdp",
        "r6 = *(u32 *)(r1 +0)\nr7 = *(u32 *)(r1 +4)\nr7 -= r6\n" + FLOW
        + "r8 = *(u64 *)(r0 +0)\nr9 = *(u64 *)(r8 +0)\nr8 += r7\nr5 = *(u64 *)(r0 +8)\n*(u64 *)(r8 +0) = 1\n"
        "r0 = *(u64 *)(r0 +8)\nr0 += r5\nexit" + OUT,
        ("r0 = *(u64 *)(r0 +8)\nr0 += r5", "r0 = r5\nr0 += r5"),
    ),
    "a buffer that a kernel function may give back": (
        "tc",
        "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -24\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 8\ncall bpf_dynptr_slice_rdwr#0\n"
        "if r0 == 0 goto out\n*(u64 *)(r10 -8) = 5\n*(u64 *)(r0 +0) = 9\nr0 = *(u64 *)(r10 -8)\nexit" + OUT,
        ("r0 = *(u64 *)(r10 -8)", "r0 = 5"),
    ),
    "a value that a locked add has changed": (
        "xdp",
        FLOW + "r2 = *(u64 *)(r0 +0)\nr3 = 1\nlock *(u64 *)(r0 +0) += r3\nr0 = *(u64 *)(r0 +0)\nr0 -= r2\nexit" + OUT,
        ("r0 = *(u64 *)(r0 +0)\nr0 -= r2", "r0 = 0"),
    ),
    "a packet that was moved": (
        "xdp",
        "r6 = r1\nr7 = *(u32 *)(r1 +0)\nr8 = *(u32 *)(r1 +4)\nr8 -= r7\nr2 = 4\ncall bpf_xdp_adjust_head\n"
        "r7 = *(u32 *)(r6 +0)\nr0 = *(u32 *)(r6 +4)\nr0 -= r7\nr0 -= r8\nexit",
        ("r0 -= r7\nr0 -= r8", "r0 = 0"),
    ),
    "a store before a tail call": (
        "xdp",
        "r6 = r1\n" + FLOW + "*(u64 *)(r0 +0) = 5\nr1 = r6\nr2 = map[flows]\nr3 = 0\ncall bpf_tail_call\nr0 = 2\nexit" + OUT,
        ("*(u64 *)(r0 +0) = 5\n", ""),
    ),
    "stack that a callback is given": (
        "xdp",
        "*(u64 *)(r10 -8) = 7\nr1 = 4\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop\nr0 = *(u64 *)(r10 -8)\nexit",
        ("r0 = *(u64 *)(r10 -8)", "r0 = 7"),
    ),
    "what is done without an entry that may be missing": (
        "xdp",
        "r3 = *(u32 *)(r1 +12)\nr3 &= 7\n*(u32 *)(r10 -4) = r3\nr2 = r10\nr2 += -4\nr1 = map[counts]\n"
        "call bpf_map_lookup_elem\nif r0 == 0 goto none\nr0 = 0\nexit\nnone: r0 = 1\nexit",
        ("none: r0 = 1", "none: r0 = 0"),
    ),
    "an index that is cut off on one way only": (
        "xdp",
        "r3 = *(u32 *)(r1 +12)\nif r3 < 3 goto on\nif r3 > 8 goto on\nr3 = 3\non: *(u32 *)(r10 -4) = r3\nr2 = r10\nr2 += -4\n"
        "r1 = map[counts]\ncall bpf_map_lookup_elem\nif r0 == 0 goto none\nr0 = 0\nexit\nnone: r0 = 1\nexit",
        ("none: r0 = 1", "none: r0 = 0"),
    ),
    "an entry of a hash table": (
        "xdp",
        "*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[flows]\ncall bpf_map_lookup_elem\nif r0 == 0 goto none\n"
        "r0 = 0\nexit\nnone: r0 = 1\nexit",
        ("none: r0 = 1", "none: r0 = 0"),
    ),
    "two parts of a byte, one of them another": (
        "xdp",
        "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 16\nif r4 > r3 goto out\nr5 = *(u8 *)(r2 +14)\n"
        "if r5 != 69 goto out\nr0 = 2\nexit" + OUT,
        ("if r5 != 69 goto out", "r4 = r5\nr4 &= 240\nif r4 != 64 goto out\nr5 &= 14\nif r5 != 4 goto out"),
    ),
    "a spilled pointer of which a byte was changed": (
        "xdp",
        "r2 = r10\nr2 += -32\n*(u64 *)(r10 -8) = r2\n*(u8 *)(r10 -8) = 0\nr0 = *(u64 *)(r10 -8)\nr2 -= r0\nr0 = r2\nexit",
        ("r0 = *(u64 *)(r10 -8)\nr2 -= r0\nr0 = r2", "r0 = 0"),
    ),
}  # fmt: skip


def graph(section: str, text: str) -> Graph:
    maps = MAPS + ".map seen bloom_filter key=0 value=4 max=4\n"
    return Graph.of("tried", assemble(f"{maps}.section {section}\n.program tried\n{text}", "tried.s")[0].insns)


def around(section: str) -> Surroundings:
    kind = for_section(section)
    narrow = frozenset(item.offset for item in kind.context if item.kind != "scalar")
    bits = 64 if section.startswith("fmod_ret") else 32
    return Surroundings(kind.context, True, SPECS, narrow_pointers=narrow, result_bits=bits)


@pytest.mark.parametrize("name", WRONG)
def test_what_does_something_else_is_not_proved(name: str) -> None:
    section, text, (old, new) = WRONG[name]
    assert old in text
    proof = simulate(graph(section, text), graph(section, text.replace(old, new)), around(section))
    assert isinstance(proof, NotSimulated)


@pytest.mark.parametrize("name", WRONG)
def test_these_programs_are_analysed_at_all(name: str) -> None:
    section, text, _ = WRONG[name]
    before = graph(section, text)
    assert isinstance(simulate(before, before.copy(), around(section)), Simulated)
    assert isinstance(simulate(before, optimise(before, around(section), Ledger()), around(section)), Simulated)


def test_a_context_that_was_handed_on_still_has_pointers_of_64_bits() -> None:
    inner = replace(around("xdp"), is_program=False, context=(), result_bits=64)
    before = graph("xdp", "r0 = *(u32 *)(r1 +0)\nexit")
    after = graph("xdp", "r0 = *(u32 *)(r1 +0)\nw0 = w0\nexit")
    assert isinstance(simulate(before, after, inner), NotSimulated)
