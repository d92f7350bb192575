"""The tables of numbers and contexts, held against the running kernel's BTF."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.isa import context, tables
from bpfsmith.isa.context import Layout
from bpfsmith.isa.progtype import PROGRAM_TYPES
from bpfsmith.objfile.btf import Array, Btf, Enum, Struct
from bpfsmith.objfile.btf_codec import parse_btf

pytestmark = pytest.mark.kernel

VMLINUX = Path("/sys/kernel/btf/vmlinux")
OURS = {
    "bpf_prog_type": tables.PROG_TYPES,
    "bpf_attach_type": tables.ATTACH_TYPES,
    "bpf_map_type": tables.MAP_TYPES,
    "bpf_func_id": {f"BPF_FUNC_{name.removeprefix('bpf_')}": number for name, number in tables.HELPER_IDS.items()},
}


@pytest.fixture(scope="module")
def vmlinux() -> Btf:
    return parse_btf(VMLINUX.read_bytes())


@pytest.mark.parametrize("name", OURS)
def test_every_number_of_the_kernel_is_in_our_table(vmlinux: Btf, name: str) -> None:
    (enum,) = [item for item in vmlinux.types if isinstance(item, Enum) and item.name == name]
    theirs = {
        item.name: item.value for item in enum.values if not item.name.startswith("__") and item.name != "BPF_FUNC_unspec"
    }
    assert theirs.items() <= OURS[name].items()


def _offsets(vmlinux: Btf, name: str) -> dict[str, int]:
    """Byte offsets of the fields of a uapi struct, array elements one by one, as a Layout names them."""
    (struct,) = [item for item in vmlinux.types if isinstance(item, Struct) and item.name == name]
    return dict(_members(vmlinux, struct, 0))


def _members(vmlinux: Btf, struct: Struct, base: int) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for member in struct.members:
        offset = base + member.bit_offset // 8
        kind = vmlinux.types[member.type_id]
        if isinstance(kind, Struct) and not member.name:
            found += _members(vmlinux, kind, offset)
        elif isinstance(kind, Array):
            found += [(f"{member.name}[{index}]", offset + 4 * index) for index in range(kind.length)]
        else:
            found.append((member.name, offset))
    return found


@pytest.mark.parametrize("name", sorted({item.context_type.removeprefix("struct ") for item in PROGRAM_TYPES if item.context}))
def test_context_fields_lie_where_the_kernel_has_them(vmlinux: Btf, name: str) -> None:
    theirs = _offsets(vmlinux, name)
    for item in PROGRAM_TYPES:
        if item.context_type == f"struct {name}":
            assert _ours(item.context).items() <= theirs.items()


def _ours(layout: Layout) -> dict[str, int]:
    return {field.name: field.offset for field in layout}


def test_the_whole_of_sk_buff_is_known(vmlinux: Btf) -> None:
    assert _offsets(vmlinux, "__sk_buff").keys() - _ours(context.SK_BUFF).keys() <= {""}
