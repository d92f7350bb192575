"""Programs attached to a process that was started for them, and to nothing else.

The process waits at a gate until everything is attached. uprobes are attached for it alone; programs at tracepoints, which the
kernel runs for every process, get a test of the process's id in front, so that they do nothing for others; those that complete
what such a program saw begin look that up first.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.kernel import links
from bpfsmith.kernel.load import Rejected, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.kernel.netns import die_with_parent
from bpfsmith.kernel.tracefs import tracepoint_id
from bpfsmith.kernel.vmlinux import running_btf
from bpfsmith.objfile.executable import function_offset
from bpfsmith.objfile.object import Object
from bpfsmith.trace.hooks import PairKind
from bpfsmith.trace.pairs import find_pairs

_UPROBES = {  # section stem: as what it is attached, and loaded
    "uprobe": ("uprobe", "", False),  # by a perf event, as libbpf attaches it
    "uretprobe": ("uretprobe", "", True),
    "uprobe.multi": ("uprobe.multi", "BPF_TRACE_UPROBE_MULTI", False),
    "uretprobe.multi": ("uretprobe.multi", "BPF_TRACE_UPROBE_MULTI", True),
    "uprobe.session": ("uprobe.session", "BPF_TRACE_UPROBE_SESSION", False),
}
_EVERYWHERE = frozenset({"tp_btf", "raw_tp", "raw_tracepoint", "tracepoint", "tp"})
PID = "$pid"


@dataclass(frozen=True, slots=True)
class Usage:
    """What the process used, in seconds: by the clock, and of CPU time in user and kernel mode."""

    wall: float
    user: float
    system: float
    status: int


class Waiting:
    """A command that was started and waits to be let go: a context manager that leaves no process behind."""

    def __init__(self, command: Sequence[str], *, quiet: bool = False) -> None:
        path = shutil.which(command[0])
        if path is None:
            raise InputError(
                Diagnostic("no-command", f"there is no command {command[0]}", help="name a program that can be run")
            )
        self.path = os.path.realpath(path)
        with tempfile.TemporaryDirectory(prefix="bpfsmith-gate-") as scratch:
            gate = os.path.join(scratch, "gate")  # noqa: PTH118 (a name for the shell)
            os.mkfifo(gate, 0o600)
            gated = ["/bin/sh", "-c", 'read -r _ <"$0"; exec "$@"', gate, path, *command[1:]]
            out = subprocess.DEVNULL if quiet else None
            self._process = subprocess.Popen(gated, preexec_fn=die_with_parent, stdout=out)
            self._gate = self._opened(gate)
        self.pid = self._process.pid

    def _opened(self, gate: str) -> int:
        """The gate from our side, once the shell stands before it: what it does on its way there is not traced."""
        while self._process.poll() is None:
            try:
                return os.open(gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                time.sleep(0.001)
        return -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1

    def go(self) -> None:
        """Lets the command begin."""
        with suppress(BrokenPipeError):  # it has ended already: whoever waits sees how
            os.write(self._gate, b"go\n")
        self._close()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for its end; False when that takes longer."""
        try:
            self._process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    @property
    def status(self) -> int:
        """Its exit status, negative for a signal; 0 while it runs."""
        return self._process.returncode or 0

    def run(self) -> Usage:
        """Lets it begin and waits for its end; what it used, the shell that waited at the gate included."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        self.go()
        status = self._process.wait()
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        return Usage(wall, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime, status)


@dataclass(frozen=True, slots=True)
class Places:
    """Where programs go whose sections do not say: functions by program name, and `function` for all others; `path` is the file
    that holds them, by default the command's. `constants` are put into .rodata, PID standing for the process's id.
    `everywhere` are programs that do something only for what another program of the object has seen on the process. `multi`:
    uprobes are attached as uprobe.multi (6.6), which costs less than libbpf's perf events."""

    function: str | None = None
    functions: Mapping[str, str] | None = None
    path: str | None = None
    constants: Mapping[str, str] | None = None
    everywhere: frozenset[str] = frozenset()
    multi: bool = False


@contextmanager
def attached(obj: Object, process: Waiting, places: Places) -> Iterator[MapSet]:
    """Every program of the object attached to the process, its maps open.

    KernelError where the kernel refuses one; InputError for programs that are attached by means that are not known here.
    """
    obj = configured(obj, places.constants or {}, process.pid)
    with ExitStack() as stack:
        maps = stack.enter_context(open_maps(obj))
        anywhere = places.everywhere | _completions(obj)
        for program in map(_multi, obj.programs) if places.multi else obj.programs:
            pid = None if program.name in anywhere else process.pid
            stack.enter_context(_attached(_loaded(program, obj, maps, pid, stack), program, process, places))
        yield maps


def _multi(program: Program) -> Program:
    stem, slash, target = program.section.removeprefix("?").partition("/")
    return replace(program, section=f"{stem}.multi{slash}{target}") if stem in ("uprobe", "uretprobe") else program


