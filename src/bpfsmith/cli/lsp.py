"""`bpfsmith lsp`."""

from __future__ import annotations

import argparse

NAME = "lsp"
HELP = "be the language server of an editor (extra lsp)"
EXAMPLE = "bpfsmith lsp"
FORMATS = ("full",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stdio", action="store_true", help="on standard input and output: the only way there is")


def run(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from bpfsmith.diagnostic import Diagnostic, InputError

    if find_spec("pygls") is None:
        help_text = "python -m pip install 'bpfsmith[lsp]'"
        raise InputError(Diagnostic("no-language-server", "pygls, which speaks the protocol, is not installed", help=help_text))
    from bpfsmith.editor.server import serve

    serve()
    return 0
