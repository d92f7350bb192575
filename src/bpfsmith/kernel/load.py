"""Load a program and keep what the kernel said: `Accepted` with images and counts, or `Rejected` with the verifier's words."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import (
    BPF_CALL,
    BPF_JMP,
    BPF_PSEUDO_BTF_ID,
    BPF_PSEUDO_KFUNC_CALL,
    BPF_PSEUDO_MAP_FD,
    BPF_PSEUDO_MAP_VALUE,
    Insn,
    slot_starts,
)
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import ProgramType, for_section
from bpfsmith.kernel import syscall
from bpfsmith.kernel.errors import errno_name, not_permitted
from bpfsmith.kernel.maps import MapSet
from bpfsmith.kernel.symbols import addresses
from bpfsmith.kernel.verifier_log import Stats, error_lines, parse_stats
from bpfsmith.kernel.vmlinux import attach_target, kfunc_id, member_of, type_id
from bpfsmith.objfile.btf_codec import Kind
from bpfsmith.objfile.btf_load import ProgramInfo
from bpfsmith.objfile.core_relo import essential_name
from bpfsmith.objfile.externs import Extern, ExternKind

LOG_BRANCHES, LOG_INSNS, LOG_STATS = 1, 2, 4
BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS = 1 << 4, 1 << 5
_FIRST_LOG_BYTES = 1 << 16
_STORY_BYTES = 1 << 22
"""How much of a refused program's log is wanted: a million insns write more than a hundred times as much."""
# What libbpf puts in the place of a call of a weak kfunc that is not there: an unknown helper, fine in dead code.
_POISONED_CALL = 2002000000
_MAX_LOG_BYTES = (1 << 30) - 1  # UINT_MAX >> 2, kernel/bpf/log.c


@dataclass(slots=True)
class Accepted:
    """A loaded program; a context manager that closes `fd`. Everything but `fd` stays valid after that.

    `insns` and `slots` count the program as given; `xlated` is the image after the verifier's rewriting, 8 bytes a slot.
    `jited` is None when the kernel withholds the machine code or made none, and `jited_withheld` says why; `jited_bytes` is
    its length either way. `load_ms` is the wall time of the system call, `stats` what the verifier counted.
    """

    program: Program
    program_type: ProgramType
    fd: int
    insns: int
    slots: int
    stats: Stats
    xlated: bytes
    jited: bytes | None
    jited_withheld: str
    jited_bytes: int
    tag: str
    load_ms: float
    log: str

    @property
    def processed_insns(self) -> int:
        return self.stats.processed_insns

    @property
    def xlated_slots(self) -> int:
        return len(self.xlated) // 8

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop the program; the kernel frees it when nothing else holds it. A second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@dataclass(frozen=True, slots=True)
class Rejected:
    """The kernel's no. `log` is the verifier's whole log with the state at branches, `error_lines` the lines that say why.

    A context manager like `Accepted`, so that `with load(..) as outcome` does for both.
    """

    program: Program
    errno: int
    log: str
    error_lines: tuple[str, ...]

    @property
    def stats(self) -> Stats | None:
        """What the verifier counted until it stopped, where it got that far."""
        return parse_stats(self.log)

    @property
    def reason(self) -> str:
        """One line: the verifier's last word, or the errno when it had none."""
        return self.error_lines[-1] if self.error_lines else errno_name(self.errno)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


def load(program: Program, maps: MapSet, *, log_level: int = LOG_STATS, flags: int = 0) -> Accepted | Rejected:
    """Ask the kernel for its verdict on `program`, whose maps are open in `maps`.

    The source lines and function types come from the object that `maps` was opened for. `log_level` may add LOG_BRANCHES or
    LOG_INSNS to the log of an accepted program. KernelError `bpf-not-permitted` when the refusal is not about the program.
    """
    program_type = for_section(program.section)
    linked = program.linked()
    info = maps.object.info_for(program) if maps.object and maps.btf_fd else ProgramInfo()
    target, attach_type = _attachment(program, program_type, maps)
    request = syscall.ProgLoad(
        prog_type=program_type.number,
        insns=encode(_resolved(insn, maps) for insn in linked),
        license=program.license,
        name=program.name,
        expected_attach_type=attach_type,
        flags=flags | load_flags(program_type),
        kernel_version=maps.object.kernel_version if maps.object else 0,
        btf_fd=maps.btf_fd,
        func_info=info.func_info,
        line_info=info.line_info,
        core_relos=info.core_relos,
        attach_btf_id=target,
    )
    started = time.perf_counter()
    reply = _load_with_log(request, log_level | LOG_STATS)
    load_ms = (time.perf_counter() - started) * 1e3
    if reply.fd < 0:
        return _rejected(program, request, reply, log_level)
    return _accepted(program, program_type, linked, reply, load_ms)


def _attachment(program: Program, kind: ProgramType, maps: MapSet) -> tuple[int, int]:
    """attach_btf_id and expected_attach_type; those of a struct_ops program are the struct and the member it implements."""
    implements = maps.object.struct_ops.get(program.name) if maps.object else None
    if implements is None:
        return attach_target(program.section), kind.attach_number
    return member_of(*implements)


