"""The maps of a program in the kernel: made, filled, read and written by name, and gone when the `with` block ends."""

from __future__ import annotations

import errno
import mmap
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError
from bpfsmith.execution import MapContents
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.tables import MAP_TYPES
from bpfsmith.kernel import syscall
from bpfsmith.kernel.errors import errno_name, not_permitted
from bpfsmith.kernel.symbols import configuration, kconfig_values
from bpfsmith.objfile.externs import KCONFIG_SECTION
from bpfsmith.objfile.maps import KERNEL_OBJECTS, holds_kernel_object
from bpfsmith.objfile.object import Object


def _types(names: str) -> frozenset[str]:
    return frozenset(f"BPF_MAP_TYPE_{name}" for name in names.split())


_PER_CPU = _types("PERCPU_HASH PERCPU_ARRAY LRU_PERCPU_HASH PERCPU_CGROUP_STORAGE")
_OF_MAPS = _types("ARRAY_OF_MAPS HASH_OF_MAPS")
_ARRAYS = _types("ARRAY PERCPU_ARRAY")
# Types whose keys and values the kernel takes no BTF for; libbpf's bpf_object__create_map has the same list.
WITHOUT_BTF = _OF_MAPS | _types(
    "PERF_EVENT_ARRAY CGROUP_ARRAY STACK_TRACE DEVMAP DEVMAP_HASH CPUMAP XSKMAP SOCKMAP SOCKHASH QUEUE STACK RINGBUF "
    "USER_RINGBUF PROG_ARRAY"
)
# Types that `reset` can empty; the others hold nothing of their own or start empty.
_RESETTABLE = _ARRAYS | frozenset(
    f"BPF_MAP_TYPE_{n}" for n in ("HASH", "LRU_HASH", "PERCPU_HASH", "LRU_PERCPU_HASH", "LPM_TRIE")
)
# Where an arena would lie in userspace that does not say; programs load only when it is known.
_ARENA_ADDRESS = 1 << 44
_SPIN_LOCK = frozenset({"bpf_spin_lock"})


@cache
def possible_cpus() -> int:
    """How many CPUs the machine may ever have: the number of values behind a key of a per-CPU map."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


@dataclass(frozen=True, slots=True)
class _OpenMap:
    spec: MapSpec
    fd: int
    has_lock: bool

    @property
    def value_bytes(self) -> int:
        """What userspace reads and writes for one key: the value, or one value rounded up to 8 bytes for each possible CPU."""
        if self.spec.type in _PER_CPU:
            return (self.spec.value_size + 7) // 8 * 8 * possible_cpus()
        return self.spec.value_size

    @property
    def lock_flag(self) -> int:
        return syscall.BPF_F_LOCK if self.has_lock else 0


class MapSet:
    """Open maps by name. A context manager; `open_maps` makes it.

    Contents are those of `execution.MapContents`: a data section has the single key of four zero bytes, a per-CPU map's value
    is that of each possible CPU in turn, each rounded up to 8 bytes. `btf_fd` is that of the object's BTF, 0 without one.
    """

    def __init__(self, obj: Object | None, btf_fd: int, maps: Mapping[str, _OpenMap], resources: ExitStack) -> None:
        self.object = obj
        self.btf_fd = btf_fd
        self._maps = maps
        self._resources = resources

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every file descriptor; the kernel frees maps that no program holds."""
        self._resources.close()

    def __contains__(self, name: str) -> bool:
        return name in self._maps

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._maps)

    def fd(self, name: str) -> int:
        """The file descriptor of a map; KeyError when there is none of that name."""
        return self._maps[name].fd

    def spec(self, name: str) -> MapSpec:
        """The definition of a map as it was created; KeyError when there is none of that name."""
        return self._maps[name].spec

    def value_bytes(self, name: str) -> int:
        """How long a value is in `read` and `write`."""
        return self._maps[name].value_bytes

    def read(self, name: str) -> dict[bytes, bytes]:
        """Everything in the map, by key, in the kernel's order. KernelError `map-not-accessible` where that cannot be read."""
        item = self._maps[name]
        with _accessing(item, "read"):
            return dict(self._entries(item))

    def write(self, name: str, contents: MapContents) -> None:
        """Make the map hold exactly `contents`; array elements that it does not name become zero.

        InputError `map-contents` for keys or values of the wrong size and for other contents of a frozen map.
        """
        item = self._maps[name]
        _check_sizes(item, contents)
        if item.spec.frozen:
            if contents != {bytes(item.spec.key_size): item.spec.initial}:
                raise _bad_contents(item, "it is frozen: it cannot hold anything but its initial value")
            return
        with _accessing(item, "written"):
            for key in [key for key in self._keys(item) if key not in contents]:
                if item.spec.type in _ARRAYS:
                    syscall.map_update(item.fd, key, bytes(item.value_bytes), item.lock_flag)
                else:
                    _delete(item.fd, key)
            for key, value in contents.items():
                syscall.map_update(item.fd, key, value, item.lock_flag)

    def reset(self) -> None:
        """Give every map that can be written the contents of a fresh load."""
        for name, item in self._maps.items():
            if item.spec.initial is not None:
                self.write(name, {bytes(item.spec.key_size): item.spec.initial})
            elif item.spec.type in _RESETTABLE:
                self.write(name, {})

    def put_fd(self, name: str, index: int, fd: int) -> None:
        """Put a program, map or socket, by file descriptor, into element `index` of a map that holds such."""
        item = self._maps[name]
        with _accessing(item, "written"):
            syscall.map_update(item.fd, index.to_bytes(item.spec.key_size, "little"), fd.to_bytes(4, "little"))

    def install_programs(self, fds: Mapping[str, int]) -> None:
        """Fill the program arrays that the object initialises with those of their programs that `fds` has by name."""
        for name, item in self._maps.items():
            if item.spec.type == "BPF_MAP_TYPE_PROG_ARRAY":
                for index, program in item.spec.entries:
                    if program in fds:
                        self.put_fd(name, index, fds[program])

    def _keys(self, item: _OpenMap) -> Iterator[bytes]:
        key = syscall.map_next_key(item.fd, None, item.spec.key_size)
        while key is not None:
            yield key
            key = syscall.map_next_key(item.fd, key, item.spec.key_size)

    def _entries(self, item: _OpenMap) -> Iterator[tuple[bytes, bytes]]:
        for key in self._keys(item):
            try:
                yield key, syscall.map_lookup(item.fd, key, item.value_bytes, item.lock_flag)
            except FileNotFoundError:
                continue  # deleted meanwhile, or an empty slot of a map of maps


