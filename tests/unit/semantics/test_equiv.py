"""Pairs of programs whose relation is known. A wrong Equal is the worst bug there can be, so most pairs here differ.

Each pair of `DIFFERENT` differs on an input that a kernel can be given, and each of `NEVER_EQUAL` in something that a run shows
but that a counterexample cannot always hold (which other map entries there are, what a pointer's bytes are): there, Unknown is
as good an answer as Different.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bpfsmith.appnet.core import Element
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.lower import lower
from bpfsmith.appnet.parse import read_source
from bpfsmith.appnet.prove import prove
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.codegen.clang import Compiler
from bpfsmith.gate.prove import prove_equal
from bpfsmith.gate.replay import run_in_kernel, shows_difference
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict

DECLARATIONS = """\
.map .bss array key=4 value=64 max=1
.map .data.lock array key=4 value=16 max=1
.map m hash key=4 value=8 max=16
.map one hash key=4 value=8 max=1
.map a array key=4 value=8 max=4
.section xdp
.program p
"""
PACKET = "r2 = *(u32 *)(r1 +4)\nr1 = *(u32 *)(r1 +0)\nr3 = r1\nr3 += 34\nif r3 > r2 goto short\n"
SHORT = "exit\nshort: r0 = 0\nexit\n"
IFINDEX = "r6 = *(u32 *)(r1 +12)\n"
STATE = "r7 = map[.bss][0]\n"
KEYS = "r1 = 1\n*(u32 *)(r10 -4) = r1\nr1 = 2\n*(u32 *)(r10 -8) = r1\nr1 = 7\n*(u64 *)(r10 -16) = r1\n"
END = "r0 = 2\nexit\n"


def call(helper: str, name: str, key: int = -4) -> str:
    value = "r3 = r10\nr3 += -16\nr4 = 0\n" if helper == "update" else ""
    return f"r1 = map[{name}]\nr2 = r10\nr2 += {key}\n{value}call bpf_map_{helper}_elem\n"


def locked(body: str) -> str:
    return f"r1 = map[.data.lock][0]\ncall bpf_spin_lock\n{body}r1 = map[.data.lock][0]\ncall bpf_spin_unlock\n"


def program(body: str) -> Program:
    return assemble((body if ".section" in body else DECLARATIONS + body), "<test>")[0]


def verdict(reference: str, candidate: str, replay: bool = False) -> Verdict:
    return prove_equal(program(reference), None, program(candidate), None, replay=replay)


def on_packet(body: str) -> str:
    """`body` with r6 = 8 bytes, r7 = 4 and r8 = 2 of the packet, and r1 at its start; what it leaves in r0 is returned."""
    return PACKET + "r6 = *(u64 *)(r1 +14)\nr7 = *(u32 *)(r1 +22)\nr8 = *(u16 *)(r1 +26)\nr0 = 2\n" + body + SHORT


def choose(condition: str, then: int = 1) -> str:
    """Return `then` where the condition of a jump holds, else 2."""
    return on_packet(f"if {condition} goto yes\nexit\nyes: r0 = {then}\n")


EQUAL = {
    "a sum in another order": (on_packet("r0 = r6\nr0 += r7\n"), on_packet("r0 = r7\nr0 += r6\n")),
    "a multiplication by shifts": (on_packet("r0 = r6\nr0 *= 10\n"), on_packet("r0 = r6\nr0 <<= 2\nr0 += r6\nr0 <<= 1\n")),
    "a mask by shifts": (on_packet("r0 = r6\nr0 &= 0xff\n"), on_packet("r0 = r6\nr0 <<= 56\nr0 >>= 56\n")),
    "<= and <": (choose("r7 <= 5"), choose("r7 < 6")),
    "a word by bytes": (
        on_packet("r0 = *(u16 *)(r1 +12)\n"),
        on_packet("r0 = *(u8 *)(r1 +13)\nr0 <<= 8\nr4 = *(u8 *)(r1 +12)\nr0 |= r4\n"),
    ),
    "32 and 64 bits below 2**32": (on_packet("r0 = r8\nr0 += r7\nw0 = w0\n"), on_packet("w0 = w8\nw0 += w7\n")),
    "a value that is spilled and filled": (on_packet("r0 = r6\n"), on_packet("*(u64 *)(r10 -8) = r6\nr0 = *(u64 *)(r10 -8)\n")),
    "a store that is overwritten": (
        STATE + "r1 = 5\n*(u32 *)(r7 +0) = r1\n" + END,
        STATE + "r1 = 4\n*(u32 *)(r7 +0) = r1\nr1 = 5\n*(u32 *)(r7 +0) = r1\n" + END,
    ),
    "a lookup and its value by another register": (
        KEYS + call("lookup", "m") + "if r0 == 0 goto n\nr0 = *(u64 *)(r0 +0)\nexit\nn: r0 = 0\nexit\n",
        KEYS + call("lookup", "m") + "r6 = r0\nr0 = 0\nif r6 == 0 goto n\nr0 = *(u64 *)(r6 +0)\nn: exit\n",
    ),
    "a call and its body": (
        on_packet("r0 = r6\nr0 *= 3\n"),
        on_packet("r1 = r6\ncall triple\n") + ".function triple\nr0 = r1\nr0 += r1\nr0 += r1\nexit\n",
    ),
    "updates of two keys in either order": (
        KEYS + call("update", "a") + call("update", "a", -8) + END,
        KEYS + call("update", "a", -8) + call("update", "a") + END,
    ),
    "a section under one lock": (
        STATE + locked("r2 = *(u64 *)(r7 +0)\nr2 += 1\n*(u64 *)(r7 +0) = r2\n") + END,
        STATE + "r1 = 1\nlock *(u64 *)(r7 +0) += r1\n" + END,
    ),
    "a comparison of a random word": (
        "call bpf_get_prandom_u32\nr1 = r0\nr0 = 1\nif r1 < 100 goto o\nr0 = 2\no: exit\n",
        "call bpf_get_prandom_u32\nif w0 >= 100 goto o\nr0 = 1\nexit\no: r0 = 2\nexit\n",
    ),
}

DIFFERENT = {
    "< and <=": (choose("r7 < 5"), choose("r7 <= 5")),
    "a threshold one higher": (choose("r7 > 100"), choose("r7 > 101")),
    "signed and unsigned": (choose("r6 s< 5"), choose("r6 < 5")),
    "32 and 64 bits": (choose("r6 < 5"), choose("w6 < 5")),
    "a sum that wraps at 32 bits": (
        on_packet("r0 = r7\nr0 += r8\nr0 >>= 16\n"), on_packet("w0 = w7\nw0 += w8\nr0 >>= 16\n"),
    ),
    "arms that changed places": (choose("r8 == 7", then=1), choose("r8 != 7", then=1)),
    "another byte of the packet": (on_packet("r0 = *(u8 *)(r1 +12)\n"), on_packet("r0 = *(u8 *)(r1 +13)\n")),
    "network and host order": (on_packet("r0 = r8\nr0 = be16 r0\n"), on_packet("r0 = r8\n")),
    "logical and arithmetic shift": (on_packet("r0 = r6\nr0 >>= 60\n"), on_packet("r0 = r6\nr0 s>>= 60\n")),
    "a bound one byte short": (choose("r7 < 5").replace("+= 34", "+= 35"), choose("r7 < 5")),
    "a packet byte changed": (on_packet("r0 = 2\n"), on_packet("*(u8 *)(r1 +0) = r6\nr0 = 2\n")),
    "a constant above a choice, lost when it is added to": (
        on_packet("r0 = 3\nif r8 == 1 goto b\nr0 = 5\nb: r0 |= 16\nr0 += 2\n"),
        on_packet("r0 = 3\nif r8 == 1 goto b\nr0 = 5\nb: r0 += 2\n"),
    ),
    "a dropped store": (STATE + "r1 = 5\n*(u64 *)(r7 +8) = r1\n" + END, END),
    "a store of another size": (
        STATE + "r1 = 5\n*(u64 *)(r7 +8) = r1\n" + END, STATE + "r1 = 5\n*(u32 *)(r7 +8) = r1\n" + END,
    ),
    "a store beside": (STATE + "r1 = 5\n*(u64 *)(r7 +8) = r1\n" + END, STATE + "r1 = 5\n*(u64 *)(r7 +16) = r1\n" + END),
    "a counter of 32 bits": (
        STATE + "r1 = 1\nlock *(u64 *)(r7 +0) += r1\n" + END, STATE + "r1 = 1\nlock *(u32 *)(r7 +0) += r1\n" + END,
    ),
    "a dropped delete": (KEYS + call("delete", "m") + END, END),
    "another key": (KEYS + call("delete", "m") + END, KEYS + call("delete", "m", -8) + END),
    "the value of another index": (
        on_packet("r8 &= 3\n*(u32 *)(r10 -4) = r8\n" + call("lookup", "a") + "if r0 == 0 goto short\nr0 = *(u64 *)(r0 +0)\n"),
        on_packet("r8 &= 1\n*(u32 *)(r10 -4) = r8\n" + call("lookup", "a") + "if r0 == 0 goto short\nr0 = *(u64 *)(r0 +0)\n"),
    ),
    "a table of other constants": tuple(
        f".map .rodata array key=4 value=4 max=1 initial=010203{last} frozen\n.section xdp\n.program p\n"
        + on_packet("r8 &= 3\nr5 = map[.rodata][0]\nr5 += r8\nr0 = *(u8 *)(r5 +0)\n")
        for last in ("04", "05")
    ),
    "a random word below another threshold": tuple(
        f"call bpf_get_prandom_u32\nr1 = r0\nr0 = 1\nif r1 < {limit} goto o\nr0 = 2\no: exit\n"
        for limit in (214748365, 429496730)
    ),
}  # fmt: skip
NEVER_EQUAL = {
    "two pointers that are equal for equal keys": tuple(
        on_packet(
            "r8 &= 3\n*(u32 *)(r10 -4) = r8\nr7 &= 3\n*(u32 *)(r10 -8) = r7\n"
            + call("lookup", "m") + "if r0 == 0 goto short\nr9 = r0\n" + call("lookup", "m", -8)
            + f"if r0 == 0 goto short\nif r0 == r9 goto e\nr0 = 0\nexit\ne: r0 = {same}\n"
        )
        for same in (1, 2)
    ),
    "a number beside a spilled pointer": tuple(
        on_packet(
            f"r3 = {number}\nif r8 == 9 goto p\n*(u64 *)(r10 -8) = r3\ngoto m\np: *(u64 *)(r10 -8) = r1\n"
            "m: if r8 == 9 goto short\nr0 = *(u64 *)(r10 -8)\n"
        )
        for number in (5, 6)
    ),
    "a delete before and after an insert into a full map": (
        KEYS + call("delete", "one", -8) + call("update", "one") + END,
        KEYS + call("update", "one") + call("delete", "one", -8) + END,
    ),
    "a null pointer that was added to": (
        IFINDEX
        + "r8 = 0\nif r6 == 1 goto a\nr8 = r10\na: if r6 != 1 goto z\nr8 += 5\nif r8 == 0 goto y\nz: "
        + END
        + "y: r0 = 1\nexit\n",
        IFINDEX + "r0 = 2\nif r6 != 1 goto o\nr0 = 1\no: exit\n",
    ),
    "a word that is stored, and a verdict of another bit of it": tuple(
        "call bpf_get_prandom_u32\nr1 = map[.bss][0]\n*(u64 *)(r1 +0) = r0\nr6 = r0\nr0 = 2\n"
        f"if {question} goto o\nr0 = 1\no: exit\n"
        for question in ("w6 s< 0", "r6 & 1")
    ),
    "one in a million and one in four billion": tuple(
        f"call bpf_get_prandom_u32\nr1 = r0\nr0 = 1\nif r1 < {share} goto o\nr0 = 2\no: exit\n" for share in (4294, 1)
    ),
    "a lock that is gone": (
        STATE + locked("r2 = *(u64 *)(r7 +0)\nr2 += 1\n*(u64 *)(r7 +0) = r2\n") + END,
        STATE + "r2 = *(u64 *)(r7 +0)\nr2 += 1\n*(u64 *)(r7 +0) = r2\n" + END,
    ),
    "all locks gone, where the reference has two sections": (
        STATE
        + locked("r2 = *(u64 *)(r7 +0)\nr2 += 1\n*(u64 *)(r7 +0) = r2\n")
        + locked("r2 = *(u64 *)(r7 +8)\nr2 += 1\n*(u64 *)(r7 +8) = r2\n")
        + END,
        STATE
        + "r2 = *(u64 *)(r7 +0)\nr2 += 1\n*(u64 *)(r7 +0) = r2\n"
        + "r2 = *(u64 *)(r7 +8)\nr2 += 1\n*(u64 *)(r7 +8) = r2\n"
        + END,
    ),
    "a lock that is not given back": (
        STATE + locked("r2 = *(u64 *)(r7 +0)\nr2 += 1\n*(u64 *)(r7 +0) = r2\n") + END,
        STATE
        + locked("r2 = *(u64 *)(r7 +0)\nr2 += 1\n*(u64 *)(r7 +0) = r2\n").replace(
            "r1 = map[.data.lock][0]\ncall bpf_spin_unlock\n", ""
        )
        + END,
    ),
    "another initial value": tuple(
        f".map .data array key=4 value=4 max=1 initial=0{value}000000\n.section xdp\n.program p\n"
        "r1 = map[.data][0]\nr0 = *(u32 *)(r1 +0)\nexit\n"
        for value in (1, 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", EQUAL.values(), ids=EQUAL.keys())
def test_equal_programs_are_proved(pair: tuple[str, str]) -> None:
    """Law: two ways to write one thing are Equal, in both directions."""
    assert isinstance(verdict(*pair), Equal)
    assert isinstance(verdict(pair[1], pair[0]), Equal)


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_different_programs_are_told_apart(pair: tuple[str, str]) -> None:
    """Law: a difference is found, and its witness shows two different outcomes."""
    found = verdict(*pair)
    assert isinstance(found, Different), found
    assert found.counterexample.expected != found.counterexample.actual


@pytest.mark.parametrize("pair", NEVER_EQUAL.values(), ids=NEVER_EQUAL.keys())
def test_no_pair_that_differs_is_equal(pair: tuple[str, str]) -> None:
    """Law: what differs in the kernel, on any map contents, CPUs and draws, is Different or Unknown; state before the run
    may be assumed, in words."""
    found = verdict(*pair)
    assert not isinstance(found, Equal) or any("initial" in words for words in found.assumptions), found


@pytest.mark.parametrize("pair", [*EQUAL.values(), *DIFFERENT.values()], ids=[*EQUAL.keys(), *DIFFERENT.keys()])
def test_a_program_is_equal_to_itself(pair: tuple[str, str]) -> None:
    """Law: what the reference is modelled for, it is Equal to itself, or the reason names what cannot be certified."""
    found = verdict(pair[0], pair[0])
    assert not isinstance(found, Different)
    assert isinstance(found, Equal) or found.gap not in ("solver-limit", "witness-not-reproduced")


@pytest.mark.kernel
@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_the_kernel_shows_both_sides_of_a_difference(pair: tuple[str, str]) -> None:
    """Law: on the witness, the kernel makes of the reference what is expected, and of the candidate what is actual."""
    found = verdict(*pair, replay=True)
    assert isinstance(found, Different)
    example = found.counterexample
    assert example.replayed_on
    seen = run_in_kernel(program(pair[0]), None, example.input)
    assert seen is not None
    assert shows_difference(replace(example, actual=example.expected), seen)


CRASHES = {
    "a verdict on frames shorter than Ethernet": tuple(
        f"r2 = *(u32 *)(r1 +4)\nr1 = *(u32 *)(r1 +0)\nr1 += 14\nr0 = 2\nif r1 > r2 goto s\nexit\ns: r0 = {v}\nexit\n"
        for v in (1, 0)
    ),
    "a verdict on a full map": tuple(
        KEYS + call("update", "m") + f"if r0 != 0 goto o\n{END}o: r0 = {v}\nexit\n" for v in (1, 0)
    ),
    "a verdict on the receive queue": tuple(
        f"r1 = *(u32 *)(r1 +16)\nr0 = 2\nif r1 != {v} goto o\nr0 = 1\no: exit\n" for v in (9, 7)
    ),
    "a read of the stack before any write": (END, "r0 = *(u64 *)(r10 -8)\nexit\n"),
}


@pytest.mark.kernel
@pytest.mark.parametrize("pair", CRASHES.values(), ids=CRASHES.keys())
def test_what_cannot_be_replayed_is_no_crash(pair: tuple[str, str]) -> None:
    """Law: where the kernel cannot be given the witness's input, the answer is still an answer."""
    for reference, candidate in (pair, (pair[1], pair[0])):
        assert isinstance(verdict(reference, candidate, replay=True), Different | Unknown | Equal)


