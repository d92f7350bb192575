"""What entry/exit pairs cost before and after fusing, measured in turns on this machine; writes CSV with --csv.

    .venv/bin/python benchmarks/pairs.py [--rounds 25] [--calls 40000] [--csv out.csv]

A process of our own makes calls of a function (uprobes on a prologue that begins with a push) or system calls: with no
probes, with an empty pair, with the hash pair as tools have it, and with the fused form. Costs are CPU time of the process,
nanoseconds a call beyond no probes (`turns` says how they are compared); the exit code is 1 where a bar is known to be missed.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

from turns import FLOOR, Measured, Rounds, busy, in_turns, saved

from bpfsmith.codegen.clang import Compiler
from bpfsmith.codegen.native import compile_native
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.trace.forms import Form, running_kernel
from bpfsmith.trace.fuse import fuse
from bpfsmith.trace.running import Places, Waiting, attached

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "pairs"
TARGET = """
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
__asm__(".text\\n.globl handle\\n.type handle,@function\\nhandle:\\n\\tpush %rbp\\n\\tmov %rsp,%rbp\\n\\tlea 1(%rdi),%eax\\n"
	"\\tpop %rbp\\n\\tret\\n.size handle,.-handle\\n");
int handle(int);
static double now(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
int main(int count, char **args)
{
	long calls = atol(args[2]), done = 0;
	unsigned seed = 1;
	char data[512] = "";
	int file = open(args[3], O_RDWR | O_CREAT, 0600), shown = open(args[4], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	for (int i = 0; i < 2048; i++)
		done += pwrite(file, data, sizeof(data), 512L * i);
	done = 0;
	double start = now();
	if (!strcmp(args[1], "call"))
		for (long i = 0; i < calls; i++)
			done += handle(i);
	else if (!strcmp(args[1], "pread"))
		for (long i = 0; i < calls; i++)
			done += pread(file, data, 1, 0);
	else
		for (long i = 0; i < calls; i++) {
			seed = seed * 1664525 + 1013904223;
			off_t at = 512L * (seed >> 21);
			done += seed & 0x10000 ? pread(file, data, sizeof(data), at) : pwrite(file, data, sizeof(data), at);
		}
	dprintf(shown, "%.1f\\n", (now() - start) / calls);
	return done == 42;
}
"""
EMPTY = """
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
SEC("{0}") int way_in(void *ctx) {{ return 0; }}
SEC("{1}") int way_out(void *ctx) {{ return 0; }}
char LICENSE[] SEC("license") = "GPL";
"""


@dataclass(frozen=True)
class Bar:
    """Percent that `new` is to save of what `old` costs beyond `beyond` (None: no probes). `percent` None: just shown."""

    words: str
    new: str
    percent: float | None
    beyond: str | None = None
    old: str = "hash pair"


@dataclass(frozen=True)
class Case:
    name: str
    mode: str
    ways: dict[str, Object | None]
    constants: dict[str, str]
    bars: tuple[Bar, ...] = field(default=())


def compiled(name: str) -> bytes:
    return Compiler.default().compile(EXAMPLES / f"{name}.bpf.c")


def formed(data: bytes, name: str, form: Form) -> Object:
    made = fuse(data, name, running_kernel(platform.release()), here=True, only=frozenset({form}))
    assert made.outcomes[0].form is form, made.outcomes
    return made.obj


def empty(entry: str, exit_: str) -> Object:
    return read_object(Compiler.default().compile(EMPTY.format(entry, exit_)))


def cases() -> list[Case]:
    function, syscall = compiled("funclatency"), compiled("rwlat")
    uprobe = {
        FLOOR: None,
        "empty pair": empty("uprobe", "uretprobe"),
        "hash pair": read_object(function),
        "empty, multi": multi(empty("uprobe", "uretprobe")),
        "hash, multi": multi(read_object(function)),
        "task storage": formed(function, "funclatency", Form.TASK_STORAGE),
        "session": formed(function, "funclatency", Form.SESSION),
    }
    tracepoints = {
        FLOOR: None,
        "empty pair": empty("tp_btf/sys_enter", "tp_btf/sys_exit"),
        "hash pair": read_object(syscall),
        "task storage": formed(syscall, "rwlat", Form.TASK_STORAGE),
    }
    stateless = {**tracepoints, "without state": without_state(syscall)}
    filtered = {key: uprobe[key] for key in (FLOOR, "hash pair", "session")}
    return [
        Case("uprobe pair", "call", uprobe, {"targ_tgid": "$pid"}, STATE_BARS),
        Case(
            "uprobe pair, another process wanted",
            "call",
            filtered,
            {"targ_tgid": "1"},
            (Bar("filtered events, of the whole pair", "session", 35),),
        ),
        Case("system call pair, pread of a byte", "pread", stateless, {}, (Bar("state", "task storage", 80, "without state"),)),
        Case("random 512-byte pread/pwrite", "random", tracepoints, {}, (Bar("overhead", "task storage", 35),)),
    ]


STATE_BARS = (Bar("state", "session", 60, "empty pair"), Bar("state", "session", None, "empty, multi", "hash, multi"))


def multi(obj: Object) -> Object:
    """The same attached as uprobe.multi, which libbpf does where it is asked to; perf events are its way by default."""
    programs = tuple(replace(item, section=item.section.replace("probe", "probe.multi", 1)) for item in obj.programs)
    return replace(obj, programs=programs)


def without_state(data: bytes) -> Object:
    """The pair's other work: what it costs when the state costs nothing. The entry reads the clock, the exit counts."""
    source = (EXAMPLES / "rwlat.bpf.c").read_text()
    changed = source.replace("bpf_map_update_elem(&starts, &tid, &start, BPF_ANY);", "sink = start.ts;")
    changed = changed.replace(
        "struct start *start = bpf_map_lookup_elem(&starts, &tid);", "struct start it = {sink, 512}, *start = &it;"
    )
    changed = changed.replace("bpf_map_delete_elem(&starts, &tid);", "").replace("__u64 calls", "__u64 sink, calls")
    changed = changed.replace("if (!start)", "if ((long)ctx[1] < 0)")
    return read_object(Compiler.default().compile(changed))


def cost(case: Case, obj: Object | None, binary: Path, calls: int) -> float:
    """Nanoseconds a call, as the process measures it itself."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        command = [str(binary), case.mode, str(calls), file.name, out.name]
        with Waiting(command, quiet=True) as process:
            if obj is None:
                process.run()
            else:
                constants = {k: v for k, v in case.constants.items() if any(item.name == k for item in obj.variables)}
                with attached(obj, process, Places("handle", path=str(binary), constants=constants)):
                    process.run()
        return float(Path(out.name).read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--csv")
    parser.add_argument("--only", help="cases whose name holds this")
    args = parser.parse_args()
    rows: list[list[object]] = []
    missed = False
    print(busy())
    with tempfile.TemporaryDirectory() as directory:
        binary = target(Path(directory))
        for case in cases():
            if args.only and args.only not in case.name:
                continue
            ways = {name: partial(cost, case, obj, binary, args.calls) for name, obj in case.ways.items()}
            measured = in_turns(ways, args.rounds, lambda text, name=case.name: progress(f"{name}: {text}"))
            progress("")
            shown, known = table(case, measured)
            rows += shown
            missed |= known
    if args.csv:
        with Path(args.csv).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["case", "what", "value", "low", "high", "unit"])
            writer.writerows(rows)
    return 1 if missed else 0


def target(directory: Path) -> Path:
    """The process that makes the calls."""
    (directory / "target.c").write_text(TARGET)
    compile_native([directory / "target.c"], directory / "target")
    return directory / "target"


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def table(case: Case, measured: Measured) -> tuple[list[list[object]], bool]:
    """Prints a case; its rows, and whether a bar is known to be missed."""
    print(f"{case.name}: {median(measured.extra[FLOOR]):.0f} ns a call without probes, noise {measured.noise:.1f}")
    rows: list[list[object]] = []
    missed = False
    for name in measured.extra:
        if name == FLOOR:
            continue
        found = measured.interval(lambda rounds, name=name: median(rounds[name]))
        print(f"  {name:<14} {found.value:+8.1f} ns  ({found.low:+.1f} to {found.high:+.1f})")
        rows.append([case.name, name, round(found.value, 1), round(found.low, 1), round(found.high, 1), "ns"])
    for bar in case.bars:
        found = measured.interval(saved(bar.new, bar.old, bar.beyond))
        said = found.against(bar.percent) if bar.percent is not None else ""
        missed |= said == "missed"
        beyond = f" beyond {bar.beyond}" if bar.beyond else ""
        words = f"{bar.words}: {bar.new} saves {found.value:.1f} % of the {bar.old}{beyond}"
        print(f"  {words}  ({found.low:.1f} to {found.high:.1f}{f'; bar {bar.percent:.0f}: {said}' if said else ''})")
        rows.append(
            [case.name, f"saved by {bar.new}{beyond}", round(found.value, 1), round(found.low, 1), round(found.high, 1), "%"]
        )
    if case.mode == "random":
        for name in ("hash pair", "task storage"):
            found = measured.interval(partial(overhead, name))
            print(f"  overhead of the {name:<12} {found.value:5.1f} %  ({found.low:.1f} to {found.high:.1f})")
            rows.append(
                [case.name, f"overhead of the {name}", round(found.value, 1), round(found.low, 1), round(found.high, 1), "%"]
            )
    return rows, missed


def overhead(name: str, rounds: Rounds) -> float:
    """Percent of the work without probes."""
    return 100 * median(extra / floor for extra, floor in zip(rounds[name], rounds[FLOOR], strict=True))


if __name__ == "__main__":
    sys.exit(main())
