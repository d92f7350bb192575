"""`bpfsmith disasm`."""

from __future__ import annotations

import argparse

from bpfsmith.cli import options
from bpfsmith.cli.output import print_json, working

NAME = "disasm"
HELP = "show instructions as the kernel's log writes them"
EXAMPLE = "bpfsmith disasm fault.bpf.o:fault"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=".appnet, .bpf.c, .bpf.o or .s; FILE:PROGRAM picks one of several")
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    with working(f"reading {args.file}"):
        from bpfsmith.workflow.text import listing_lines, listing_report, programs_of

        programs = programs_of(args.file, options.toolchain(args))
    if args.output_format == "json":
        print_json(listing_report(programs))
        return 0
    for line in listing_lines(programs, concise=args.output_format == "concise"):
        print(line)
    return 0
