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


def add_placing(parser: argparse.ArgumentParser) -> None:
    """How an AppNet program meets packets."""
    parser.add_argument(
        "--bind",
        metavar="FILE",
        help="where the messages of an AppNet program are: a TOML file, or udp:PORT (default: PROG.bind.toml if there is one)",
    )
    parser.add_argument(
        "--side", choices=("server", "client"), default="server", help="whose host it runs on (default: server)"
    )
    parser.add_argument(
        "--hook",
        choices=("auto", "xdp", "tc"),
        default="",
        help="where arriving messages are met; auto takes the cheaper (default: xdp)",
    )


def toolchain(args: argparse.Namespace) -> Toolchain:
    import shlex

    from bpfsmith.workflow.inputs import Toolchain

    placing = {}
    if hasattr(args, "bind"):
        placing = {"bind": args.bind, "side": args.side, "hook": args.hook or ""}
    return Toolchain(args.clang, args.mcpu, tuple(shlex.split(args.cflags)), **placing)


def add_solver(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--solver", choices=("auto", "bitwuzla", "z3"), default="auto", help="auto asks bitwuzla first, then z3 (default: auto)"
    )


def limits(args: argparse.Namespace) -> Limits:
    from bpfsmith.semantics.solver import Limits

    return Limits(solver=args.solver)


def add_kernels(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--kernel", metavar="LIST", help=f"{help}, such as 5.10,6.1,6.12,host")
