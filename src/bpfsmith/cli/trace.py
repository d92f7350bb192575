"""`bpfsmith trace`."""

from __future__ import annotations

import argparse
import sys

from bpfsmith.cli import options
from bpfsmith.cli.output import print_json, progress

NAME = "trace"
HELP = "trace a command with probes that state way in and out as one"
EXAMPLE = "bpfsmith trace latency.probe -- ./server --once"
RUNS_COMMAND = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=[])
    parser.add_argument("file", metavar="FILE.probe", help="what to trace")
    parser.add_argument("-e", action="store_true", help="FILE.probe is the program itself, not the name of a file")
    parser.add_argument("--seconds", metavar="N", type=float, help="stop the command after so long")
    parser.add_argument("--file", dest="binary", metavar="PATH", help="the executable or library of uprobes that name none")
    parser.add_argument("--budget", metavar="SECONDS", type=int, default=20, help="for the proof of each program (default: 20)")
    parser.add_argument("--plain", action="store_true", help="run the pair with its hash, as written")
    parser.add_argument("--quiet", action="store_true", help="throw away what the command prints")
    parser.add_argument("--c", metavar="OUT.c", help="write the C that the probes become")
    parser.add_argument("-o", "--output", metavar="OUT", help="write the object that runs")
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.workflow.inputs import write_output
    from bpfsmith.workflow.tracing import Seen, compiled, proof_lines, seen_lines, trace, trace_report

    with progress() as say:
        program = compiled(args.file, options.toolchain(args), fuse=not args.plain, say=say, inline=args.e, budget=args.budget)
    if args.c:
        write_output(args.c, program.lowered.c_text.encode(), inputs=[args.file])
    if args.output:
        write_output(args.output, program.data, inputs=[args.file])
    if args.output_format != "json":
        for line in proof_lines(program):
            print(line, file=sys.stderr if args.command else sys.stdout)
    printed = 0

    def shown(seen: Seen) -> None:
        nonlocal printed
        if args.output_format == "full":
            for line in seen_lines(program, seen, printed):
                print(line, flush=True)
            printed = len(seen.records)

    seen = Seen()
    if args.command:
        seen = trace(program, args.command, args.binary, args.seconds, shown, quiet=args.quiet or args.output_format == "json")
    if args.output_format == "json":
        print_json(trace_report(program, seen, args.command))
    elif args.command:
        for line in seen_lines(program, seen, printed):
            print(line)
    return 0
