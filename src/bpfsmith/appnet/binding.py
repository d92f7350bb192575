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

`Fields` says which fields a body reads; `read_message` decodes a packet as the reference for generated code and proof.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpfsmith.appnet import core
from bpfsmith.appnet.envelope import TRANSPORTS, Envelope
from bpfsmith.appnet.packets import MOST_PACKETS, Packets, Parts, cut
from bpfsmith.appnet.protobuf import LENGTH_BYTES, MOST_TIMES, ProtoError, ProtoField, message_fields, varint
from bpfsmith.appnet.shapes import LONGEST_TEXT
from bpfsmith.diagnostic import Diagnostic, InputError

VARINT_BYTES = 5

IPV4_UDP = Envelope()

_TYPE = re.compile(
    r"(?P<sign>[ui])(?P<bits>8|16|32)(?P<order>le|be)?|(?P<kind>text8|text16|bytes|skip)\((?P<size>\d+)\)|(?P<varint>varint)"
)


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


# --- reading a binding ------------------------------------------------------------------------------------------------
def read_binding(text: str) -> Binding:
    """A binding from `udp:PORT` or `tcp:PORT`, or from the TOML file of that name; InputError `bad-binding` or
    `unreadable-file`."""
    short = re.fullmatch(r"(udp|tcp):(\d+)", text)
    if short:
        return binding(text, {"transport": short[1], "port": int(short[2])})
    try:
        data = Path(text).read_bytes()
    except OSError as error:
        raise InputError(
            Diagnostic(
                "unreadable-file",
                f"{text} cannot be read: {error.strerror}",
                help="name a TOML file, or udp:PORT or tcp:PORT",
            )
        ) from error
    try:
        return binding(text, tomllib.loads(data.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad(text, f"is no TOML: {error}", "see `bpfsmith explain bad-binding` for an example") from None


def binding(name: str, table: Mapping[str, Any]) -> Binding:
    """The binding that a TOML document describes; `name` is for messages."""
    known = {
        "transport",
        "ip",
        "port",
        "unreadable",
        "rpc_id",
        "fields",
        "request",
        "response",
        "reply",
        "header",
        "packets",
        "proto",
    }
    for key in table:
        if key not in known:
            raise _bad(name, f"has an entry `{key}` that means nothing", f"the entries are {', '.join(sorted(known))}")
    transport, version = table.get("transport", "udp"), table.get("ip", 4)
    if transport not in TRANSPORTS:
        raise _bad(name, f"has the transport {transport!r}", 'write `transport = "udp"` or "tcp"')
    if version not in (4, 6) or isinstance(version, bool):
        raise _bad(name, f"has ip = {version!r}", "write `ip = 4` or `ip = 6`")
    port = table.get("port")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise _bad(name, f"has the port {port!r}", "write `port = N` with 0 < N < 65536")
    unreadable = table.get("unreadable", "forward")
    if unreadable not in ("forward", "drop"):
        raise _bad(name, f"has unreadable = {unreadable!r}", 'write "forward" or "drop"')
    both = table.get("fields", {})
    behind = _proto(name, table["proto"]) if "proto" in table else {"req": (), "resp": ()}
    header = tuple(_field(name, key, item) for key, item in table.get("header", {}).items())
    if any(not item.fixed for item in header):
        raise _bad(name, "has a field of varying length in its [header]", "numbers, bytes(N) and skip(N) can stand there")
    fields = {
        body: (*header, *(_field(name, key, item) for key, item in table.get(section, both).items()), *behind[body])
        for body, section in (("req", "request"), ("resp", "response"))
    }
    for body, items in fields.items():
        twice = next((item.name for at, item in enumerate(items) if item.name in {other.name for other in items[:at]}), None)
        if twice is not None:
            raise _bad(name, f"has two fields `{twice}` in `{body}`", "rename one of them: [header] stands before the others")
    envelope = Envelope(transport, version)
    rpc_id = table.get("rpc_id", "")
    for body, items in fields.items():
        found = next((item for item in items if item.name == rpc_id), None)
        if rpc_id and (found is None or found.kind != "number"):
            raise _bad(
                name, f"has rpc_id = {rpc_id!r}, which is no number among the fields of `{body}`", "name one of its fields"
            )
    made = Binding(name, port, fields, unreadable, rpc_id, envelope=envelope, header=len(header))
    if "packets" in table:
        made = replace(made, packets=_packets(made, table["packets"]))
    elif header:
        raise _bad(name, "has a [header] and no [packets]", "add [packets], or put the fields under [fields]")
    return replace(made, reply=_reply(made, table["reply"], "fields" in table)) if "reply" in table else made


def _proto(name: str, table: object) -> dict[str, tuple[Field, ...]]:
    """The fields that a .proto file describes, of "req" and "resp". The file stands beside the binding."""
    known = {"file", "message", "request", "response", "maxlen"}
    if not isinstance(table, Mapping) or set(table) - known or not isinstance(table.get("file"), str):
        raise _bad(name, "has a `proto` without a file", 'write [proto], file = "F.proto" and message = "M" below it')
    longest = table.get("maxlen", 31)
    if type(longest) is not int or not 0 < longest <= LONGEST_TEXT:
        raise _bad(name, f"has maxlen = {longest!r} in [proto]", f"a string has 1 to {LONGEST_TEXT} bytes")
    path = Path(name).parent / table["file"]
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(name, f"names {path}, which cannot be read: {error}", "the file is looked for beside the binding") from error
    out = {}
    for body, section in (("req", "request"), ("resp", "response")):
        message = table.get(section, table.get("message"))
        if not isinstance(message, str):
            raise _bad(name, f"names no message of {path} for {section}s", 'write message = "M", or request and response')
        try:
            out[body] = tuple(_record(item, longest) for item in message_fields(text, message))
        except ProtoError as error:
            raise _bad(name, f"names {path}, which {error}", "proto 2 and 3 are read: messages, enums, oneof, map") from None
    return out


def _record(item: ProtoField, longest: int) -> Field:
    """A field of a .proto message: a tag, and what stands behind it."""
    match item.wire:
        case 0:
            names = item.values or ((("false", 0), ("true", 1)) if item.type == "bool" else ())
            inner = Field(item.name, "varint", item.size, signed=item.type == "int32", names=names if item.readable else ())
        case 2:
            inner = Field(item.name, "text", longest, prefix=0)
        case _:
            kind = "number" if item.size == 4 else "skip"
            inner = Field(item.name, kind, item.size, signed=item.type == "sfixed32", little=True)
    words = "" if item.readable else f"is {'repeated' if item.repeated else 'of the type'} {item.type}"
    times = MOST_TIMES if item.repeated else 1
    return Field(item.name, "record", inner.size, inner=inner, tag=item.tag, times=times, unread=words)


def _packets(made: Binding, table: object) -> Packets:
    """How the packets of an RPC hang together, checked against the fields."""
    if not isinstance(table, Mapping):
        raise _bad(made.name, "has `packets` that is no table", 'write [packets], and id = "FIELD" below it')
    known = {"id", "number", "first", "part", "life", "entries", "early"}
    for key in table:
        if key not in known:
            raise _bad(
                made.name, f"has an entry `{key}` in [packets] that means nothing", f"those are {', '.join(sorted(known))}"
            )
    header = {item.name: item for item in made.fields["req"][: made.header]}
    id, number = table.get("id", ""), table.get("number", "")
    if made.envelope.slides:
        if id != "sequence" or set(table) & {"number", "first", "part", "early"} or header:
            help = 'for TCP write id = "sequence" alone: a segment that is sent again has the number of the first'
            raise _bad(made.name, f"tells segments of RPCs apart by {id!r}", help)
    elif id not in header or header[id].size > 16 or (header[id].kind == "bytes" and header[id].size % 4):
        help = "name a number or bytes(4), (8), (12) or (16) of the [header], which stands in each packet"
        raise _bad(made.name, f"tells RPCs apart by {id!r}", help)
    if number and (number not in header or header[number].kind != "number" or header[number].signed):
        raise _bad(made.name, f"numbers packets by {number!r}", "name an unsigned number of the [header]")
    wanted = {"first": (0, 1 << 16), "part": (1, 9000), "entries": (1, 1 << 24)}
    for key, (low, high) in wanted.items():
        if key in table and (type(table[key]) is not int or not low <= table[key] <= high):
            raise _bad(made.name, f"has {key} = {table[key]!r} in [packets]", f"write a number from {low} to {high}")
    if not number and ("part" in table or "first" in table):
        raise _bad(made.name, "has parts and no `number` in [packets]", 'add number = "FIELD": which packet of its RPC it is')
    life = table.get("life", 5.0)
    if not isinstance(life, int | float) or isinstance(life, bool) or not 0 < life <= 3600:
        raise _bad(made.name, f"has life = {life!r} in [packets]", "write seconds, more than 0 and at most 3600")
    early = table.get("early", "forward")
    if early not in ("forward", "drop"):
        raise _bad(made.name, f"has early = {early!r} in [packets]", 'write "forward" or "drop"')
    part = table.get("part", 0)
    if part and any(not item.fixed for items in made.fields.values() for item in items):
        raise _bad(made.name, "has parts and a field of varying length", "whose packet is not known before; leave out `part`")
    longest = max(sum(item.size for item in items) for items in made.fields.values()) - sum(
        item.size for item in header.values()
    )
    if part and longest > MOST_PACKETS * part:
        raise _bad(
            made.name, f"has fields in more than {MOST_PACKETS} packets", "declare what the programs read, or a larger `part`"
        )
    return Packets(id, number, table.get("first", 0), part, int(life * 10**9), table.get("entries", 65536), early)


def _reply(made: Binding, table: object, one_layout: bool) -> tuple[tuple[str, int], ...]:
    """What an error reply sets, as numbers."""
    if not isinstance(table, Mapping):
        raise _bad(made.name, "has a `reply` that is no table", 'write [reply], and status = "failure" below it')
    if table and not one_layout:
        raise _bad(
            made.name, "answers with fields that requests and responses may keep elsewhere", "declare both under [fields]"
        )
    if made.envelope != IPV4_UDP:
        help = "leave [reply] out: a TCP segment would have to fit into the connection, and UDP over IPv6 wants a checksum"
        raise _bad(made.name, "answers with more than UDP over IPv4", help)
    places = [item for item, _ in made.placed(made.fields["req"]).fixed if item.kind == "number"]
    out = []
    for name, value in table.items():
        item = next((item for item in places if item.name == name), None)
        number = dict(item.names).get(value) if item is not None and isinstance(value, str) else value
        if item is None or type(number) is not int or item.signed or not 0 <= number < 1 << 8 * item.size:
            help = "name a number before the first field of varying length, and a value that it can have"
            raise _bad(made.name, f"sets `{name}` to {value!r} in its reply", help)
        out.append((name, number))
    return tuple(out)


def _field(where: str, name: str, item: object) -> Field:
    names: tuple[tuple[str, int], ...] = ()
    written = item
    if isinstance(item, Mapping):
        written = item.get("type")
        table = item.get("names", {})
        unknown = set(item) - {"type", "names"}
        if unknown or not isinstance(table, Mapping) or not all(type(value) is int for value in table.values()):
            raise _bad(where, f"says something else than a type and names of `{name}`", 'write {type = "u8", names = {ok = 0}}')
        names = tuple((str(key), value) for key, value in table.items())
    found = _TYPE.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        help = "the types are u8 u16 u32 i8 i16 i32 (u32le: little endian), text8(N) text16(N) bytes(N) varint skip(N)"
        raise _bad(where, f"gives `{name}` the type {written!r}", help)
    if found["varint"]:
        return Field(name, "varint", VARINT_BYTES)
    if found["bits"]:
        size = int(found["bits"]) // 8
        for key, value in names:
            if not 0 <= value < 1 << 8 * size or found["sign"] == "i":
                raise _bad(
                    where, f"gives `{key}` of `{name}` the number {value}", f"u{8 * size} holds 0 to {(1 << 8 * size) - 1}"
                )
        return Field(name, "number", size, signed=found["sign"] == "i", little=found["order"] == "le", names=names)
    size, kind = int(found["size"]), found["kind"]
    if not 0 < size <= (LONGEST_TEXT if kind != "skip" else 1400):
        raise _bad(where, f"gives `{name}` {size} bytes", f"a text has 1 to {LONGEST_TEXT} bytes")
    if kind in ("bytes", "skip"):
        return Field(name, kind, size)
    return Field(name, "text", size, prefix=1 if kind == "text8" else 2)


def _bad(name: str, what: str, help: str) -> InputError:
    return InputError(Diagnostic("bad-binding", f"the binding {name} {what}", help=help))


# --- reading a message ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Message:
    """The fields of a message by name (numbers as int, texts as bytes) and the bytes of its payload."""

    fields: Mapping[str, int | bytes]
    size: int


def read_message(binding: Binding, body: str, packet: bytes, names: Iterable[str] | None = None) -> Message | str | None:
    """What `packet` says, as far as the fields up to the last of `names` go (all, unless given).

    None when it is no message of the binding; else, when a field does not fit into the message or is longer than the binding
    admits, the name of that field ("" when the packet ends before its own length).
    """
    around = binding.envelope
    if len(packet) < around.payload:
        return None
    for test in around.tests(body, binding.port):
        found_there = int.from_bytes(packet[test.offset : test.offset + test.size], "big")
        if (found_there if test.mask is None else found_there & test.mask) != test.value:
            return None
    length_at, counts_from = around.length
    end = counts_from + int.from_bytes(packet[length_at : length_at + 2], "big")
    begin = around.payload
    if around.slides:
        begin = around.l4 + 4 * (packet[around.data_offset] >> 4)
        if begin < around.payload or end <= begin:
            return None
    if end < begin or end > len(packet):
        return ""
    payload = packet[begin:end]
    fields = binding.fields[body] if names is None else binding.needed(body, names)
    wanted = {item.name for item in fields} if names is None else set(names)
    found: dict[str, int | bytes] = {}
    position = 0
    for item in fields:
        value, position = _value(item, payload, position, item.name in wanted)
        if value is None:
            return item.name
        if item.kind != "skip":
            found[item.name] = value
    return Message(found, len(payload))


def value_of_bytes(item: Field, raw: bytes) -> int | bytes:
    """The value of a number or bytes(N) from its bytes."""
    return raw if item.kind == "bytes" else int.from_bytes(raw, "little" if item.little else "big", signed=item.signed)


def _value(item: Field, payload: bytes, at: int, wanted: bool) -> tuple[int | bytes | None, int]:
    """A field's value, None when it is not there, and where the next one begins."""
    match item.kind:
        case "record":
            return _record_value(item, payload, at, wanted)
        case "number":
            raw = payload[at : at + item.size]
            return (value_of_bytes(item, raw) if len(raw) == item.size else None), at + item.size
        case "bytes" | "skip":
            raw = payload[at : at + item.size]
            return (raw if len(raw) == item.size else None), at + item.size
        case "varint":
            whole, after = _varint(payload, at, item.size)
            if whole is None or (whole >= 1 << 32 and item.size <= VARINT_BYTES):
                return None, at
            # Of a longer one the lower 32 bits count (protobuf writes negative int32 with ten bytes).
            low = whole & 0xFFFFFFFF
            return (low - (1 << 32) if item.signed and low >> 31 else low), after
        case _:
            if item.prefix:
                raw = payload[at : at + item.prefix]
                begin = at + item.prefix
                size = int.from_bytes(raw, "big") if len(raw) == item.prefix else None
            else:
                size, begin = _varint(payload, at, LENGTH_BYTES)
            if size is None or begin + size > len(payload) or (wanted and size > item.size):
                return None, at
            return payload[begin : begin + size], begin + size


def _varint(payload: bytes, at: int, most: int) -> tuple[int | None, int]:
    """A base-128 varint of at most so many bytes, None when there is none, and what is behind it."""
    value = 0
    for index, byte in enumerate(payload[at : at + most]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    return None, at


def _record_value(item: Field, payload: bytes, at: int, wanted: bool) -> tuple[int | bytes | None, int]:
    """The value of a field with a tag, or its default where another field or the end comes first."""
    inner = item.inner
    assert inner is not None
    value: int | bytes | None = b"" if inner.kind == "text" else 0
    for _ in range(item.times):
        if at == len(payload):
            break
        if at + 2 > len(payload):  # a tag and a value have two bytes at least
            return None, at
        tag = payload[at] if payload[at] < 0x80 else payload[at] & 0x7F | payload[at + 1] << 7
        if tag == item.tag:
            value, at = _value(inner, payload, at + len(varint(tag)), wanted)
            if value is None:
                return None, at
        elif tag >> 3 <= item.tag >> 3:
            return None, at
        else:
            break
    return value, at


# --- writing a message ------------------------------------------------------------------------------------------------
def payload(binding: Binding, body: str, values: Mapping[str, int | bytes]) -> bytes:
    """The payload of a message with these fields; zeros and empty texts for the others."""
    return b"".join(_bytes(item, values.get(item.name)) for item in binding.fields[body])


def _bytes(item: Field, value: int | bytes | None) -> bytes:
    match item.kind:
        case "number":
            whole = value if isinstance(value, int) else 0
            return whole.to_bytes(item.size, "little" if item.little else "big", signed=item.signed)
        case "record":
            assert item.inner is not None
            if not value:  # the default is not written
                return b""
            return varint(item.tag) + _bytes(item.inner, value)
        case "varint":
            return varint(value % (1 << 8 * min(item.size, 8)) if isinstance(value, int) else 0)
        case "text":
            text = value if isinstance(value, bytes) else b""
            return (len(text).to_bytes(item.prefix, "big") if item.prefix else varint(len(text))) + text
        case _:
            return (value if isinstance(value, bytes) else b"").ljust(item.size, b"\0")
