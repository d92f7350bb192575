"""Run a loaded program on a packet in the kernel, once for its result or many times for its speed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.isa.insn import BPF_ALU64, BPF_EXIT, BPF_JMP, BPF_K, BPF_MOV, Insn
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import ProgramType
from bpfsmith.kernel import links, syscall
from bpfsmith.kernel.errors import ENOTSUPP, errno_name
from bpfsmith.kernel.load import Accepted, Rejected, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.netns import Namespace

EMPTY_FRAME = bytes(12) + b"\x08\x00" + bytes(46)
"""An all-zero frame of ethertype IPv4, 60 bytes: the least that Ethernet carries."""

MOST_DISPATCHED = 48
"""BPF_DISPATCHER_MAX in include/linux/bpf.h."""

_GROWTH_BYTES = 1024  # how much longer than it went in a packet may come out
_LONGEST_BYTES = 8192  # a linear packet and what it may grow by
_CTX_BYTES = 512  # no uapi context is larger
_NO_PACKET = frozenset(
    f"BPF_PROG_TYPE_{name}" for name in ("RAW_TRACEPOINT", "RAW_TRACEPOINT_WRITABLE", "SYSCALL", "SK_LOOKUP", "TRACING")
)
_NO_REPEAT = _NO_PACKET - {"BPF_PROG_TYPE_SK_LOOKUP"}


ETHERNET_BYTES = 14
_SEES_ETHERNET = frozenset(f"BPF_PROG_TYPE_{name}" for name in ("XDP", "SCHED_CLS", "SCHED_ACT"))


def header_bytes(kind: ProgramType) -> int:
    """How much of a frame lies before what the program sees: hooks above the link layer get no Ethernet header. The kernel
    takes it off the input, and puts one of zeros before the output (net/bpf/test_run.c)."""
    return 0 if kind.name in _SEES_ETHERNET | _NO_PACKET else ETHERNET_BYTES


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a run left behind: `retval` is r0's low 32 bits, `data` the packet, `duration_ns` the mean of one of the repeats."""

    retval: int
    data: bytes
    duration_ns: int
    ctx: bytes = b""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one run takes, from the means of many rounds; `spread_ns` is between the first and the third quartile."""

    min_ns: int
    median_ns: float
    spread_ns: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Timings of programs measured in the same rounds; `floor` is that of an empty program of the first one's type."""

    floor: Timing
    programs: tuple[Timing, ...]
    rounds: int
    repeat: int


def run(
    accepted: Accepted, packet: bytes = EMPTY_FRAME, repeat: int = 1, ctx: bytes | Mapping[str, int] | None = None
) -> TestRun:
    """Run the program on `packet`, from the Ethernet header on, at least 14 bytes.

    With `repeat` > 1 each run sees the packet as the one before left it, moved head and tail included. `ctx` is the uapi
    context struct as bytes or some of its fields by name; types without a packet (raw_tp, syscall, sk_lookup) take nothing
    else. KernelError `test-run-failed`.
    """
    kind = accepted.program_type
    data = b"" if kind.name in _NO_PACKET else packet
    context = ctx if isinstance(ctx, bytes) else _context(kind, ctx or {}, len(data))
    try:
        reply = syscall.prog_test_run(
            accepted.fd,
            data,
            ctx=context,
            data_out_size=len(data) + _GROWTH_BYTES if data else 0,
            ctx_out_size=_CTX_BYTES if context and kind.name not in _NO_REPEAT else 0,
            repeat=0 if kind.name in _NO_REPEAT else repeat,
        )
    except OSError as error:
        raise _failed(accepted, len(data), error.errno or 0) from error
    return TestRun(reply.return_value, reply.data, reply.duration_ns, reply.ctx)


class Runner:
    """Runs one loaded program many times, each time on another packet. KernelError `test-run-failed` as `run`."""

    def __init__(self, accepted: Accepted) -> None:
        self.accepted = accepted
        self._runner = syscall.TestRunner(accepted.fd, data_size=_LONGEST_BYTES, ctx_size=_CTX_BYTES)

    def run(self, packet: bytes = EMPTY_FRAME, ctx: bytes | Mapping[str, int] | None = None) -> TestRun:
        """As `run`, once."""
        kind = self.accepted.program_type
        data = b"" if kind.name in _NO_PACKET else packet
        context = ctx if isinstance(ctx, bytes) else _context(kind, ctx or {}, len(data))
        try:
            reply = self._runner.run(data, context, 0 if kind.name in _NO_REPEAT else 1)
        except OSError as error:
            raise _failed(self.accepted, len(data), error.errno or 0) from error
        return TestRun(reply.return_value, reply.data, reply.duration_ns, reply.ctx)


