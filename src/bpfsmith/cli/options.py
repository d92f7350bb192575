"""Options that several verbs share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfsmith.semantics.solver import Limits
    from bpfsmith.workflow.inputs import Toolchain


def add_toolchain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clang", metavar="PATH", help="use this clang instead of the bundled one")
    parser.add_argument("--mcpu", choices=("v1", "v2", "v3", "v4"), default="v3", help="BPF instruction set (default: v3)")
    parser.add_argument("--cflags", metavar="FLAGS", default="", help="more flags for clang, in one argument")


def toolchain(args: argparse.Namespace) -> Toolchain:
    import shlex

    from bpfsmith.workflow.inputs import Toolchain

    return Toolchain(args.clang, args.mcpu, tuple(shlex.split(args.cflags)))


def add_solver(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--solver", choices=("auto", "bitwuzla", "z3"), default="auto", help="auto asks bitwuzla first, then z3 (default: auto)"
    )


def limits(args: argparse.Namespace) -> Limits:
    from bpfsmith.semantics.solver import Limits

    return Limits(solver=args.solver)


def add_kernels(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--kernel", metavar="LIST", help=f"{help}, such as 5.10,6.1,6.12,host")
