"""Opens what a user names: an AppNet program, eBPF C, an object or assembly, `FILE:PROGRAM` picking one program of several."""

from __future__ import annotations

import errno
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bpfsmith.appnet import core
from bpfsmith.appnet.binding import Binding
from bpfsmith.appnet.binding_file import read_binding
from bpfsmith.appnet.discharge import discharged
from bpfsmith.appnet.parse import read_source
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.codegen.clang import DEFAULT_CPU, Compiler
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa.program import Program
from bpfsmith.kernel.header import header_directory
from bpfsmith.kernel.probe import Available, can_bpf
from bpfsmith.objfile.object import Object, read_object


@dataclass(frozen=True, slots=True)
class Toolchain:
    """How source becomes bytecode: the compiler, `-mcpu`, and further flags; for an AppNet program its binding, whose host it
    runs on, and at which hook."""

    clang: str | None = None
    cpu: str = DEFAULT_CPU
    flags: tuple[str, ...] = ()
    bind: str | None = None
    side: str = "server"
    hook: str = ""  # the usual one

    @property
    def level(self) -> int:
        """The instruction set as a number, 1 to 4."""
        return int(self.cpu.removeprefix("v"))

    def compile(self, source: str | Path, name: str = "program.bpf.c") -> bytes:
        """The object of a file, or of C text called `name`. A vmlinux.h that is not there is made from the kernel's types."""
        compiler = Compiler.at(self.clang) if self.clang else Compiler.default()
        try:
            return compiler.compile(source, cpu=self.cpu, flags=self.flags, name=name)
        except InputError as error:
            if not any(item.message == "'vmlinux.h' file not found" for item in error.diagnostics):
                raise
        return compiler.compile(source, cpu=self.cpu, flags=(*self.flags, f"-idirafter{header_directory()}"), name=name)

    def compile_generated(self, c_text: str, name: str) -> bytes:
        """Our own C: a variable called `log` in it is no function of the C library."""
        return replace(self, flags=("-fno-builtin", *self.flags)).compile(c_text, name=name)


@dataclass(frozen=True, slots=True)
class AppnetInput:
    """A type-checked AppNet program and what its author should know about it."""

    path: str
    element: core.Element
    warnings: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class BytecodeInput:
    """Programs in bytecode. `obj` is None for assembly, which has no BTF and no variables."""

    path: str
    programs: tuple[Program, ...]
    obj: Object | None

    def only(self, wanted: str | None) -> Program:
        """The program called `wanted`, or the only one there is."""
        if wanted is None and len(self.programs) == 1:
            return self.programs[0]
        if wanted is not None and self.obj is not None:
            return self.obj.program(wanted)
        for program in self.programs:
            if program.name == wanted:
                return program
        names = ", ".join(program.name for program in self.programs)
        if wanted is None and self.obj is not None and not self.programs:
            for problems in self.obj.problems.values():
                raise InputError(*problems)
        raise InputError(
            Diagnostic(
                "unknown-program" if wanted else "ambiguous-program",
                f"{self.path} has no program called {wanted}" if wanted else f"{self.path} has {len(self.programs)} programs",
                notes=(f"its programs are: {names}",) if names else (),
                help=f"name one: {self.path}:PROGRAM",
            )
        )


SUFFIXES = {
    ".appnet": "AppNet",
    ".probe": "probes",
    ".filter": "packet filter",
    ".c": "eBPF C",
    ".o": "BPF object",
    ".s": "BPF assembly",
    ".S": "BPF assembly",
}


def split_program(text: str) -> tuple[str, str | None]:
    """`FILE:PROGRAM` as its parts; a file that exists under the whole name wins."""
    path, colon, program = text.rpartition(":")
    if colon and path and program and not Path(text).exists() and Path(path).suffix in SUFFIXES:
        return path, program
    return text, None


