"""`bpfsmith fmt`."""

from __future__ import annotations

import argparse
import sys

NAME = "fmt"
HELP = "print AppNet programs in one layout"
EXAMPLE = "bpfsmith fmt --check examples/appnet/*.appnet"
FORMATS = ("full", "concise")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="AppNet programs, rewritten in place; - reads stdin, writes stdout"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file would change")
    parser.add_argument("--diff", action="store_true", help="show what would change and write nothing")


def run(args: argparse.Namespace) -> int:
    from bpfsmith.workflow.formatting import difference, layout
    from bpfsmith.workflow.inputs import write_output

    changed = 0
    for path in args.files:
        done = layout(path)
        if args.diff:
            sys.stdout.write(difference(done))
        elif path == "-" and not args.check:
            sys.stdout.write(done.after)
        elif done.before != done.after:
            print(f"{'would change' if args.check else 'formatted'} {path}", file=sys.stderr if path == "-" else sys.stdout)
            if not args.check:
                write_output(path, done.after.encode())
        changed += done.before != done.after
    return 1 if changed and args.check else 0
