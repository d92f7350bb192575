"""What lies in the memory that the halves share, read from a running server: counters, and the variables of both."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from bpfsmith.csource.tree import CType, Shape
from bpfsmith.objfile.btf import Array, Btf, Struct
from bpfsmith.objfile.object import Object
from bpfsmith.offload.half import State
from bpfsmith.offload.program import Server
from bpfsmith.offload.trial import Side

_COUNTERS = ("answered", "consumed", "handed_over", "conflicts")


@dataclass(frozen=True, slots=True)
class Counters:
    """What became of requests since the server began. `reasons` counts by the numbers of `KernelHalf.reasons`."""

    answered: int
    consumed: int
    handed_over: int
    conflicts: int
    reasons: tuple[int, ...]

    @property
    def done(self) -> int:
        """Requests that never reached the process."""
        return self.answered + self.consumed


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in the shared memory, in bytes: of the first run, of counters in a run, of the addresses of variables."""

    runs: int
    run_bytes: int
    cpus: int
    counters: int
    reasons: int
    states: int

    @classmethod
    def of(cls, obj: Object) -> Layout:
        btf = obj.btf
        assert btf is not None
        area = _members(btf, "bs_area")
        runs = btf.resolved(area["runs"][1])
        assert isinstance(runs, Array)
        counted = btf.resolved(_members(btf, "bs_counters")["reasons"][1])
        assert isinstance(counted, Array)
        return cls(
            runs=area["runs"][0],
            run_bytes=btf.sizeof(runs.element),
            cpus=runs.length,
            counters=_members(btf, "bs_run")["counters"][0],
            reasons=counted.length,
            states=area["config"][0] + _members(btf, "bs_config")["state"][0],
        )

    def read_counters(self, side: Side) -> Counters:
        count = len(_COUNTERS) + self.reasons
        total = [0] * count
        for cpu in range(self.cpus):
            data = side.memory(side.area + self.runs + cpu * self.run_bytes + self.counters, 8 * count)
            total = [a + b for a, b in zip(total, struct.unpack(f"<{count}Q", data), strict=True)]
        answered, consumed, handed_over, conflicts, *reasons = total
        return Counters(answered, consumed, handed_over, conflicts, tuple(reasons))

    def read_states(self, side: Side, states: Sequence[State], server: Server) -> dict[str, bytes]:
        """The bytes of each variable by its name, with pointers into the shared memory relative to its start, so that two
        processes can be compared."""
        found = {}
        for state in (item for item in states if item.type.shape is not Shape.FUNCTION):
            (address,) = struct.unpack("<Q", side.memory(side.area + self.states + 8 * state.index, 8))
            data = bytearray(side.memory(address, state.type.size)) if address else bytearray()
            if address and _holds_pointer(state.type, server):
                for at in range(0, len(data) - 7, 8):
                    (word,) = struct.unpack_from("<Q", data, at)
                    if abs(word - side.area) < 1 << 28:
                        struct.pack_into("<q", data, at, word - side.area)
                    elif 1 << 32 < word < 1 << 47:  # somewhere else in the process: its place differs from run to run
                        struct.pack_into("<Q", data, at, 1)
            found[state.name] = bytes(data)
        return found


def _members(btf: Btf, name: str) -> dict[str, tuple[int, int]]:
    found = btf.get(Struct, name)
    assert found is not None, name
    return {item.name: (item.bit_offset // 8, item.type_id) for item in found.members}


def _holds_pointer(ctype: CType, server: Server) -> bool:
    bare = ctype.bare
    if bare.shape is Shape.POINTER:
        return True
    if bare.shape is Shape.ARRAY and bare.target is not None:
        return _holds_pointer(bare.target, server)
    record = next((unit.records[bare.record] for unit in server.units if bare.record in unit.records), None)
    return record is not None and any(_holds_pointer(item.type, server) for item in record.fields)
