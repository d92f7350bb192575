"""Sections, program types and contexts."""

from __future__ import annotations

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.isa.context import SK_BUFF, FieldKind
from bpfsmith.isa.progtype import PROGRAM_TYPES, for_section
from bpfsmith.isa.tables import PROG_TYPES


@pytest.mark.parametrize(
    ("section", "name", "number", "attach_number"),
    [
        ("xdp", "BPF_PROG_TYPE_XDP", 6, 37),
        ("xdp.frags/devmap", "BPF_PROG_TYPE_XDP", 6, 33),
        ("tc", "BPF_PROG_TYPE_SCHED_CLS", 3, 0),
        ("tcx/ingress", "BPF_PROG_TYPE_SCHED_CLS", 3, 46),
        ("tcx/egress", "BPF_PROG_TYPE_SCHED_CLS", 3, 47),
        ("action", "BPF_PROG_TYPE_SCHED_ACT", 4, 0),
        ("socket", "BPF_PROG_TYPE_SOCKET_FILTER", 1, 0),
        ("sk_skb/stream_verdict", "BPF_PROG_TYPE_SK_SKB", 14, 5),
        ("netfilter", "BPF_PROG_TYPE_NETFILTER", 32, 45),
        ("kprobe/do_unlinkat", "BPF_PROG_TYPE_KPROBE", 2, 0),
        ("uprobe//bin/sh:main", "BPF_PROG_TYPE_KPROBE", 2, 0),
        ("uprobe.session.s/x", "BPF_PROG_TYPE_KPROBE", 2, 57),
        ("tp_btf/sys_enter", "BPF_PROG_TYPE_TRACING", 26, 23),
        ("tp/syscalls/sys_enter_open", "BPF_PROG_TYPE_TRACEPOINT", 5, 0),
        ("?lsm.s/file_open", "BPF_PROG_TYPE_LSM", 29, 27),
        ("syscall", "BPF_PROG_TYPE_SYSCALL", 31, 0),
    ],
)
def test_a_section_has_the_type_that_libbpf_gives_it(section: str, name: str, number: int, attach_number: int) -> None:
    found = for_section(section)
    assert (found.name, found.number, found.attach_number) == (name, number, attach_number)


@pytest.mark.parametrize("section", ["", "xpd", "xdp/eth0", "socket/0", "kprobes/x", "classifier/x", ".text", "maps"])
def test_a_section_that_libbpf_does_not_know_is_refused(section: str) -> None:
    with pytest.raises(InputError) as caught:
        for_section(section)
    (finding,) = caught.value.diagnostics
    assert finding.id == "unknown-section"
    assert f"`{section}`" in finding.message
    assert finding.help


def test_a_slip_in_a_section_gets_the_right_name() -> None:
    with pytest.raises(InputError) as caught:
        for_section("tcx/ingres")
    assert "`tcx/ingress`" in caught.value.diagnostics[0].help


def test_every_section_is_there_once_and_every_prog_type_has_one() -> None:
    sections = [item.section for item in PROGRAM_TYPES]
    assert len(sections) == len(set(sections))
    assert {item.name for item in PROGRAM_TYPES} == PROG_TYPES.keys() - {"BPF_PROG_TYPE_UNSPEC"}
    assert all(for_section(item.section) is item and item.attach_number >= 0 for item in PROGRAM_TYPES)


def test_sleepable_and_frags_stand_in_the_name() -> None:
    assert for_section("lsm.s/x").sleepable and for_section("syscall").sleepable and not for_section("lsm/x").sleepable
    assert for_section("xdp.frags").frags and not for_section("xdp").frags


def test_actions_are_found_by_either_reading_of_r0() -> None:
    assert for_section("xdp").action_name(1) == "XDP_DROP"
    assert for_section("tc").action_name(0xFFFFFFFF) == for_section("tc").action_name(-1) == "TC_ACT_UNSPEC"
    assert for_section("xdp").action_name(9) is None


def test_the_packet_lies_where_the_uapi_has_it() -> None:
    fields = for_section("xdp").fields
    assert [(fields[name].offset, fields[name].kind) for name in ("data", "data_end", "data_meta")] == [
        (0, FieldKind.PACKET),
        (4, FieldKind.PACKET_END),
        (8, FieldKind.PACKET_META),
    ]
    assert "egress_ifindex" not in fields and "egress_ifindex" in for_section("xdp/devmap").fields


def test_sk_buff_is_as_long_as_in_the_kernel() -> None:
    assert (SK_BUFF[-1].name, SK_BUFF[-1].offset + SK_BUFF[-1].size) == ("hwtstamp", 192)


def test_a_program_type_writes_what_the_kernel_lets_it_write() -> None:
    def writable(section: str) -> set[str]:
        return {item.name.partition("[")[0] for item in for_section(section).context if item.writable}

    assert writable("xdp") == set()
    assert writable("socket") == {"cb"}
    assert writable("tc") == {"mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"}
    assert [item.name for item in for_section("sockops").context if item.writable] == ["args[0]", "sk_txhash"]


def test_program_types_can_be_keys() -> None:
    assert len(set(PROGRAM_TYPES)) == len(PROGRAM_TYPES)
