"""`offload --measure` and `--advise`: original and split server on the same requests, what was predicted and what came out."""

from __future__ import annotations

import os
import re
import statistics
import struct
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.codegen.native import compile_native
from bpfsmith.cost.advice import Advice, Costs, advise
from bpfsmith.cost.profile import Profile, load_profile
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.kernel import syscall
from bpfsmith.kernel.netns import Namespace
from bpfsmith.objfile.object import read_object
from bpfsmith.offload.requests import read_workload, requests, texts
from bpfsmith.offload.shared import Counters, Layout
from bpfsmith.offload.trial import SERVER, Difference, Side, Trial, compare, compare_odd
from bpfsmith.workflow.offloading import RUNTIME, Request, Split, build

COMPARED = 300  # requests, where nobody says how many
ROUNDS, ROUND = 7, 1_500  # of latency: so many times, with so many requests
CLASSIFIED = 400
WINDOW, SPELL, SPELLS = 32, 30, 20  # of throughput beside the client: requests at a time, milliseconds, so many times
FLOODS, SPELL_FLOOD = 5, 150  # of throughput of the server's CPU: so many times, milliseconds of each rate
RATES = (100_000, 150_000, 200_000, 300_000, 450_000, 700_000, 0)  # requests in a second; 0: as many as can be sent
IDLE = 0.10  # of a CPU that is not the limit


@dataclass(frozen=True, slots=True)
class Timing:
    """Round trips of one kind of request, in ns: medians of rounds, original and split one after the other. `spread` is the
    distance between the quartiles of the ratio's rounds."""

    kind: str
    requests: int
    original: float
    split: float
    spread: float

    @property
    def ratio(self) -> float:
        return self.split / self.original


@dataclass(frozen=True, slots=True)
class Throughput:
    """Replies in a second, original and split. `of_server`: the most that one CPU with the server and its side of the network
    gave, over rates of requests that come from another one; else of a CPU that the client shares, in a second of CPU time.
    `spread` is the distance between the quartiles of the rounds' ratios. `sender_is_limit`: the split server's CPU was idle at
    times."""

    original: int
    split: int
    spread: float
    of_server: bool
    sender_is_limit: bool = False

    @property
    def ratio(self) -> float:
        return self.split / max(self.original, 1)


@dataclass(frozen=True, slots=True)
class Trialled:
    """What a trial showed."""

    sent: int
    answered: int
    differences: tuple[Difference, ...]
    odd: int
    states: Mapping[str, bool]  # by variable: is it the same at the end?
    counters: Counters
    advice: Advice | None
    timings: tuple[Timing, ...]
    throughput: Throughput | None
    lost: int

    @property
    def same(self) -> bool:
        return not self.differences and all(self.states.values())


def trial(
    done: Split,
    request: Request,
    directory: Path,
    *,
    count: int,
    workload: str | None,
    arguments: Sequence[str],
    profile: str | None,
    timed: bool,
    advised: bool = True,
    progress: Callable[[str], None],
) -> Trialled:
    """Runs both servers on `count` requests. With `advised` it says whether the split
    pays, with `timed` how long requests take. InputError `server-does-not-start`, `offload-not-attached`,
    `malformed-workload`."""
    words = texts(done.read.server)
    seeds = read_workload(workload) if workload is not None else ()
    layout = Layout.of(read_object(done.object))
    with Trial(xdp=done.hook == "xdp") as rig:
        progress("building the original")
        original = build(done, rig.scratch, offload=False)
        split = directory / "server"
        sides = [rig.start(original, arguments), rig.start(split, arguments), rig.start(split, arguments, offload=False)]
        for side in sides:
            side.ask(b"")
        _check_attached(sides[1])
        progress(f"sending {count} requests to the original, the split server, and its user half alone")
        sent, answered, differences = compare(sides, requests(count, seeds, words))
        states = _same_states(layout, done, sides[1], sides[2]) if not differences else {}
        counters = layout.read_counters(sides[1])
        odd = 0
        if not differences:
            progress("sending odd packets")
            some = list(requests(40, seeds, words, seed=5))
            odd, found = compare_odd(sides[0], sides[1], [item for item in some if len(item) > 1][:6])
            differences += found
        advice: Advice | None = None
        timings: tuple[Timing, ...] = ()
        throughput: Throughput | None = None
        lost = 0
        if not differences and advised:
            asked = list(seeds) or list(requests(CLASSIFIED, seeds, words, seed=2))
            bench = _Bench(done, rig, layout, original, split, arguments, asked, progress)
            advice = bench.advice(load_profile(profile))
            if timed:
                timings, throughput, lost = bench.timings()
    return Trialled(sent, answered, tuple(differences), odd, states, counters, advice, timings, throughput, lost)


