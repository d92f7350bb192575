"""`bpfsmith measure`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bpfsmith.cli.output import print_json, progress, reported

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "measure"
HELP = "measure what hooks, maps and calls cost on this machine"
EXAMPLE = "bpfsmith measure --table maps,user -o profile.json"
TERMINAL = "-"
HAS_PAGE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", default="all", metavar="NAMES",
        help="hooks, maps, user, chain, copy, complexity, channels, isolation, helpers, tracing, insns, several with commas, "
        "or all (default: all, about a minute and a half)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="JSON", help="write the cost profile to this file")
    parser.add_argument(
        "--plot", metavar="FILE", nargs="?", const=TERMINAL,
        help="draw curves: in the terminal, or into FILE, .svg or .png; with --show those of the shipped or another profile",
    )  # fmt: skip
    parser.add_argument(
        "--show",
        metavar="JSON",
        nargs="?",
        const="",
        help="measure nothing: show this profile, or the shipped one (or what --table names of it)",
    )
    parser.add_argument("--cpu", type=int, metavar="N", help="the CPU that everything runs on (default: the last one)")
    parser.add_argument(
        "--pace",
        type=float,
        default=1.0,
        metavar="X",
        help="take X times as long for the rounds; more resolves more (default: 1)",
    )


def run(args: argparse.Namespace) -> int:
    from bpfsmith.cost.plot import check_suffix, picture
    from bpfsmith.cost.profile import load_profile, to_json
    from bpfsmith.workflow.inputs import check_writable, write_output
    from bpfsmith.workflow.measuring import measured, of_tables, pace_of, profile_lines, profile_report, tables_of

    file = args.plot if args.plot != TERMINAL else None
    if file:
        check_suffix(file)
    for path in (args.output, file):
        if path:
            check_writable(path)
    tables = tables_of(args.table)
    if args.show is not None:
        profile = of_tables(load_profile(args.show or None), tables)
    else:
        with progress() as say:
            profile = measured(tables, cpu=args.cpu, pace=pace_of(args.pace), say=say)
    if args.output:
        write_output(args.output, to_json(profile))
    if file:
        write_output(file, picture(profile, file))
    report = profile_report(profile)

    def page() -> Page:
        from bpfsmith.page.measured import measure_page

        return measure_page(report, profile)

    reported(args, report, page)
    if args.output_format == "json":
        print_json(report)
    else:
        for line in profile_lines(profile, concise=args.output_format == "concise", charts=args.plot == TERMINAL):
            print(line)
    return report.verdict.exit_code
