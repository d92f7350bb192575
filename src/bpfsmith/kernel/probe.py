"""What this process can do with this kernel, found out by trying; answers are kept for the life of the process.

A version number says little: distributions backport, lock down and switch off. Each question here is a small load or map.
"""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import assert_never

from bpfsmith.diagnostic import Diagnostic, Unsupported
from bpfsmith.isa import insn as i
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.progtype import ProgramType, for_section
from bpfsmith.isa.tables import HELPER_IDS, MAP_TYPES
from bpfsmith.kernel import syscall
from bpfsmith.kernel.load import load_flags
from bpfsmith.kernel.vmlinux import attach_target
from bpfsmith.objfile.btf import GLOBAL, Btf, DataSec, Int, Member, SectionVar, Struct, Var, Void
from bpfsmith.objfile.btf_codec import encode_btf
from bpfsmith.objfile.maps import BPF_F_MMAPABLE

_EXIT = Insn(i.BPF_JMP | i.BPF_EXIT)
_LOG_BYTES = 1 << 14
_BPF_F_NO_PREALLOC = 1


def _mov(register: int, value: int) -> Insn:
    return Insn(i.BPF_ALU64 | i.BPF_MOV, register, imm=value)


@dataclass(frozen=True, slots=True)
class Available:
    """bpf(2) works: programs load on kernel `release`."""

    release: str


class Obstacle(StrEnum):
    """Why bpf(2) does not work here."""

    NOT_LINUX = "this is not Linux"
    NO_SYSCALL = "this kernel or architecture has no bpf(2)"
    SECCOMP = "a seccomp filter forbids bpf(2), as in a container"
    UNPRIVILEGED_DISABLED = "this process is not privileged, and kernel.unprivileged_bpf_disabled is set"
    NOT_PRIVILEGED = "this process lacks CAP_BPF and CAP_NET_ADMIN"
    REFUSED = "the kernel refuses the simplest program"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """bpf(2) does not work for this process; `errno` is what it answered."""

    obstacle: Obstacle
    errno: int


Capability = Available | Unavailable


class Feature(StrEnum):
    """Things that programs use and that not every kernel has."""

    CPU_V4 = "instructions of -mcpu=v4"
    ATOMIC_FETCH = "atomic instructions that return the old value"
    LOAD_ACQUIRE = "load-acquire and store-release"
    MAY_GOTO = "may_goto"
    SPIN_LOCK_IN_DATA = "bpf_spin_lock in a data section"
    GLOBAL_DATA = "global variables"


def kernel_release() -> str:
    """The kernel's release as `uname -r` says it."""
    return platform.release()


@cache
def can_bpf() -> Capability:
    """Can this process load programs at all? Never raises."""
    if platform.system() != "Linux":
        return Unavailable(Obstacle.NOT_LINUX, 0)
    number = _try_load(for_section("xdp"), (_mov(0, 2), _EXIT)).errno
    if number == 0:
        return Available(kernel_release())
    return Unavailable(_obstacle(number), number)


def _obstacle(number: int) -> Obstacle:
    if number == errno.ENOSYS:
        return Obstacle.NO_SYSCALL
    if number not in (errno.EPERM, errno.EACCES):
        return Obstacle.REFUSED
    if _has_capabilities():
        return Obstacle.SECCOMP if _status("Seccomp") not in ("", "0") else Obstacle.REFUSED
    disabled = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
    if disabled.exists() and disabled.read_text().strip() != "0":
        return Obstacle.UNPRIVILEGED_DISABLED
    return Obstacle.NOT_PRIVILEGED


def _has_capabilities() -> bool:
    effective = int(_status("CapEff") or "0", 16)
    net_admin, sys_admin, bpf = 1 << 12, 1 << 21, 1 << 39  # include/uapi/linux/capability.h
    return bool(effective & sys_admin or (effective & bpf and effective & net_admin))


