"""The filter expressions of pcap-filter(7), as far as they are about addresses, ports, protocols and lengths.

    tcp dst port 443 and src net 10.0.0.0/8
    not (udp port 53 or icmp) and less 1500

`and` binds like `or`, from the left, and `not` tighter than both, as pcap-filter(7) says.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.source import SourceText, Span

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58}
ETHER_TYPES = {"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD}


@dataclass(frozen=True, slots=True)
class EtherType:
    """`ip`, `ip6`, `arp`: the frame's ethertype."""

    value: int


@dataclass(frozen=True, slots=True)
class Protocol:
    """`tcp`, `udp`, `icmp`, `icmp6`: the IPv4 header's protocol or the IPv6 header's next header."""

    value: int


@dataclass(frozen=True, slots=True)
class Net:
    """An IPv4 network; `sides` are the header's bytes 12 (source) and 16 (destination) of which one has to be in it."""

    address: int
    mask: int
    sides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP or UDP ports from `low` to `high`; `sides` are the bytes 0 (source) and 2 (destination) of that header."""

    low: int
    high: int
    sides: tuple[int, ...]
    protocols: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Length:
    """The frame has at least (`least`) or at most so many bytes."""

    bytes: int
    least: bool


@dataclass(frozen=True, slots=True)
class Not:
    operand: Filter


@dataclass(frozen=True, slots=True)
class And:
    left: Filter
    right: Filter


@dataclass(frozen=True, slots=True)
class Or:
    left: Filter
    right: Filter


Filter = EtherType | Protocol | Net | Ports | Length | Not | And | Or

_TOKEN = re.compile(r"\s+|#[^\n]*|(?P<word>&&|\|\||[()!]|[^\s()!#]+)")
_SIDES = {"src": (0,), "dst": (1,), "": (0, 1)}
_DEEPEST = 50


def parse(text: str, path: str) -> Filter:
    """The tree of a filter. InputError `pcap-syntax` at the first place that is none."""
    parser = _Parser(text, path)
    found = parser.any()
    if parser.word():
        raise parser.error(f"`{parser.word()}` stands where the filter has ended", "join the parts with `and` or `or`")
    return found


class _Parser:
    """Recursive descent over words."""

    def __init__(self, text: str, path: str) -> None:
        self.source = SourceText(path, text)
        self.words = [(item["word"], item.start()) for item in _TOKEN.finditer(text) if item["word"]]
        self.at = 0
        self.depth = 0

    def word(self) -> str:
        return self.words[self.at][0] if self.at < len(self.words) else ""

    def take(self) -> str:
        found = self.word()
        self.at += 1
        return found

    def error(self, message: str, help_text: str, back: int = 0) -> InputError:
        index = min(self.at - back, len(self.words) - 1)
        word, start = self.words[index] if self.words else ("", 0)
        line, column = self.source.text.count("\n", 0, start) + 1, start - self.source.text.rfind("\n", 0, start)
        place = Label(Span(self.source.path, line, column, line, column + len(word)))
        return InputError(Diagnostic("pcap-syntax", message, place, help=help_text, source=self.source))

    def any(self) -> Filter:
        found = self.negated()
        while self.word() in ("and", "&&", "or", "||"):
            kind = And if self.take() in ("and", "&&") else Or
            found = kind(found, self.negated())
        return found

    def negated(self) -> Filter:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error("filters are nested too deeply", f"use at most {_DEEPEST} levels")
        try:
            if self.word() in ("not", "!"):
                self.take()
                return Not(self.negated())
            if self.word() == "(":
                self.take()
                found = self.any()
                if self.take() != ")":
                    raise self.error("a parenthesis is not closed", "write `)` behind what it holds", back=1)
                return found
            return self.primitive()
        finally:
            self.depth -= 1

    def primitive(self) -> Filter:
        word = self.take()
        if word in ETHER_TYPES and self.word() not in ("src", "dst", "host", "net"):
            return EtherType(ETHER_TYPES[word])
        if word in PROTOCOLS and self.word() not in ("src", "dst", "port", "portrange"):
            return Protocol(PROTOCOLS[word])
        if word in ("less", "greater"):
            return Length(self.number(0xFFFF), word == "greater")
        protocols = (PROTOCOLS[word],) if word in ("tcp", "udp") else (6, 17)
        if word in ("tcp", "udp", "ip"):
            word = self.take()
        sides = _SIDES[word if word in ("src", "dst") else ""]
        if word in ("src", "dst"):
            word = self.take()
        match word:
            case "host":
                return Net(self.address(self.take()), 0xFFFFFFFF, tuple(12 + 4 * side for side in sides))
            case "net":
                address, _, bits = self.take().partition("/")
                size = int(bits) if bits.isdigit() and int(bits) <= 32 else -1
                if size < 0:
                    raise self.error("a network has its length behind a slash", "write `net 10.0.0.0/8`", back=1)
                mask = (0xFFFFFFFF << (32 - size)) & 0xFFFFFFFF
                return Net(self.address(address) & mask, mask, tuple(12 + 4 * side for side in sides))
            case "port":
                port = self.number(0xFFFF)
                return Ports(port, port, tuple(2 * side for side in sides), protocols)
            case "portrange":
                low, _, high = self.take().partition("-")
                if not (low.isdigit() and high.isdigit() and int(low) <= int(high) <= 0xFFFF):
                    raise self.error("a range of ports is two numbers, the lesser first", "write `portrange 8000-8080`", back=1)
                return Ports(int(low), int(high), tuple(2 * side for side in sides), protocols)
            case "":
                raise self.error("a filter ends where a condition was expected", "write one, such as `tcp port 443`")
            case _:
                known = "ip, ip6, arp, tcp, udp, icmp, icmp6, host, net, port, portrange, src, dst, less, greater"
                raise self.error(f"`{word}` is no condition that is known here", f"these are: {known}", back=1)

    def number(self, most: int) -> int:
        word = self.take()
        if not word.isdigit() or int(word) > most:
            raise self.error(f"a number up to {most} was expected", "names of ports are not looked up", back=1)
        return int(word)

    def address(self, text: str) -> int:
        try:
            return int(ipaddress.IPv4Address(text))
        except ValueError:
            raise self.error(f"`{text}` is no IPv4 address", "write four numbers: 192.0.2.1", back=1) from None
