"""`bpfsmith try`."""

from __future__ import annotations

import argparse
import sys

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, working
from bpfsmith.diagnostic import Diagnostic, InputError

NAME = "try"
HELP = "run a program once and show what it did"
EXAMPLE = "bpfsmith try fault.appnet --engine kernel"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help=".appnet, .bpf.c, .bpf.o or .s; FILE:PROGRAM picks one of several"
    )
    parser.add_argument(
        "--packet", metavar="HEX|PCAP", help="the frame, or a capture whose first one it is (default: a UDP datagram)"
    )
    parser.add_argument(
        "--maps", metavar="JSON", help='a file with map contents: {"counts": {"KEY": "VALUE"}, ".bss": "BYTES"}, all in hex'
    )
    parser.add_argument("--engine", choices=("interpreter", "kernel"), help="what to run it on (default: interpreter)")
    parser.add_argument(
        "--step", action="store_true", help="stop at the first insn and take commands from stdin; `help` lists them"
    )
    parser.add_argument(
        "--break", dest="breaks", metavar="WHERE", action="append", default=[],
        help="stop at a source line (12, FILE:12), an insn (@7) or a function; into a pipe, print the registers and go on",
    )  # fmt: skip
    parser.add_argument(
        "--conformance-plugin", metavar="MEM_HEX", nargs="?", const="",
        help="be a plug-in of a test suite for the instruction set: bytecode in hex on stdin, r0 in hex on stdout",
    )  # fmt: skip
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    if args.conformance_plugin is not None:
        return _plugin(args)
    if args.file is None:
        raise _bad_command("the file to run is missing", "see `bpfsmith try --help`")
    watched = args.step or args.breaks
    if watched and args.engine == "kernel":
        raise _bad_command(
            "--step and --break do not go with --engine kernel", "the interpreter can be stopped, a kernel cannot"
        )
    if args.step and args.output_format == "json":
        raise _bad_command("--step does not go with --output-format json", "use --break, which puts its stops into the JSON")
    return _try(args)


def _bad_command(message: str, help_text: str) -> InputError:
    return InputError(Diagnostic("bad-command", message, help=help_text))


def _plugin(args: argparse.Namespace) -> int:
    from bpfsmith.workflow.conformance import run_vector

    others = args.file, args.packet, args.maps, args.engine, args.step or None, args.breaks or None
    if any(other is not None for other in others):
        raise _bad_command("--conformance-plugin goes with no other argument", "give the memory in hex behind it, or nothing")
    bytecode = sys.stdin.buffer.read() if sys.stdin else b""  # None where it was closed
    print(f"{run_vector(bytecode.decode('ascii', errors='replace'), args.conformance_plugin):x}")
    return 0


def _has_terminal() -> bool:
    return all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout))


class _Terminal:
    """Commands from stdin, lines to stdout; silent in JSON."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    def ask(self) -> str | None:
        if not sys.stdin:  # None where it was closed
            return None
        if sys.stdin.isatty():
            try:
                return input("(bpfsmith) ")
            except EOFError:
                return None
        line = sys.stdin.buffer.readline().decode("utf-8", errors="replace")
        return line.rstrip("\n") if line else None

    def say(self, line: str) -> None:
        if not self.silent:
            print(line, flush=True)


def _try(args: argparse.Namespace) -> int:
    from bpfsmith.workflow.debugger import Debugger, breakpoint_at
    from bpfsmith.workflow.trying import NotLoaded, in_kernel, maps_of, on_interpreter, packet_of, subject_of
    from bpfsmith.workflow.trying_text import try_lines, try_report
    from bpfsmith.workflow.watching import Code

    packet = packet_of(args.packet)
    with working(f"reading {args.file}"):
        subject = subject_of(args.file, options.toolchain(args))
    maps = maps_of(args.maps, subject.program)
    as_json = args.output_format == "json"
    debugger = None
    if args.step or args.breaks:
        code = Code(subject.program)
        debugger = Debugger(
            code,
            subject.obj,
            _Terminal(as_json),
            breakpoints=tuple(breakpoint_at(text, code) for text in args.breaks),
            steps=args.step,
            asks=not as_json and (args.step or _has_terminal()),
        )
    tried = in_kernel(subject, packet, maps) if args.engine == "kernel" else on_interpreter(subject, packet, maps, debugger)
    if debugger is not None and debugger.stops and not as_json:
        print()
    report = try_report(tried, debugger.stops if debugger else ())
    print_diagnostics(report.diagnostics, args.output_format)
    if as_json:
        print_json(report)
    elif not isinstance(tried, NotLoaded):
        for line in try_lines(tried, concise=args.output_format == "concise"):
            print(line)
    return report.verdict.exit_code
