"""What a filter means, as plain instructions: each condition reads what it needs by itself, from the start of the frame.

A condition whose bytes the frame does not have is false. (libpcap drops such a frame whatever else the filter says; here `not`
of it holds.) Numbers in the packet are in network byte order. IPv6 headers are not followed, as in pcap-filter(7).
"""

from __future__ import annotations

from typing import assert_never

from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.pcap.syntax import And, EtherType, Filter, Length, Net, Not, Or, Ports, Protocol

ETHERNET = 14
_SWAPPED = {2: "be16", 4: "be32"}


def meaning(tree: Filter, name: str) -> Program:
    """The filter as a program: XDP_PASS (2) for what matches, XDP_DROP (1) for all else."""
    code = _Code()
    code.add("r7 = *(u32 *)(r1 +4)", "r6 = *(u32 *)(r1 +0)")
    yes, no = code.label(), code.label()
    code.condition(tree, yes, no)
    code.place(yes)
    code.add("r0 = 2", "exit")
    code.place(no)
    code.add("r0 = 1", "exit")
    (program,) = assemble(f".section xdp\n.program {name}\n{code.text()}", f"{name}.s")
    return program


class _Code:
    """Instructions with labels: a jump is written `.. goto @3`, and becomes `pc+N` at the end."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.places: dict[int, int] = {}
        self.labels = 0

    def label(self) -> int:
        self.labels += 1
        return self.labels

    def place(self, label: int) -> None:
        self.places[label] = len(self.lines)

    def add(self, *lines: str) -> None:
        self.lines += lines

    def text(self) -> str:
        out = []
        for at, line in enumerate(self.lines):
            words, at_sign, label = line.partition("@")
            out.append(f"{words}pc{self.places[int(label)] - at - 1:+d}" if at_sign else line)
        return "\n".join(out) + "\n"

    def condition(self, tree: Filter, yes: int, no: int) -> None:
        """Goes to `yes` or to `no`."""
        match tree:
            case And(left=left, right=right):
                middle = self.label()
                self.condition(left, middle, no)
                self.place(middle)
                self.condition(right, yes, no)
            case Or(left=left, right=right):
                middle = self.label()
                self.condition(left, yes, middle)
                self.place(middle)
                self.condition(right, yes, no)
            case Not(operand=operand):
                self.condition(operand, no, yes)
            case Length(bytes=size, least=least):
                self.add("r2 = r6", f"r2 += {size}", f"if r2 {'>' if least else '<'} r7 goto @{no}", f"goto @{yes}")
            case EtherType(value=value):
                self.must_be(12, 2, value, no)
                self.add(f"goto @{yes}")
            case Protocol(value=value):
                six = self.label()
                self.must_be(12, 2, 0x0800, six)
                self.must_be(ETHERNET + 9, 1, value, no)
                self.add(f"goto @{yes}")
                self.place(six)
                self.must_be(12, 2, 0x86DD, no)
                self.must_be(ETHERNET + 6, 1, value, no)
                self.add(f"goto @{yes}")
            case Net():
                self.net(tree, yes, no)
            case Ports():
                self.ports(tree, yes, no)
            case _:
                assert_never(tree)

    def load(self, offset: int, size: int, no: int) -> None:
        """r3 is the number at an offset; `no` where the frame ends before."""
        self.add("r2 = r6", f"r2 += {offset + size}", f"if r2 > r7 goto @{no}", f"r3 = *(u{8 * size} *)(r6 +{offset})")
        if size > 1:
            self.add(f"r3 = {_SWAPPED[size]} r3")

    def must_be(self, offset: int, size: int, value: int, no: int) -> None:
        self.load(offset, size, no)
        self.add(f"if r3 != {value:#x} goto @{no}")

    def net(self, tree: Net, yes: int, no: int) -> None:
        self.must_be(12, 2, 0x0800, no)
        for side in tree.sides:
            self.load(ETHERNET + side, 4, no)
            # `&=` would extend a mask with its top bit set: the bits below the network's are shifted out instead.
            host_bits = 32 - tree.mask.bit_count()
            self.add(f"r3 >>= {host_bits}" if host_bits < 32 else "r3 = 0", f"w4 = {_signed(tree.address >> host_bits)}")
            self.add(f"if r3 == r4 goto @{yes}")
        self.add(f"goto @{no}")

    def ports(self, tree: Ports, yes: int, no: int) -> None:
        six = self.label()
        self.must_be(12, 2, 0x0800, six)
        self.load(ETHERNET + 6, 2, no)  # a later fragment has no ports
        self.add("r3 &= 0x1fff", f"if r3 != 0 goto @{no}")
        self.protocol(tree, ETHERNET + 9, no)
        self.load(ETHERNET, 1, no)
        self.add("r3 &= 15", "r3 <<= 2", "r5 = r6", "r5 += r3")
        self.sides(tree, ETHERNET, yes, no)
        self.place(six)
        self.must_be(12, 2, 0x86DD, no)
        self.protocol(tree, ETHERNET + 6, no)
        self.add("r5 = r6")
        self.sides(tree, ETHERNET + 40, yes, no)

    def protocol(self, tree: Ports, offset: int, no: int) -> None:
        self.load(offset, 1, no)
        known = self.label()
        for value in tree.protocols:
            self.add(f"if r3 == {value} goto @{known}")
        self.add(f"goto @{no}")
        self.place(known)

    def sides(self, tree: Ports, offset: int, yes: int, no: int) -> None:
        """r5 plus `offset` is where ports are; both of them have to be in the frame."""
        self.add("r2 = r5", f"r2 += {offset + 4}", f"if r2 > r7 goto @{no}")
        for side in tree.sides:
            other = self.label()
            self.add(f"r3 = *(u16 *)(r5 +{offset + side})", "r3 = be16 r3")
            self.add(f"if r3 < {tree.low} goto @{other}", f"if r3 <= {tree.high} goto @{yes}")
            self.place(other)
        self.add(f"goto @{no}")


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
