"""Law: where the interpreter gives an answer, the kernel gives the same: maps, contexts, pointers and helpers, by example."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpfsmith.execution import HelperResult, RunInput
from bpfsmith.gate.prove import prove_equal
from bpfsmith.gate.replay import run_in_kernel
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.concrete import run
from bpfsmith.semantics.verdict import Different
from tests.support.bpfc import compile_c
from tests.support.objects import RICH
from tests.support.oracles import by_kernel, by_prover_at_constants, everything, without_calls

pytestmark = pytest.mark.kernel

PACKET = bytes(range(64))
BOUNDS = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n"
COMPARE = "\nr0 = 1\nif {} goto out\nr0 = 0\nout: exit"


def agree(program: Program, given: RunInput, *, is_proved: bool = True) -> None:
    given = everything(program, given)
    done = run(program, given)
    with open_maps(program) as maps:
        assert without_calls(done) == by_kernel(program, given, maps)
    if is_proved:
        assert done == by_prover_at_constants(program, given)


def assembled(text: str, section: str = "xdp") -> Program:
    return assemble(text if ".section" in text else f".section {section}\n{text}", "test.s")[0]


@pytest.mark.parametrize("condition", ["r2 < r3", "r2 > r3", "r2 == r3", "r2 != r3", "r2 <= r3", "r2 s< r3", "r3 s>= r2"])
@pytest.mark.parametrize("distance", [-8, 0, 64, 65])
def test_pointers_compare_as_addresses(condition: str, distance: int) -> None:
    agree(assembled(BOUNDS + f"r2 += {distance}" + COMPARE.format(condition)), RunInput(PACKET))


@pytest.mark.parametrize("text", ["r0 = r3\nr0 -= r2", "r0 = r2\nw0 -= w3", "r0 = r3\nr2 += 3\nr0 -= r2\nr0 s>>= 1"])
def test_distances_of_pointers(text: str) -> None:
    agree(assembled(f"{BOUNDS}{text}\nexit"), RunInput(PACKET))


@pytest.mark.parametrize("kind", ["hash", "array"])
@pytest.mark.parametrize("helper", ["bpf_map_update_elem", "bpf_map_delete_elem"])
@pytest.mark.parametrize("key", [1, 7])
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("filled", [1, 3])
def test_maps_answer_alike(kind: str, helper: str, key: int, flags: int, filled: int) -> None:
    text = f"""
    .map m {kind} key=4 value=12 max=3
    .section xdp
            *(u32 *)(r10 -4) = {key}
            *(u64 *)(r10 -16) = 77
            *(u64 *)(r10 -24) = 88
            r1 = map[m]
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -24
            r4 = {flags}
            call {helper}
            exit
    """
    contents = {number.to_bytes(4, "little"): bytes(12) for number in range(filled)}
    is_full = kind == "hash" and filled == 3  # whether there is room is an unknown to the prover
    is_odd = flags > 2 or (kind == "array" and "delete" in helper)  # the prover has no model of misuse
    agree(assembled(text), RunInput(PACKET, maps={"m": contents}), is_proved=not (is_full or is_odd))


def test_context_fields_are_read_alike() -> None:
    text = "r0 = *(u32 *)(r1 +8)\nr2 = *(u32 *)(r1 +0)\nr0 <<= 8\nr0 += r2\nr2 = *(u32 *)(r1 +32)\nr0 ^= r2\nexit"
    agree(assembled(text, "tc"), RunInput(PACKET, ctx={"mark": 0xABCDEF, "priority": 5}))


def test_an_index_beyond_the_array_finds_nothing() -> None:
    text = """
    .map m array key=4 value=12 max=3
    .section xdp
            r1 = *(u32 *)(r1 +12)
            *(u32 *)(r10 -4) = {}
            r1 = map[m]
            r2 = r10
            r2 += -4
            call bpf_map_lookup_elem
            if r0 == 0 goto out
            r1 = 5
            lock *(u32 *)(r0 +8) += r1
            r0 = *(u32 *)(r0 +8)
            exit
    out:    r0 = 3
            exit
    """
    for index in (0, 2, 3, -1):
        agree(assembled(text.format(index)), RunInput(PACKET, maps={"m": {bytes(4): b"\xff" * 12}}, ctx={"ingress_ifindex": 1}))


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_what_clang_compiles(name: str) -> None:
    obj = read_object(compile_c(RICH))
    program, given = obj.program(name), RunInput(PACKET)
    kernel = run_in_kernel(program, obj, everything(program, given))
    assert kernel is not None
    interpreted = run(program, given)
    # A perf event array and the like have no model, and so are not compared.
    assert replace(kernel, maps={name: kernel.maps[name] for name in interpreted.maps}) == interpreted


def test_helpers_draw_the_same_numbers_where_the_kernel_is_given_them() -> None:
    text = """
            r6 = 0
            r7 = 3
    again:  call bpf_get_prandom_u32
            r6 *= 31
            r6 += r0
            call bpf_ktime_get_ns
            r6 ^= r0
            r7 += -1
            if r7 != 0 goto again
            r0 = r6
            exit
    """
    program = assembled(text)
    results = [HelperResult("bpf_ktime_get_ns", 1 << 40), HelperResult("bpf_get_prandom_u32", 0xFFFFFFFF)]
    results += [HelperResult("bpf_ktime_get_ns", 9), HelperResult("bpf_get_prandom_u32", 3)]
    given = RunInput(PACKET, helper_results=tuple(results))
    assert run(program, given) == run_in_kernel(program, None, given) == by_prover_at_constants(program, given)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_difference_in_a_later_draw_is_replayed_with_the_earlier_draws_in_place(swapped: bool) -> None:
    draws = "call bpf_get_prandom_u32\ncall bpf_get_prandom_u32\n"
    second = assembled(draws + "r0 &= 7\nif r0 == 5 goto out\nr0 = 0\nout: exit")
    never = assembled(draws + "r0 = 0\nexit")
    reference, candidate = (never, second) if swapped else (second, never)
    verdict = prove_equal(reference, None, candidate, None)
    assert isinstance(verdict, Different)
    example = verdict.counterexample
    assert [oracle.partition(" ")[0] for oracle in example.replayed_on] == ["kernel"]
    for program, outcome in ((reference, example.expected), (candidate, example.actual)):
        assert run(program, example.input).return_value == outcome.return_value
