"""`bpfsmith pairs`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bpfsmith.cli.output import print_diagnostics, print_json, progress, reported

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "pairs"
HELP = "find entry/exit probes that belong together, and fuse them"
EXAMPLE = "bpfsmith pairs tool.bpf.o --fuse -o fused.bpf.o"
HAS_PAGE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE.o|DIR", nargs="+", help="objects or eBPF C, or directories of objects")
    parser.add_argument("--fuse", action="store_true", help="write the object with each pair in its best form, proved")
    parser.add_argument("-o", "--output", metavar="OUT", help="the fused object, or with several files a directory")
    parser.add_argument("--kernel", metavar="VERSION", default="host", help="the kernel to fuse for (default: host)")
    parser.add_argument(
        "--form",
        action="append",
        default=[],
        choices=("reread-arguments", "session", "session+task-storage", "task-storage", "object-storage"),
        help="use this form only (may be repeated)",
    )
    parser.add_argument(
        "--allow-unknown", action="store_true", help="keep a form that is neither proved nor refuted, and exit with 3"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="fold in what a constant of the loader's is, or PROGRAM.cookie (may be repeated)",
    )
    parser.add_argument("--uprobes", action="store_true", help="kprobe sections without a target are attached to processes")
    parser.add_argument("--against", metavar="OTHER.o", help="prove that this object's sessions, or programs, are FILE's pairs")
    parser.add_argument("--loader", metavar="FILE.h", help="write what changes for the loader, as C for libbpf")


def run(args: argparse.Namespace) -> int:
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.workflow.pairing import against_report, find_report, fuse, lines

    if args.fuse != bool(args.output):
        raise InputError(Diagnostic("bad-command", "--fuse and -o OUT belong together", help="see `bpfsmith pairs --help`"))
    if args.set and not args.fuse:
        raise InputError(Diagnostic("bad-command", "--set is for --fuse", help="see `bpfsmith pairs --help`"))
    if args.against and (args.fuse or len(args.files) != 1):
        raise InputError(
            Diagnostic("bad-command", "--against compares one FILE with another", help="see `bpfsmith pairs --help`")
        )
    fused = None
    with progress() as say:
        if args.against:
            report = against_report(args.files[0], args.against)
        elif args.fuse:
            done = fuse(
                args.files, args.kernel, args.form, say,
                allow_unknown=args.allow_unknown, uprobes=args.uprobes, settings=args.set,
            )  # fmt: skip
            done.write(args.output, args.loader)
            report, fused = done.report(args.output), done.data
        else:
            report = find_report(args.files, args.kernel, say, uprobes=args.uprobes)
    print_diagnostics(report.diagnostics, args.output_format)

    def page() -> Page:
        from bpfsmith.page.measured import pairs_page

        return pairs_page(report, args.files, fused)

    reported(args, report, page, args.files)
    if args.output_format == "json":
        print_json(report)
    else:
        for line in lines(report, concise=args.output_format == "concise"):
            print(line)
    return report.verdict.exit_code