def _check_attached(side: Side) -> None:
    text = side.log.read_text(errors="replace")
    if "offload: attached" in text:
        side.area = int(re.findall(r"shared memory at 0x([0-9a-f]+)", text)[-1], 16)
        return
    raise InputError(
        Diagnostic("offload-not-attached", "the kernel half was not attached in the trial",
                   notes=tuple(line for line in text.splitlines() if line.startswith("offload:"))[:4],
                   help="run as root on Linux 6.9 or newer (arenas); see what the server says about it")
    )  # fmt: skip


def _same_states(layout: Layout, done: Split, split: Side, alone: Side) -> dict[str, bool]:
    """Variables of the split server against those of its user half alone."""
    found = re.findall(r"shared memory at 0x([0-9a-f]+)", alone.log.read_text(errors="replace"))
    if not found:
        return {}
    alone.area = int(found[-1], 16)
    ours, theirs = (layout.read_states(side, done.half.states, done.read.server) for side in (split, alone))
    return {name: ours[name] == theirs[name] for name in ours}


class _Bench:
    """Servers for timing, pinned to one CPU with their client: that is the CPU time of a round trip, and the least noisy."""

    def __init__(
        self, done: Split, rig: Trial, layout: Layout, original: Path, split: Path, arguments: Sequence[str],
        asked: Sequence[bytes], progress: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.rig, self.layout, self.progress = rig, layout, progress
        self.sides = [rig.start(original, arguments, cpu=0), rig.start(split, arguments, cpu=0)]
        for side in self.sides:
            side.ask(b"")
        _check_attached(self.sides[1])
        self.fast: list[bytes] = []
        self.slow: list[bytes] = []
        self.dropped = 0
        self.hits, self.asked = 0, 0
        for item in asked:  # once, so that the state is that of a server in use
            for side in self.sides:
                side.ask(item)
        for item in asked[:CLASSIFIED]:
            self._classify(item)
        self.client = rig.scratch / "client"
        compile_native([RUNTIME / "offload_client.c"], self.client)

    def _classify(self, item: bytes) -> None:
        before = self.layout.read_counters(self.sides[1])
        reply = self.sides[1].ask(item)
        self.sides[0].ask(item)
        after = self.layout.read_counters(self.sides[1])
        in_kernel = after.done > before.done
        self.asked += 1
        self.hits += in_kernel
        if reply is None:
            self.dropped += 1
        else:
            (self.fast if in_kernel else self.slow).append(item)

    def advice(self, profile: Profile) -> Advice | None:
        """From the workload's share of requests that the kernel half answers, the time that it takes for each kind, and the
        profile's round trips."""
        self.progress("timing the kernel half")
        echo = {case: profile.find("hooks.echo", case) for case in ("socket", "tcx", "past_tcx")}
        if any(item is None for item in echo.values()) or not self.asked:
            return None
        socket_ns, tcx_ns, past_ns = (item.value for item in echo.values() if item is not None)
        fast, slow = (self._program_ns(kind) for kind in (self.fast, self.slow))
        share = self.hits / self.asked
        costs = Costs(
            baseline_ns=socket_ns,  # the server's own work comes on top, which makes an offload better still
            fast_ns=tcx_ns + fast if self.hits else None,
            slow_ns=max(past_ns - socket_ns, 0.0) + slow,
            program_ns=share * fast + (1 - share) * slow,
        )
        return advise(costs, share)

    def _program_ns(self, kind: Sequence[bytes]) -> float:
        """Mean time of the kernel half on these requests, by the kernel's own count, which costs some 70 ns itself."""
        if not kind:
            return 0.0
        side = self.sides[1]
        with _stats():
            before = _runs(side)
            for item in (list(kind) * (1 + 200 // len(kind)))[:200]:
                side.ask(item)
            after = _runs(side)
        runs = after[1] - before[1]
        return max((after[0] - before[0]) / runs - 70, 0.0) if runs else 0.0

    def timings(self) -> tuple[tuple[Timing, ...], Throughput | None, int]:
        found = []
        lost = 0
        for name, kind in (("answered in the kernel", self.fast), ("handed over", self.slow)):
            if kind:
                timing, missing = self._timing(name, kind)
                found += [timing] if timing is not None else []
                lost += missing
        throughput = None
        if self.fast:
            self.progress("measuring throughput")
            file = self._file(self.fast)
            throughput = self._of_server(file) if (os.cpu_count() or 1) > 1 else self._shared(file)
        return tuple(found), throughput, lost

    def _of_server(self, file: Path) -> Throughput | None:
        """Requests are sent from CPU 1, and CPU 0 has the server and what the kernel does for it."""
        for side in self.sides:
            _steer(side.server, "far", 0)
            _steer(side.client, "near", 1)
        rounds, idle = [], 0.0
        for _ in range(FLOODS):
            best = [0.0, 0.0]
            for rate in RATES:
                for index, side in enumerate(self.sides):
                    replies, idle_share = self._flood(side, file, rate)
                    if replies > best[index]:
                        best[index] = replies
                        idle = idle_share if index else idle
            rounds.append(best)
        if not all(a and b for a, b in rounds):
            return None
        first, second = (int(statistics.median(item)) for item in zip(*rounds, strict=True))
        return Throughput(first, second, _spread([b / a for a, b in rounds]), True, idle > IDLE)

    def _flood(self, side: Side, file: Path, rate: int) -> tuple[float, float]:
        """Replies in a second to so many requests in a second (0: as many as can be sent), and how idle CPU 0 was."""
        before, idle = _received(side), _idle_ticks()
        with side.client.entered():
            done = subprocess.run(
                [str(self.client), SERVER, str(side.port), str(file), "1", "flood", str(SPELL_FLOOD), str(rate)],
                capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
        after, idle = _received(side), _idle_ticks() - idle
        _, took = (int(item) for item in done.stdout.split())
        until = time.monotonic() + 2
        while not side.idle() and time.monotonic() < until:  # what waits in the socket is not the next round's
            time.sleep(0.01)
        return (after - before) * 1e9 / took, idle * 1e9 / os.sysconf("SC_CLK_TCK") / took

    def _shared(self, file: Path) -> Throughput | None:
        """By CPU time, of client and server together: other work of the machine takes time, but not this."""
        rates = [[self._replies(side, file) for side in self.sides] for _ in range(SPELLS)]
        first, second = (int(statistics.median(item)) for item in zip(*rates, strict=True))
        return Throughput(first, second, _spread([b / a for a, b in rates if a]), False) if first and second else None

    def _replies(self, side: Side, file: Path) -> float:
        """Replies in a second of CPU time."""
        before = _cpu_ns(side)
        client_ns, replies, _ = self._ask(side, file, "throughput", SPELL, WINDOW)
        return replies * 1e9 / (client_ns + _cpu_ns(side) - before)

    def _timing(self, name: str, kind: Sequence[bytes]) -> tuple[Timing | None, int]:
        """None: the server does not answer these requests each time."""
        self.progress(f"timing requests that are {name}")
        file = self._file(kind)
        rounds = []
        lost = 0
        for _ in range(ROUNDS):
            pair = [self._ask(side, file, "latency", ROUND) for side in self.sides]
            lost += int(pair[1][4])
            if pair[0][3] and pair[1][3]:
                rounds.append((pair[0][0], pair[1][0]))
        if len(rounds) < 3:
            return None, lost
        spread = _spread([b / a for a, b in rounds if a])
        original, split = (statistics.median(item) for item in zip(*rounds, strict=True))
        return Timing(name, len(kind), original, split, spread), lost

    def _file(self, kind: Sequence[bytes]) -> Path:
        path = self.rig.scratch / f"requests{len(kind)}"
        path.write_bytes(b"".join(struct.pack("<H", len(item)) + item for item in kind))
        return path

    def _ask(self, side: Side, file: Path, what: str, *numbers: int) -> list[float]:
        with side.client.entered():
            done = subprocess.run(
                [str(self.client), SERVER, str(side.port), str(file), "0", what, *map(str, numbers)],
                capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
        return [float(item) for item in done.stdout.split()]


def _spread(values: Sequence[float]) -> float:
    """The distance between the quartiles."""
    ordered = sorted(values)
    return ordered[len(ordered) * 3 // 4] - ordered[len(ordered) // 4] if ordered else 0.0


def _steer(namespace: Namespace, device: str, cpu: int) -> None:
    """What comes in on a device is handled by a CPU (Documentation/networking/scaling.rst: RPS). A mount of sysfs shows the
    devices of the namespace that it was made in."""
    command = f"mount -t sysfs none /sys && echo {1 << cpu:x} > /sys/class/net/{device}/queues/rx-0/rps_cpus"
    with namespace.entered():
        subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, check=True)


def _received(side: Side) -> int:
    """Packets that the client's device has received: those of the stack's control traffic are few beside replies."""
    with side.client.entered():
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    line = next(item for item in lines if item.split(":")[0].strip() == "near")
    return int(line.split(":")[1].split()[1])


def _idle_ticks() -> int:
    """CPU 0's idle time since the machine began: the fourth number of its line in /proc/stat."""
    line = next(item for item in Path("/proc/stat").read_text().splitlines() if item.startswith("cpu0 "))
    return int(line.split()[4])


class _stats:
    """The kernel counts the runs of programs while this is open."""

    def __enter__(self) -> None:
        self._fd = syscall.enable_stats()

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def _runs(side: Side) -> tuple[int, int]:
    """run_time_ns and run_cnt of the process's program, from /proc/PID/fdinfo."""
    for path in Path(f"/proc/{side.process.pid}/fdinfo").iterdir():
        text = path.read_text()
        found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        if "run_time_ns" in found:
            return int(found["run_time_ns"]), int(found["run_cnt"])
    return 0, 0


def _cpu_ns(side: Side) -> int:
    """CPU time of the server's process: the first number of schedstat, in ns."""
    return int(Path(f"/proc/{side.process.pid}/schedstat").read_text().split()[0])