def open_input(path: str, toolchain: Toolchain) -> AppnetInput | BytecodeInput:
    """Reads a file by its suffix; raises InputError or Unsupported."""
    match Path(path).suffix:
        case ".appnet":
            checked = type_check(read_source(path), binding_of(path, toolchain.bind))
            return AppnetInput(path, discharged(checked.element), checked.warnings)
        case ".c":
            _must_be_readable(path)
            obj = replace(read_object(toolchain.compile(Path(path))), path=path)
            return _with_programs(BytecodeInput(path, obj.programs, obj))
        case ".probe":
            obj = replace(read_object(probes_object(path, toolchain)), path=path)
            return _with_programs(BytecodeInput(path, obj.programs, obj))
        case ".filter":
            from bpfsmith.workflow.frontends import made  # here, because other inputs need not pay for it

            obj = made(path, toolchain, optimized=False).obj
            return BytecodeInput(path, obj.programs, obj)
        case ".o":
            obj = read_object(path)
            return _with_programs(BytecodeInput(path, obj.programs, obj))
        case ".s" | ".S":
            from bpfsmith.isa.asm import assemble  # here, because its tables take time that other inputs need not pay

            return _with_programs(BytecodeInput(path, assemble(read_source(path).text, path), None))
        case suffix:
            known = ", ".join(f"{name} ({kind})" for name, kind in SUFFIXES.items() if name != ".S")
            raise InputError(
                Diagnostic(
                    "unknown-file-type",
                    f"{path}: {f'files ending in {suffix}' if suffix else 'files without an ending'} mean nothing here",
                    notes=(f"known endings: {known}",),
                    help="rename the file, or name another one",
                )
            )


def probes_object(path: str, toolchain: Toolchain) -> bytes:
    """The object of a probe file in the best form for the running kernel."""
    from bpfsmith.trace.forms import running_kernel  # here, because other inputs need not pay for it
    from bpfsmith.trace.fuse import fuse
    from bpfsmith.trace.language.lower import lower
    from bpfsmith.trace.language.parse import parse

    lowered = lower(parse(read_source(path).text, path))
    plain = toolchain.compile_generated(lowered.c_text, f"{Path(path).stem}.bpf.c")
    return fuse(plain, path, running_kernel(platform.release()), here=can_bpf_here()).data


def can_bpf_here() -> bool:
    """Does bpf(2) work here, so that a verifier can be asked?"""
    return isinstance(can_bpf(), Available)


def binding_of(path: str, named: str | None) -> Binding | None:
    """The binding that was named, or the one beside the program: PROG.bind.toml. None without either."""
    beside = Path(path).with_suffix(".bind.toml")
    if named is None and beside.is_file():
        named = str(beside)
    return None if named is None else read_binding(named)


def _with_programs(opened: BytecodeInput) -> BytecodeInput:
    """The input, if there is anything in it; a program that is there and cannot be read is reported by whoever asks for it."""
    if opened.programs or (opened.obj is not None and opened.obj.problems):
        return opened
    raise InputError(
        Diagnostic(
            "no-program",
            f"{opened.path} holds no program",
            notes=("programs are the functions outside .text",),
            help='give a function a section, such as SEC("xdp")',
        )
    )


def _must_be_readable(path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise InputError(
            Diagnostic("unreadable-file", f"{path} cannot be read: {error.strerror}", help="check the path and its permissions")
        ) from error


def open_bytecode(path: str, toolchain: Toolchain) -> BytecodeInput:
    """Like `open_input` for commands that take bytecode only."""
    opened = open_input(path, toolchain)
    if isinstance(opened, AppnetInput):
        raise InputError(Diagnostic("unknown-file-type", f"{path} is an AppNet program, and bytecode is needed here"))
    return opened


def check_writable(path: str) -> None:
    """InputError `unwritable-output` where a file could not be made: to be asked before work that takes long."""
    target = Path(os.path.realpath(path, strict=False))
    if target.exists() and not target.is_file() and not target.is_dir():  # a device or a pipe
        return
    if target.is_dir() or not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        what = "it is a directory" if target.is_dir() else f"{target.parent} is no directory that can be written to"
        raise InputError(Diagnostic("unwritable-output", f"{path} cannot be written: {what}", help="name another file"))


def write_output(path: str, data: bytes, *, inputs: Sequence[str] = ()) -> None:
    """Writes a file in one step: the old one stays until the new one is whole. A device or a pipe is written to as it is, and a
    link is followed. Raises InputError `unwritable-output`, also for a file that is one of the `inputs`."""
    target, scratch = Path(path), None
    try:
        if any(Path(name).exists() and target.exists() and target.samefile(name) for name in inputs):
            raise InputError(
                Diagnostic(
                    "unwritable-output", f"{path} is the input: it would be overwritten", help="name another file with -o"
                )
            )
        if not path:
            raise OSError(errno.ENOENT, "the name is empty")
        if target.exists() and not target.is_file() and not target.is_dir():
            with target.open("wb") as device:
                device.write(data)
            return
        target = Path(os.path.realpath(target, strict=False))
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(scratch).chmod(0o666 & ~umask)
        Path(scratch).replace(target)
    except (OSError, ValueError) as error:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            Diagnostic("unwritable-output", f"{path} cannot be written: {reason}", help="name another file with -o")
        ) from error
