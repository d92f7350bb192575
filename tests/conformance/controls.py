"""Programs for the instructions that move control or name things, and what comes of them. The others are `experiments`."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.execution import RunInput
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program


@dataclass(frozen=True, slots=True)
class Control:
    """A program that executes the rows of these texts, and the number it must return."""

    name: str
    rows: tuple[str, ...]
    program: Program
    expected: int
    given: RunInput = RunInput(bytes(64))  # noqa: RUF009

    def __str__(self) -> str:
        return self.name


def _control(name: str, rows: str, expected: int, text: str, given: RunInput | None = None) -> Control:
    program = assemble(text if ".section" in text else f".section xdp\n{text}", name)[0]
    return Control(name, tuple(rows.split(" | ")), program, expected, given or RunInput(bytes(64)))


_PACKET = bytes(range(0x80, 0xC0))

CONTROLS: tuple[Control, ...] = (
    _control(
        "jumps go forward and back", "goto pc+2 | gotol pc+2 | exit", 17, """
                r0 = 1
                goto ahead
        back:   r0 *= 3
                gotol out
        ahead:  r0 += 4
                goto back
        out:    r0 += 2
                exit
        """),
    _control(
        "a subprogram has a stack of its own and gives r6 to r9 back", "call pc+2", 0x1234, """
                r6 = 0x1000
                *(u64 *)(r10 -8) = 0x200
                r1 = r10
                r1 += -8
                r2 = 0x30
                call callee
                r0 += r6
                r1 = *(u64 *)(r10 -8)
                r0 += r1
                exit
        .function callee
                r6 = 7
                *(u64 *)(r10 -8) = 9
                r3 = *(u64 *)(r1 +0)
                r3 += 0
                *(u64 *)(r1 +0) = r3
                r2 += 4
                r0 = r2
                exit
        """),
    _control(
        "a map and its value are two things",
        "r1 = map[fd:7] | r1 = map[fd:7][0]+8 | call bpf_get_prandom_u32#7",
        0x0BADCAFE, """
        .map cell array key=4 value=16 max=1
        .section xdp
                *(u32 *)(r10 -4) = 0
                r1 = map[cell]
                r2 = r10
                r2 += -4
                call bpf_map_lookup_elem
                if r0 != 0 goto found
                r0 = 1
                exit
        found:  r1 = 0x0badcafe
                *(u64 *)(r0 +8) = r1
                r2 = map[cell][0]+8
                r0 = *(u64 *)(r2 +0)
                exit
        """),
    _control(
        "may_goto falls through while there is budget", "may_goto pc+2", 10, """
                r0 = 0
        again:  may_goto out
                r0 += 1
                if r0 < 10 goto again
        out:    exit
        """),
    # Packet loads see network order, cut their offset to an int, and end the program with 0 outside the packet.
    *(
        _control(
            f"packet load of {size} bits at {place}", f"r0 = *(u{size} *)skb[7] | r0 = *(u{size} *)skb[r2 + 7]", expected, f"""
        .section socket
                r6 = r1
                r0 = 5
                r7 = {index} ll
                r0 = *(u{size} *)skb[{place.format("r7")}]
                if r0 != 0 goto out
                r0 = 1
        out:    exit
            """, RunInput(_PACKET))
        for size, place, index, expected in (
            (8, "7", 0, 0x87),
            (16, "7", 0, 0x8788),
            (32, "7", 0, 0x8788898A),
            (8, "{} + 7", 3, 0x8A),
            (16, "{} + 7", 3, 0x8A8B),
            (32, "{} + 7", 3, 0x8A8B8C8D),
            (32, "{} + -2", 5, 0x83848586),
            (16, "{} + 7", 0x100000003, 0x8A8B),  # the upper half of the index does not count
            (16, "{} + 2", 0xFFFFFFFF, 0x8182),
            (8, "63", 0, 0xBF),
            (8, "64", 0, 0),
            (16, "62", 0, 0xBEBF),
            (16, "63", 0, 0),
            (32, "60", 0, 0xBCBDBEBF),
            (32, "61", 0, 0),
            (32, "{} + 61", 0, 0),
            (8, "{} + 0", 0x7FFFFFFF, 0),
        )
    ),
)  # fmt: skip

NOT_EXECUTED = {
    "gotox r1": "kernel 6.18 does not accept it",
    "r1 = addr_space_cast(r2, 0, 1)": "it needs an arena, which has no model",
    "r1 = btf[id:7]": "kernel variables have no model",
    "r1 = subprog[+2]": "callbacks have no model",
    "r1 = map[idx:7]": "a loader's notation: objects and loaded programs say map[fd:N]",
    "r1 = map[idx:7][0]+8": "a loader's notation: objects and loaded programs say map[fd:N][0]",
    "call kernel-function#7": "kfuncs have no model",
}
"""Rows without a meaning here, and why."""
