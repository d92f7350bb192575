"""`bpfsmith check`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, reported, working

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "check"
HELP = "prove two programs equal, or show where they differ"
EXAMPLE = "bpfsmith check fault.appnet mine.bpf.c"
HAS_PAGE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference", metavar="REFERENCE", help=".appnet, .bpf.c, .bpf.o or .s; FILE:PROGRAM picks one of several"
    )
    parser.add_argument("candidate", metavar="CANDIDATE", help="the same")
    parser.add_argument(
        "--state", metavar="X=MAP[:OFFSET]", action="append", default=[], help="where the candidate keeps the state X"
    )
    options.add_placing(parser)
    options.add_toolchain(parser)
    options.add_solver(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.appnet.correspond import parse_places
    from bpfsmith.workflow.checking import check, check_report
    from bpfsmith.workflow.text import check_lines

    places, limits = parse_places(args.state), options.limits(args)
    with working(f"proving {args.candidate}"):
        checked = check(args.reference, args.candidate, options.toolchain(args), places=places, limits=limits)
    print_diagnostics(checked.diagnostics, args.output_format)
    report = check_report(checked)

    def page() -> Page:
        from bpfsmith.page.pages import check_page

        return check_page(report, checked)

    reported(args, report, page, (args.reference, args.candidate))
    if args.output_format == "json":
        print_json(report)
    else:
        for line in check_lines(checked, concise=args.output_format == "concise"):
            print(line)
    return report.verdict.exit_code
