"""`bpfsmith doctor`."""

from __future__ import annotations

import argparse

from bpfsmith.cli.output import print_json, working

NAME = "doctor"
HELP = "say what this machine can do, and what mends the rest"
EXAMPLE = "bpfsmith doctor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults()


def run(args: argparse.Namespace) -> int:
    from bpfsmith.workflow.health import doctor_lines, doctor_report, examined

    with working("looking around"):
        found = examined()
    report = doctor_report(found)
    if args.output_format == "json":
        print_json(report)
    else:
        for line in doctor_lines(found, concise=args.output_format == "concise"):
            print(line)
    return report.verdict.exit_code
