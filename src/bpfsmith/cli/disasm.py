"""`bpfsmith disasm`."""

from __future__ import annotations

import argparse

from bpfsmith.cli import options

NAME = "disasm"
HELP = "show the instructions of a program as the kernel's log writes them"
EXAMPLE = "bpfsmith disasm fault.bpf.o:fault"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=".appnet, .bpf.c, .bpf.o or .s; FILE:PROGRAM picks one of several")
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.workflow.text import listing_lines

    for line in listing_lines(args.file, options.toolchain(args)):
        print(line)
    return 0
