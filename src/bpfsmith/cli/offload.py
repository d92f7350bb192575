"""`bpfsmith offload`."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, print_json, progress, reported

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "offload"
HAS_PAGE = True
HELP = "split a C server into a half in the kernel and a half in userspace, if that pays"
EXAMPLE = "bpfsmith offload examples/servers/kv.c --measure 10000 --allow-unknown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="SERVER.c", nargs="*", help="the server's source, all files of it")
    parser.add_argument("-o", "--output", metavar="DIR", help="where both halves go (default: SERVER.offload)")
    parser.add_argument("--compile-commands", metavar="JSON", help="take files and flags from a JSON compilation database")
    parser.add_argument("--entry", metavar="FUNCTION", help="the function that takes requests, where there are several")
    parser.add_argument(
        "--hook", choices=("auto", "tc", "xdp"), default="auto",
        help="where the kernel half is attached (default: auto, by the cost profile)",
    )  # fmt: skip
    parser.add_argument(
        "--longest", metavar="BYTES", type=int,
        help="requests and replies of more bytes are the user half's (default: 64 where the kernel half is proved, else 1472)",
    )  # fmt: skip
    parser.add_argument("--budget", metavar="SECONDS", type=float, default=600.0, help="of the proof (default: 600)")
    parser.add_argument("--measure", metavar="N", type=int, help="compare replies to N requests (default: 300), and time them")
    parser.add_argument("--storage", metavar="FUNCTION", help="look at a function that answers requests for stored data")
    parser.add_argument("--advise", action="store_true", help="only say whether it pays; nothing is written")
    parser.add_argument(
        "--allow-unknown", action="store_true", help="write both halves although the kernel half is not proved, and exit with 3"
    )
    parser.add_argument("--workload", metavar="FILE", help="requests: a pcap, or one a line as text or in hex")
    parser.add_argument("--args", metavar="ARGS", default="", help="the server's arguments in trials, in one argument")
    parser.add_argument("--profile", metavar="JSON", help="a cost profile of `bpfsmith measure` (default: the shipped one)")
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.cost.profile import load_profile
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.kernel import probe
    from bpfsmith.offload.requests import LONGEST
    from bpfsmith.semantics.verdict import Equal
    from bpfsmith.workflow import offload_proof, offload_storage, offloading
    from bpfsmith.workflow.offload_hook import choose
    from bpfsmith.workflow.offload_trial import COMPARED, offload_report, proof_lines, trial, trial_lines

    if not args.files and args.compile_commands is None:
        raise InputError(Diagnostic("bad-command", "there is no server to read", help="name its C files"))
    if args.measure is not None and args.measure < 1:
        raise InputError(Diagnostic("bad-command", "--measure takes a number of requests", help="10000 are a good many"))
    if args.longest is not None and not 0 <= args.longest <= LONGEST:
        raise InputError(Diagnostic("bad-command", f"--longest takes 0 to {LONGEST} bytes", help="leave it out"))
    toolchain = options.toolchain(args)
    if args.storage is not None:
        asked = offloading.Request(tuple(args.files), tuple(toolchain.flags), args.compile_commands)
        analysis = offload_storage.analyse(asked, args.storage)
        print_diagnostics(analysis.notes, args.output_format)
        if args.output_format != "json":
            for line in analysis.lines():
                print(line)
        raise offload_storage.left_out(analysis)
    choice = choose(args.hook, load_profile(args.profile))
    request = offloading.Request(tuple(args.files), tuple(toolchain.flags), args.compile_commands, args.entry, choice.hook)
    with tempfile.TemporaryDirectory(prefix="bpfsmith-") as scratch, progress() as say:
        say("reading the server")
        read = offloading.read_server(request)
        done, proof = offload_proof.proved_split(
            read, request, args.longest, toolchain, say, advises=args.advise, budget=args.budget
        )
        name = args.output or f"{PurePath(next(iter(read.sources))).stem}.offload"
        built = Path(scratch) / "split"
        offloading.write_halves(done, built)
        say("building the server")
        offloading.build(done, built)
        found = None
        if args.advise or args.measure is not None or isinstance(probe.can_bpf(), probe.Available):
            found = trial(
                done, request, built, count=args.measure or COMPARED, workload=args.workload, arguments=shlex.split(args.args),
                profile=args.profile, advised=args.advise or args.measure is not None, timed=args.measure is not None,
                progress=say,
            )  # fmt: skip
        proved = proof is not None and isinstance(proof.verdict, Equal)
        written = (proved or args.allow_unknown) and not args.advise and (found is None or found.same)
        if written:
            offloading.copy_halves(built, Path(name))
    report = offload_report(done, found, proof, advises=args.advise)

    def page() -> Page:
        from bpfsmith.page.measured import offload_page

        return offload_page(report, done)

    reported(args, report, page, args.files)
    if args.output_format == "json":
        print_json(report)
        return report.verdict.exit_code
    print_diagnostics(done.diagnostics, args.output_format)
    for line in (*offloading.summary(done), *choice.lines()):
        print(line)
    if proof is not None:
        for line in proof_lines(proof):
            print(line)
    if found is not None:
        for line in trial_lines(found, done):
            print(line)
    elif not args.advise:
        print("compared    nothing: bpf(2) is not permitted here")
    if written:
        print(f"wrote       {name}: server.bpf.c, server and what they are made from")
    elif not args.advise:
        why = (
            "replies differ"
            if found is not None and not found.same
            else "no proof, no output (--allow-unknown writes all the same)"
        )
        print(f"wrote       nothing: {why}")
    return report.verdict.exit_code