ELEMENT = """\
state:
    limit: int
    count: int
    total: uint
init():
    limit = 5
    count = 3
req(rpc):
    total = total + 1
    count = count + 1
    match count > limit:
        true => send(err('over'), Drop)
    send(rpc, Down)
"""
RIGHT = """\
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
int limit = 5, count = 3;
unsigned total;
struct bpf_spin_lock lock SEC(".data.lock"), other SEC(".data.other");
SEC("xdp") int step(struct xdp_md *ctx)
{
    int verdict = XDP_PASS;
    bpf_spin_lock(&lock);
    total++;
    count++;
    if (count > limit)
        verdict = XDP_DROP;
    bpf_spin_unlock(&lock);
    return verdict;
}
char LICENSE[] SEC("license") = "GPL";
"""
WRONG = {
    ">= for >": ("count > limit", "count >= limit"),
    "another constant": ("count > limit", "count > limit + 1"),
    "another initial value of a constant": ("limit = 5", "limit = 6"),
    "another initial value of a variable": ("count = 3", "count = 0"),
    "a dropped update": ("    total++;\n", ""),
    "an update of the wrong variable": ("total++", "count++"),
    "actions that changed places": ("verdict = XDP_DROP", "verdict = XDP_TX"),
    "a counter that stops": ("total++", "total += total < 1000000"),
    "an unsigned comparison": ("count > limit", "(unsigned)count > limit"),
    "the lock given back early": (
        "    if (count > limit)\n        verdict = XDP_DROP;\n    bpf_spin_unlock(&lock);",
        "    bpf_spin_unlock(&lock);\n    if (count > limit)\n        verdict = XDP_DROP;",
    ),
    "two sections": ("    count++;", "    bpf_spin_unlock(&lock);\n    bpf_spin_lock(&lock);\n    count++;"),
    "one of two locks, by the CPU": (
        "bpf_spin_lock(&lock);",
        "struct bpf_spin_lock *one = bpf_get_smp_processor_id() & 1 ? &other : &lock;\n    bpf_spin_lock(one);",
    ),
}


