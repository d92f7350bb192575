"""Do optimized programs behave and run like their originals? Random packets and times, side by side, in this kernel.

    python benchmarks/side_by_side.py --packets 10000 OBJECT..
    python benchmarks/side_by_side.py --rounds 100 OBJECT..

Each object is optimized. Every program that can be test-run is loaded in both forms, with maps of its own that hold the same
random entries; both get the same packets (well-formed and damaged ones) and contexts, and what they return, the packet and all
maps afterwards are compared. Programs whose results depend on clocks or random numbers are named and left out of that.

Times are of one UDP packet, the two forms one after the other in each round, and the program that does nothing with them; the
interval is that of the median of the rounds' ratios after the floor is taken off (binomial, 95 %).
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.diagnostic import ToolError
from bpfsmith.isa.program import Program
from bpfsmith.isa.tables import HELPERS
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.packet.build import echo_request, tcp_packet, udp_packet

FILLED = frozenset(
    f"BPF_MAP_TYPE_{kind}" for kind in ("ARRAY", "PERCPU_ARRAY", "HASH", "PERCPU_HASH", "LRU_HASH", "LRU_PERCPU_HASH")
)
ENTRIES = 32
COMPARE_EVERY = 500
"""Packets between two comparisons of all maps."""

_UNSTEADY = ("ktime", "prandom", "jiffies", "get_stack", "cpu_cycles")
_TELLING = (0, 1, 6, 17, 0x45, 0x46, 0x60, 0x86, 0xDD, 0xFF)
"""Bytes that headers have where programs look."""

_FIELDS = ("mark", "priority", "queue_mapping", "ingress_ifindex")


@dataclass(frozen=True)
class Row:
    """One program; `difference` is empty where none was seen. Ratios are of the time above the floor, after / before."""

    object: str
    program: str
    packets: int
    difference: str
    before_ns: float | None = None
    after_ns: float | None = None
    floor_ns: float | None = None
    low: float | None = None
    ratio: float | None = None
    high: float | None = None


def packets(rng: random.Random) -> Iterator[bytes]:
    """Frames that programs look into: protocols, lengths and options of all kinds, some cut off or with bytes changed."""
    while True:
        payload = rng.randbytes(rng.choice((0, 1, 4, 8, 16, 64, 200)))
        frame = rng.choice((udp_packet, echo_request, _tcp))(payload)
        if rng.random() < 0.2:
            frame = frame[:12] + b"\x81\x00" + rng.randbytes(2) + frame[12:]
        data = bytearray(frame)
        for _ in range(rng.choice((0, 0, 1, 2, 5))):
            data[rng.randrange(min(len(data), 60))] = rng.choice(
                (0, 1, 6, 17, 0x45, 0x46, 0x60, 0x86, 0xDD, 0xFF, rng.getrandbits(8))
            )
        yield bytes(data[: rng.randrange(14, len(data) + 1)] if rng.random() < 0.1 else data)


def _tcp(payload: bytes) -> bytes:
    return tcp_packet(payload)


def fill(maps: Sequence[MapSet], rng: random.Random) -> None:
    """The same random entries in both sets of maps. Maps that userspace may not write stay empty."""
    for name in maps[0].names:
        spec = maps[0].spec(name)
        if spec.type not in FILLED or spec.frozen or spec.initial is not None:
            continue
        is_array = spec.type.endswith("ARRAY")
        entries = {}
        for index in range(min(spec.max_entries, ENTRIES)):
            key = index.to_bytes(spec.key_size, "little") if is_array or rng.random() < 0.5 else rng.randbytes(spec.key_size)
            small = rng.random() < 0.5
            size = maps[0].value_bytes(name)
            entries[key] = bytes(rng.randrange(3) if small else rng.getrandbits(8) for _ in range(size))
        try:
            for each in maps:
                each.write(name, entries)
        except ToolError:
            continue


def contents(maps: MapSet) -> dict[str, dict[bytes, bytes]]:
    out = {}
    for name in maps.names:
        try:
            out[name] = maps.read(name)
        except ToolError:  # of a kind that userspace cannot read
            continue
    return out


def unsteady(program: Program) -> str | None:
    """A helper whose results differ from run to run."""
    for body in (program.insns, *(sub.insns for sub in program.subprograms)):
        for insn in body:
            helper = HELPERS.get(insn.imm) if insn.opcode == 0x85 and insn.src_reg == 0 else None
            if helper is not None and any(word in helper.name for word in _UNSTEADY):
                return helper.name
    return None


def compare(forms: Sequence[tuple[Program, Accepted, MapSet]], count: int, seed: int) -> tuple[int, str]:
    """How many packets went through both forms, and the first difference."""
    rng = random.Random(seed)
    maps = [item[2] for item in forms]
    fill(maps, rng)
    runners = [testrun.Runner(item[1]) for item in forms]
    kind = forms[0][1].program_type
    fields = [name for name in _FIELDS if name in kind.fields and kind.context_type == "struct __sk_buff"]
    done = 0
    for frame in packets(rng):
        if done == count:
            return done, ""
        ctx = {name: rng.getrandbits(16) for name in fields[:2]} or None
        results = []
        for runner in runners:
            try:
                result = runner.run(frame, ctx)
                results.append((result.retval, result.data, result.ctx))
            except ToolError as error:
                results.append((-1, error.diagnostics[0].message.encode(), b""))
        done += 1
        if results[0] != results[1]:
            return done, f"packet {frame.hex()}: {results[0][0]} and {results[1][0]}"
        if (done % COMPARE_EVERY == 0 or done == count) and contents(maps[0]) != contents(maps[1]):
            return done, "maps"
    return done, ""


def ratios(forms: Sequence[tuple[Program, Accepted, MapSet]], rounds: int, repeat: int) -> tuple[float, ...] | None:
    """before, after and floor in ns (least of all rounds), and the interval of the ratio: low, median, high."""
    with ExitStack() as resources:
        floor = testrun.empty_like(forms[0][1], resources)
        samples: list[list[float]] = [[], [], []]
        for number in range(rounds):
            order = (0, 1, 2) if number % 2 else (2, 1, 0)
            accepted = (forms[0][1], forms[1][1], floor)
            for index in order:
                samples[index].append(testrun.run(accepted[index], udp_packet(b"request"), repeat).duration_ns)
    base = min(samples[2])
    found = sorted((b - base + 1) / (a - base + 1) for a, b in zip(samples[0], samples[1], strict=True))
    margin = int(0.98 * math.sqrt(len(found)))
    middle = len(found) // 2
    low, high = found[max(middle - margin, 0)], found[min(middle + margin, len(found) - 1)]
    return min(samples[0]), min(samples[1]), base, low, statistics.median(found), high


def rows(path: Path, args: argparse.Namespace) -> Iterator[Row]:
    data = path.read_bytes()
    done = optimize(data, str(path), Settings(timed=False, budget=1, cpu=int(args.mcpu[1])))
    before, after = read_object(data), read_object(done.data)
    for program in before.programs:
        other = after.program(program.name)
        if other.insns == program.insns and other.subprograms == program.subprograms:
            continue
        yield from _row(path, (program, before), (other, after), args)


def _row(path: Path, first: tuple[Program, Object], second: tuple[Program, Object], args: argparse.Namespace) -> Iterator[Row]:
    with ExitStack() as resources:
        forms = []
        for program, obj in (first, second):
            try:
                maps = resources.enter_context(open_maps(program, obj=obj))
                outcome = resources.enter_context(load(program, maps))
            except ToolError:
                return
            if not isinstance(outcome, Accepted):
                if forms:
                    yield Row(path.name, program.name, 0, f"the verifier refuses the optimized form: {outcome.reason}")
                return
            forms.append((program, outcome, maps))
        name = first[0].name
        try:
            testrun.run(forms[0][1], udp_packet())
        except ToolError:
            return  # this program type has no test run
        forms[0][2].reset()  # that run may have counted something
        draws = unsteady(first[0])
        count, difference = (0, "") if draws or not args.packets else compare(forms, args.packets, args.seed)
        times: tuple[float | None, ...] = (None,) * 6
        if args.rounds:
            with suppress(ToolError):
                times = ratios(forms, args.rounds, args.repeat) or times
        if draws:
            print(f"{path.name} {name}: calls {draws}, packets are not compared", file=sys.stderr)
        yield Row(path.name, name, count, difference, *times)


def main() -> int:
    parser = argparse.ArgumentParser(description="Optimized programs beside their originals, in this kernel.")
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT")
    parser.add_argument("--packets", type=int, default=0, metavar="N", help="compare what both do with N random packets")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="compare their times in N rounds")
    parser.add_argument("--repeat", type=int, default=10_000, help="runs in a round (default: 10000)")
    parser.add_argument("--mcpu", choices=("v1", "v2", "v3", "v4"), default="v3")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", metavar="FILE", help="write the rows there too")
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # per-CPU maps are read where they were written
    found: list[Row] = []
    for path in args.objects:
        try:
            for row in rows(path, args):
                found.append(row)
                cells = (getattr(row, name) for name in row.__dataclass_fields__)
                print(
                    "  ".join(
                        "-" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells
                    )
                )
        except ToolError as error:
            print(f"{path}: left out: {error}", file=sys.stderr)
    compared = [row for row in found if row.packets]
    if args.packets:
        total = sum(row.packets for row in compared)
        wrong = sum(bool(row.difference) for row in found)
        print(f"\n{len(compared)} programs, {total} packets, {wrong} programs that differ")
    timed = [row for row in found if row.low is not None and row.high is not None]
    if timed:
        faster = sum(row.high < 1 for row in timed if row.high is not None)
        slower = [f"{row.object} {row.program}" for row in timed if row.low is not None and row.low > 1.03]
        print(f"{len(timed)} timed: {faster} surely faster; interval above +3 %: {', '.join(slower) or 'none'}")
    if args.csv:
        with Path(args.csv).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Row.__dataclass_fields__)
            writer.writerows([getattr(row, name) for name in row.__dataclass_fields__] for row in found)
    return 1 if any(row.difference for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
