"""`bpfsmith asm`."""

from __future__ import annotations

import argparse

NAME = "asm"
HELP = "assemble kernel syntax to bytes in hex, one line a program"
EXAMPLE = "bpfsmith asm drop.s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.s")


def run(args: argparse.Namespace) -> int:
    from bpfsmith.isa.encoding import encode
    from bpfsmith.workflow.inputs import Toolchain, open_bytecode

    for program in open_bytecode(args.file, Toolchain()).programs:
        print(f"{program.name} {encode(program.linked()).hex()}")
    return 0
