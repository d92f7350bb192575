"""`bpfsmith completion`."""

from __future__ import annotations

import argparse

NAME = "completion"
HELP = "print a script that completes commands in your shell"
EXAMPLE = "bpfsmith completion bash > ~/.local/share/bash-completion/completions/bpfsmith"
FORMATS = ("full",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell to complete in")


def run(args: argparse.Namespace) -> int:
    import shtab

    from bpfsmith.cli.main import parser

    print(shtab.complete(parser(), shell=args.shell))
    return 0
