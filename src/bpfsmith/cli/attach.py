"""`bpfsmith attach`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bpfsmith.cli import options
from bpfsmith.cli.output import print_diagnostics, working

if TYPE_CHECKING:
    from bpfsmith.workflow.attaching import Attached

NAME = "attach"
HELP = "run an AppNet program on a device, with its state live"
EXAMPLE = "bpfsmith attach fault.appnet --netns blue --dev veth0 --bind udp:9000"
FORMATS = ("full", "concise")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "programs", metavar="PROG.appnet", nargs="+", help="several are chained: requests go through in this order"
    )
    parser.add_argument("--netns", metavar="NAME", required=True, help="the namespace, as `ip netns` names it")
    parser.add_argument("--dev", metavar="DEV", required=True, help="the device in it")
    parser.add_argument("--seconds", metavar="N", type=float, help="detach after so long (default: until Ctrl-C)")
    parser.add_argument(
        "--interval", metavar="N", type=float, default=1.0, help="seconds between two looks at the state (default: 1)"
    )
    parser.add_argument("--generic", action="store_true", help="XDP behind the driver, for devices that have none of their own")
    options.add_placing(parser)
    options.add_toolchain(parser)
    options.add_solver(parser)


def run(args: argparse.Namespace) -> int:
    from bpfsmith.report import Outcome
    from bpfsmith.workflow.attaching import attached_in
    from bpfsmith.workflow.compiling import compile_appnet, must_be_proved, opened_appnet
    from bpfsmith.workflow.text import compiled_lines

    toolchain = options.toolchain(args)
    opened = opened_appnet(args.programs, toolchain)
    with working(f"proving {opened.element.name}"):
        compiled = compile_appnet(opened, toolchain, limits=options.limits(args), timed=False)
    must_be_proved(compiled)
    print_diagnostics(compiled.diagnostics, args.output_format)
    for line in compiled_lines(compiled, concise=True):
        print(line)
    if compiled.outcome is not Outcome.EQUAL:
        print("attached    nothing: no proof, no program on a device")
        return compiled.outcome.exit_code
    with _until_told(), attached_in(compiled, args.netns, args.dev, generic=args.generic) as running:
        for body, place in running.places.items():
            print(f"attached    {body}: {place}", flush=True)
        _watch(running, args.seconds, args.interval)
    print("detached", flush=True)
    return 0


def _watch(running: Attached, seconds: float | None, interval: float) -> None:
    """Shows the state until time is up: in place on a terminal, else a block of lines whenever it has changed."""
    import sys
    import time

    from bpfsmith.workflow.attaching import state_lines

    end = None if seconds is None else time.monotonic() + seconds
    started, before = time.monotonic(), running.state()
    tty, shown = sys.stdout.isatty(), 0
    print("\n".join(state_lines(running)) if not tty else "", flush=True)
    while end is None or time.monotonic() < end:
        lines = list(state_lines(running, before))
        now = running.state()
        if tty:
            up = f"\x1b[{shown}F\x1b[0J" if shown else ""
            shown = len(lines) + 1
            print(f"{up}{time.monotonic() - started:6.1f} s, Ctrl-C detaches", *lines, sep="\n", flush=True)
        elif now != before:
            print(f"after {time.monotonic() - started:.1f} s", *lines, sep="\n", flush=True)
        before = now
        left = interval if end is None else min(interval, end - time.monotonic())
        time.sleep(max(left, 0.0))
    print(f"at the end, after {time.monotonic() - started:.1f} s", *state_lines(running), sep="\n", flush=True)


@contextmanager
def _until_told() -> Iterator[None]:
    """Ctrl-C ends the block, and so does SIGTERM."""
    import signal

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
