"""`bpfsmith optimize`."""

from __future__ import annotations

import argparse
from pathlib import PurePath
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, progress, reported, working

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "optimize"
HELP = "make programs smaller and faster, every step proved"
EXAMPLE = "bpfsmith optimize mine.bpf.o -o smaller.bpf.o"
HAS_PAGE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help=".bpf.o, .bpf.c or .appnet")
    parser.add_argument("-o", "--output", metavar="OUT", help="the new object (default: FILE's name ending in .opt.bpf.o)")
    parser.add_argument(
        "--objective",
        choices=("insns", "jited", "ns", "verifier"),
        default="insns",
        help="what must not get worse: instructions, JITed bytes, time of a run, the verifier's work (default: insns)",
    )
    parser.add_argument("--program", metavar="NAME", action="append", default=[], help="only this program (may be repeated)")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="programs worked on at a time (default: 1)")
    parser.add_argument(
        "--budget",
        metavar="SECONDS",
        type=int,
        default=60,
        help="for the search in each function, and for each whole proof (default: 60)",
    )
    parser.add_argument(
        "--atomics",
        action="store_true",
        help="an update of a counter may become one atomic addition (a refinement: no update is lost)",
    )
    parser.add_argument("--no-timing", action="store_true", help="do not measure the time of a run")
    options.add_kernels(parser, "keep what these kernels accept")
    options.add_toolchain(parser)
    learning = parser.add_argument_group("learning", "rewrite rules from the windows of a corpus; no object is written")
    learning.add_argument("--learn", metavar="CORPUS", nargs="+", help="search the windows of these files and directories")
    learning.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler whose workers do the searching")
    learning.add_argument("--cache", metavar="FILE", help="the rule cache that grows (default: the user's)")
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.optimize.admit import Settings
    from bpfsmith.workflow.inputs import write_output
    from bpfsmith.workflow.optimizing import optimize_file, optimize_lines, optimize_report

    if args.jobs < 1 or args.budget < 1:
        raise InputError(Diagnostic("bad-command", "--jobs and --budget are at least 1", help="see `bpfsmith optimize --help`"))
    asking = options.model(args)
    if asking is not None and (args.learn or args.kernel or args.program):
        message = "--model cannot be used together with --learn, --kernel or --program"
        raise InputError(Diagnostic("bad-command", message, help="leave one out"))
    if args.learn:
        return _learn(args)
    if args.file is None:
        raise InputError(Diagnostic("bad-command", "there is nothing to optimize", help="name an object, C or AppNet file"))
    if asking is not None and asking.dry_run:
        from bpfsmith.workflow.asking import said
        from bpfsmith.workflow.proposing import optimize_task

        print(said(optimize_task(args.file, options.toolchain(args)), asking).text)
        return 0
    settings = Settings(
        objective=args.objective,
        budget=args.budget,
        jobs=args.jobs,
        programs=tuple(args.program),
        timed=not args.no_timing,
        cpu=int(args.mcpu.removeprefix("v")),
        atomics=args.atomics,
    )
    with working(f"optimizing {args.file}") as status:
        update = getattr(status, "update", None)
        tell = update if update is not None else lambda text: None
        if args.kernel:
            from bpfsmith.workflow.accepting import optimize_for
            from bpfsmith.workflow.kernels import requested

            done, judgement = optimize_for(requested(args.kernel), args.file, options.toolchain(args), settings, tell)
        else:
            done, judgement = optimize_file(args.file, options.toolchain(args), settings, tell), None
    report = optimize_report(done, settings)
    asked = None
    if asking is not None:
        from bpfsmith.workflow.optimizing import object_bytes
        from bpfsmith.workflow.proposing import model_optimize_report, optimize_with_model

        toolchain = options.toolchain(args)
        with progress() as say:
            data = object_bytes(args.file, toolchain)
            asked = optimize_with_model(args.file, data, done, toolchain, settings, asking, say)
        done, report = asked.chosen, model_optimize_report(asked, settings, asking)
        print_diagnostics(report.diagnostics, args.output_format)
    if judgement is not None:
        report = judgement.added_to(report)
        print_diagnostics(report.diagnostics, args.output_format)

    def page() -> Page:
        from bpfsmith.page.pages import optimize_page
        from bpfsmith.workflow.optimizing import object_bytes

        return optimize_page(report, done, args.file, object_bytes(args.file, options.toolchain(args)))

    reported(args, report, page, [args.file])
    written = None
    if report.verdict.exit_code == 0:
        written = args.output or f"{PurePath(args.file).name.split('.')[0]}.opt.bpf.o"
        write_output(written, done.data, inputs=[args.file])
    if args.output_format == "json":
        print_json(report)
    else:
        for line in optimize_lines(done, concise=args.output_format == "concise"):
            print(line)
        for line in judgement.lines() if judgement is not None else ():
            print(line)
        if asked is not None and asking is not None:
            from bpfsmith.workflow.proposing import model_optimize_lines

            for line in model_optimize_lines(asked, asking, args.output_format == "concise"):
                print(line)
        print(f"wrote       {written or 'nothing: not every kernel accepts it'}")
    return report.verdict.exit_code


def _learn(args: argparse.Namespace) -> int:
    from pathlib import Path

    from bpfsmith.optimize.cache import user_file
    from bpfsmith.workflow.optimizing import learn_from

    path = Path(args.cache) if args.cache else user_file()
    with working("learning") as status:
        update = getattr(status, "update", None)
        progress = update if update is not None else lambda text: None
        report = learn_from(args.learn, options.toolchain(args), path, args.jobs, progress, args.scheduler)
    print_diagnostics(report.diagnostics, args.output_format)
    if args.output_format == "json":
        print_json(report)
    else:
        found = report.details
        print(f"searched    {found['windows']} windows of {found['files']} files: {found['shorter']} have a shorter form")
        print(f"generalised {found['generalised']} rules that hold for all numbers")
        print(f"cache       {found['rules']} rules in {found['cache']}")
    return report.verdict.exit_code
