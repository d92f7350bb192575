"""Bindings as they are written: TOML files, read and checked. `binding` says what they describe."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpfsmith.appnet.binding import IPV4_UDP, VARINT_BYTES, Binding, Field
from bpfsmith.appnet.envelope import TRANSPORTS, Envelope
from bpfsmith.appnet.packets import MOST_PACKETS, Packets
from bpfsmith.appnet.protobuf import MOST_TIMES, ProtoError, ProtoField, message_fields
from bpfsmith.appnet.shapes import LONGEST_TEXT
from bpfsmith.diagnostic import Diagnostic, InputError

_TYPE = re.compile(
    r"(?P<sign>[ui])(?P<bits>8|16|32)(?P<order>le|be)?|(?P<kind>text8|text16|bytes|skip)\((?P<size>\d+)\)|(?P<varint>varint)"
)


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
