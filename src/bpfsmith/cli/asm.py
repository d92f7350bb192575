"""`bpfsmith asm`."""

from __future__ import annotations

import argparse

from bpfsmith.cli.output import print_json

NAME = "asm"
HELP = "assemble to bytes in hex, one line a program"
EXAMPLE = "bpfsmith asm drop.s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="assembly, - for stdin; FILE:PROGRAM picks one of several")
    parser.add_argument(
        "--dialect",
        choices=("kernel", "ubpf"),
        default="kernel",
        help="kernel: as the verifier's log prints it; ubpf: as public test vectors have it, `mov %%r0, 1` (default: kernel)",
    )
    parser.add_argument("--hex", action="store_true", help="print the bytes of one program, a line for each slot of 8 bytes")
    parser.add_argument("-o", dest="output", metavar="OUT", help="write the bytes of one program there, with --hex as text")


def run(args: argparse.Namespace) -> int:
    from bpfsmith.isa.encoding import encode
    from bpfsmith.workflow.assembling import asm_report, assembled, bytecode, slots_in_hex
    from bpfsmith.workflow.inputs import split_program, write_output

    programs = assembled(args.file, args.dialect)
    if args.output is not None:
        code = bytecode(programs, args.file)
        data = "".join(f"{line}\n" for line in slots_in_hex(code)).encode() if args.hex else code
        write_output(args.output, data, inputs=(split_program(args.file)[0],))
    if args.output_format == "json":
        print_json(asm_report(programs))
    elif args.hex and args.output is None:
        print("\n".join(slots_in_hex(bytecode(programs, args.file))))
    elif args.output is None:
        for program in programs:
            print(f"{program.name} {encode(program.linked()).hex()}")
    return 0
