"""Messages that a .proto file describes: what is read of the file, what of the wire, and what is not read in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfsmith.appnet.binding import Binding
from bpfsmith.appnet.binding_file import binding
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.lower import lower
from bpfsmith.appnet.protobuf import ProtoError, message_fields, varint
from bpfsmith.appnet.prove import prove
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.appnet.wire import Message, payload, read_message
from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import InputError, Unsupported
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.source import SourceText
from tests.support.messages import packet

PROTO = """
syntax = "proto3";
/* all kinds
   of fields */
message All {
  option deprecated = true;
  uint32 id = 1;
  repeated int32 many = 2 [packed = true];
  oneof which { string name = 3; bytes raw = 4; }
  int32 signed = 17;  // a tag of two bytes
  Kind kind = 18;
  fixed32 word = 19;
  double real = 20;
  map<string, int32> table = 21;
  bool flag = 22;
  enum Kind { NONE = 0; SOME = 1; }
}
message Small { uint32 kind = 1; uint32 user = 3; }
"""


@pytest.fixture
def bound(tmp_path: Path) -> Binding:
    """The messages All and Small, behind a byte of a header of its own."""
    (tmp_path / "all.proto").write_text(PROTO)
    table = {
        "port": 9000,
        "unreadable": "drop",
        "fields": {"version": "u8"},
        "proto": {"file": "all.proto", "request": "All", "response": "Small"},
    }
    return binding(str(tmp_path / "b.toml"), table)


def test_a_proto_file_is_read() -> None:
    """Law: messages, enums, oneof, map, options and comments are understood; fields come by number, with their wire types."""
    fields = message_fields(PROTO, "All")
    assert [(item.name, item.number, item.wire) for item in fields] == [
        ("id", 1, 0), ("many", 2, 2), ("name", 3, 2), ("raw", 4, 2), ("signed", 17, 0), ("kind", 18, 0), ("word", 19, 5),
        ("real", 20, 1), ("table", 21, 2), ("flag", 22, 0),
    ]  # fmt: skip
    assert [item.name for item in fields if not item.readable] == ["many", "real", "table"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("message M { int32 a = 1; }", "no message All"),
        ("message All { int32 a 1; }", "where a field"),
        ("message All { int32 a = 5000; }", "the number 5000"),
        ("message All { int32 a = 1;", "ends inside"),
        ("struct All { }", "`struct`"),
        ("enum E { A; }", "value of an enum"),
    ],
)
def test_what_is_no_proto_file_is_said(text: str, words: str) -> None:
    """Law: what is not understood of a .proto file is an error, not left out."""
    with pytest.raises(ProtoError, match=words):
        message_fields(text, "All")


def read(bound: Binding, data: bytes, names: list[str]) -> Message | str | None:
    return read_message(bound, "req", packet(bound, "req", data), names)


def test_fields_are_read_from_the_wire(bound: Binding) -> None:
    """Law: what is written is read; what is missing has its default; a negative int32 has ten bytes."""
    values: dict[str, int | bytes] = {"version": 1, "id": 300, "name": b"eve", "signed": -5, "kind": 1, "word": 7, "flag": 1}
    data = payload(bound, "req", values)
    found = read(bound, data, list(values))
    assert isinstance(found, Message)
    assert {name: found.fields[name] for name in values} == values
    empty = read(bound, b"\1", ["signed", "name", "flag"])
    assert isinstance(empty, Message) and (empty.fields["signed"], empty.fields["name"], empty.fields["flag"]) == (0, b"", 0)


def test_what_stands_elsewhere_makes_a_message_unreadable(bound: Binding) -> None:
    """Law: a field out of order, unknown, twice or cut off is never passed over in silence."""
    one, three = varint(1 << 3) + b"\5", varint(3 << 3 | 2) + b"\3eve"
    assert isinstance(read(bound, b"\1" + one + three, ["name"]), Message)
    assert read(bound, b"\1" + three + one, ["word"]) == "raw"
    assert read(bound, b"\1" + one + one, ["name"]) == "many"
    assert read(bound, b"\1" + varint(5 << 3) + b"\1", ["word"]) == "signed"
    assert read(bound, b"\1" + one + three[:-1], ["name"]) == "name"
    assert read(bound, b"\1" + one + b"\x1a", ["name"]) == "many"
    repeated = (varint(2 << 3 | 2) + b"\2\1\2") * 4
    assert isinstance(read(bound, b"\1" + repeated + three, ["name"]), Message)
    assert read(bound, b"\1" + repeated + repeated + three, ["name"]) == "name"


TEXT = """\
state:
    refused: uint
init():
    refused = 0
req(rpc):
    send(rpc, Down)
resp(rpc):
    match get(rpc, 'user') == 7:
        true => refused = refused + 1
"""


def proved(bound: Binding, right: str = "", wrong: str = "") -> Verdict:
    element = type_check(SourceText("case.appnet", TEXT), bound).element
    made = lower(element, initial_values(element))
    changed = made.c_text.replace(right, wrong)
    assert not right or changed != made.c_text, "the change must hit something"
    obj = read_object(Compiler.default().compile(changed, cpu="v3", flags=("-fno-builtin",), name="case.bpf.c"))
    return prove(element, obj.program(made.functions["resp"]), obj, body="resp")


def test_a_walk_is_proved(bound: Binding) -> None:
    """Law: the generated walk is proved to read what the wire says."""
    verdict = proved(bound)
    assert isinstance(verdict, Equal), str(verdict)
    assert any("order of their numbers" in words for words in verdict.assumptions)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("_tag == 0x18", "_tag == 0x1a"),
        ("_tag >> 3 <= 3", "_tag >> 3 < 3"),
        ("_raw & 0x7f) |", "_raw & 0x3f) |"),
        ("field_user = 0;", "field_user = 7;"),
        (">> 32", ">> 33"),
    ],
    ids=["another tag", "a field of another type passed over", "bits of a tag", "another default", "more than 32 bits"],
)
def test_a_wrong_walk_is_never_equal(bound: Binding, right: str, wrong: str) -> None:
    """Law: a walk that reads something else, or passes over what it should not, is Different."""
    verdict = proved(bound, right, wrong)
    assert isinstance(verdict, Different | Unknown), (right, wrong)
    if isinstance(verdict, Unknown):
        assert verdict.gap in ("not-replayable", "solver-limit"), str(verdict)


def test_what_cannot_be_read_is_refused(bound: Binding, tmp_path: Path) -> None:
    """Law: a field of a type that the language lacks says so, and a wrong [proto] is a wrong binding."""
    with pytest.raises(Unsupported, match="repeated"):
        type_check(
            SourceText("case.appnet", TEXT.replace("send(rpc, Down)", "match get(rpc, 'many') == 7:\n        true => pass")),
            bound,
        )
    tables: list[dict[str, Any]] = [{"file": "none.proto", "message": "All"}, {"file": "all.proto"}, {"message": "All"}]
    for table in tables:
        with pytest.raises(InputError):
            binding(str(tmp_path / "b.toml"), {"port": 9000, "proto": table})
