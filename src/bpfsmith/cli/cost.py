"""`bpfsmith cost`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_json, reported, working

if TYPE_CHECKING:
    from bpfsmith.page.model import Page

NAME = "cost"
HELP = "predict ns by path and line, and say whether offloading pays"
EXAMPLE = "bpfsmith cost cache.bpf.c --workload counters.json"
TERMINAL = "-"
HAS_PAGE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=".appnet, .bpf.c, .bpf.o or .s; FILE:PROGRAM picks one of several")
    parser.add_argument("--profile", metavar="JSON", help="a cost profile of `bpfsmith measure` (default: the shipped one)")
    parser.add_argument("--keys", type=int, default=1, metavar="N", help="distinct keys in use in each map (default: 1)")
    parser.add_argument(
        "--skew", type=float, default=0.0, metavar="S", help="Zipf exponent of their popularity (default: 0, even)"
    )
    parser.add_argument("--packet", metavar="HEX|PCAP", help="only the paths of this packet")
    parser.add_argument("--maps", metavar="JSON", help="map contents that decide lookups, as for `try`")
    parser.add_argument(
        "--workload", metavar="FILE",
        help='advise: counters by outcome {"XDP_TX": 61, ..}, a capture, or one outcome a line',
    )  # fmt: skip
    parser.add_argument("--hits", type=float, metavar="SHARE", help="advise: the share of requests that the program answers")
    parser.add_argument("--baseline-ns", type=float, metavar="NS", help="a request without offload (default: from the profile)")
    parser.add_argument("--service-ns", type=float, default=0.0, metavar="NS", help="the server's own work for a request")
    parser.add_argument("--saves-ns", type=float, default=0.0, metavar="NS", help="what pre-processing saves the server")
    parser.add_argument("--rate", type=float, metavar="N", help="requests a second, for the effect on neighbours")
    parser.add_argument("--check", action="store_true", help="run it in the kernel too (as root), and say how far off that is")
    parser.add_argument(
        "--plot", metavar="FILE", nargs="?", const=TERMINAL,
        help="draw the break-even: in the terminal, or into FILE, .svg or .png",
    )  # fmt: skip
    options.add_toolchain(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.cost.plot import advice_picture, check_suffix
    from bpfsmith.cost.terminal import advice_chart
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.workflow.costing import Question, cost, cost_report
    from bpfsmith.workflow.costing_text import cost_lines, neighbour_line
    from bpfsmith.workflow.inputs import write_output

    file = args.plot if args.plot != TERMINAL else None
    if args.plot:
        if file:
            check_suffix(file)
        if args.workload is None and args.hits is None:
            help_text = "give --workload or --hits; `bpfsmith measure --show --plot` draws the profile"
            raise InputError(Diagnostic("bad-command", "--plot draws a break-even, and there is no workload", help=help_text))
    question = Question(
        profile=args.profile, keys=args.keys, skew=args.skew, packet=args.packet, maps=args.maps, workload=args.workload,
        hits=args.hits, baseline_ns=args.baseline_ns, service_ns=args.service_ns, saved_ns=args.saves_ns, per_second=args.rate,
        check_by_running=args.check,
    )  # fmt: skip
    with working(f"running {args.file} in the kernel" if args.check else f"predicting {args.file}"):
        costed = cost(args.file, question, options.toolchain(args))
    advice = next((item.advice for item in costed if item.advice is not None), None)
    if file and advice is not None:
        write_output(file, advice_picture(advice, file), inputs=[args.file])
    report = cost_report(costed)

    def page() -> Page:
        from bpfsmith.page.costed import cost_page

        return cost_page(report, costed, args.file)

    reported(args, report, page, [args.file])
    if args.output_format == "json":
        print_json(report)
        return report.verdict.exit_code
    for index, item in enumerate(costed):
        if index:
            print()
        for line in cost_lines(item, concise=args.output_format == "concise"):
            print(line)
    if advice is not None and args.rate is not None:
        print(neighbour_line(advice, args.rate))
    if advice is not None and args.plot == TERMINAL:
        for line in advice_chart(advice):
            print(line)
    return report.verdict.exit_code
