"""`bpfsmith write`."""

from __future__ import annotations

import argparse
import sys

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, progress

NAME = "write"
HELP = "make a program of a sentence with a language model"
EXAMPLE = 'bpfsmith write "drop UDP to port 9999 from 10.0.0.0/8" --model NAME'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sentence", metavar="SENTENCE", help="what should happen, in English")
    parser.add_argument(
        "--as",
        dest="language",
        choices=("auto", "appnet", "c"),
        default="auto",
        help="auto takes C for packets (default: auto)",
    )
    parser.add_argument("--name", metavar="NAME", default="written", help="of the program and its files (default: written)")
    parser.add_argument("--yes", action="store_true", help="confirm without being asked")
    options.add_placing(parser)
    options.add_toolchain(parser)
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.render import visible
    from bpfsmith.workflow.asking import asked_lines
    from bpfsmith.workflow.inputs import check_writable, write_output
    from bpfsmith.workflow.writing import LANGUAGES, check_new, language_for, product, prompt_for, write, write_report

    asking = options.model(args)
    if asking is None:
        raise InputError(
            Diagnostic("bad-command", "no model is named", help="say --model NAME, and --base-url URL for your own")
        )
    if not args.name.isidentifier() or not args.name.isascii():
        raise InputError(Diagnostic("bad-command", f"--name {args.name} is no name in C", help="letters, digits and _"))
    language = language_for(args.sentence) if args.language == "auto" else args.language
    prompt = prompt_for(args.sentence, language, args.name, asking)
    if asking.dry_run:
        print(prompt.text)
        return 0
    source, out = f"{args.name}{LANGUAGES[language]}", f"{args.name}.bpf.o"
    check_new(source, out)
    check_writable(out)
    with progress() as say:
        found = write(prompt, options.toolchain(args), asking, say)
    written = product(found)
    as_json = args.output_format == "json"
    if written is not None and not as_json:
        for line in (*written.text.rstrip().replace("\t", "        ").split("\n"), "", *written.shown):
            print(visible(line))
        print()
    confirmed = written is not None and (args.yes or _confirmed())
    report = write_report(found, asking, confirmed)
    print_diagnostics(report.diagnostics, args.output_format)
    if written is not None and confirmed:
        write_output(source, written.text.encode())
        write_output(out, written.data)
    if as_json:
        print_json(report)
        return report.verdict.exit_code
    for line in asked_lines(found, asking, args.output_format == "concise"):
        print(line)
    if written is not None:
        print(f"wrote       {source} and {out}" if confirmed else "wrote       nothing: not confirmed (--yes confirms)")
    return report.verdict.exit_code


def _confirmed() -> bool:
    """The person's yes; no where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print("Is this what you want? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
