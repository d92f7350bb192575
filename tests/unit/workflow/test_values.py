"""Bytes are shown as their C types say them."""

from __future__ import annotations

import struct

import pytest

from bpfsmith.objfile.object import Object, read_object
from bpfsmith.workflow.values import typed_text
from tests.support.bpfc import compile_c

SOURCE = """
typedef u32 __be32; typedef u16 __be16;
enum colour { RED = 1, GREEN = 2 };
struct inner { short s; u8 mac[6]; };
struct all {
    __be32 address; __be16 port; u16 plain; int negative; enum colour colour; char name[8]; struct inner inner;
    u32 low : 4, high : 28; u64 numbers[10]; void *pointer; union { u32 a; u8 b[4]; } either;
};
struct all value = { 1 };
SEC("xdp") int f(struct xdp_md *ctx) { return value.low; }
"""


@pytest.fixture(scope="module")
def obj() -> Object:
    return read_object(compile_c(SOURCE))


def member(obj: Object, name: str) -> int:
    assert obj.btf is not None
    return next(item.type_id for item in obj.btf.members(obj.variable("value").btf_type) if item.name == name)


@pytest.mark.parametrize(
    ("name", "raw", "shown"),
    [
        ("address", bytes([192, 0, 2, 1]), "192.0.2.1"),
        ("port", b"\x01\xbb", "443"),
        ("plain", b"\x01\xbb", str(0xBB01)),
        ("negative", b"\xff\xff\xff\xff", "-1"),
        ("colour", b"\x02\0\0\0", "GREEN"),
        ("colour", b"\x07\0\0\0", "7"),
        ("name", b"curl\0\0\0\0", '"curl"'),
        ("inner", b"\xfe\xff\1\2\3\4\5\6", "{s = -2, mac = 01:02:03:04:05:06}"),
        ("numbers", struct.pack("<10Q", *range(10)), "[0, 1, 2, 3, 4, 5, 6, 7, ..]"),
        ("pointer", struct.pack("<Q", 0xFFFF1234), "0xffff1234"),
        ("either", b"\1\2\3\4", "01020304"),
    ],
)
def test_a_value_of_a_type_is_shown(obj: Object, name: str, raw: bytes, shown: str) -> None:
    assert obj.btf is not None
    assert typed_text(obj.btf, member(obj, name), raw) == shown


def test_bit_fields_are_taken_apart(obj: Object) -> None:
    assert obj.btf is not None
    variable = obj.variable("value")
    raw = bytearray(variable.size)
    at = next(item.bit_offset for item in obj.btf.members(variable.btf_type) if item.name == "low") // 8
    raw[at : at + 4] = (0x12345 << 4 | 7).to_bytes(4, "little")
    shown = typed_text(obj.btf, variable.btf_type, bytes(raw))
    assert "low = 7, high = 74565," in shown