def open_maps(source: Object | Program | Iterable[MapSpec], *, obj: Object | None = None) -> MapSet:
    """Create the maps of an object, a program or a list, data sections filled and .rodata frozen.

    A program that comes from an object needs `obj`: its BTF makes locks and timers in values work. KernelError
    `map-create-failed`, `btf-refused` or `bpf-not-permitted`; nothing stays open then.
    """
    if isinstance(source, Object):
        obj = source
    specs = source.maps if isinstance(source, Object | Program) else tuple(source)
    with ExitStack() as resources:
        btf_fd = _load_btf(obj, resources) if obj and obj.loadable_btf else 0
        maps: dict[str, _OpenMap] = {}
        for spec in specs:
            maps[spec.name] = _open_map(_of_this_kernel(spec, obj), obj, btf_fd, resources)
        opened = MapSet(obj, btf_fd, maps, resources)
        for name, item in maps.items():
            if item.spec.type in _OF_MAPS:
                for index, inner in item.spec.entries:
                    opened.put_fd(name, index, maps[inner].fd)
        return MapSet(obj, btf_fd, maps, resources.pop_all())


def _of_this_kernel(spec: MapSpec, obj: Object | None) -> MapSpec:
    """The .kconfig section with the values of the running kernel, constants from then on; other maps as they are."""
    if spec.name != KCONFIG_SECTION or obj is None or obj.btf is None:
        return spec
    values = kconfig_values(obj.externs, obj.btf, configuration(), platform.release())
    return replace(spec, initial=values, frozen=True)


def _load_btf(obj: Object, resources: ExitStack) -> int:
    assert obj.loadable_btf is not None
    reply = syscall.btf_load(obj.loadable_btf)
    if reply.fd < 0 and reply.errno == errno.EPERM:
        raise not_permitted("load BTF", reply.errno)
    if reply.fd < 0:
        log = syscall.btf_load(obj.loadable_btf, log_size=1 << 24).log
        # The log lists every type; a complaint stands at the end of the line of its type.
        last = [line.strip() for line in log.splitlines() if line.strip()][-1:]
        raise KernelError(
            Diagnostic(
                "btf-refused",
                f"the kernel refuses the type information of {obj.path}",
                notes=(f"BPF_BTF_LOAD failed with {errno_name(reply.errno)}", *last),
                help="compile the object with a newer clang, or look at it with `bpftool btf dump file`",
            )
        )
    resources.callback(os.close, reply.fd)
    return reply.fd


