"""A helper call whose map depends on the path: compilers make one call of two that differ in their map only."""

from __future__ import annotations

import pytest

from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.semantics.verdict import Different, Equal, Verdict

HEAD = """\
.map a hash key=4 value=8 max=16
.map b hash key=4 value=8 max=16
.section xdp
.program p
r6 = *(u32 *)(r1 +12)
r1 = 5
*(u32 *)(r10 -4) = r1
r1 = 7
*(u64 *)(r10 -16) = r1
r2 = r10
r2 += -4
r3 = r10
r3 += -16
r4 = 0
"""
ENDS = {
    "lookup": "if r0 == 0 goto none\nr0 = *(u64 *)(r0 +0)\nexit\nnone: r0 = 2\nexit\n",
    "lookup and add": "if r0 == 0 goto none\nr1 = *(u64 *)(r0 +0)\nr1 += 1\n*(u64 *)(r0 +0) = r1\nnone: r0 = 2\nexit\n",
    "update": "r0 = 2\nexit\n",
    "update with its result": "exit\n",
    "delete": "r0 = 2\nexit\n",
    "delete with its result": "exit\n",
}
"""What is done after each call, by the helper's name and some words."""


def program(body: str) -> Program:
    return assemble(HEAD + body, "<test>")[0]


def verdict(reference: str, candidate: str) -> Verdict:
    return prove_equal(program(reference), None, program(candidate), None, replay=False)


def call(end: str) -> str:
    return f"call bpf_map_{end.split()[0]}_elem\n"


def one_call(end: str, then: str = "a", other: str = "b", condition: str = "r6 == 1") -> str:
    """The map is chosen by the interface, and then called."""
    return f"r1 = map[{other}]\nif {condition} goto yes\ngoto go\nyes: r1 = map[{then}]\ngo: {call(end)}{ENDS[end]}"


def two_calls(end: str, then: str = "a", other: str = "b") -> str:
    """A call for each map, which meet behind it."""
    return f"if r6 == 1 goto yes\nr1 = map[{other}]\n{call(end)}goto go\nyes: r1 = map[{then}]\n{call(end)}go: {ENDS[end]}"


@pytest.mark.parametrize("end", ENDS)
def test_one_call_is_equal_to_two(end: str) -> None:
    """Law: whether the paths meet before the call or after it, the behaviour is one."""
    assert isinstance(verdict(two_calls(end), one_call(end)), Equal)
    assert isinstance(verdict(one_call(end), two_calls(end)), Equal)
    assert isinstance(verdict(one_call(end), one_call(end)), Equal)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("change", ["both a", "both b", "exchanged", "another interface"])
def test_a_call_with_another_map_is_told_apart(end: str, change: str) -> None:
    """Law: a program that takes the other map on some path differs, in both directions and both ways to write it."""
    wrong = {
        "both a": one_call(end, other="a"),
        "both b": one_call(end, then="b"),
        "exchanged": one_call(end, "b", "a"),
        "another interface": one_call(end, condition="r6 == 2"),
    }[change]
    for right in (one_call(end), two_calls(end)):
        for pair in ((right, wrong), (wrong, right)):
            found = verdict(*pair)
            assert isinstance(found, Different), found
            assert found.counterexample.expected != found.counterexample.actual
