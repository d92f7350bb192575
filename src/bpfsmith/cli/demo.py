"""`bpfsmith demo`."""

from __future__ import annotations

import argparse

NAME = "demo"
HELP = "compile a shipped example and show every step on one screen"
EXAMPLE = "bpfsmith demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("example", metavar="EXAMPLE", nargs="?", default="fault", help="an example's name (default: fault)")


def run(args: argparse.Namespace) -> int:
    from bpfsmith.cli.output import print_diagnostics, print_json
    from bpfsmith.workflow.compiling import compile_report
    from bpfsmith.workflow.demo import demo, demo_lines

    compiled = demo(args.example)
    if args.output_format == "json":
        print_json(compile_report(compiled))
    else:
        print_diagnostics(compiled.diagnostics, args.output_format)
        for line in demo_lines(compiled):
            print(line)
    return compiled.outcome.exit_code
