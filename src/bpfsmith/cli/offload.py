"""`bpfsmith offload`."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, NoReturn

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, progress, reported

if TYPE_CHECKING:
    from bpfsmith.page.model import Page
    from bpfsmith.workflow.inputs import Toolchain
    from bpfsmith.workflow.splitting import Wish

NAME = "offload"
HAS_PAGE = True
HELP = "split a C server into kernel half and user half, if it pays"
EXAMPLE = "bpfsmith offload examples/servers/kv.c --measure 10000 --allow-unknown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="SERVER.c", nargs="*", help="the server's source, all files of it")
    parser.add_argument("-o", "--output", metavar="DIR", help="where both halves go (default: SERVER.offload)")
    parser.add_argument(
        "--hook", choices=("auto", "tc", "xdp"), default="auto",
        help="where the kernel half is attached (default: auto, by the cost profile)",
    )  # fmt: skip
    parser.add_argument(
        "--longest", metavar="BYTES", type=int,
        help="requests and replies of more bytes are the user half's (default: 64 where the kernel half is proved, else 1472)",
    )  # fmt: skip
    parser.add_argument("--budget", metavar="SECONDS", type=float, default=600.0, help="of the proof (default: 600)")
    parser.add_argument("--measure", metavar="N", type=int, help="compare replies to N requests (default: 300), and time them")
    parser.add_argument("--advise", action="store_true", help="only say whether it pays; nothing is written")
    parser.add_argument(
        "--allow-unknown", action="store_true", help="write both halves although the kernel half is not proved, and exit with 3"
    )
    parser.add_argument("--workload", metavar="FILE", help="requests: a pcap, or one a line as text or in hex")
    parser.add_argument("--profile", metavar="JSON", help="a cost profile of `bpfsmith measure` (default: the shipped one)")
    options.add_compiler(parser)
    server = parser.add_argument_group("the server")
    server.add_argument("--args", metavar="ARGS", default="", help="its arguments in trials, in one argument")
    server.add_argument("--entry", metavar="FUNCTION", help="the function that takes requests, where there are several")
    server.add_argument("--compile-commands", metavar="JSON", help="take files and flags from a JSON compilation database")
    server.add_argument("--storage", metavar="FUNCTION", help="look at a function that answers requests for stored data")


def run(args: argparse.Namespace) -> int:
    from bpfsmith.workflow import splitting

    wish = splitting.Wish(
        tuple(args.files), args.compile_commands, args.entry, args.hook, args.longest, args.budget, args.measure,
        args.workload, tuple(shlex.split(args.args)), args.profile, args.advise,
    )  # fmt: skip
    wish.validate()
    toolchain = options.toolchain(args)
    if args.storage is not None:
        _storage(args, wish, toolchain)
    with progress() as say:
        done = splitting.offload(wish, toolchain, say)
    report = done.report
    written = (done.proved or args.allow_unknown) and not args.advise and done.same
    name = args.output or splitting.default_directory(done.split)
    if written:
        splitting.save_halves(done.files, name)

    def page() -> Page:
        from bpfsmith.page.measured import offload_page

        return offload_page(report, done.split)

    reported(args, report, page, args.files)
    if args.output_format == "json":
        print_json(report)
        return report.verdict.exit_code
    print_diagnostics(report.diagnostics, args.output_format)
    for line in splitting.lines(done, advises=args.advise):
        print(line)
    if written:
        print(f"wrote       {name}: {splitting.HALVES}")
    elif not args.advise:
        why = "no proof, no output (--allow-unknown writes all the same)" if done.same else "replies differ"
        print(f"wrote       nothing: {why}")
    return report.verdict.exit_code


def _storage(args: argparse.Namespace, wish: Wish, toolchain: Toolchain) -> NoReturn:
    """What could be had of a function that answers from storage, and why it is left to the process."""
    from bpfsmith.workflow import offload_storage
    from bpfsmith.workflow.offloading import Request

    asked = Request(wish.files, tuple(toolchain.flags), wish.compile_commands)
    analysis = offload_storage.analyse(asked, args.storage)
    print_diagnostics(analysis.notes, args.output_format)
    if args.output_format != "json":
        for line in analysis.lines():
            print(line)
    raise offload_storage.left_out(analysis)
