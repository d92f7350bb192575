from __future__ import annotations

import struct

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.objfile import btf as t
from bpfsmith.objfile.btf import Btf
from bpfsmith.objfile.btf_codec import encode_btf, parse_btf, record_bytes
from bpfsmith.objfile.btf_load import loadable_btf, with_section_sizes

INT, U64, CHAR = 1, 2, 3

ONE_OF_EACH = Btf(
    (
        t.Void(),
        t.Int("int", 4, 32, t.INT_SIGNED),
        t.Int("unsigned long long", 8, 64),
        t.Int("char", 1, 8, t.INT_SIGNED | t.INT_CHAR),
        t.Ptr(CHAR),
        t.Array(INT, U64, 7),
        t.Struct("plain", 12, (t.Member("a", INT, 0), t.Member("b", U64, 32))),
        t.Struct("packed", 4, (t.Member("x", INT, 0, 3), t.Member("y", INT, 3, 29)), kind_flag=True),
        t.Struct("either", 8, (t.Member("i", INT, 0), t.Member("l", U64, 0)), is_union=True),
        t.Enum("small", 4, (t.Enumerator("NO", -1), t.Enumerator("YES", 1)), signed=True),
        t.Enum("flags", 4, (t.Enumerator("TOP", 0xFFFFFFFF),)),
        t.Enum("big", 8, (t.Enumerator("HUGE", 1 << 63),), is_enum64=True),
        t.Enum("low", 8, (t.Enumerator("DEEP", -(1 << 63)),), signed=True, is_enum64=True),
        t.Fwd("later"),
        t.Fwd("later_union", is_union=True),
        t.Typedef("count_t", U64),
        t.Volatile(15),
        t.Const(16),
        t.Restrict(4),
        t.FuncProto(INT, (t.Param("ctx", 4), t.Param("", 0))),
        t.Func("entry", 19, t.GLOBAL),
        t.Var("counter", 17, t.STATIC),
        t.DataSec(".data", 8, (t.SectionVar(21, 0, 8),)),
        t.Float("double", 8),
        t.DeclTag("note", 6, 1),
        t.DeclTag("whole", 6),
        t.TypeTag("kptr", 6),
    )
)


def test_what_is_written_is_read_back() -> None:
    assert parse_btf(encode_btf(ONE_OF_EACH)).types == ONE_OF_EACH.types


def test_every_kind_is_covered() -> None:
    data = encode_btf(ONE_OF_EACH)
    (length,) = struct.unpack_from("<I", data, 12)
    kinds, at = set(), 24
    while at < 24 + length:
        (info,) = struct.unpack_from("<I", data, at + 4)
        kinds.add(info >> 24 & 0x1F)
        at += record_bytes(info >> 24 & 0x1F, info & 0xFFFF)
    assert kinds == set(range(1, 20))


def test_strings_keep_their_offsets_when_types_are_added() -> None:
    first = encode_btf(ONE_OF_EACH)
    strings = parse_btf(first).strings
    grown = parse_btf(encode_btf(Btf((*ONE_OF_EACH.types, t.Typedef("brand_new", INT)), strings)))
    assert grown.strings.startswith(strings)
    assert grown.types[-1] == t.Typedef("brand_new", INT)


@pytest.mark.parametrize(
    ("type_id", "size"), [(1, 4), (4, 8), (5, 28), (6, 12), (8, 8), (11, 8), (17, 8), (18, 8), (21, 8), (22, 8), (23, 8)]
)
def test_sizeof(type_id: int, size: int) -> None:
    assert ONE_OF_EACH.sizeof(type_id) == size


@pytest.mark.parametrize("type_id", [0, 13, 19, 20, 999, -1])
def test_what_has_no_size_is_malformed(type_id: int) -> None:
    with pytest.raises(InputError) as caught:
        ONE_OF_EACH.sizeof(type_id)
    assert caught.value.diagnostics[0].id == "malformed-btf"


def test_find_is_by_kind_and_name() -> None:
    assert ONE_OF_EACH.find(t.Struct, "plain") == 6
    assert ONE_OF_EACH.find(t.Typedef, "plain") is None
    assert ONE_OF_EACH.get(t.Func, "entry") == t.Func("entry", 19, t.GLOBAL)


def test_resolve_goes_beneath_typedefs_and_qualifiers() -> None:
    assert ONE_OF_EACH.resolve(17) == U64
    assert ONE_OF_EACH.resolve(26) == 6


def test_members_of_anonymous_members_stand_in_their_place() -> None:
    btf = Btf(
        (
            t.Void(),
            t.Int("int", 4, 32),
            t.Struct("", 8, (t.Member("b", 1, 0), t.Member("c", 1, 32))),
            t.Struct("outer", 16, (t.Member("a", 1, 0), t.Member("", 2, 32), t.Member("d", 1, 96))),
        )
    )
    assert [(m.name, m.bit_offset) for m in btf.members(3)] == [("a", 0), ("b", 32), ("c", 64), ("d", 96)]


def test_bitfields_of_old_btf_read_like_those_of_new() -> None:
    narrow = t.Int("int", 4, 3, 0, 5)
    btf = Btf((t.Void(), narrow, t.Struct("s", 4, (t.Member("f", 1, 8),))))
    assert list(btf.members(2)) == [t.Member("f", 1, 13, 3)]


@pytest.mark.parametrize("cycle", [t.Typedef("a", 1), t.Array(1, 1, 2), t.Const(1)])
def test_cycles_end_as_malformed(cycle: t.BtfType) -> None:
    with pytest.raises(InputError, match="does not end"):
        Btf((t.Void(), cycle)).sizeof(1)


def test_every_truncation_is_malformed() -> None:
    data = encode_btf(ONE_OF_EACH)
    for length in range(len(data)):
        with pytest.raises(InputError):
            parse_btf(data[:length])


def test_sections_get_their_size_and_order() -> None:
    left_open = t.DataSec(".data", 0, (t.SectionVar(2, 8, 4), t.SectionVar(3, 0, 4)))
    btf = with_section_sizes(Btf((t.Void(), left_open)), {".data": 12})
    assert btf.types[1] == t.DataSec(".data", 12, (t.SectionVar(3, 0, 4), t.SectionVar(2, 8, 4)))


def test_loadable_btf_defines_what_was_extern() -> None:
    btf = Btf(
        (
            t.Void(),
            t.Int("int", 4, 32),
            t.FuncProto(1, (t.Param("", 1),)),
            t.Func("bpf_kfunc", 2, t.EXTERN),
            t.Var("CONFIG_HZ", 1, t.EXTERN),
            t.Var("a_symbol", 0, t.EXTERN),
            t.DataSec(".ksyms", 0, (t.SectionVar(3, 0, 0), t.SectionVar(5, 0, 0))),
            t.DataSec(".kconfig", 0, (t.SectionVar(4, 0, 4),)),
            t.Struct("Option<u32>", 4, ()),
        )
    )
    fixed = parse_btf(loadable_btf(btf))
    assert fixed[3] == t.Func("bpf_kfunc", 2, t.GLOBAL)
    assert fixed[2] == t.FuncProto(1, (t.Param("arg0", 1),))
    assert fixed[4] == t.Var("CONFIG_HZ", 1, t.GLOBAL)
    assert fixed[6] == t.DataSec(".ksyms", 8, (t.SectionVar(10, 0, 4), t.SectionVar(5, 4, 4)))
    assert fixed[7] == t.DataSec(".kconfig", 4, (t.SectionVar(4, 0, 4),))
    assert fixed[8] == t.Struct("Option_u32_", 4, ())
    assert isinstance(fixed[10], t.Var)
