"""`bpfsmith offload`."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, progress, reported

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "offload"
HAS_PAGE = True
HELP = "split a C server into a half in the kernel and a half in userspace, if that pays"
EXAMPLE = "bpfsmith offload examples/servers/kv.c --measure 10000 --allow-unknown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="SERVER.c", nargs="*", help="the server's source, all files of it")
    parser.add_argument("-o", "--output", metavar="DIR", help="where both halves go (default: SERVER.offload)")
    parser.add_argument("--compile-commands", metavar="JSON", help="take files and flags from a JSON compilation database")
    parser.add_argument("--entry", metavar="FUNCTION", help="the function that takes requests, where there are several")
    parser.add_argument("--hook", choices=("tc", "xdp"), default="tc", help="where the kernel half is attached (default: tc)")
    parser.add_argument("--measure", metavar="N", type=int, help="run original and split server on N requests, and compare")
    parser.add_argument("--advise", action="store_true", help="only say whether it pays; nothing is written")
    parser.add_argument(
        "--allow-unknown", action="store_true", help="write both halves although the kernel half is not proved, and exit with 3"
    )
    parser.add_argument("--workload", metavar="FILE", help="requests: a pcap, or one a line as text or in hex")
    parser.add_argument("--args", metavar="ARGS", default="", help="the server's arguments in trials, in one argument")
    parser.add_argument("--profile", metavar="JSON", help="a cost profile of `bpfsmith measure` (default: the shipped one)")
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.offload.hazards import ASSUMPTIONS
    from bpfsmith.workflow import offloading
    from bpfsmith.workflow.offload_trial import UNPROVED, offload_report, trial, trial_lines

    if not args.files and args.compile_commands is None:
        raise InputError(Diagnostic("bad-command", "there is no server to read", help="name its C files"))
    toolchain = options.toolchain(args)
    request = offloading.Request(tuple(args.files), tuple(toolchain.flags), args.compile_commands, args.entry, args.hook)
    if args.measure is not None and args.measure < 1:
        raise InputError(Diagnostic("bad-command", "--measure takes a number of requests", help="10000 are a good many"))
    with tempfile.TemporaryDirectory(prefix="bpfsmith-") as scratch, progress() as say:
        say("reading the server")
        read = offloading.read_server(request)
        done = offloading.split(read, request, toolchain, say)
        name = args.output or f"{PurePath(next(iter(read.sources))).stem}.offload"
        built = Path(scratch) / "split"
        offloading.write_halves(done, built)
        say("building the server")
        offloading.build(done, built)
        found = None
        if args.advise or args.measure is not None:
            found = trial(
                done, request, built, count=args.measure or 400, workload=args.workload, arguments=shlex.split(args.args),
                profile=args.profile, timed=args.measure is not None, progress=say,
            )  # fmt: skip
        written = args.allow_unknown and not args.advise and (found is None or found.same)
        if written:
            offloading.copy_halves(built, Path(name))
    report = offload_report(done, found, advises=args.advise)

    def page() -> Page:
        from bpfsmith.page.measured import offload_page

        return offload_page(report, done)

    reported(args, report, page, args.files)
    if args.output_format == "json":
        print_json(report)
        return report.verdict.exit_code
    print_diagnostics(done.diagnostics, args.output_format)
    for line in offloading.summary(done):
        print(line)
    if found is not None:
        for line in trial_lines(found, done):
            print(line)
    print(f"proof       unknown ({UNPROVED})")
    for number, text in enumerate(ASSUMPTIONS):
        print(f"{'assuming' if not number else '':11} {text}")
    if written:
        print(f"wrote       {name}: server.bpf.c, server and what they are made from")
    elif not args.advise:
        print("wrote       nothing: no proof, no output (--allow-unknown writes all the same)")
    return report.verdict.exit_code
