"""`bpfsmith examples`."""

from __future__ import annotations

import argparse

from bpfsmith.cli import options
from bpfsmith.cli.output import print_json, progress

NAME = "examples"
HELP = "list, check and add what language models are shown"
EXAMPLE = "bpfsmith examples add mine.appnet mine.bpf.c --idea 'a lock only where two CPUs write'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("list", "check", "add"), nargs="?", default="list", help="(default: list)")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="for add: QUESTION ANSWER, an AppNet program and its C, or C and its better form",
    )
    parser.add_argument("--name", metavar="NAME", help="for add: what it is called (default: the question's)")
    parser.add_argument(
        "--idea", metavar="TEXT", default="", help="for add: what it shows (default: the question's first comment)"
    )
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.propose.examples import library
    from bpfsmith.workflow.example_library import Judged, add, check_all, examples_report

    if len(args.files) != (2 if args.what == "add" else 0):
        needed = "add needs two files: QUESTION ANSWER" if args.what == "add" else f"{args.what} takes no files"
        raise InputError(Diagnostic("bad-command", needed, help="see `bpfsmith examples --help`"))
    as_json = args.output_format == "json"
    if args.what == "list":
        found = library()
        if as_json:
            print_json(examples_report(found))
            return 0
        for example in found:
            print(f"{example.kind:<9} {example.name:<14} {example.idea}" + ("" if example.shipped else "  (your own)"))
        return 0
    judged: list[Judged] = []
    with progress() as say:
        if args.what == "add":
            question, answer = args.files
            done, path = add(question, answer, args.name, args.idea, options.toolchain(args))
            judged = [done]
        else:
            path = None
            for item in check_all(options.toolchain(args)):
                say(f"checked {item.example.name}")
                judged.append(item)
    report = examples_report(judged)
    if as_json:
        print_json(report)
        return report.verdict.exit_code
    for item in judged:
        told = item.refused.feedback if item.refused else item.words
        print(f"{item.example.kind:<9} {item.example.name:<14} {'refused: ' if item.refused else ''}{told}")
    if args.what == "add":
        print(f"wrote       {path}" if path else "wrote       nothing: only proved pairs are shown to a model")
    return report.verdict.exit_code