def _status(field: str) -> str:
    """A field of /proc/self/status, empty when there is none of that name."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    return ""


@cache
def has_program_type(section: str) -> bool:
    """Does a program of this libbpf section load ("xdp", "cgroup/connect4", "fentry/vfs_read")?

    InputError for a section that libbpf does not know, KernelError for a target that this kernel has not, Unsupported
    `cannot-probe` for struct_ops, whose programs load only as members of a struct.
    """
    if section.startswith("struct_ops"):
        raise _cannot_probe(section)
    kind, target = for_section(section), attach_target(section)
    # Most types may return 0; some must return 1 (check_return_code, kernel/bpf/verifier.c).
    return any(_try_load(kind, (_mov(0, value), _EXIT), attach_btf_id=target).errno == 0 for value in (0, 1))


@cache
def has_map_type(name: str) -> bool:
    """Can a map of this type ("BPF_MAP_TYPE_LRU_HASH") be created? Unsupported `cannot-probe` for struct_ops."""
    short = name.removeprefix("BPF_MAP_TYPE_")
    if short == "STRUCT_OPS":
        raise _cannot_probe(name)
    key, value, entries, flags = _SMALLEST_MAP.get(short, (4, 4, 1, 0))
    request = syscall.MapCreate(MAP_TYPES[name], key, value, entries, flags)
    if short.endswith("_OF_MAPS"):
        return _creates_with(syscall.map_create(syscall.MapCreate(MAP_TYPES["BPF_MAP_TYPE_ARRAY"], 4, 4, 1)), request)
    if short in _LOCAL_STORAGE:
        reply = syscall.btf_load(encode_btf(Btf((Void(), _U32))))
        return reply.fd >= 0 and _creates_with(reply.fd, replace(request, btf_key_type_id=1, btf_value_type_id=1))
    return _creates(request)


def _creates_with(fd: int, request: syscall.MapCreate) -> bool:
    """Can the map be created with `fd`, its inner map or its BTF? Closes `fd`."""
    try:
        return _creates(replace(request, btf_fd=fd) if request.btf_value_type_id else replace(request, inner_map_fd=fd))
    finally:
        os.close(fd)


_PAGE = os.sysconf("SC_PAGESIZE")
_LOCAL_STORAGE = frozenset({"SK_STORAGE", "INODE_STORAGE", "TASK_STORAGE", "CGRP_STORAGE"})
# key_size, value_size, max_entries and flags of types that refuse 4, 4, 1, 0 (their map_alloc_check functions).
_SMALLEST_MAP = {
    "LPM_TRIE": (8, 4, 1, _BPF_F_NO_PREALLOC),
    "STACK_TRACE": (4, 8, 1, 0),
    "QUEUE": (0, 4, 1, 0),
    "STACK": (0, 4, 1, 0),
    "BLOOM_FILTER": (0, 4, 1, 0),
    "RINGBUF": (0, 0, _PAGE, 0),
    "USER_RINGBUF": (0, 0, _PAGE, 0),
    "CGROUP_STORAGE": (8, 4, 0, 0),
    "CGROUP_STORAGE_DEPRECATED": (8, 4, 0, 0),
    "PERCPU_CGROUP_STORAGE": (8, 4, 0, 0),
    "PERCPU_CGROUP_STORAGE_DEPRECATED": (8, 4, 0, 0),
    "ARENA": (0, 0, 1, BPF_F_MMAPABLE),
    "INSN_ARRAY": (4, 16, 1, 0),
    "RHASH": (4, 4, 1, _BPF_F_NO_PREALLOC),
    **dict.fromkeys(_LOCAL_STORAGE, (4, 4, 0, _BPF_F_NO_PREALLOC)),
}


@cache
def has_helper(section: str, helper: str) -> bool:
    """May programs of this section call this helper ("bpf_fib_lookup")? False for a helper that nobody has heard of."""
    number = HELPER_IDS.get(helper)
    if number is None:
        return False
    call = (Insn(i.BPF_JMP | i.BPF_CALL, imm=number), _mov(0, 0), _EXIT)
    reply = _try_load(for_section(section), call, log_size=_LOG_BYTES)
    # check_helper_call, kernel/bpf/verifier.c: the function is looked up before its arguments are checked.
    refusals = ("invalid func ", "unknown func ", "program of this type cannot use helper ")
    return reply.errno == 0 or (bool(reply.log) and not any(text in reply.log for text in refusals))


@cache
def has_feature(feature: Feature) -> bool:
    """Does the kernel accept the smallest thing that uses the feature?"""
    match feature:
        case Feature.CPU_V4:  # r0 = (s8)r0; r0 s/= 1; gotol +0
            sign_extend = Insn(i.BPF_ALU64 | i.BPF_MOV | i.BPF_X, 0, 0, 8)
            return _loads(
                _mov(0, 0), sign_extend, Insn(i.BPF_ALU64 | i.BPF_DIV, 0, 0, 1, 1), Insn(i.BPF_JMP32 | i.BPF_JA), _EXIT
            )
        case Feature.ATOMIC_FETCH:
            return _loads(*_atomic(i.BPF_ADD | i.BPF_FETCH))
        case Feature.LOAD_ACQUIRE:
            return _loads(*_atomic(i.BPF_STORE_REL))
        case Feature.MAY_GOTO:
            return _loads(_mov(0, 0), Insn(i.BPF_JMP | i.BPF_JCOND, src_reg=i.BPF_MAY_GOTO), _EXIT)
        case Feature.GLOBAL_DATA:
            return _data_section_works((Void(), _U32, Var("v", 1, GLOBAL), DataSec(".data", 4, (SectionVar(2, 0, 4),))))
        case Feature.SPIN_LOCK_IN_DATA:
            lock = Struct("bpf_spin_lock", 4, (Member("val", 1, 0),))
            section = DataSec(".data.lock", 4, (SectionVar(3, 0, 4),))
            return _data_section_works((Void(), _U32, lock, Var("lock", 2, GLOBAL), section))
        case _:
            assert_never(feature)


_U32 = Int("unsigned int", 4, 32)


def _atomic(operation: int) -> tuple[Insn, ...]:
    """The operation on a zeroed stack slot, with r1 as its operand."""
    atomic = Insn(i.BPF_STX | i.BPF_ATOMIC | i.BPF_DW, 10, 1, -8, operation)
    return (_mov(1, 0), Insn(i.BPF_STX | i.BPF_MEM | i.BPF_DW, 10, 1, -8), atomic, _mov(0, 0), _EXIT)


def _loads(*insns: Insn) -> bool:
    return _try_load(for_section("socket"), insns).errno == 0


def _try_load(kind: ProgramType, insns: tuple[Insn, ...], *, attach_btf_id: int = 0, log_size: int = 0) -> syscall.LogReply:
    request = syscall.ProgLoad(
        prog_type=kind.number,
        insns=encode(insns),
        name="probe",
        expected_attach_type=kind.attach_number,
        attach_btf_id=attach_btf_id,
        flags=load_flags(kind),
    )
    reply = syscall.prog_load(request, 1 if log_size else 0, log_size)
    if reply.fd >= 0:
        os.close(reply.fd)
    return reply


def _creates(request: syscall.MapCreate) -> bool:
    try:
        os.close(syscall.map_create(request))
    except OSError:
        return False
    return True


def _data_section_works(types: tuple[Int | Struct | Var | DataSec | Void, ...]) -> bool:
    """Can an array be made whose value is the section that ends `types`?"""
    reply = syscall.btf_load(encode_btf(Btf(types)))
    array = syscall.MapCreate(MAP_TYPES["BPF_MAP_TYPE_ARRAY"], 4, 4, 1, btf_value_type_id=len(types) - 1)
    return reply.fd >= 0 and _creates_with(reply.fd, array)


def _cannot_probe(name: str) -> Unsupported:
    return Unsupported(
        Diagnostic(
            "cannot-probe",
            f"{name} cannot be tried by itself",
            notes=("it loads only together with a struct of the kernel's that it implements",),
            help="load an object that implements one",
        )
    )


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Keep this thread on one CPU, so that runs of a program with per-CPU maps all see the same values.

    OSError EINVAL when the process may not run there.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
