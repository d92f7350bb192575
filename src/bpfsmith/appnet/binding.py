"""Where the fields of a message lie in a packet: a binding, written in TOML, and read here by the letter.

    transport = "udp"                    # or "tcp": one segment with data is one message
    ip = 4                               # or 6: no IPv4 options, no fragments, no IPv6 extension headers
    port = 9000                          # requests go to it, responses come from it
    unreadable = "forward"               # or "drop": a message of this port whose fields cannot be read

    [fields]                             # in the order in which they lie in the payload; [request] and [response] say it apart
    id = "u32"                           # u8 u16 u32 i8 i16 i32, network order; u32le and so on for little endian
    status = {type = "u8", names = {success = 0, failure = 1}}
    user = "text8(31)"                   # a length of 8 (text16: 16) bits, then so many bytes: here at most 31
    token = "bytes(16)"                  # 16 bytes
    flags = "varint"                     # a base-128 varint of at most 32 bits
    _1 = "skip(3)"                       # bytes that do not matter

    [reply]                              # err(..) answers the sender: the request turned round, with these fields set
    status = "failure"

    [proto]                              # behind the fields: a message in protobuf wire format, as a .proto file describes it
    file = "orders.proto"
    message = "Order"                    # or request = "..", response = ".."

    [packets]                            # an RPC may take several packets: `packets.Packets` says how they hang together
    id = "id"

    [header]                             # fields that stand at the beginning of each of its packets
    index = "u16"

`binding_file` reads it; `wire.read_message` decodes a packet, as the reference for generated code and proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bpfsmith.appnet import core
from bpfsmith.appnet.envelope import Envelope
from bpfsmith.appnet.packets import Packets, Parts, cut

VARINT_BYTES = 5

IPV4_UDP = Envelope()


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `kind` is "number" (of `size` bytes, `signed`, `little` endian or in network order), "varint" (of at most
    `size` bytes), "text" (a length of `prefix` bytes, 0 for a varint; then at most `size` bytes), "bytes" (`size` bytes),
    "skip" or "record" (`inner` behind a protobuf `tag`, `times` times at most). `unread`: why no program can read it."""

    name: str
    kind: str
    size: int
    prefix: int = 0
    signed: bool = False
    little: bool = False
    names: tuple[tuple[str, int], ...] = ()
    inner: Field | None = None
    tag: int = 0
    times: int = 1
    unread: str = ""

    @property
    def type(self) -> core.Type:
        """What a program sees."""
        if self.inner is not None:
            return self.inner.type
        if self.kind in ("text", "bytes"):
            return core.text(self.size)
        if self.names:
            return core.Type("name", names=self.names)
        return core.INT if self.signed else core.UINT

    @property
    def fixed(self) -> bool:
        """Does it take the same number of bytes in every message?"""
        return self.kind in ("number", "bytes", "skip")


@dataclass(frozen=True, slots=True)
class Binding:
    """The messages of one port. `fields` are those of "req" and "resp"; `rpc_id` names the field that tells RPCs apart. Where
    RPCs take several packets, the first `header` fields stand in each of them."""

    name: str
    port: int
    fields: Mapping[str, tuple[Field, ...]]
    unreadable: str = "forward"
    rpc_id: str = ""
    reply: tuple[tuple[str, int], ...] | None = None  # fields that an error reply sets; None: an error drops the request
    envelope: Envelope = IPV4_UDP
    packets: Packets | None = None
    header: int = 0

    def field(self, body: str, name: str) -> Field | None:
        return next((item for item in self.fields[body] if item.name == name), None)

    def replied(self) -> frozenset[str]:
        """The fields that an error reply sets."""
        return frozenset(name for name, _ in self.reply or ())

    def needed(self, body: str, names: Iterable[str]) -> tuple[Field, ...]:
        """The fields of a message up to the last of `names`, and those of its header."""
        wanted, fields = set(names), self.fields[body]
        last = max((index for index, item in enumerate(fields) if item.name in wanted), default=-1)
        return fields[: max(last + 1, self.header)]

    def placed(self, fields: Iterable[Field]) -> Placed:
        """Which of these fields, the first of a message, have a constant place in a packet."""
        return placed(fields, slides=self.envelope.slides)

    @property
    def header_size(self) -> int:
        return sum(item.size for item in self.fields["req"][: self.header])

    def parts(self, body: str, names: Iterable[str]) -> Parts:
        """The fields among `names` that may lie in other packets than the first; none where RPCs are not cut up."""
        if self.packets is None or not self.packets.part:
            return Parts()
        wanted, at, found = set(names), 0, []
        for item in self.needed(body, wanted)[self.header :]:
            if item.name in wanted:
                found.append((item.name, at, item.size))
            at += item.size
        return cut(found, self.packets.part)

    @property
    def told_apart(self) -> Iterator[str]:
        """The fields of the header that are read of every packet."""
        if self.packets is not None and not self.envelope.slides:
            yield from filter(None, (self.packets.id, self.packets.number))

    @property
    def id_size(self) -> int:
        """Bytes of what tells the RPCs of a client apart, in a key."""
        found = self.field("req", self.packets.id) if self.packets is not None else None
        return found.size if found is not None and found.kind == "bytes" else 4

    @property
    def key_size(self) -> int:
        """Bytes of the key under which an RPC is remembered."""
        return self.envelope.address_size + 4 + self.id_size


@dataclass(frozen=True, slots=True)
class Placed:
    """The fields that a body needs: those at a constant place in the payload, and those behind the first that varies."""

    fixed: tuple[tuple[Field, int], ...]
    varying: tuple[Field, ...]
    fixed_size: int


def placed(fields: Iterable[Field], *, slides: bool = False) -> Placed:
    """Fields in their order; none has a constant place where the whole message `slides`."""
    fixed: list[tuple[Field, int]] = []
    varying: list[Field] = []
    at = 0
    for item in fields:
        if slides or varying or not item.fixed:
            varying.append(item)
        else:
            fixed.append((item, at))
            at += item.size
    return Placed(tuple(fixed), tuple(varying), at)
