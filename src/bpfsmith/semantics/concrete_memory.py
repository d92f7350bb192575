"""Memory of a concrete run: byte regions, pointers into them, and maps that answer as the kernel's do.

The counterpart of `semantics.memory`, with bytes in the place of terms. Return values are the kernel's: 0 or a negative errno.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from errno import E2BIG, EEXIST, EINVAL, ENOENT

from bpfsmith.execution import MapContents, RunInput
from bpfsmith.isa.context import Layout
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.map_helpers import BPF_EXIST, BPF_F_NO_PREALLOC, BPF_NOEXIST


@dataclass(slots=True, eq=False)
class Region:
    """A piece of memory that pointers cannot leave.

    `kind` is "stack", "packet", "ctx", "data" (the values of the array `name`, one behind the other), "value" (one entry of the
    hash map `name`) or "map" (a map itself, as a helper's argument). `is_live` ends when a hash map gives the entry up.
    `spilled` has the bytes that belong to a stored pointer: offset -> the pointer and which of its bytes. Offset 0 is at
    `data[origin]`, and offsets from `low` up to `high` may be accessed (None: all of the data). `key` is the outer key of a map
    inside a map.
    """

    kind: str
    name: str = ""
    data: bytearray = field(default_factory=bytearray)
    is_writable: bool = True
    is_live: bool = True
    origin: int = 0
    low: int | None = None
    high: int | None = None
    key: bytes = b""
    spilled: dict[int, tuple[Pointer, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()

    @property
    def bounds(self) -> tuple[int, int]:
        """The offsets between which accesses must lie."""
        low = -self.origin if self.low is None else self.low
        return low, len(self.data) - self.origin if self.high is None else self.high

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


Ask = Callable[..., int]
"""ask(name, *arguments, usual=0): what the input's `world` says of an input of the semantics, or the usual value."""

MASK = (1 << 64) - 1
HEADROOM, LIMIT = 216, 3520
"""What a test run in the kernel gives: bytes before the packet, and the longest packet (net/bpf/test_run.c)."""


def _nothing(name: str, *args: int, usual: int = 0) -> int:
    return usual


@dataclass(slots=True)
class Packet:
    """The packet: memory with room on both sides, of which `start` .. `end` (offsets) is the packet, `meta` .. `start` its
    metadata, and `beyond` the bytes behind its linear part."""

    region: Region
    start: int
    end: int
    meta: int
    beyond: int = 0

    @classmethod
    def of(cls, contents: bytes, ask: Ask, name: str = "") -> Packet:
        known = f"packet_headroom:{name}", f"packet_limit:{name}"
        room, limit = ask(known[0], usual=HEADROOM), ask(known[1], usual=max(LIMIT, len(contents)))
        version = f":{name}" if name else ""
        meta = ask(f"packet_meta_length{version}")
        beyond = ask("packet_beyond") if not name else 0
        size = max(limit, len(contents) + beyond)
        room = max(room, meta)
        data = bytearray(room) + contents + bytes(size - len(contents))
        for offset in (*range(-room, 0), *range(len(contents), len(contents) + beyond)):
            data[room + offset] = ask(f"packet{version}", offset & MASK)
        region = Region("packet", name, data, origin=room, low=-meta, high=len(contents))
        return cls(region, 0, len(contents), -meta, beyond)

    @property
    def contents(self) -> bytes:
        """The whole packet."""
        return self.bytes_at(0, self.whole_length)

    @property
    def whole_length(self) -> int:
        return self.end - self.start + self.beyond

    @property
    def metadata(self) -> bytes:
        return self.bytes_at(self.meta - self.start, self.start - self.meta)

    def bytes_at(self, at: int, size: int) -> bytes:
        """Bytes from `at` on, counted from the start."""
        first = self.region.origin + self.start + at
        return bytes(self.region.data[first : first + size])

    def put(self, at: int, raw: bytes) -> None:
        first = self.region.origin + self.start + at
        self.region.data[first : first + len(raw)] = raw

    def move(self, start: int = 0, end: int = 0, meta: int = 0) -> None:
        """Moves the ends by so many bytes."""
        self.start, self.end, self.meta = self.start + start, self.end + end, self.meta + meta
        self.region.low, self.region.high = min(self.meta, self.start), self.end


class Context:
    """The fields behind r1: as they came (or as a call left them: `version`), and what was `written` over them."""

    def __init__(self, layout: Layout, fields: Mapping[str, int], packet: Packet, ask: Ask) -> None:
        self.layout, self.fields, self.ask = layout, fields, ask
        self.length = packet.whole_length
        self.version = ""
        self.written: dict[int, int] = {}

    def load(self, offset: int, size: int) -> int:
        return int.from_bytes(bytes(self._byte(offset + i) for i in range(size)), "little")

    def store(self, offset: int, size: int, value: int) -> None:
        self.written |= {offset + i: value >> 8 * i & 0xFF for i in range(size)}

    def renew(self, version: str, length: int) -> None:
        """What a call may have changed is as the world says, or as it was; the packet has a new length."""
        self.version, self.length = version, length
        if any(self.ask(f"ctx.{item.name}{version}", usual=-1) >= 0 for item in self.layout):
            self.written = {}

    def changed(self) -> dict[int, int]:
        """The bytes that are not what they were, by offset."""
        return {offset: byte for offset, byte in self.written.items() if byte != self._initial(offset)}

    def _byte(self, offset: int) -> int:
        known = self.written.get(offset)
        return self._initial(offset) if known is None else known

    def _initial(self, offset: int) -> int:
        for item in self.layout:
            if item.offset <= offset < item.offset + item.size:
                usual = self.length if item.name == "len" else self.fields.get(item.name, 0)
                if item.name == "len" and not self.version:
                    return self.fields.get("len", usual) >> 8 * (offset - item.offset) & 0xFF
                known_as = f"ctx.{item.name}{self.version}"
                return self.ask(known_as, usual=usual) >> 8 * (offset - item.offset) & 0xFF
        return self.ask(f"ctx{self.version}", offset)


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
        return mapmodel.elements(self.spec, self.region.data)


class HashMap:
    """Entries that come and go: an update puts a new one in the place of the old, which is given up (kernel/bpf/hashtab.c)."""

    def __init__(self, spec: MapSpec, given: MapContents | None, ask: Ask = _nothing) -> None:
        self.spec, self.ask = spec, ask
        self.attempts = self.freed = 0
        self.deleted: list[Region] = []  # entries whose place nothing has taken yet: their bytes are still there
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
        if not entry:
            refused = self._no_room()
            if refused:
                return refused
        elif self.spec.type in mapmodel.PER_CPU:
            entry.data[:] = value
            return 0
        else:
            entry.is_live = False
        while self.deleted:
            self.deleted.pop().is_live = False
        self.values[key] = self._entry(value)
        return 0

    def _no_room(self) -> int:
        """The error of an attempt to insert, or 0."""
        name, number = self.spec.name, self.attempts
        self.attempts += 1
        if self.ask(f"map:{name}.full", number, self.freed):
            if self.spec.type in mapmodel.EVICTING or self.spec.flags & BPF_F_NO_PREALLOC:
                return self.ask(f"map:{name}.error", self.attempts) - (1 << 31)
            return -E2BIG
        if len(self.values) < self.spec.max_entries or not self.spec.max_entries:
            return 0
        if self.spec.type not in mapmodel.EVICTING:
            return -E2BIG
        self.values.pop(next(iter(self.values))).is_live = False
        return 0

    def delete(self, key: bytes) -> int:
        entry = self.values.pop(key, None)
        if entry is None:
            return -ENOENT
        self.deleted.append(entry)
        self.freed += 1
        return 0

    def entries(self) -> dict[bytes, bytes]:
        return {key: bytes(entry.data) for key, entry in self.values.items()}


class FoundMap(HashMap):
    """Entries that nobody lists beforehand: the first look at a key says whether there is one. The storage of kernel objects,
    by address, and the maps inside a map of maps, taken as one whose keys end with the outer key."""

    def __init__(self, spec: MapSpec, ask: Ask) -> None:
        super().__init__(replace(spec, max_entries=0), None, ask)
        self.before: dict[bytes, bytes | None] = {}

    def find(self, key: bytes) -> None:
        if key in self.before:
            return
        number, name = int.from_bytes(key, "little"), self.spec.name
        found = bool(self.ask(f"map:{name}.present", number))
        value = bytes(self.ask(f"map:{name}.value", number, at) for at in range(self.spec.value_size))
        self.before[key] = value if found else None
        if found:
            self.values[key] = self._entry(value)

    def lookup(self, key: bytes) -> Value:
        self.find(key)
        return super().lookup(key)

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        self.find(key)
        return super().update(key, value, flags)

    def delete(self, key: bytes) -> int:
        self.find(key)
        return super().delete(key)

    def entries(self) -> dict[bytes, bytes]:
        """The entries that the run has changed; of one that is gone no byte is left."""
        now = {key: bytes(self.values[key].data) if key in self.values else None for key in self.before}
        return {key: value or b"" for key, value in now.items() if value != self.before[key]}


class InnerMap:
    """One of the maps inside a map of maps."""

    def __init__(self, spec: MapSpec, inside: FoundMap, outer_key: bytes) -> None:
        assert spec.inner is not None
        self.spec, self.inside, self.outer_key = spec.inner, inside, outer_key

    def lookup(self, key: bytes) -> Value:
        whole = key + self.outer_key
        if self.spec.type in mapmodel.ARRAYS:
            if int.from_bytes(key, "little") >= self.spec.max_entries:
                return 0
            self.inside.find(whole)
            if whole not in self.inside.values:
                value = bytes(
                    self.inside.ask(f"map:{self.inside.spec.name}.value", int.from_bytes(whole, "little"), at)
                    for at in range(self.spec.value_size)
                )
                self.inside.before[whole], self.inside.values[whole] = value, self.inside._entry(value)
        return self.inside.lookup(whole)

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return self.inside.update(key + self.outer_key, value, flags)

    def delete(self, key: bytes) -> int:
        return self.inside.delete(key + self.outer_key)

    def entries(self) -> dict[bytes, bytes]:
        return self.inside.entries()


class OuterMap:
    """A map of maps: a look at a key gives the map inside."""

    def __init__(self, spec: MapSpec, ask: Ask) -> None:
        self.spec, self.ask = spec, ask
        self.inside = FoundMap(mapmodel.inner(spec), ask)
        self.regions: dict[bytes, Region] = {}

    def lookup(self, key: bytes) -> Value:
        number = int.from_bytes(key, "little")
        if self.spec.type == "BPF_MAP_TYPE_ARRAY_OF_MAPS" and number >= self.spec.max_entries:
            return 0
        filled = any(slot == number for slot, _ in self.spec.entries)
        if not self.ask(f"map:{self.spec.name}.present", number, usual=int(filled)):
            return 0
        return Pointer(self.regions.setdefault(key, Region("map", self.spec.name, key=key)), 0)

    def entries(self) -> dict[bytes, bytes]:
        return self.inside.entries()


class ReadMap:
    """A map whose entries are only looked up, by some rule of its own: routes by the longest prefix, ports, sockets."""

    def __init__(self, spec: MapSpec, given: MapContents | None, ask: Ask) -> None:
        self.spec, self.ask = spec, ask
        self.values = {key: Region("opaque", spec.name, bytearray(value), False) for key, value in (given or {}).items()}
        self.changes = [0, 0]  # updates, deletes

    def lookup(self, key: bytes) -> Value:
        number, name, version = int.from_bytes(key, "little"), self.spec.name, self._version()
        if self.spec.type in mapmodel.OF_SOCKETS:
            return self.ask(f"map:{name}.socket", number, *version)
        asked = self.ask(f"map:{name}.present", number, *version, usual=-1)
        if asked < 0:
            entry = self.values.get(key) or self._longest(key)
            return Pointer(entry, 0) if entry else 0
        value = bytes(self.ask(f"map:{name}.value", number, *version, at) for at in range(self.spec.value_size))
        return Pointer(Region("opaque", name, bytearray(value), False), 0) if asked else 0

    def _version(self) -> tuple[int, ...]:
        updates, deletes = self.changes
        return (updates << 16 | deletes,) if updates or deletes else ()

    def _longest(self, key: bytes) -> Region | None:
        if self.spec.type != "BPF_MAP_TYPE_LPM_TRIE":
            return None
        wanted, best, found = int.from_bytes(key[:4], "little"), -1, None
        for known, entry in self.values.items():
            length = int.from_bytes(known[:4], "little")
            if best < length <= wanted and _bits(known[4:], length) == _bits(key[4:], length):
                best, found = length, entry
        return found

    def entries(self) -> dict[bytes, bytes]:
        return {key: bytes(entry.data) for key, entry in self.values.items()}


class Handle:
    """A map that calls are given, and whose contents no program reads: rings, programs, queues."""

    def __init__(self, spec: MapSpec) -> None:
        self.spec = spec

    def entries(self) -> dict[bytes, bytes]:
        return {}


def _bits(data: bytes, length: int) -> int:
    return int.from_bytes(data, "big") >> max(8 * len(data) - length, 0)


Map = ArrayMap | HashMap | OuterMap | ReadMap | Handle


def open_maps(program: Program, given: RunInput, ask: Ask = _nothing) -> dict[str, Map]:
    """The maps of a program, filled with what `given` has for them or as a fresh load makes them."""
    out: dict[str, Map] = {}
    for spec in program.maps:
        contents = given.maps.get(spec.name)
        if spec.type in mapmodel.ARRAYS:
            out[spec.name] = ArrayMap(spec, contents)
        elif spec.type in ("BPF_MAP_TYPE_CGROUP_STORAGE", "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE"):
            out[spec.name] = ArrayMap(replace(spec, max_entries=1), contents)
        elif spec.type in mapmodel.HASHES:
            out[spec.name] = HashMap(spec, contents, ask)
        elif spec.type in mapmodel.LOCAL:
            out[spec.name] = FoundMap(replace(spec, key_size=mapmodel.ADDRESS_BYTES), ask)
        elif spec.type in mapmodel.OF_MAPS and spec.inner is not None:
            out[spec.name] = OuterMap(spec, ask)
        elif spec.type in mapmodel.READ_ONLY | mapmodel.OF_SOCKETS:
            out[spec.name] = ReadMap(spec, contents, ask)
        else:
            out[spec.name] = Handle(spec)
    return out