def load_flags(kind: ProgramType) -> int:
    """The prog_flags that libbpf passes for a section of this type."""
    return (BPF_F_SLEEPABLE if kind.sleepable else 0) | (BPF_F_XDP_HAS_FRAGS if kind.frags else 0)


def _resolved(insn: Insn, maps: MapSet) -> Insn:
    """The insn with file descriptors and kernel ids in the place of its symbol."""
    if insn.symbol is None:
        return insn
    if insn.is_wide and insn.src_reg in (BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE):
        return replace(insn, imm=insn.imm & ~0xFFFFFFFF | maps.fd(insn.symbol))
    extern = maps.object.externs.get(insn.symbol) if maps.object else None
    if insn.is_wide and insn.src_reg == BPF_PSEUDO_BTF_ID:
        return _with_kernel_symbol(insn, extern)
    if insn.opcode == BPF_JMP | BPF_CALL and insn.src_reg == BPF_PSEUDO_KFUNC_CALL:
        found = type_id(Kind.FUNC, essential_name(insn.symbol))
        if found is None and extern is not None and extern.weak:
            return replace(insn, src_reg=0, imm=_POISONED_CALL)
        return replace(insn, imm=found or kfunc_id(insn.symbol))
    return insn


def _signed(address: int) -> int:
    """64 bits as an Insn's imm has them."""
    return (address ^ 1 << 63) - (1 << 63)


def _with_kernel_symbol(insn: Insn, extern: Extern | None) -> Insn:
    """A typed ksym by its BTF id, a plain one by its address, a weak one that the kernel lacks as 0.

    KernelError `unknown-kernel-symbol`.
    """
    name = insn.symbol or ""
    if extern is not None and extern.kind == ExternKind.ADDRESS:
        found = addresses().get(name)
        if found is not None or extern.weak:
            return replace(insn, src_reg=0, imm=_signed(found or 0))
    elif extern is not None:
        number = type_id(Kind.FUNC if extern.kind == ExternKind.FUNCTION else Kind.VAR, essential_name(name))
        if number is not None:
            return replace(insn, imm=number)
        if extern.weak:
            return replace(insn, src_reg=0, imm=0)
    raise KernelError(
        Diagnostic(
            "unknown-kernel-symbol",
            f"this kernel has no symbol {name} that programs can use",
            notes=("searched in /sys/kernel/btf/vmlinux and /proc/kallsyms",),
            help="check the name, or declare it __weak and test it before use",
        )
    )


def _load_with_log(request: syscall.ProgLoad, log_level: int, enough: int = _MAX_LOG_BYTES) -> syscall.LogReply:
    """Load with a log buffer that grows until the log fits; a log that does not fit makes the kernel drop the program.

    Of a log longer than `enough` bytes the end will do. Kernels since 6.4, which say how long it would be, keep that.
    """
    size = _FIRST_LOG_BYTES if log_level == LOG_STATS else _FIRST_LOG_BYTES << 4
    while True:
        reply = syscall.prog_load(request, log_level, size)
        if reply.errno != errno.ENOSPC or size >= _MAX_LOG_BYTES or (size >= enough and reply.log_bytes):
            return reply
        size = min(max(reply.log_bytes + 1, size * 4), _MAX_LOG_BYTES)


def _rejected(program: Program, request: syscall.ProgLoad, reply: syscall.LogReply, log_level: int) -> Rejected:
    if reply.errno == errno.EPERM and not reply.log:
        raise not_permitted(f"load program {program.name}", reply.errno)
    if not log_level & (LOG_BRANCHES | LOG_INSNS):
        again = _load_with_log(request, LOG_BRANCHES | LOG_STATS, _STORY_BYTES)
        if again.fd >= 0:  # the verdict may depend on the load of the machine (ENOMEM, EAGAIN), which is no verdict
            os.close(again.fd)
        elif again.log:
            reply = replace(reply, log=again.log)
    return Rejected(program, reply.errno, reply.log, error_lines(reply.log))


def _accepted(
    program: Program, program_type: ProgramType, linked: tuple[Insn, ...], reply: syscall.LogReply, load_ms: float
) -> Accepted:
    try:
        info = syscall.prog_info(reply.fd)
    except BaseException:
        os.close(reply.fd)
        raise
    stats = parse_stats(reply.log) or Stats(info.verified_insns, 0, 0, 0, 0)
    return Accepted(
        program=program,
        program_type=program_type,
        fd=reply.fd,
        insns=len(linked),
        slots=slot_starts(linked)[-1],
        stats=stats,
        xlated=info.xlated,
        jited=info.jited,
        jited_withheld="" if info.jited is not None else _why_withheld(info.jited_bytes),
        jited_bytes=info.jited_bytes,
        tag=info.tag,
        load_ms=load_ms,
        log=reply.log,
    )


def _why_withheld(jited_bytes: int) -> str:
    if not jited_bytes:
        return "the kernel runs it in its interpreter: net.core.bpf_jit_enable is 0, or there is no JIT"
    return "kernel.kptr_restrict forbids it, or CAP_SYSLOG is missing"