def _completions(obj: Object) -> frozenset[str]:
    """The programs that complete what another one saw begin: an answer arrives on whatever thread is running then."""
    return frozenset(pair.exit.program.name for pair in find_pairs(obj).pairs if pair.kind is PairKind.EVENT)


def _loaded(program: Program, obj: Object, maps: MapSet, pid: int | None, stack: ExitStack) -> int:
    stem, _, target = program.section.removeprefix("?").partition("/")
    if stem in _UPROBES:
        program = replace(program, section="/".join((_UPROBES[stem][0], *([target] if target else []))))
    elif stem in _EVERYWHERE and pid is not None:
        program = for_process(program, obj, pid)
    outcome = load(program, maps)
    if isinstance(outcome, Rejected):
        raise KernelError(
            Diagnostic(
                "verifier-rejected",
                f"the kernel does not accept {program.name}",
                notes=outcome.error_lines[-4:] or (outcome.reason,),
                help="see `bpfsmith verify`",
            )
        )
    stack.enter_context(outcome)
    return outcome.fd


@contextmanager
def _attached(fd: int, program: Program, process: Waiting, places: Places) -> Iterator[int]:
    stem, _, target = program.section.removeprefix("?").partition("/")
    try:
        if stem in _UPROBES:
            _, kind, on_return = _UPROBES[stem]
            path, function = _function(program, target, process, places)
            offset = function_offset(path, function)
            way = links.uprobe_event if not kind else partial(links.uprobe, attach_type=kind)
            with way(fd, path, offset, process.pid, on_return=on_return) as link:
                yield link
        elif stem == "tp_btf":
            with links.raw_tracepoint(fd) as link:
                yield link
        elif stem in ("raw_tp", "raw_tracepoint"):
            with links.raw_tracepoint(fd, target) as link:
                yield link
        elif stem in ("tracepoint", "tp"):
            with links.tracepoint(fd, tracepoint_id(target)) as link:
                yield link
        else:
            raise InputError(
                Diagnostic(
                    "unsupported-attach",
                    f"{program.name} is in section {program.section}, which is not attached here",
                    notes=("attached are uprobes, their sessions, and tracepoints",),
                    help="load it on a kernel that has its hook",
                )
            )
    except OSError as error:
        raise KernelError(
            Diagnostic(
                "attach-failed",
                f"{program.name} ({program.section}) cannot be attached: {error.strerror}",
                help="`bpfsmith doctor` says what this kernel can do",
            )
        ) from error


def _function(program: Program, target: str, process: Waiting, places: Places) -> tuple[str, str]:
    """File and function that a uprobe goes to: of the section (`/path/to/file:function`), or as the user says."""
    path, _, named = target.rpartition(":")
    given = (places.functions or {}).get(program.name) or places.function
    function = given or named
    if not function:
        raise InputError(
            Diagnostic(
                "no-target",
                f"{program.name} does not say which function it belongs to",
                help=f"add `--function NAME`, or `--attach {program.name}=NAME`",
            )
        )
    return os.path.realpath(places.path or path or process.path), function


def configured(obj: Object, constants: Mapping[str, str], pid: int) -> Object:
    """The object with other values for constants that its loader sets. InputError `unknown-variable`, `bad-constant`."""
    sections: dict[str, bytearray] = {}
    for name, text in constants.items():
        variable = obj.variable(name)
        spec = obj.map(variable.section)
        try:
            value = pid if text == PID else int(text, 0)
            raw = value.to_bytes(variable.size, "little", signed=value < 0)
        except (ValueError, OverflowError) as error:
            raise InputError(
                Diagnostic(
                    "bad-constant", f"{name} has {variable.size} bytes and cannot be {text}", help="give a number, or $pid"
                )
            ) from error
        content = sections.setdefault(spec.name, bytearray(spec.initial or b""))
        content[variable.offset : variable.offset + variable.size] = raw

    def filled(spec: MapSpec) -> MapSpec:
        return replace(spec, initial=bytes(sections[spec.name])) if spec.name in sections else spec

    programs = tuple(replace(program, maps=tuple(map(filled, program.maps))) for program in obj.programs)
    return replace(obj, maps=tuple(map(filled, obj.maps)), programs=programs)


def for_process(program: Program, obj: Object, pid: int) -> Program:
    """The program with a way out in front for every other process: r6 is free there, as nothing was put into it yet."""
    types = running_btf()
    if types is not None:
        program = obj.relocated(program, types)
    front = (
        Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_X, 6, 1),
        Insn(isa.BPF_JMP | isa.BPF_CALL, imm=HELPER_IDS["bpf_get_current_pid_tgid"]),
        Insn(isa.BPF_ALU64 | isa.BPF_RSH | isa.BPF_K, 0, imm=32),
        Insn(isa.BPF_JMP | isa.BPF_JEQ | isa.BPF_K, 0, offset=2, imm=pid),
        Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_K, 0, imm=0),
        Insn(isa.BPF_JMP | isa.BPF_EXIT),
        Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_X, 1, 6),
    )
    span = program.insns[0].span if program.insns else None
    return replace(program, insns=(*(replace(insn, span=span) for insn in front), *program.insns))
