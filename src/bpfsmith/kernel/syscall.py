"""The bpf(2) system call, one typed function for each command that is used; failures are OSError with the kernel's errno.

Layouts: union bpf_attr and struct bpf_prog_info, include/uapi/linux/bpf.h. The kernel zero-extends a shorter attr than its own
and accepts a longer one whose tail is zero, so that these run on kernels older and newer than they were written for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from ctypes import c_char, c_int32, c_uint32, c_uint64
from dataclasses import dataclass
from enum import IntEnum

_NUMBERS = {"x86_64": 321, "aarch64": 280}
_PERF_NUMBERS = {"x86_64": 298, "aarch64": 241}
_NAME_BYTES = 16  # BPF_OBJ_NAME_LEN, with the terminating zero
# struct bpf_map_create and _elem flags.
BPF_ANY, BPF_F_LOCK = 0, 4


class Command(IntEnum):
    """enum bpf_cmd, the part in use."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    PROG_ATTACH = 8
    PROG_TEST_RUN = 10
    OBJ_GET_INFO_BY_FD = 15
    RAW_TRACEPOINT_OPEN = 17
    BTF_LOAD = 18
    MAP_FREEZE = 22
    LINK_CREATE = 28
    ENABLE_STATS = 32


@dataclass(frozen=True, slots=True)
class MapCreate:
    """What BPF_MAP_CREATE takes. Sizes in bytes; file descriptors and BTF ids are 0 for none."""

    map_type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    name: str = ""
    inner_map_fd: int = 0
    btf_fd: int = 0
    btf_key_type_id: int = 0
    btf_value_type_id: int = 0
    extra: int = 0


@dataclass(frozen=True, slots=True)
class ProgLoad:
    """What BPF_PROG_LOAD takes; `insns`, `func_info`, `line_info` and `core_relos` are arrays of the uapi structs as
    bytes."""

    prog_type: int
    insns: bytes
    license: str = "GPL"
    name: str = ""
    expected_attach_type: int = 0
    flags: int = 0
    kernel_version: int = 0
    btf_fd: int = 0
    func_info: bytes = b""
    line_info: bytes = b""
    core_relos: bytes = b""
    attach_btf_id: int = 0


@dataclass(frozen=True, slots=True)
class LogReply:
    """The outcome of a command that writes a log: `fd` is -1 and `errno` set when it failed.

    `log_bytes` is what the whole log would take (0 on kernels before 6.4).
    """

    fd: int
    errno: int
    log: str
    log_bytes: int


@dataclass(frozen=True, slots=True)
class ProgInfo:
    """What BPF_OBJ_GET_INFO_BY_FD says of a program. `jited` is None when the kernel withholds the image (kptr_restrict)."""

    prog_type: int
    id: int
    tag: str
    xlated: bytes
    jited: bytes | None
    jited_bytes: int
    verified_insns: int
    run_time_ns: int
    run_count: int


@dataclass(frozen=True, slots=True)
class TestRunReply:
    """`return_value` is r0's low 32 bits; `duration_ns` the mean of one run."""

    return_value: int
    data: bytes
    ctx: bytes
    duration_ns: int


