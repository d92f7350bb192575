"""Arrays as large as the hash rings of load balancers: nothing goes through them element by element."""

from __future__ import annotations

import time

from bpfsmith.gate.differential import Agreement, differential
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import MapSpec
from bpfsmith.semantics import maps
from bpfsmith.semantics.verdict import Different, Equal

RINGS = """
.section xdp
.map rings array key=4 value=4 max=4194304
r1 = 4000000
*(u32 *)(r10 -4) = r1
r2 = r10
r2 += -4
r1 = rings ll
call bpf_map_lookup_elem
if r0 == 0 goto none
r1 = *(u32 *)(r0 +0)
r0 = {}
if r1 == 7 goto out
none:
r0 = 1
out:
exit
"""


def test_programs_over_huge_arrays_are_compared_in_seconds() -> None:
    """Law: what is Equal stays so, and what differs is replayed, without a run that reads 4 million elements."""
    first, second = (assemble(RINGS.format(value), "v")[0] for value in (2, 3))
    began = time.process_time()
    assert isinstance(differential(first, None, second, None, runs=10), Agreement)
    assert isinstance(prove_equal(first, None, first, None), Equal)
    verdict = prove_equal(first, None, second, None)
    assert isinstance(verdict, Different)
    rings = verdict.counterexample.input.maps["rings"]
    assert rings[(4_000_000).to_bytes(4, "little")] == bytes([7, 0, 0, 0])
    assert len(rings) < 100
    assert verdict.counterexample.replayed_on == ("interpreter",)
    assert time.process_time() - began < 10


def test_a_huge_array_is_written_down_by_what_is_not_zero() -> None:
    """Law: elements that are not named are zero; every other one is named, the last one too."""
    spec = MapSpec("rings", "BPF_MAP_TYPE_ARRAY", 4, 4, maps.LISTED + 3)
    flat = bytearray(8 * spec.max_entries)
    for index in (0, 8191, 8192, spec.max_entries - 1):
        flat[8 * index] = 5
    found = maps.elements(spec, flat)
    assert {int.from_bytes(key, "little") for key in found} == {0, 8191, 8192, spec.max_entries - 1}
    assert set(found.values()) == {b"\5\0\0\0"}
