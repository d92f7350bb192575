"""Memory of a concrete run: byte regions, pointers into them, and maps that answer as the kernel's do.

The counterpart of `semantics.memory`, with bytes in the place of terms. Return values are the kernel's: 0 or a negative errno.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import E2BIG, EEXIST, EINVAL, ENOENT

from bpfsmith.execution import MapContents, RunInput
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.map_helpers import BPF_EXIST, BPF_NOEXIST


@dataclass(slots=True, eq=False)
class Region:
    """A piece of memory that pointers cannot leave.

    `kind` is "stack", "packet", "ctx", "data" (the values of the array `name`, one behind the other), "value" (one entry of the
    hash map `name`) or "map" (a map itself, as a helper's argument). `is_live` ends when a hash map gives the entry up.
    `spilled` has the bytes that belong to a stored pointer: offset -> the pointer and which of its bytes.
    """

    kind: str
    name: str = ""
    data: bytearray = field(default_factory=bytearray)
    is_writable: bool = True
    is_live: bool = True
    spilled: dict[int, tuple[Pointer, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()

    def spill(self, start: int, pointer: Pointer) -> None:
        self.spilled |= {start + i: (pointer, i) for i in range(8)}

    def pointer_at(self, start: int) -> Pointer | None:
        """The pointer that stands whole at `start`."""
        pointer, _ = self.spilled.get(start, (None, 0))
        whole = pointer is not None and all(self.spilled.get(start + i) == (pointer, i) for i in range(8))
        return pointer if whole else None

    def has_pointer_bytes(self, start: int, size: int) -> bool:
        return bool(self.spilled) and any(start + i in self.spilled for i in range(size))


@dataclass(frozen=True, slots=True)
class Pointer:
    """`offset` is a 64-bit number, read as two's complement. NULL is the number 0."""

    region: Region
    offset: int


Value = int | Pointer
"""What a register holds: an unsigned 64-bit number or a pointer."""


class ArrayMap:
    """An array or a data section: its values exist from the start, at multiples of the stride (kernel/bpf/arraymap.c)."""

    def __init__(self, spec: MapSpec, given: MapContents | None) -> None:
        self.spec, self.stride = spec, mapmodel.stride(spec)
        self.region = Region("data", spec.name, bytearray(self.stride * spec.max_entries), not spec.frozen)
        if given is None:
            given = {bytes(4): spec.initial or b""}
        for key, value in given.items():
            self._put(int.from_bytes(key, "little"), value)

    def _put(self, index: int, value: bytes) -> None:
        self.region.data[index * self.stride : index * self.stride + len(value)] = value

    def lookup(self, key: bytes) -> Value:
        index = int.from_bytes(key, "little")
        return Pointer(self.region, index * self.stride) if index < self.spec.max_entries else 0

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        index = int.from_bytes(key, "little")
        if flags > BPF_EXIST:  # BPF_F_LOCK too: no value here is taken to hold a lock
            return -EINVAL
        if index >= self.spec.max_entries:
            return -E2BIG
        if flags & BPF_NOEXIST:
            return -EEXIST
        self._put(index, value)
        return 0

    def delete(self, key: bytes) -> int:
        return -EINVAL

    def entries(self) -> dict[bytes, bytes]:
        starts = ((index, index * self.stride) for index in range(self.spec.max_entries))
        return {
            index.to_bytes(4, "little"): bytes(self.region.data[start : start + self.spec.value_size])
            for index, start in starts
        }


class HashMap:
    """Entries that come and go: an update puts a new one in the place of the old, which is given up (kernel/bpf/hashtab.c)."""

    def __init__(self, spec: MapSpec, given: MapContents | None) -> None:
        self.spec = spec
        self.values = {key: self._entry(value) for key, value in (given or {}).items()}

    def _entry(self, value: bytes) -> Region:
        return Region("value", self.spec.name, bytearray(value))

    def lookup(self, key: bytes) -> Value:
        entry = self.values.get(key)
        return Pointer(entry, 0) if entry else 0

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        entry = self.values.get(key)
        if flags > BPF_EXIST:  # BPF_F_LOCK too: no value here is taken to hold a lock
            return -EINVAL
        if entry and flags & BPF_NOEXIST:
            return -EEXIST
        if not entry and flags & BPF_EXIST:
            return -ENOENT
        if not entry and len(self.values) >= self.spec.max_entries:
            return -E2BIG
        if entry:
            entry.is_live = False
        self.values[key] = self._entry(value)
        return 0

    def delete(self, key: bytes) -> int:
        entry = self.values.pop(key, None)
        if entry is None:
            return -ENOENT
        entry.is_live = False
        return 0

    def entries(self) -> dict[bytes, bytes]:
        return {key: bytes(entry.data) for key, entry in self.values.items()}


Map = ArrayMap | HashMap


def open_maps(program: Program, given: RunInput) -> dict[str, Map]:
    """The maps of a program whose types have a model, filled with what `given` has for them or as a fresh load makes them."""
    out: dict[str, Map] = {}
    for spec in program.maps:
        if spec.type in mapmodel.ARRAYS:
            out[spec.name] = ArrayMap(spec, given.maps.get(spec.name))
        elif spec.type in mapmodel.HASHES:
            out[spec.name] = HashMap(spec, given.maps.get(spec.name))
    return out