@pytest.fixture(scope="module")
def element(tmp_path_factory: pytest.TempPathFactory) -> Element:
    path = tmp_path_factory.mktemp("appnet") / "limit.appnet"
    path.write_text(ELEMENT)
    return type_check(read_source(path))[0]


def step_verdict(element: Element, c_text: str) -> Verdict:
    obj = read_object(Compiler.default().compile(c_text))
    return prove(element, obj.program("step"), obj, replay=False)


def test_the_right_step_is_equal_to_what_the_element_means(element: Element) -> None:
    """Law: a step written by hand, under a lock, is proved."""
    assert isinstance(step_verdict(element, RIGHT), Equal)


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_no_wrong_step_is_equal_to_what_the_element_means(element: Element, change: tuple[str, str]) -> None:
    """Law: a step with one mistake in it, also one that only another CPU or the first run shows, is not Equal."""
    old, new = change
    assert RIGHT.count(old) == 1
    text = RIGHT.replace(old, new)
    if "*one" in new:
        text = text.replace("bpf_spin_unlock(&lock)", "bpf_spin_unlock(one)")
    assert isinstance(step_verdict(element, text), Different | Unknown)


def test_two_atomic_counters_are_one_step(tmp_path: Path) -> None:
    """Law: the code that is generated for independent counters, atomic additions without a lock, is proved."""
    path = tmp_path / "counters.appnet"
    path.write_text(
        "state:\n    a: uint\n    b: uint\ninit():\n    a = 0\nreq(rpc):\n    a = a + 1\n    b = b + 2\n    send(rpc, Down)\n"
    )
    counters = type_check(read_source(path))[0]
    generated = lower(counters, initial_values(counters))
    obj = read_object(Compiler.default().compile(generated.c_text))
    assert isinstance(prove(counters, obj.program(generated.function), obj, replay=False), Equal)
