"""What measurements run on: programs loaded by name, a native driver, pairs of network namespaces; all gone at the end."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from bpfsmith.codegen.clang import Compiler
from bpfsmith.codegen.native import compile_native
from bpfsmith.cost.speed import Reading, Yardsticks
from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.kernel import syscall
from bpfsmith.kernel.load import Accepted, Rejected, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.kernel.netns import Namespace, die_with_parent
from bpfsmith.objfile.object import Object, read_object

_FIRST = -20  # the highest priority of nice(2)
PROGRAMS = Path(__file__).parent / "programs"
COPIES = 5
"""How often a program is loaded that is timed: the kernel puts each image at an offset of its own (kernel/bpf/core.c,
bpf_jit_binary_pack_alloc), and by where its branches come to lie a small loop takes once or twice as long."""
FRAME = bytes(12) + b"\x08\x00" + bytes(1486)
"""An all-zero frame of ethertype IPv4, 1500 bytes."""


class DriverError(OSError):
    """A command of the driver that failed; `errno` is its own."""


class Driver:
    """A native process that does the user half of measurements: a command line in, numbers out. It ends with us."""

    def __init__(self, executable: Path, cpu: int, fds: Sequence[int] = ()) -> None:
        self.executable = executable
        self._process = subprocess.Popen(
            [str(executable)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, pass_fds=tuple(fds),
            preexec_fn=die_with_parent,
        )  # fmt: skip
        self.ask(f"pin {cpu}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str) -> list[float]:
        """The numbers that the command answers. DriverError when it fails, or when the driver has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DriverError(0, f"the driver ended before `{command}`") from None
        answer = self._process.stdout.readline().split()
        if not answer or answer[0] == "error":
            number = int(answer[1]) if answer else 0
            raise DriverError(number, f"{command.split()[0]}: {' '.join(answer[2:]) or 'the driver ended'}")
        return [float(word) for word in answer]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Programs of one file that share their maps; `refused` says why others do not load here. `copies` has each program as
    often as it was asked for."""

    copies: Mapping[str, tuple[Accepted, ...]]
    maps: MapSet
    refused: Mapping[str, str]

    @property
    def programs(self) -> Mapping[str, Accepted]:
        return {name: copies[0] for name, copies in self.copies.items()}

    def fd(self, name: str) -> int:
        return self.copies[name][0].fd


@dataclass(frozen=True, slots=True)
class Wire:
    """A veth pair between two namespaces: `client` and `server`, devices and addresses of each end."""

    client: Namespace
    server: Namespace
    client_device: str
    server_device: str
    client_ip: str
    server_ip: str


class Bench:
    """A context manager. `cpu` is where everything that is timed runs; this process is pinned to it, before others."""

    def __init__(self, cpu: int | None = None, say: Callable[[str], None] = lambda text: None) -> None:
        self._allowed = os.sched_getaffinity(0)
        self.cpu = max(self._allowed) if cpu is None else cpu
        self._say = say
        self._resources = ExitStack()
        self._objects: dict[tuple[str, tuple[str, ...]], Object] = {}
        self._executable: Path | None = None
        self._copies = 0
        self._yardsticks: Yardsticks | None = None

    def __enter__(self) -> Self:
        self._scratch = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="bpfsmith-")))
        self._resources.callback(os.sched_setaffinity, 0, self._allowed)
        os.sched_setaffinity(0, {self.cpu})
        # Before other processes, as far as that is allowed; what is started from here inherits it.
        before = os.getpriority(os.PRIO_PROCESS, 0)
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
            self._resources.callback(os.setpriority, os.PRIO_PROCESS, 0, before)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._resources.close()

    def reading(self) -> Reading:
        """How fast the measuring CPU is now."""
        if self._yardsticks is None:
            self._yardsticks = Yardsticks(self._resources)
        return self._yardsticks.read()

    def object(self, file: str, flags: Sequence[str] = ()) -> Object:
        """A file of `programs`, compiled."""
        key = (file, tuple(flags))
        if key not in self._objects:
            self._objects[key] = read_object(Compiler.default().compile(PROGRAMS / file, flags=(f"-I{PROGRAMS}", *flags)))
        return self._objects[key]

    def load(
        self,
        stack: ExitStack,
        file: str,
        names: Iterable[str],
        *,
        flags: Sequence[str] = (),
        entries: Mapping[str, int] | None = None,
        copies: int = 1,
    ) -> Loaded:
        """Programs of `file`, with the maps that they name; `entries` are other values of max_entries, by map."""
        obj = self.object(file, flags)
        wanted = [obj.program(name) for name in names]
        specs = {spec.name: spec for program in wanted for spec in program.maps}
        for name, count in (entries or {}).items():
            if name in specs:
                specs[name] = replace(specs[name], max_entries=count)
        maps = stack.enter_context(open_maps(specs.values(), obj=obj))
        accepted: dict[str, list[Accepted]] = {}
        refused: dict[str, str] = {}
        for program in wanted * copies:
            try:
                outcome = load(program, maps)
            except KernelError as error:
                refused[program.name] = "; ".join((error.diagnostics[0].message, *error.diagnostics[0].notes))
                continue
            if isinstance(outcome, Rejected):
                refused[program.name] = f"this kernel refuses the program: {outcome.reason}"
            else:
                accepted.setdefault(program.name, []).append(stack.enter_context(outcome))
        return Loaded({name: tuple(found) for name, found in accepted.items()}, maps, refused)

    def driver(
        self, stack: ExitStack, fds: Sequence[int] = (), *, inside: Namespace | None = None, own_copy: bool = False
    ) -> Driver:
        """A driver that inherits `fds` under their own numbers, on the measuring CPU, in a namespace or in ours.

        With `own_copy` its executable is a file of its own: probes sit in files, and a process passes those of all others.
        """
        if self._executable is None:
            self._say("compiling the native driver")
            self._executable = self._scratch / "driver"
            compile_native([PROGRAMS / "driver.c"], self._executable)
        executable = self._executable
        if own_copy:
            self._copies += 1
            executable = Path(shutil.copy(executable, self._scratch / f"driver{self._copies}"))
        started = Driver(executable, self.cpu, fds)
        stack.callback(started.close)
        if inside is not None:
            started.ask(f"enter {inside.path}")
        return started

    def wires(self, stack: ExitStack, count: int) -> list[Wire]:
        """`count` veth pairs between two new namespaces; 10.77.N.1 is the client's end, 10.77.N.2 the server's."""
        client = stack.enter_context(Namespace())
        server = stack.enter_context(Namespace())
        out = []
        for n in range(count):
            wire = Wire(client, server, f"c{n}", f"s{n}", f"10.77.{n}.1", f"10.77.{n}.2")
            near, far = f"02:00:00:00:{n:02x}:01", f"02:00:00:00:{n:02x}:02"
            # Neighbours are known from the start: a program that drops everything would drop ARP too.
            client.ip(
                f"link add c{n} address {near} type veth peer name s{n} address {far} netns {server.pid}",
                f"link set c{n} addrgenmode none",
                f"addr add {wire.client_ip}/24 dev c{n}",
                f"link set c{n} up",
                f"neigh add {wire.server_ip} lladdr {far} dev c{n}",
            )
            server.ip(
                f"link set s{n} addrgenmode none",
                f"addr add {wire.server_ip}/24 dev s{n}",
                f"link set s{n} up",
                f"neigh add {wire.client_ip} lladdr {near} dev s{n}",
            )
            out.append(wire)
        return out


def run_ns(copies: Sequence[Accepted], frame: bytes = FRAME, tries: int = COPIES) -> float:
    """What a program that times itself returns, the median of a few runs, of its copies in turn: neither what an interrupt
    adds, nor a moment at which the CPU ran faster than it mostly does, nor a place that suits the program well or badly."""
    kind = copies[0].program_type.name
    data = b"" if kind == "BPF_PROG_TYPE_RAW_TRACEPOINT" else frame
    fds = itertools.islice(itertools.cycle(copy.fd for copy in copies), tries)
    return statistics.median(syscall.prog_test_run(fd, data, data_out_size=0).return_value for fd in fds)


def wall_ns(copies: Sequence[Accepted], frame: bytes, repeat: int, tries: int = 8) -> float:
    """The mean time of `repeat` runs in one test run, the system call in it, the median of a few tries, of the program's copies
    in turn. Finer than the kernel's whole ns.

    Not for XDP that is attached nowhere: more than one run begins and ends with a wait for RCU (bpf_dispatcher_change_prog).
    """
    times = []
    for fd in itertools.islice(itertools.cycle(copy.fd for copy in copies), tries):
        started = time.perf_counter_ns()
        syscall.prog_test_run(fd, frame, repeat=repeat)
        times.append(time.perf_counter_ns() - started)
    return statistics.median(times) / repeat


def cannot(reason: str) -> KernelError:
    """What an experiment raises that cannot be done here at all."""
    return KernelError(Diagnostic("cannot-measure", reason, help="see `bpfsmith explain cannot-measure`"))
