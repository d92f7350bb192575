"""`bpfsmith verify`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, reported, working

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "verify"
HELP = "ask the kernel's verifier; a rejection is told at your line"
EXAMPLE = "bpfsmith verify mine.bpf.c"
HAS_PAGE = True
FORMATS = ("full", "concise", "json", "csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help=".appnet, .probe, .bpf.c, .bpf.o or .s; FILE:PROGRAM picks one of several"
    )
    parser.add_argument("--time", action="store_true", help="measure the time of a run too")
    parser.add_argument("--kernel", metavar="LIST", help="kernels to ask, such as 5.10,6.1,6.12,host (default: host)")
    parser.add_argument("--attach", action="store_true", help="on the other kernels, attach what is accepted and make it run")
    parser.add_argument("--repair", action="store_true", help="search a change to rejected C that the verifier accepts")
    parser.add_argument("--try-mcpu", action="store_true", help="compile C for each of -mcpu=v1 to v4 and compare")
    parser.add_argument("--profile", action="store_true", help="show the source lines that cost the verifier most")
    parser.add_argument("--columns", metavar="A,B,..", help="the columns of the table")
    parser.add_argument("--sort", metavar="A,B:desc,..", default="", help="sort by columns")
    parser.add_argument(
        "--filter",
        metavar="COND",
        action="append",
        default=[],
        help="rows that hold: processed>1000, verdict=rejected, name~xdp",
    )
    parser.add_argument("--save", metavar="RUN.csv|.json", help="write the table into a file, for --against")
    parser.add_argument("--against", metavar="RUN.csv|.json", help="compare with a saved run: A (saved), B, DIFF, PCT")
    parser.add_argument("--section", metavar="NAME", help="for programs whose own section names no program type")
    parser.add_argument(
        "--map", metavar="NAME=N[:BYTES]", action="append", default=[], help="max_entries and value_size that a map leaves open"
    )
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.workflow import columns
    from bpfsmith.workflow.kernels import requested
    from bpfsmith.workflow.verified import choices, diffs, printed, profiles, save, with_input_errors

    shown, sort = columns.columns(args.columns), [item for item in args.sort.split(",") if item]
    columns.arranged([], sort, args.filter)  # a mistake in them is told before the work, not after
    saved = columns.saved_rows(args.against) if args.against else None
    kernels = requested(args.kernel)
    chosen = choices(args.map, args.section)
    with working("asking the verifier"):
        from bpfsmith.workflow.verifying import verify

        report = verify(
            args.files,
            options.toolchain(args),
            timed=args.time,
            choices=chosen,
            repair=args.repair,
            kernels=kernels,
            cpus=("v1", "v2", "v3", "v4") if args.try_mcpu else (),
            profile=args.profile,
            attach=args.attach,
        )
    print_diagnostics(report.diagnostics, "full" if args.output_format == "csv" else args.output_format)

    def page() -> Page:
        from bpfsmith.page.pages import verify_page

        return verify_page(report, args.files, options.toolchain(args))

    reported(args, report, page, args.files)
    if args.save:
        save(report, args.save, args.files)
    if args.output_format == "json":
        print_json(report)
    else:
        for line in printed(report, args.output_format, saved, shown, sort, args.filter):
            print(line)
        for line in profiles(report):
            print(line)
        for text in diffs(report):
            print(text, end="")
    return with_input_errors(report)
