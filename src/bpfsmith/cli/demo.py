"""`bpfsmith demo`."""

from __future__ import annotations

import argparse

NAME = "demo"
HELP = "show a shipped example step by step"
EXAMPLE = "bpfsmith demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    help = "an example's name (default: fault), or appnet: several at work, between two hosts of our own"
    parser.add_argument("example", metavar="EXAMPLE", nargs="?", default="fault", help=help)
    parser.add_argument("--copy", metavar="DIR", help="put all shipped examples into DIR/examples, and run nothing")


def run(args: argparse.Namespace) -> int:
    from bpfsmith.cli.output import print_diagnostics, print_json, working
    from bpfsmith.workflow.compiling import compile_report
    from bpfsmith.workflow.demo import copy_examples, demo, demo_lines

    if args.copy is not None:
        print(copy_examples(args.copy))
        return 0
    if args.example == "appnet":
        return _live()
    with working(f"compiling and proving {args.example}"):
        compiled = demo(args.example)
    if args.output_format == "json":
        print_json(compile_report(compiled))
    else:
        print_diagnostics(compiled.diagnostics, args.output_format)
        for line in demo_lines(compiled):
            print(line)
    return compiled.outcome.exit_code


def _live() -> int:
    """The scenes, as they are played; between two lines somebody sees that they are."""
    from bpfsmith.cli.output import working

    with working("setting up two hosts"):
        from bpfsmith.workflow.live import live_lines

        lines = live_lines()
        line = next(lines, None)
    while line is not None:
        print(line, flush=True)
        with working("asking, and waiting for answers"):
            line = next(lines, None)
    return 0
