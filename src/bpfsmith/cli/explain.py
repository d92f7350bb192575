"""`bpfsmith explain`."""

from __future__ import annotations

import argparse

NAME = "explain"
HELP = "say what a diagnostic means, and what to do"
EXAMPLE = "bpfsmith explain verifier-rejected"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", metavar="ID", nargs="?", help="the name in brackets behind error or warning; without it, all of them"
    )


def run(args: argparse.Namespace) -> int:
    import json

    from bpfsmith.workflow.pages import page, page_ids

    if args.id is None:
        print(json.dumps(page_ids()) if args.output_format == "json" else "\n".join(page_ids()))
        return 0
    text = page(args.id)
    print(json.dumps({"id": args.id, "text": text}) if args.output_format == "json" else text.rstrip())
    return 0
