"""What is written into a map is what is read from it, and a reset gives back the fresh contents."""

from __future__ import annotations

import struct

import pytest

from bpfsmith.diagnostic import InputError, KernelError
from bpfsmith.isa.program import MapSpec
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps, possible_cpus
from bpfsmith.kernel.probe import pinned
from bpfsmith.kernel.testrun import run
from bpfsmith.objfile.object import read_object
from tests.support.bpfc import compile_c

pytestmark = pytest.mark.kernel


def u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


@pytest.mark.parametrize("kind", ["HASH", "LRU_HASH", "PERCPU_HASH", "LRU_PERCPU_HASH"])
def test_a_hash_holds_exactly_what_was_written(kind: str) -> None:
    with open_maps([MapSpec("m", f"BPF_MAP_TYPE_{kind}", 4, 8, 64)]) as maps:
        value = bytes(range(8)) * (maps.value_bytes("m") // 8)
        maps.write("m", {u32(1): value, u32(2): value})
        maps.write("m", {u32(2): value, u32(3): value})
        assert maps.read("m") == {u32(2): value, u32(3): value}
        maps.reset()
        assert maps.read("m") == {}


@pytest.mark.parametrize("kind", ["ARRAY", "PERCPU_ARRAY"])
def test_an_array_is_zero_where_nothing_was_written(kind: str) -> None:
    with open_maps([MapSpec("m", f"BPF_MAP_TYPE_{kind}", 4, 8, 3)]) as maps:
        size = maps.value_bytes("m")
        maps.write("m", {u32(0): b"\1" * size})
        maps.write("m", {u32(2): b"\2" * size})
        assert maps.read("m") == {u32(0): bytes(size), u32(1): bytes(size), u32(2): b"\2" * size}


def test_a_trie_is_written_and_read() -> None:
    with open_maps([MapSpec("m", "BPF_MAP_TYPE_LPM_TRIE", 8, 4, 4, flags=1)]) as maps:
        entries = {u32(8) + bytes([10, 0, 0, 0]): u32(1), u32(16) + bytes([10, 9, 0, 0]): u32(2)}
        maps.write("m", entries)
        assert maps.read("m") == entries


def test_per_cpu_values_are_those_of_each_possible_cpu() -> None:
    source = """
    struct { __uint(type, 6); __uint(max_entries, 1); __type(key, u32); __type(value, u32); } m SEC(".maps");
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 0, *v = bpf_map_lookup_elem(&m, &k); if (v) *v += 5; return 2; }
    """
    obj = read_object(compile_c(source))
    with open_maps(obj) as maps, load(obj.program("f"), maps) as program:
        assert isinstance(program, Accepted)
        assert maps.value_bytes("m") == 8 * possible_cpus()
        last = possible_cpus() - 1
        with pinned(last):
            run(program)
        values = struct.unpack(f"<{possible_cpus()}Q", maps.read("m")[u32(0)])
        assert values == (0,) * last + (5,)


def test_data_sections_are_reset_to_their_initial_bytes() -> None:
    source = 'u32 n = 40; SEC("xdp") int f(struct xdp_md *c) { n++; return n; }'
    obj = read_object(compile_c(source))
    with open_maps(obj) as maps, load(obj.program("f"), maps) as program:
        assert isinstance(program, Accepted)
        assert [run(program).retval for _ in range(2)] == [41, 42]
        assert maps.read(".data") == {u32(0): u32(42)}
        maps.reset()
        assert maps.read(".data") == {u32(0): u32(40)}
        maps.write(".data", {u32(0): u32(7)})
        assert run(program).retval == 8


def test_frozen_data_takes_only_what_it_holds() -> None:
    obj = read_object(compile_c('const volatile u32 n = 40; SEC("xdp") int f(struct xdp_md *c) { return n; }'))
    with open_maps(obj) as maps:
        maps.write(".rodata", {u32(0): u32(40)})
        with pytest.raises(InputError) as caught:
            maps.write(".rodata", {u32(0): u32(41)})
        assert caught.value.diagnostics[0].id == "map-contents"
        assert maps.read(".rodata") == {u32(0): u32(40)}


@pytest.mark.parametrize("contents", [{b"short": bytes(8)}, {bytes(4): bytes(7)}])
def test_entries_of_the_wrong_size_are_told(contents: dict[bytes, bytes]) -> None:
    with open_maps([MapSpec("m", "BPF_MAP_TYPE_HASH", 4, 8, 4)]) as maps, pytest.raises(InputError) as caught:
        maps.write("m", contents)
    assert caught.value.diagnostics[0].id == "map-contents"


def test_a_full_map_is_told() -> None:
    with open_maps([MapSpec("m", "BPF_MAP_TYPE_HASH", 4, 4, 2)]) as maps, pytest.raises(KernelError) as caught:
        maps.write("m", {u32(n): u32(n) for n in range(3)})
    assert "E2BIG" in caught.value.diagnostics[0].notes[0]


def test_a_ring_is_read_by_nobody_and_rounded_to_pages() -> None:
    with open_maps([MapSpec("ring", "BPF_MAP_TYPE_RINGBUF", 0, 0, 5000)]) as maps:
        assert maps.spec("ring").max_entries == 8192
        with pytest.raises(KernelError) as caught:
            maps.read("ring")
    assert caught.value.diagnostics[0].id == "map-not-accessible"


def test_a_bitfield_beside_a_lock_is_refused_with_the_kernels_words() -> None:
    """kernel/bpf/btf.c refuses structs that hold both; the message must name the object's types as the culprit."""
    source = """
    struct value { struct bpf_spin_lock lock; u32 a : 3, b : 5; };
    struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, struct value); } m SEC(".maps");
    SEC("xdp") int f(struct xdp_md *c) { u32 k = 0; return !bpf_map_lookup_elem(&m, &k); }
    """
    obj = read_object(compile_c(source))
    with pytest.raises(KernelError) as caught:
        open_maps(obj)
    assert caught.value.diagnostics[0].id == "btf-refused"
