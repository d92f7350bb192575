"""`bpfsmith offload`."""

from __future__ import annotations

import argparse
from pathlib import Path, PurePath

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, progress

NAME = "offload"
HELP = "split a C server into a half in the kernel and a half in userspace, if that pays"
EXAMPLE = "bpfsmith offload examples/servers/kv.c --measure 10000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="SERVER.c", nargs="*", help="the server's source, all files of it")
    parser.add_argument("-o", "--output", metavar="DIR", help="where both halves go (default: SERVER.offload)")
    parser.add_argument("--compile-commands", metavar="JSON", help="take files and flags from a JSON compilation database")
    parser.add_argument("--entry", metavar="FUNCTION", help="the function that takes requests, where there are several")
    parser.add_argument("--hook", choices=("tc", "xdp"), default="tc", help="where the kernel half is attached (default: tc)")
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.workflow import offloading

    if not args.files and args.compile_commands is None:
        raise InputError(Diagnostic("bad-command", "there is no server to read", help="name its C files"))
    toolchain = options.toolchain(args)
    request = offloading.Request(tuple(args.files), tuple(toolchain.flags), args.compile_commands, args.entry, args.hook)
    with progress() as say:
        say("reading the server")
        read = offloading.read_server(request)
        done = offloading.split(read, request, toolchain, say)
        directory = Path(args.output or f"{PurePath(next(iter(read.sources))).stem}.offload")
        offloading.write_halves(done, directory)
        say("building the server")
        built = offloading.build(done, directory)
    print_diagnostics(done.diagnostics, args.output_format)
    for line in offloading.summary(done):
        print(line)
    print(f"wrote       {directory}: server.bpf.c, {built.name} and what they are made from")
    return 0


_ = print_json