class _MapCreateAttr(ctypes.Structure):
    _fields_ = [
        ("map_type", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
        ("map_flags", c_uint32),
        ("inner_map_fd", c_uint32),
        ("numa_node", c_uint32),
        ("map_name", c_char * _NAME_BYTES),
        ("map_ifindex", c_uint32),
        ("btf_fd", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("map_extra", c_uint64),
    ]


class _ElemAttr(ctypes.Structure):
    _fields_ = [
        ("map_fd", c_uint32),
        ("key", c_uint64),
        ("value_or_next_key", c_uint64),
        ("flags", c_uint64),
    ]


class _ProgLoadAttr(ctypes.Structure):
    _fields_ = [
        ("prog_type", c_uint32),
        ("insn_cnt", c_uint32),
        ("insns", c_uint64),
        ("license", c_uint64),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
        ("log_buf", c_uint64),
        ("kern_version", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_name", c_char * _NAME_BYTES),
        ("prog_ifindex", c_uint32),
        ("expected_attach_type", c_uint32),
        ("prog_btf_fd", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("func_info", c_uint64),
        ("func_info_cnt", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("line_info", c_uint64),
        ("line_info_cnt", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_fd", c_uint32),
        ("core_relo_cnt", c_uint32),
        ("fd_array", c_uint64),
        ("core_relos", c_uint64),
        ("core_relo_rec_size", c_uint32),
        ("log_true_size", c_uint32),
    ]


class _BtfLoadAttr(ctypes.Structure):
    _fields_ = [
        ("btf", c_uint64),
        ("btf_log_buf", c_uint64),
        ("btf_size", c_uint32),
        ("btf_log_size", c_uint32),
        ("btf_log_level", c_uint32),
        ("btf_log_true_size", c_uint32),
    ]


class _InfoAttr(ctypes.Structure):
    _fields_ = [("bpf_fd", c_uint32), ("info_len", c_uint32), ("info", c_uint64)]


class _TestRunAttr(ctypes.Structure):
    _fields_ = [
        ("prog_fd", c_uint32),
        ("retval", c_uint32),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("data_in", c_uint64),
        ("data_out", c_uint64),
        ("repeat", c_uint32),
        ("duration", c_uint32),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("ctx_in", c_uint64),
        ("ctx_out", c_uint64),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    ]


class _FdAttr(ctypes.Structure):
    _fields_ = [("map_fd", c_uint32)]


class _StatsAttr(ctypes.Structure):
    _fields_ = [("type", c_uint32)]


class _ProgInfo(ctypes.Structure):
    _fields_ = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32),
        ("jited_prog_insns", c_uint64),
        ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64),
        ("created_by_uid", c_uint32),
        ("nr_map_ids", c_uint32),
        ("map_ids", c_uint64),
        ("name", c_char * _NAME_BYTES),
        ("ifindex", c_uint32),
        ("gpl_compatible", c_uint32),
        ("netns_dev", c_uint64),
        ("netns_ino", c_uint64),
        ("nr_jited_ksyms", c_uint32),
        ("nr_jited_func_lens", c_uint32),
        ("jited_ksyms", c_uint64),
        ("jited_func_lens", c_uint64),
        ("btf_id", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("func_info", c_uint64),
        ("nr_func_info", c_uint32),
        ("nr_line_info", c_uint32),
        ("line_info", c_uint64),
        ("jited_line_info", c_uint64),
        ("nr_jited_line_info", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("jited_line_info_rec_size", c_uint32),
        ("nr_prog_tags", c_uint32),
        ("prog_tags", c_uint64),
        ("run_time_ns", c_uint64),
        ("run_cnt", c_uint64),
        ("recursion_misses", c_uint64),
        ("verified_insns", c_uint32),
        ("attach_btf_obj_id", c_uint32),
        ("attach_btf_id", c_uint32),
        ("padding", c_int32),
    ]


_libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: Command, attr: ctypes.Structure) -> int:
    """Make the system call; `attr` is updated in place. OSError with the kernel's errno, ENOSYS on other systems."""
    number = _NUMBERS.get(platform.machine())
    if number is None or platform.system() != "Linux":
        raise OSError(errno.ENOSYS, f"bpf(2) is not known on {platform.system()} {platform.machine()}")
    result: int = _libc.syscall(
        ctypes.c_long(number), ctypes.c_long(command), ctypes.byref(attr), ctypes.c_long(ctypes.sizeof(attr))
    )
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"BPF_{command.name}")
    return result


def perf_event_open(attr: ctypes.Structure, pid: int, cpu: int) -> int:
    """An event of perf_event_open(2), closed on exec; OSError with the kernel's errno."""
    number = _PERF_NUMBERS.get(platform.machine())
    if number is None or platform.system() != "Linux":
        raise OSError(errno.ENOSYS, f"perf_event_open(2) is not known on {platform.system()} {platform.machine()}")
    flags = 1 << 3  # PERF_FLAG_FD_CLOEXEC
    arguments = (ctypes.c_long(item) for item in (pid, cpu, -1, flags))
    result: int = _libc.syscall(ctypes.c_long(number), ctypes.byref(attr), *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "perf_event_open")
    return result


class _Buffer:
    """Memory that the kernel reads or writes; it lives as long as this object."""

    def __init__(self, contents: bytes, size: int | None = None) -> None:
        self.size = len(contents) if size is None else size
        self._memory = ctypes.create_string_buffer(contents, max(self.size, 1))

    @property
    def address(self) -> int:
        """The address for an attr, 0 for an empty buffer."""
        return ctypes.addressof(self._memory) if self.size else 0

    def contents(self, size: int | None = None) -> bytes:
        return self._memory.raw[: self.size if size is None else size]

    def text(self) -> str:
        return self._memory.value.decode("utf-8", "replace")


def object_name(name: str) -> bytes:
    """`name` as the kernel takes it for maps and programs: letters, digits, `_` and `.`, at most 15 bytes."""
    allowed = "".join(char if char.isascii() and (char.isalnum() or char in "_.") else "_" for char in name)
    return allowed.encode()[: _NAME_BYTES - 1]


def map_create(request: MapCreate) -> int:
    """BPF_MAP_CREATE: the new map's file descriptor."""
    attr = _MapCreateAttr(
        map_type=request.map_type,
        key_size=request.key_size,
        value_size=request.value_size,
        max_entries=request.max_entries,
        map_flags=request.flags,
        inner_map_fd=request.inner_map_fd,
        map_name=object_name(request.name),
        btf_fd=request.btf_fd,
        btf_key_type_id=request.btf_key_type_id,
        btf_value_type_id=request.btf_value_type_id,
        map_extra=request.extra,
    )
    return bpf(Command.MAP_CREATE, attr)


def map_lookup(fd: int, key: bytes, value_size: int, flags: int = 0) -> bytes:
    """BPF_MAP_LOOKUP_ELEM: the value, `value_size` bytes (all CPUs' for per-CPU maps). ENOENT when the key is not there."""
    key_buffer, value = _Buffer(key), _Buffer(b"", value_size)
    bpf(Command.MAP_LOOKUP_ELEM, _ElemAttr(map_fd=fd, key=key_buffer.address, value_or_next_key=value.address, flags=flags))
    return value.contents()


def map_update(fd: int, key: bytes, value: bytes, flags: int = BPF_ANY) -> None:
    """BPF_MAP_UPDATE_ELEM. E2BIG when the map is full."""
    key_buffer, value_buffer = _Buffer(key), _Buffer(value)
    attr = _ElemAttr(map_fd=fd, key=key_buffer.address, value_or_next_key=value_buffer.address, flags=flags)
    bpf(Command.MAP_UPDATE_ELEM, attr)


def map_delete(fd: int, key: bytes) -> None:
    """BPF_MAP_DELETE_ELEM. ENOENT when the key is not there, EINVAL for arrays."""
    key_buffer = _Buffer(key)
    bpf(Command.MAP_DELETE_ELEM, _ElemAttr(map_fd=fd, key=key_buffer.address))


def map_next_key(fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """BPF_MAP_GET_NEXT_KEY: the key after `key`, the first for None; None at the end."""
    key_buffer, following = _Buffer(key or b""), _Buffer(b"", key_size)
    attr = _ElemAttr(map_fd=fd, key=key_buffer.address, value_or_next_key=following.address)
    try:
        bpf(Command.MAP_GET_NEXT_KEY, attr)
    except FileNotFoundError:
        return None
    return following.contents()


def map_freeze(fd: int) -> None:
    """BPF_MAP_FREEZE: from now on userspace cannot write the map."""
    bpf(Command.MAP_FREEZE, _FdAttr(map_fd=fd))


def enable_stats() -> int:
    """BPF_ENABLE_STATS: run times and counts are kept for all programs while the returned file descriptor is open."""
    return bpf(Command.ENABLE_STATS, _StatsAttr(type=0))


def btf_load(btf: bytes, log_size: int = 0) -> LogReply:
    """BPF_BTF_LOAD; a log only for `log_size` > 0."""
    data, log = _Buffer(btf), _Buffer(b"", log_size)
    attr = _BtfLoadAttr(
        btf=data.address,
        btf_size=data.size,
        btf_log_buf=log.address,
        btf_log_size=log.size,
        btf_log_level=1 if log_size else 0,
    )
    fd, error = _fd_or_errno(Command.BTF_LOAD, attr)
    return LogReply(fd, error, log.text(), attr.btf_log_true_size)


def prog_load(request: ProgLoad, log_level: int = 0, log_size: int = 0) -> LogReply:
    """BPF_PROG_LOAD. `log_level` is a set: 1 states at branches, 2 at every insn, 4 statistics."""
    insns, license_ = _Buffer(request.insns), _Buffer(request.license.encode() + b"\0")
    func_info, line_info, log = _Buffer(request.func_info), _Buffer(request.line_info), _Buffer(b"", log_size)
    core_relos = _Buffer(request.core_relos)
    attr = _ProgLoadAttr(
        prog_type=request.prog_type,
        insn_cnt=insns.size // 8,
        insns=insns.address,
        license=license_.address,
        log_level=log_level,
        log_size=log.size,
        log_buf=log.address,
        kern_version=request.kernel_version,
        prog_flags=request.flags,
        prog_name=object_name(request.name),
        expected_attach_type=request.expected_attach_type,
        prog_btf_fd=request.btf_fd,
        func_info_rec_size=8 if func_info.size else 0,
        func_info=func_info.address,
        func_info_cnt=func_info.size // 8,
        line_info_rec_size=16 if line_info.size else 0,
        line_info=line_info.address,
        line_info_cnt=line_info.size // 16,
        attach_btf_id=request.attach_btf_id,
        core_relos=core_relos.address,
        core_relo_cnt=core_relos.size // 16,
        core_relo_rec_size=16 if core_relos.size else 0,
    )
    fd, error = _fd_or_errno(Command.PROG_LOAD, attr)
    return LogReply(fd, error, log.text(), attr.log_true_size)


def _fd_or_errno(command: Command, attr: ctypes.Structure) -> tuple[int, int]:
    try:
        return bpf(command, attr), 0
    except OSError as error:
        return -1, error.errno or 0


def prog_info(fd: int) -> ProgInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a program, images included."""
    info = _ProgInfo()
    _get_info(fd, info)
    xlated, jited = _Buffer(b"", info.xlated_prog_len), _Buffer(b"", info.jited_prog_len)
    info = _ProgInfo(
        jited_prog_len=jited.size,
        xlated_prog_len=xlated.size,
        jited_prog_insns=jited.address,
        xlated_prog_insns=xlated.address,
    )
    _get_info(fd, info)
    return ProgInfo(
        prog_type=info.type,
        id=info.id,
        tag=bytes(info.tag).hex(),
        xlated=xlated.contents(info.xlated_prog_len),
        # The kernel zeroes the pointer when it does not copy (bpf_dump_raw_ok).
        jited=jited.contents(info.jited_prog_len) if info.jited_prog_insns and info.jited_prog_len else None,
        jited_bytes=info.jited_prog_len,
        verified_insns=info.verified_insns,
        run_time_ns=info.run_time_ns,
        run_count=info.run_cnt,
    )


def _get_info(fd: int, info: ctypes.Structure) -> None:
    attr = _InfoAttr(bpf_fd=fd, info_len=ctypes.sizeof(info), info=ctypes.addressof(info))
    bpf(Command.OBJ_GET_INFO_BY_FD, attr)


def prog_test_run(
    fd: int,
    data: bytes = b"",
    *,
    ctx: bytes = b"",
    data_out_size: int = 0,
    ctx_out_size: int = 0,
    repeat: int = 0,
    flags: int = 0,
    cpu: int = 0,
) -> TestRunReply:
    """BPF_PROG_TEST_RUN. ENOSPC when `data_out_size` is less than the program leaves, ENOTSUPP for types without test run."""
    data_in, ctx_in = _Buffer(data), _Buffer(ctx)
    data_out, ctx_out = _Buffer(b"", data_out_size), _Buffer(b"", ctx_out_size)
    attr = _TestRunAttr(
        prog_fd=fd,
        data_size_in=data_in.size,
        data_size_out=data_out.size,
        data_in=data_in.address,
        data_out=data_out.address,
        repeat=repeat,
        ctx_size_in=ctx_in.size,
        ctx_size_out=ctx_out.size,
        ctx_in=ctx_in.address,
        ctx_out=ctx_out.address,
        flags=flags,
        cpu=cpu,
    )
    bpf(Command.PROG_TEST_RUN, attr)
    return TestRunReply(
        attr.retval,
        data_out.contents(min(attr.data_size_out, data_out.size)),
        ctx_out.contents(min(attr.ctx_size_out, ctx_out.size)),
        attr.duration,
    )


class TestRunner:
    """BPF_PROG_TEST_RUN of one program again and again, on buffers that are kept: a fifth of the time of `prog_test_run`."""

    def __init__(self, fd: int, *, data_size: int, ctx_size: int) -> None:
        self._buffers = tuple(_Buffer(b"", size) for size in (data_size, data_size, ctx_size, ctx_size))
        self._data_in, self._data_out, self._ctx_in, self._ctx_out = (buffer.address for buffer in self._buffers)
        self._data_size, self._ctx_size = data_size, ctx_size
        self._attr = _TestRunAttr(prog_fd=fd)
        number = _NUMBERS.get(platform.machine(), -1)
        command = (number, Command.PROG_TEST_RUN)
        self._call = (*map(ctypes.c_long, command), ctypes.byref(self._attr), ctypes.c_long(ctypes.sizeof(self._attr)))

    def run(self, data: bytes, ctx: bytes, repeat: int) -> TestRunReply:
        """One run. OSError with the kernel's errno, EINVAL too for input that is longer than the buffers."""
        attr, has_data, has_ctx = self._attr, len(data), len(ctx)
        if has_data > self._data_size or has_ctx > self._ctx_size:
            raise OSError(errno.EINVAL, "the input is longer than the buffers", "BPF_PROG_TEST_RUN")
        attr.repeat = repeat
        attr.data_size_in, attr.data_size_out = has_data, self._data_size if has_data else 0
        attr.data_in, attr.data_out = (self._data_in, self._data_out) if has_data else (0, 0)
        attr.ctx_size_in, attr.ctx_size_out = has_ctx, self._ctx_size if has_ctx and repeat else 0
        attr.ctx_in, attr.ctx_out = (self._ctx_in, self._ctx_out) if has_ctx else (0, 0)
        ctypes.memmove(self._data_in, data, has_data)
        ctypes.memmove(self._ctx_in, ctx, has_ctx)
        if _libc.syscall(*self._call) < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), "BPF_PROG_TEST_RUN")
        out = ctypes.string_at(self._data_out, attr.data_size_out) if has_data else b""
        ctx_out = ctypes.string_at(self._ctx_out, attr.ctx_size_out) if attr.ctx_size_out else b""
        return TestRunReply(attr.retval, out, ctx_out, attr.duration)
