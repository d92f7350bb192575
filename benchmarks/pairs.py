"""What entry/exit pairs cost before and after fusing, measured in turns on this machine; writes CSV with --csv.

    .venv/bin/python benchmarks/pairs.py [--rounds 15] [--calls 60000] [--csv out.csv]

A process of our own makes calls of a function (uprobes on a prologue that begins with a push) or system calls: with no
probes, with an empty pair, with the hash pair as tools have it, and with the fused form; one round is one run of each. Costs
are CPU time of the process, nanoseconds a call beyond no probes; the spread is that of the middle half of the rounds.
"""

from __future__ import annotations

import argparse
import csv
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

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
	int file = open(args[3], O_RDWR | O_CREAT, 0600), shown = atoi(args[4]);
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
STATELESS = ("bpf_map_update_elem", "bpf_map_lookup_elem", "bpf_map_delete_elem")


@dataclass(frozen=True)
class Case:
    name: str
    mode: str
    ways: dict[str, Object | None]
    constants: dict[str, str]


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
        "no probes": None,
        "empty pair": empty("uprobe", "uretprobe"),
        "hash pair": read_object(function),
        "task storage": formed(function, "funclatency", Form.TASK_STORAGE),
        "session": formed(function, "funclatency", Form.SESSION),
    }
    tracepoints = {
        "no probes": None,
        "empty pair": empty("tp_btf/sys_enter", "tp_btf/sys_exit"),
        "hash pair": read_object(syscall),
        "task storage": formed(syscall, "rwlat", Form.TASK_STORAGE),
    }
    stateless = {**tracepoints, "without state": without_state(syscall)}
    filtered = {key: uprobe[key] for key in ("no probes", "hash pair", "session")}
    return [
        Case("uprobe pair", "call", uprobe, {"targ_tgid": "$pid"}),
        Case("uprobe pair, another process wanted", "call", filtered, {"targ_tgid": "1"}),
        Case("system call pair, pread of a byte", "pread", stateless, {}),
        Case("random 512-byte pread/pwrite", "random", tracepoints, {}),
    ]


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
        command = [str(binary), case.mode, str(calls), file.name, "1"]
        with Waiting(["/bin/sh", "-c", f'exec "$@" >{out.name}', "sh", *command], quiet=True) as process:
            if obj is None:
                process.run()
            else:
                constants = {k: v for k, v in case.constants.items() if any(item.name == k for item in obj.variables)}
                with attached(obj, process, Places("handle", path=str(binary), constants=constants)):
                    process.run()
        return float(Path(out.name).read_text())


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=60_000)
    parser.add_argument("--csv")
    args = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "target.c").write_text(TARGET)
        binary = Path(directory) / "target"
        compile_native([Path(directory) / "target.c"], binary)
        for case in cases():
            seen: dict[str, list[float]] = {name: [] for name in case.ways}
            for _ in range(args.rounds):
                for name, obj in case.ways.items():
                    seen[name].append(cost(case, obj, binary, args.calls))
            rows += table(case, seen, show)
    if args.csv:
        with Path(args.csv).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["case", "way", "ns_a_call", "beyond_no_probes_ns", "spread_ns"])
            writer.writerows(rows)


def table(case: Case, seen: dict[str, list[float]], show: Callable[[str], None]) -> list[list[object]]:
    """Medians of the differences within each round."""
    show(case.name)
    floor = seen["no probes"]
    extra = {name: [a - b for a, b in zip(values, floor, strict=True)] for name, values in seen.items()}
    rows: list[list[object]] = []
    for name, values in seen.items():
        low, _, high = quantiles(extra[name], n=4)
        show(f"  {name:<16} {median(values):8.0f} ns a call   {median(extra[name]):+8.0f} ns   spread {high - low:.0f}")
        rows.append([case.name, name, round(median(values), 1), round(median(extra[name]), 1), round(high - low, 1)])
    base = extra["hash pair"]
    for name in [item for item in seen if item in ("session", "task storage")]:
        show(f"  {name}: {saved(extra[name], base):.0f} % of the hash pair's cost saved")
        floor_name = "without state" if "without state" in seen else "empty pair" if "empty pair" in seen else None
        if floor_name is not None:
            rest = [[a - b for a, b in zip(extra[way], extra[floor_name], strict=True)] for way in (name, "hash pair")]
            show(f"    beyond {floor_name}: {saved(rest[0], rest[1]):.0f} % saved")
    if case.mode == "random":
        shares = {
            name: median([e / f for e, f in zip(extra[name], floor, strict=True)]) for name in ("hash pair", "task storage")
        }
        show(f"  overhead {100 * shares['hash pair']:.1f} % -> {100 * shares['task storage']:.1f} %")
    return rows


def saved(new: list[float], old: list[float]) -> float:
    return 100 * (1 - median(new) / median(old))


if __name__ == "__main__":
    main()
