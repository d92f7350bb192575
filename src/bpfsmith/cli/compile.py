"""`bpfsmith compile`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, working

if TYPE_CHECKING:
    from bpfsmith.workflow.compiling import Compiled

NAME = "compile"
HELP = "turn an AppNet program into a proved .bpf.o"
EXAMPLE = "bpfsmith compile fault.appnet -o fault.bpf.o"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "programs", metavar="PROG.appnet", nargs="+", help="several are chained: requests go through in this order"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (default: PROG.bpf.o beside the command; - is stdout)"
    )
    parser.add_argument("--emit", choices=("obj", "c", "asm"), default="obj", help="what to write (default: obj)")
    parser.add_argument("--allow-unknown", action="store_true", help="write the output when the proof gave up, too")
    parser.add_argument("--no-timing", action="store_true", help="do not measure the time of a run")
    parser.add_argument("--no-optimize", action="store_true", help="keep what clang makes")
    options.add_placing(parser)
    options.add_toolchain(parser)
    options.add_solver(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.report import Outcome
    from bpfsmith.workflow.compiling import compile_appnet, compile_report, emitted, must_be_proved, opened_appnet
    from bpfsmith.workflow.inputs import write_output

    toolchain = options.toolchain(args)
    opened = opened_appnet(args.programs, toolchain)
    with working(f"proving {opened.element.name}"):
        compiled = compile_appnet(
            opened, toolchain, limits=options.limits(args), timed=not args.no_timing, optimized=not args.no_optimize
        )
    must_be_proved(compiled)
    print_diagnostics(compiled.diagnostics, args.output_format)
    report = compile_report(compiled)
    written = None
    if compiled.outcome is Outcome.EQUAL or (compiled.outcome is Outcome.UNKNOWN and args.allow_unknown):
        suffix = {"obj": ".bpf.o", "c": ".bpf.c", "asm": ".bpf.s"}[args.emit]
        written = args.output if args.output is not None else opened.element.name + suffix
        data = emitted(compiled, args.emit)
        if written == "-":
            import sys

            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return report.verdict.exit_code
        write_output(written, data, inputs=args.programs)
    if args.output_format == "json":
        print_json(report)
    else:
        print_compiled(compiled, args.output_format, written)
    return report.verdict.exit_code


def print_compiled(compiled: Compiled, output_format: str, written: str | None) -> None:
    from bpfsmith.workflow.text import compiled_lines

    for line in compiled_lines(compiled, concise=output_format == "concise"):
        print(line)
    print(
        f"wrote       {written}"
        if written
        else "wrote       nothing: no proof, no output (--allow-unknown writes all the same)"
    )
