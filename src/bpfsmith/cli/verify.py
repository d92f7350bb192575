"""`bpfsmith verify`."""

from __future__ import annotations

import argparse

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json

NAME = "verify"
HELP = "ask the kernel's verifier, and explain a rejection at your line"
EXAMPLE = "bpfsmith verify mine.bpf.c"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help=".appnet, .bpf.c, .bpf.o or .s; FILE:PROGRAM picks one of several"
    )
    parser.add_argument("--time", action="store_true", help="measure the time of a run too")
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.workflow.text import program_table
    from bpfsmith.workflow.verifying import verify

    report = verify(args.files, options.toolchain(args), timed=args.time)
    print_diagnostics(report.diagnostics, args.output_format)
    if args.output_format == "json":
        print_json(report)
    else:
        for line in program_table(report.programs, concise=args.output_format == "concise"):
            print(line)
    return report.verdict.exit_code
