"""Attach loaded programs, each for as long as a file descriptor is open, so that nothing stays when the process ends.

Layouts: union bpf_attr, include/uapi/linux/bpf.h. Failures are OSError with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_uint32, c_uint64
from pathlib import Path

from bpfsmith.isa.tables import ATTACH_TYPES
from bpfsmith.kernel.syscall import Command, bpf, perf_event_open

_PERF_TYPE_TRACEPOINT = 2  # linux/perf_event.h
_SOURCES = Path("/sys/bus/event_source/devices")
XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE = 1 << 1, 1 << 2  # linux/if_link.h


class _LinkAttr(ctypes.Structure):
    _fields_ = [
        ("prog_fd", c_uint32), ("target", c_uint32), ("attach_type", c_uint32), ("flags", c_uint32),
    ]  # fmt: skip


class _UprobeAttr(ctypes.Structure):
    _fields_ = [
        *_LinkAttr._fields_, ("path", c_uint64), ("offsets", c_uint64), ("ref_ctr_offsets", c_uint64), ("cookies", c_uint64),
        ("count", c_uint32), ("multi_flags", c_uint32), ("pid", c_uint32),
    ]  # fmt: skip


class _KprobeAttr(ctypes.Structure):
    _fields_ = [
        *_LinkAttr._fields_, ("multi_flags", c_uint32), ("count", c_uint32), ("symbols", c_uint64), ("addresses", c_uint64),
        ("cookies", c_uint64),
    ]  # fmt: skip


class _TcxAttr(ctypes.Structure):
    _fields_ = [*_LinkAttr._fields_, ("relative_fd", c_uint32), ("padding", c_uint32), ("expected_revision", c_uint64)]


class _AttachAttr(ctypes.Structure):
    _fields_ = [("target_fd", c_uint32), ("prog_fd", c_uint32), ("attach_type", c_uint32), ("flags", c_uint32)]


class _RawTracepointAttr(ctypes.Structure):
    _fields_ = [("name", c_uint64), ("prog_fd", c_uint32), ("padding", c_uint32), ("cookie", c_uint64)]


class _PerfAttr(ctypes.Structure):
    _fields_ = [
        ("type", c_uint32), ("size", c_uint32), ("config", c_uint64), ("sample_period", c_uint64), ("sample_type", c_uint64),
        ("read_format", c_uint64), ("flags", c_uint64), ("wakeup_events", c_uint32), ("bp_type", c_uint32),
        ("config1", c_uint64), ("config2", c_uint64),
    ]  # fmt: skip


@contextmanager
def _open(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def xdp(prog_fd: int, device: str, *, generic: bool = False) -> Iterator[int]:
    """The program on a device of the current network namespace, in the driver or (`generic`) behind the allocation of skbs."""
    flags = XDP_FLAGS_SKB_MODE if generic else XDP_FLAGS_DRV_MODE
    attr = _LinkAttr(prog_fd, socket.if_nametoindex(device), ATTACH_TYPES["BPF_XDP"], flags)
    with _open(bpf(Command.LINK_CREATE, attr)) as fd:
        yield fd


@contextmanager
def tcx(prog_fd: int, device: str, *, egress: bool = False) -> Iterator[int]:
    """The program at the end of the tcx list of a device of the current network namespace."""
    kind = ATTACH_TYPES["BPF_TCX_EGRESS" if egress else "BPF_TCX_INGRESS"]
    with _open(bpf(Command.LINK_CREATE, _TcxAttr(prog_fd, socket.if_nametoindex(device), kind))) as fd:
        yield fd


@contextmanager
def uprobe(prog_fd: int, path: str, offset: int, pid: int, attach_type: str, *, on_return: bool = False) -> Iterator[int]:
    """The program at file offset `offset` of the executable `path`, for process `pid` only."""
    name, offsets = ctypes.create_string_buffer(path.encode()), (c_uint64 * 1)(offset)
    attr = _UprobeAttr(
        prog_fd=prog_fd,
        attach_type=ATTACH_TYPES[attach_type],
        path=ctypes.addressof(name),
        offsets=ctypes.addressof(offsets),
        count=1,
        multi_flags=1 if on_return else 0,  # BPF_F_UPROBE_MULTI_RETURN
        pid=pid,
    )
    with _open(bpf(Command.LINK_CREATE, attr)) as fd:
        yield fd


@contextmanager
def uprobe_event(prog_fd: int, path: str, offset: int, pid: int, *, on_return: bool = False) -> Iterator[int]:
    """The same by a perf event, as libbpf's bpf_program__attach_uprobe does it; OSError where there is no such event source."""
    kind = int((_SOURCES / "uprobe" / "type").read_text())
    name = ctypes.create_string_buffer(path.encode())
    # config, bit 0: on return (/sys/bus/event_source/devices/uprobe/format/retprobe); config1, 2: path and offset
    attr = _PerfAttr(
        type=kind, size=ctypes.sizeof(_PerfAttr), config=int(on_return), config1=ctypes.addressof(name), config2=offset
    )
    with _open(perf_event_open(attr, pid, -1)) as event, _open(_perf_link(prog_fd, event)) as fd:
        yield fd


@contextmanager
def kprobe(prog_fd: int, function: str) -> Iterator[int]:
    """The program (kprobe.multi) at the entry of one kernel function."""
    name = ctypes.create_string_buffer(function.encode())
    names = (c_uint64 * 1)(ctypes.addressof(name))
    kind = ATTACH_TYPES["BPF_TRACE_KPROBE_MULTI"]
    attr = _KprobeAttr(prog_fd=prog_fd, attach_type=kind, count=1, symbols=ctypes.addressof(names))
    with _open(bpf(Command.LINK_CREATE, attr)) as fd:
        yield fd


@contextmanager
def raw_tracepoint(prog_fd: int, name: str = "") -> Iterator[int]:
    """The program at the tracepoint `name`; none for tp_btf, which names its target when it is loaded."""
    text = ctypes.create_string_buffer(name.encode())
    attr = _RawTracepointAttr(name=ctypes.addressof(text) if name else 0, prog_fd=prog_fd)
    with _open(bpf(Command.RAW_TRACEPOINT_OPEN, attr)) as fd:
        yield fd


@contextmanager
def tracepoint(prog_fd: int, number: int) -> Iterator[int]:
    """The program at the tracepoint with this id (`tracefs.tracepoint_id`), whichever process and CPU it is passed on."""
    attr = _PerfAttr(type=_PERF_TYPE_TRACEPOINT, size=ctypes.sizeof(_PerfAttr), config=number, sample_period=1)
    with _open(perf_event_open(attr, -1, 0)) as event, _open(_perf_link(prog_fd, event)) as fd:
        yield fd


def _perf_link(prog_fd: int, event: int) -> int:
    return bpf(Command.LINK_CREATE, _LinkAttr(prog_fd, event, ATTACH_TYPES["BPF_PERF_EVENT"], 0))


def attach_to_sockmap(prog_fd: int, map_fd: int, attach_type: str) -> None:
    """The program for every socket in a sockmap or sockhash ("BPF_SK_SKB_STREAM_VERDICT"); it goes with the map."""
    bpf(Command.PROG_ATTACH, _AttachAttr(map_fd, prog_fd, ATTACH_TYPES[attach_type], 0))