def measure(
    programs: Sequence[Accepted], packet: bytes = EMPTY_FRAME, *, rounds: int = 100, repeat: int = 10_000
) -> Measurement:
    """How fast the programs are on `packet`, side by side, and how fast an empty program is.

    In each round each of them runs `repeat` times. The minimum of 100 rounds of 10,000 is stable to 4 % on a noisy machine.
    Programs that resize the packet need `repeat` 1 and are too short to time that way. KernelError `test-run-failed`.
    """
    with ExitStack() as resources:
        floor = empty_like(programs[0], resources)
        runners = (floor, *programs)
        resources.enter_context(dispatched(runners))
        samples: list[list[int]] = [[] for _ in runners]
        for _ in range(rounds):
            for accepted, times in zip(runners, samples, strict=True):
                times.append(run(accepted, packet, repeat).duration_ns)
    first, *others = (_timing(times) for times in samples)
    return Measurement(first, tuple(others), rounds, repeat)


@contextmanager
def dispatched(programs: Iterable[Accepted]) -> Iterator[bool]:
    """The XDP programs among these sit on devices of a namespace of their own, so that test runs of them do not wait; False
    where that is not possible, or where there are more than `MOST_DISPATCHED`.

    A test run of more than one turn puts its XDP program into the kernel's dispatcher and takes it out again, and waits for RCU
    each time, some 16 ms in all, unless the program is there already (bpf_dispatcher_change_prog in kernel/bpf/dispatcher.c).
    """
    with ExitStack() as attached:
        yield _attached([item for item in programs if item.program_type.name == "BPF_PROG_TYPE_XDP"], attached)


def _attached(programs: Sequence[Accepted], until: ExitStack) -> bool:
    if not programs or len(programs) > MOST_DISPATCHED:
        return not programs
    with ExitStack() as attached:
        try:
            namespace = attached.enter_context(Namespace())
            pairs = range((len(programs) + 1) // 2)
            namespace.ip(*(f"link add x{2 * n} type veth peer name x{2 * n + 1}" for n in pairs))
            with namespace.entered():
                for number, item in enumerate(programs):
                    attached.enter_context(links.xdp(item.fd, f"x{number}", generic=True))
        except (KernelError, OSError):
            return False
        until.push(attached.pop_all())
        return True


def _timing(times: Sequence[int]) -> Timing:
    if len(times) < 2:
        return Timing(times[0], times[0], 0)
    first, median, third = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(min(times), median, third - first)


def empty_like(like: Accepted, resources: ExitStack) -> Accepted:
    """A loaded program of the same type that does nothing: the floor of its times. KernelError where there is none."""
    insns = (Insn(BPF_ALU64 | BPF_K | BPF_MOV), Insn(BPF_JMP | BPF_EXIT))
    program = Program("empty", like.program.section, insns, license=like.program.license)
    maps = resources.enter_context(open_maps(program))
    outcome = load(program, maps)
    if isinstance(outcome, Rejected):
        raise KernelError(
            Diagnostic(
                "test-run-failed",
                f"an empty {like.program.section} program cannot be loaded to measure the floor",
                notes=(outcome.reason,),
                help="measure a program of another type",
            )
        )
    return resources.enter_context(outcome)


def _context(kind: ProgramType, fields: Mapping[str, int], packet_length: int) -> bytes:
    """The uapi struct with these fields set. For XDP the kernel reads data and data_end as offsets into the input."""
    if not fields:
        return b""
    if kind.name == "BPF_PROG_TYPE_XDP":
        fields = {"data": 0, "data_end": packet_length, **fields}
    out = bytearray(max(field.offset + field.size for field in kind.context))
    for name, value in fields.items():
        field = kind.fields[name]
        size = min(field.size, 4) if name.startswith("data") else field.size
        out[field.offset : field.offset + size] = value.to_bytes(size, "little")
    return bytes(out)


def _failed(accepted: Accepted, length: int, number: int) -> KernelError:
    name = accepted.program.name
    if number == ENOTSUPP:
        message = f"the kernel has no test run for {accepted.program.section} programs, such as {name}"
    else:
        message = f"the kernel refuses the test run of {name}"
    return KernelError(
        Diagnostic(
            "test-run-failed",
            message,
            notes=(f"BPF_PROG_TEST_RUN failed with {errno_name(number)}", f"the packet has {length} bytes"),
            help="give a packet of 14 to 3500 bytes and only context fields that a test run may set",
        )
    )