def _open_map(spec: MapSpec, obj: Object | None, btf_fd: int, resources: ExitStack) -> _OpenMap:
    spec = adjusted(spec)
    fd = _create(spec, obj, btf_fd)
    resources.callback(os.close, fd)
    if spec.initial is not None:
        syscall.map_update(fd, bytes(spec.key_size), spec.initial)
        if spec.frozen:
            syscall.map_freeze(fd)
    return _OpenMap(spec, fd, _holds(obj, spec, _SPIN_LOCK))


def adjusted(spec: MapSpec) -> MapSpec:
    """The sizes that libbpf fills in: a perf event array for every CPU, a ring of whole pages by a power of
    two, an arena's address."""
    if spec.type == "BPF_MAP_TYPE_PERF_EVENT_ARRAY" and not spec.max_entries:
        return replace(spec, max_entries=possible_cpus())
    if spec.type in ("BPF_MAP_TYPE_RINGBUF", "BPF_MAP_TYPE_USER_RINGBUF"):
        pages = max(1, -(-spec.max_entries // mmap.PAGESIZE))
        return replace(spec, max_entries=mmap.PAGESIZE << (pages - 1).bit_length())
    if spec.type == "BPF_MAP_TYPE_ARENA" and not spec.extra:
        return replace(spec, extra=_ARENA_ADDRESS)
    return spec


def _create(spec: MapSpec, obj: Object | None, btf_fd: int) -> int:
    inner_fd = _create(adjusted(spec.inner), obj, btf_fd) if spec.inner else 0
    plain = syscall.MapCreate(
        map_type=MAP_TYPES[spec.type],
        key_size=spec.key_size,
        value_size=spec.value_size,
        max_entries=spec.max_entries,
        flags=spec.flags,
        name=spec.name,
        inner_map_fd=inner_fd,
        extra=spec.extra,
    )
    typed = plain
    if btf_fd and spec.value_btf_id and spec.type not in WITHOUT_BTF:
        typed = replace(plain, btf_fd=btf_fd, btf_key_type_id=spec.key_btf_id, btf_value_type_id=spec.value_btf_id)
    try:
        try:
            return syscall.map_create(typed)
        except OSError:
            # Types in BTF are for readers, unless the kernel keeps objects of its own in the values.
            if typed is plain or _holds(obj, spec):
                raise
            return syscall.map_create(plain)
    except OSError as error:
        raise _create_failed(spec, error.errno or 0) from error
    finally:
        if inner_fd:
            os.close(inner_fd)


def _holds(obj: Object | None, spec: MapSpec, names: frozenset[str] = KERNEL_OBJECTS) -> bool:
    return bool(obj and obj.btf and spec.value_btf_id and holds_kernel_object(obj.btf, spec.value_btf_id, names))


def _create_failed(spec: MapSpec, number: int) -> KernelError:
    if number == errno.EPERM:
        return not_permitted(f"create map {spec.name}", number)
    return KernelError(
        Diagnostic(
            "map-create-failed",
            f"the kernel cannot create map {spec.name}",
            notes=(
                f"BPF_MAP_CREATE failed with {errno_name(number)}",
                f"type {spec.type}, key_size {spec.key_size}, value_size {spec.value_size}, max_entries {spec.max_entries}, "
                f"map_flags {spec.flags:#x}",
            ),
            help="check the sizes and flags against what this map type takes",
        )
    )


@contextmanager
def _accessing(item: _OpenMap, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KernelError(
            Diagnostic(
                "map-not-accessible",
                f"map {item.spec.name} cannot be {verb} from userspace",
                notes=(f"bpf(2) failed with {errno_name(error.errno or 0)}", f"its type is {item.spec.type}"),
                help="hash and array maps of all kinds and data sections can be read and written",
            )
        ) from error


def _delete(fd: int, key: bytes) -> None:
    try:
        syscall.map_delete(fd, key)
    except FileNotFoundError:
        return  # gone already


def _check_sizes(item: _OpenMap, contents: MapContents) -> None:
    for key, value in contents.items():
        if len(key) != item.spec.key_size or len(value) != item.value_bytes:
            needed = f"keys have {item.spec.key_size} bytes and values {item.value_bytes}"
            raise _bad_contents(item, f"{needed}, but an entry has {len(key)} and {len(value)}")


def _bad_contents(item: _OpenMap, message: str) -> InputError:
    return InputError(
        Diagnostic(
            "map-contents",
            f"these contents do not fit map {item.spec.name}: {message}",
            help="give every key and value at its full size; a per-CPU value is that of each possible CPU in turn",
        )
    )
