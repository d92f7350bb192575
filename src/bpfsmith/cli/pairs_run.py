"""`bpfsmith pairs-run`."""

from __future__ import annotations

import argparse

from bpfsmith.cli.output import print_json, progress

NAME = "pairs-run"
HELP = "run a command with an object's probes on it alone"
EXAMPLE = "bpfsmith pairs-run fused.bpf.o --function handle -- ./server --once"
RUNS_COMMAND = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=[])
    parser.add_argument("object", metavar="FILE.o", help="an object of probes, or eBPF C")
    parser.add_argument("--function", metavar="NAME", help="the function that uprobes without a target go to")
    parser.add_argument(
        "--attach",
        metavar="PROGRAM=NAME",
        action="append",
        default=[],
        help="another function for one program (may be repeated)",
    )
    parser.add_argument("--file", metavar="PATH", help="the executable or library that holds the function (default: COMMAND)")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a constant of the object; $pid is the command's process",
    )
    parser.add_argument("--against", metavar="OTHER.o", help="run with this object too: same results? which one costs less?")
    parser.add_argument(
        "--rounds", metavar="N", type=int, default=1, help="interleaved runs of the command each way (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.workflow.pairs_running import pairs_run_lines, pairs_run_report, places_of

    if not args.command:
        raise InputError(
            Diagnostic("bad-command", "there is no command to run", help="write it behind `--`: `pairs-run FILE.o -- COMMAND`")
        )
    places = places_of(args.function, args.attach, args.file, args.set)
    with progress() as say:
        report = pairs_run_report(args.object, args.against, args.command, places, args.rounds, say)
    if args.output_format == "json":
        print_json(report)
    else:
        for line in pairs_run_lines(report):
            print(line)
    return report.verdict.exit_code
