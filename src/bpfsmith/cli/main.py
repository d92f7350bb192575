"""The command `bpfsmith`: parses arguments, runs one verb, turns errors into diagnostics and exit codes.

Exit codes: 0 it holds; 1 it does not (mismatch, rejection); 2 the input or the command was wrong, or asks for something
unsupported; 3 unknown; 70 a bug of ours; 130 interrupted. Results go to stdout, diagnostics to stderr. Verbs import what
they need when they run, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bpfsmith import __version__
from bpfsmith.cli import (
    asm,
    attach,
    check,
    compile,
    completion,
    cost,
    demo,
    disasm,
    doctor,
    examples,
    explain,
    fmt,
    measure,
    offload,
    optimize,
    pairs,
    pairs_run,
    settings,
    trace,
    trying,
    verify,
    write,
)
from bpfsmith.cli.output import Said, listening, print_error
from bpfsmith.diagnostic import Diagnostic, InputError, InternalError, ToolError

VERBS = (
    compile, check, attach, verify, optimize, offload, trace, pairs, pairs_run, trying, cost, measure, explain, fmt,
    asm, disasm, write, examples, demo, doctor, completion,
)  # fmt: skip

GITHUB = "github"
"""The output format with annotations for GitHub."""


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as diagnostics."""

    def error(self, message: str) -> NoReturn:
        raise InputError(Diagnostic("bad-command", f"{self.prog}: {message}", help=f"see `{self.prog} --help`"))


def parser() -> argparse.ArgumentParser:
    """The argument parser with every verb in it."""
    top = _Parser(
        prog="bpfsmith",
        description="State what you want; get eBPF that the kernel accepts and that is proved to mean it.",
        epilog="example: bpfsmith compile examples/appnet/fault.appnet -o fault.bpf.o",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the versions of bpfsmith and its tools, and exit")
    verbs = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for module in VERBS:
        verb = verbs.add_parser(
            module.NAME,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.",
            epilog=f"example: {module.EXAMPLE}",
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run, output_format="full")
        has_page = getattr(module, "HAS_PAGE", False)
        formats = getattr(module, "FORMATS", ("full", "concise", "json"))
        verb.add_argument(
            "--output-format",
            choices=(*formats, GITHUB) if has_page else formats,
            default="full",
            help="how results are printed (default: full); github adds annotations" if has_page else "how (default: full)",
        )
        if has_page:
            verb.add_argument("--report", metavar="OUT.html", help="write what was found as one page that needs nothing else")
            verb.add_argument("--sarif", metavar="OUT.sarif", help="write the diagnostics for code scanning")
            verb.add_argument("--watch", action="store_true", help="run again whenever a file changes, until Ctrl-C")
    return top


class _Version(argparse.Action):
    """Versions are looked up when they are asked for."""

    def __call__(self, *_: object) -> NoReturn:
        from bpfsmith.workflow.versions import version_lines

        print("\n".join(version_lines()))
        raise SystemExit(0)


def _verbs(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (subparsers,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return dict(subparsers.choices)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "json" in arguments or "--output-format=json" in arguments
    try:
        own, command = _split(arguments)
        args = _parsed(own)
        if command is not None:
            args.command = command
        if getattr(args, "watch", False):
            from bpfsmith.cli.rerun import rerun

            return rerun(arguments, args)
        return _annotated(args) if hasattr(args, "sarif") else int(args.run(args))
    except ToolError as error:
        print_error(error, arguments[0] if arguments else "", as_json)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 (the rim: what nobody named on the way here is a bug of ours)
        return _bug(error, arguments, as_json)


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """The arguments, with defaults from the user's settings."""
    top = parser()
    found = settings.found(Path.cwd())
    if found is not None:
        settings.apply(found, _verbs(top))
    return top.parse_args(arguments)


def _annotated(args: argparse.Namespace) -> int:
    """Runs a command whose diagnostics somebody reads elsewhere, too; an error is one of them."""
    on_github = args.output_format == GITHUB
    args.output_format = "full" if on_github else args.output_format
    with listening() as said:
        try:
            return int(args.run(args))
        except ToolError as error:
            said.diagnostics.extend(error.diagnostics)
            raise
        finally:
            if on_github or args.sarif:
                _annotate(said, on_github, args.sarif)


def _annotate(said: Said, on_github: bool, sarif_path: str | None) -> None:
    from bpfsmith.workflow.annotating import github_lines, of_verdict, sarif
    from bpfsmith.workflow.inputs import write_output

    told = (*said.diagnostics, *of_verdict(said.report))
    if on_github:
        for line in github_lines(told):
            print(line)
    if sarif_path:
        write_output(sarif_path, sarif(told).encode())


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """What stands behind `--` is the command line of another program, for verbs that run one."""
    runs = {module.NAME for module in VERBS if getattr(module, "RUNS_COMMAND", False)}
    if not arguments or arguments[0] not in runs or "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _bug(error: Exception, arguments: list[str], as_json: bool) -> int:
    """What nobody foresaw: says where it happened and asks for a report."""
    import platform
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    diagnostic = Diagnostic(
        "internal-error",
        f"bpfsmith stopped on a bug of its own: {type(error).__name__}: {error}",
        notes=(
            f"at {frame.filename}:{frame.lineno} in {frame.name}",
            f"bpfsmith {__version__}, Python {platform.python_version()}, kernel {platform.release()}",
            f"arguments: {' '.join(arguments)}",
        ),
        help="please report this with the input file; BPFSMITH_TRACEBACK=1 prints the whole traceback",
    )
    if os.environ.get("BPFSMITH_TRACEBACK"):
        traceback.print_exception(error)
    print_error(InternalError(diagnostic), arguments[0] if arguments else "", as_json)
    return InternalError.exit_code
