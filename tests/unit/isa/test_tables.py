"""The generated tables: current where a header is at hand, and right about what everybody knows."""

from __future__ import annotations

import pytest

from bpfsmith.isa import tables
from bpfsmith.isa.helper import Arg, Helper
from tools import gen_tables

COMMITTED = gen_tables.committed()


def test_rendering_the_committed_tables_gives_the_committed_file() -> None:
    assert gen_tables.render(COMMITTED) == gen_tables.TABLES.read_text()


@pytest.mark.skipif(not gen_tables.HEADER.exists(), reason="no linux/bpf.h here")
def test_the_header_of_this_machine_has_nothing_that_differs() -> None:
    header = gen_tables.read_header(gen_tables.HEADER.read_text())
    assert len(header.helpers) > 200
    assert gen_tables.compare(COMMITTED, header) == []
    if not gen_tables.missing(COMMITTED, header):
        assert gen_tables.render(header) == gen_tables.TABLES.read_text()


def test_a_header_that_differs_is_noticed() -> None:
    other = gen_tables.Tables(
        (Helper(5, "bpf_ktime_get_ns", "u64", (Arg("int", "x"),)),), {**COMMITTED.enums, "MAP_TYPES": {"BPF_MAP_TYPE_HASH": 9}}
    )
    assert gen_tables.compare(COMMITTED, other) == [
        "u64 bpf_ktime_get_ns(void) is u64 bpf_ktime_get_ns(int x)",
        "BPF_MAP_TYPE_HASH is 9, not 1",
    ]


def test_ids_have_no_gaps_and_names_no_doubles() -> None:
    assert sorted(tables.HELPERS) == list(range(1, len(tables.HELPERS) + 1))
    assert {tables.HELPERS[number].name: number for number in tables.HELPERS} == tables.HELPER_IDS
    assert all(len(helper.args) <= 5 for helper in tables.HELPERS.values())


@pytest.mark.parametrize(
    ("name", "number", "signature"),
    [
        ("bpf_map_lookup_elem", 1, "void *bpf_map_lookup_elem(struct bpf_map *map, const void *key)"),
        ("bpf_ktime_get_ns", 5, "u64 bpf_ktime_get_ns(void)"),
        ("bpf_trace_printk", 6, "long bpf_trace_printk(const char *fmt, u32 fmt_size, ...)"),
        ("bpf_get_socket_cookie", 46, "u64 bpf_get_socket_cookie(void *ctx)"),
        ("bpf_cgrp_storage_delete", 211, "long bpf_cgrp_storage_delete(struct bpf_map *map, struct cgroup *cgroup)"),
    ],
)
def test_signatures(name: str, number: int, signature: str) -> None:
    assert tables.HELPER_IDS[name] == number
    assert tables.HELPERS[number].signature == signature


def test_map_types_have_the_names_in_use() -> None:
    assert tables.MAP_TYPES["BPF_MAP_TYPE_RINGBUF"] == 27
    assert tables.MAP_TYPE_NAMES[27] == "BPF_MAP_TYPE_RINGBUF"
    assert all(tables.MAP_TYPES[name] == number for number, name in tables.MAP_TYPE_NAMES.items())
