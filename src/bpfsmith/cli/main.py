"""The command `bpfsmith`: parses arguments, runs one verb, turns errors into diagnostics and exit codes.

Exit codes: 0 it holds; 1 it does not (mismatch, rejection); 2 the input or the command was wrong, or asks for something
unsupported; 3 unknown; 70 a bug of ours; 130 interrupted. Results go to stdout, diagnostics to stderr. Verbs import what
they need when they run, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

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
    lsp,
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
    asm, disasm, write, examples, demo, doctor, completion, lsp,
)  # fmt: skip

GITHUB = "github"
"""The output format with annotations for GitHub."""


LONGEST_NAME = 10
"""Letters of the longest command."""


class _Help(argparse.HelpFormatter):
    """Options in one column and what they do in another, up to 110 columns; a usage of one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=max(min(shutil.get_terminal_size().columns, 112) - 2, 78))
        self._action_max_length = LONGEST_NAME + 4  # argparse leaves out that names of commands are indented twice

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """An option in an example is not broken at its hyphens."""
        import textwrap

        return textwrap.fill(
            " ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """`-o, --output FILE`, the argument once."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        shown = action.dest.upper() if self._has_long_choices(action) else self._format_args(action, action.dest.upper())
        return f"{', '.join(action.option_strings)} {shown}"

    def _expand_help(self, action: argparse.Action) -> str:
        """Choices that are too many to stand beside the option stand in its help."""
        text = super()._expand_help(action)
        return f"{text}: {', '.join(map(str, action.choices or ()))}" if self._has_long_choices(action) else text

    def _has_long_choices(self, action: argparse.Action) -> bool:
        return (
            action.metavar is None and bool(action.option_strings) and sum(len(str(x)) + 1 for x in action.choices or ()) > 40
        )


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as diagnostics, and a help that fits a screen: further groups of options are shown by
    --help-all."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **settings}, add_help=False)
        self.add_argument("-h", "--help", action="help", help="show this, and exit")

    def format_usage(self) -> str:
        return f"usage: {self._short_usage()}\n"

    def _short_usage(self) -> str:
        named = [action for action in self._get_positional_actions() if action.nargs != argparse.PARSER]
        shown = [self._get_formatter()._format_args(action, str(action.metavar or action.dest)) for action in named]
        return " ".join([self.prog, "[OPTION ..]", *(text.replace(" ...]", " ..]") for text in shown)])

    def format_help(self, everything: bool = False) -> str:
        """What --help prints; with `everything`, --help-all."""
        formatter = self._get_formatter()
        if self._subparsers is None:
            formatter.add_text(f"usage: {self._short_usage()}")
        else:
            formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        own = (self._positionals, self._optionals, self._subparsers)
        for group in self._action_groups:
            if group not in own and not everything:
                formatter.add_text(f"{group.title}: {len(group._group_actions)} more options, shown by --help-all")
                continue
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        raise InputError(Diagnostic("bad-command", f"{self.prog}: {message}", help=f"see `{self.prog} --help`"))


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, _Parser)
        print(parser.format_help(everything=True), end="")
        raise SystemExit(0)


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
            metavar="FORM",
            choices=(*formats, GITHUB) if has_page else formats,
            default="full",
            help=f"{', '.join(formats)}{', or github: with annotations' if has_page else ''} (default: full)",
        )
        if len(verb._action_groups) > 2:
            verb.add_argument("--help-all", action=_HelpAll, nargs=0, help="show all options, and exit")
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


def _verbs(top: argparse.ArgumentParser) -> dict[str, _Parser]:
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
