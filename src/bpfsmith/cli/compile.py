"""`bpfsmith compile`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, progress, reported, working

if TYPE_CHECKING:
    from bpfsmith.page.model import Page
    from bpfsmith.workflow.asking import ModelOptions
    from bpfsmith.workflow.compiling import Compiled
    from bpfsmith.workflow.inputs import AppnetInput, Toolchain

NAME = "compile"
HELP = "turn an AppNet program into a proved .bpf.o"
EXAMPLE = "bpfsmith compile fault.appnet -o fault.bpf.o"
HAS_PAGE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "programs",
        metavar="PROG.appnet",
        nargs="+",
        help="several are chained in this order; or one packet filter, PROG.filter",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (default: PROG.bpf.o beside the command; - is stdout)"
    )
    parser.add_argument("--emit", choices=("obj", "c", "asm"), default="obj", help="what to write (default: obj)")
    parser.add_argument("--allow-unknown", action="store_true", help="write the output when the proof gave up, too")
    parser.add_argument("--no-timing", action="store_true", help="do not measure the time of a run")
    parser.add_argument("--no-optimize", action="store_true", help="keep what clang makes")
    options.add_placing(parser)
    options.add_kernels(parser, "make what these kernels accept, by a lower -mcpu if need be")
    options.add_toolchain(parser)
    options.add_solver(parser)
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.report import Outcome
    from bpfsmith.workflow.compiling import compile_appnet, compile_report, emitted, must_be_proved, opened_appnet
    from bpfsmith.workflow.inputs import write_output

    toolchain = options.toolchain(args)
    if args.programs[0].endswith(".filter"):
        return _front_end(args, toolchain)
    asking = options.model(args)
    opened = opened_appnet(args.programs, toolchain)
    if asking is not None and asking.dry_run:
        return _show_prompt(opened, toolchain, asking)
    if asking is not None and args.kernel:
        raise InputError(Diagnostic("bad-command", "--model and --kernel cannot be used together", help="leave one out"))
    limits, timed, optimized = options.limits(args), not args.no_timing, not args.no_optimize
    judgement = None
    with working(f"proving {opened.element.name}"):
        if args.kernel:
            from bpfsmith.workflow.accepting import compile_for
            from bpfsmith.workflow.kernels import requested

            kernels = requested(args.kernel)
            compiled, judgement = compile_for(kernels, opened, toolchain, limits=limits, timed=timed, optimized=optimized)
        else:
            compiled = compile_appnet(opened, toolchain, limits=limits, timed=timed, optimized=optimized)
    must_be_proved(compiled)
    report = judgement.added_to(compile_report(compiled)) if judgement else compile_report(compiled)
    asked = None
    if asking is not None and compiled.outcome is Outcome.EQUAL:
        from bpfsmith.workflow.proposing import compile_with_model, model_compile_report

        with progress() as say:
            asked = compile_with_model(
                opened, compiled, toolchain, asking, limits=limits, timed=timed, optimized=optimized, progress=say
            )
        compiled, report = asked.chosen, model_compile_report(asked, asking)
    elif asking is not None:
        from bpfsmith.workflow.asking import NOT_ASKED

        report = replace(report, diagnostics=(*report.diagnostics, NOT_ASKED))
    print_diagnostics(report.diagnostics, args.output_format)

    def page() -> Page:
        from bpfsmith.page.pages import compile_page

        return compile_page(report, compiled, toolchain)

    reported(args, report, page, args.programs)
    written = None
    if compiled.outcome is Outcome.EQUAL or (compiled.outcome is Outcome.UNKNOWN and args.allow_unknown):
        suffix = {"obj": ".bpf.o", "c": ".bpf.c", "asm": ".bpf.s"}[args.emit]
        written = args.output if args.output is not None else opened.element.name + suffix
        data = emitted(compiled, args.emit)
        if written == "-":
            import sys

            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return report.verdict.exit_code
        write_output(written, data, inputs=args.programs)
    if args.output_format == "json":
        print_json(report)
    else:
        more = list(judgement.lines()) if judgement else []
        if asked is not None and asking is not None:
            from bpfsmith.workflow.proposing import model_compile_lines

            more += model_compile_lines(asked, asking, args.output_format == "concise")
        print_compiled(compiled, more, args.output_format, written)
    return report.verdict.exit_code


def _front_end(args: argparse.Namespace, toolchain: Toolchain) -> int:
    """A language of `workflow.frontends`."""
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.isa.disasm import assembly
    from bpfsmith.report import Outcome
    from bpfsmith.workflow.frontends import made, made_report
    from bpfsmith.workflow.inputs import write_output
    from bpfsmith.workflow.text import size_words, time_words, verdict_lines, verifier_words

    if len(args.programs) != 1 or args.kernel or args.model:
        raise InputError(Diagnostic("bad-command", "a filter is compiled alone, without --kernel and --model", help="name one"))
    (path,) = args.programs
    with working(f"proving {path}"):
        limits = options.limits(args)
        done = made(path, toolchain, optimized=not args.no_optimize, timed=not args.no_timing, limits=limits)
    report = made_report(done)

    def page() -> Page:
        from bpfsmith.page.pages import front_end_page

        return front_end_page(report, done)

    reported(args, report, page, args.programs)
    written = None
    if report.verdict is Outcome.EQUAL or (report.verdict is Outcome.UNKNOWN and args.allow_unknown):
        suffix = {"obj": ".bpf.o", "c": ".bpf.c", "asm": ".bpf.s"}[args.emit]
        written = args.output if args.output is not None else done.name + suffix
        texts = {"c": done.c_text, "asm": assembly(done.obj.programs[0])}
        data = texts[args.emit].encode() if args.emit in texts else done.object_bytes
        if written == "-":
            import sys

            sys.stdout.buffer.write(data)
            return report.verdict.exit_code
        write_output(written, data, inputs=args.programs)
    if args.output_format == "json":
        print_json(report)
        return report.verdict.exit_code
    for line in verdict_lines("proof", done.verdict, None, args.output_format == "concise"):
        print(line)
    if done.report is not None:
        print(f"verifier    {verifier_words(done.report)}")
        print(f"size        {size_words(done.report)}")
    if done.report is not None and done.report.run_ns is not None:
        print(f"time        {time_words(done.report)}")
    print(f"wrote       {written or 'nothing: no proof, no output (--allow-unknown writes all the same)'}")
    return report.verdict.exit_code


def _show_prompt(opened: AppnetInput, toolchain: Toolchain, asking: ModelOptions) -> int:
    from bpfsmith.workflow.asking import said
    from bpfsmith.workflow.proposing import compile_task

    print(said(compile_task(opened, None, toolchain), asking).text)
    return 0


def print_compiled(compiled: Compiled, more: Sequence[str], output_format: str, written: str | None) -> None:
    from bpfsmith.report import Outcome
    from bpfsmith.workflow.text import compiled_lines

    for line in (*compiled_lines(compiled, concise=output_format == "concise"), *more):
        print(line)
    why = (
        "the verifier does not accept it"
        if compiled.outcome is Outcome.REJECTED
        else "no proof, no output (--allow-unknown writes all the same)"
    )
    print(f"wrote       {written}" if written else f"wrote       nothing: {why}")
