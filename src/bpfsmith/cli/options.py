"""Options that several verbs share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfsmith.diagnostic import InputError
    from bpfsmith.propose.loop import Price
    from bpfsmith.semantics.solver import Limits
    from bpfsmith.workflow.asking import ModelOptions
    from bpfsmith.workflow.inputs import Toolchain


def add_toolchain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mcpu", choices=("v1", "v2", "v3", "v4"), default="v3", help="BPF instruction set (default: v3)")
    add_compiler(parser)


def add_compiler(parser: argparse.ArgumentParser) -> None:
    """The compiler alone, for what is made for one instruction set."""
    parser.add_argument("--clang", metavar="PATH", help="use this clang instead of the bundled one")
    parser.add_argument("--cflags", metavar="FLAGS", default="", help="more flags for clang, in one argument")


def add_placing(parser: argparse.ArgumentParser) -> None:
    """How an AppNet program meets packets."""
    parser.add_argument(
        "--bind",
        metavar="FILE",
        help="where messages are: a TOML file, or udp:PORT (default: PROG.bind.toml)",
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
    return Toolchain(args.clang, getattr(args, "mcpu", "v3"), tuple(shlex.split(args.cflags)), **placing)


def add_solver(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--solver", choices=("auto", "bitwuzla", "z3"), default="auto", help="auto: bitwuzla, then z3 (default: auto)"
    )


def limits(args: argparse.Namespace) -> Limits:
    from bpfsmith.semantics.solver import Limits

    return Limits(solver=args.solver)


def add_kernels(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--kernel", metavar="LIST", help=f"{help}, such as 5.10,6.1,6.12,host")


def add_model(parser: argparse.ArgumentParser) -> None:
    """A language model as a source of candidates, behind any endpoint that speaks OpenAI's protocol."""
    group = parser.add_argument_group(
        "language model", "candidates from a model go through the same gate as all others: what is not proved is not used"
    )
    group.add_argument("--model", metavar="NAME", help="ask this model for candidates")
    group.add_argument("--base-url", metavar="URL", help="where it is (default: $OPENAI_BASE_URL, or OpenAI's own service)")
    group.add_argument(
        "--key-env",
        metavar="NAME",
        default="OPENAI_API_KEY",
        help="environment variable with the key (default: OPENAI_API_KEY)",
    )
    group.add_argument("--rounds", metavar="N", type=int, default=4, help="how often to ask, each time with what the gate said")
    group.add_argument("--candidates", metavar="N", type=int, default=2, help="candidates asked for at a time (default: 2)")
    group.add_argument("--examples", metavar="N", type=int, default=2, help="proved examples in the prompt (default: 2)")
    group.add_argument("--temperature", metavar="T", type=float, default=0.2, help="of the first candidate (default: 0.2)")
    group.add_argument("--seed", metavar="N", type=int, default=0, help="for endpoints that heed one (default: 0)")
    group.add_argument("--no-feedback", action="store_true", help="ask the same again instead of saying what was wrong")
    group.add_argument("--max-tokens", metavar="N", type=int, default=2048, help="of one answer (default: 2048)")
    group.add_argument("--token-budget", metavar="N", type=int, help="stop asking when so many tokens are spent")
    group.add_argument(
        "--cost-budget", metavar="USD", type=float, help="stop asking when so many dollars are spent (needs --price)"
    )
    group.add_argument("--price", metavar="IN,OUT", help="dollars for a million tokens of prompt and of answer")
    group.add_argument("--time-budget", metavar="SECONDS", type=float, default=300, help="for all rounds (default: 300)")
    group.add_argument("--timeout", metavar="SECONDS", type=float, default=120, help="for one request (default: 120)")
    group.add_argument("--retries", metavar="N", type=int, default=3, help="after a request that failed (default: 3)")
    group.add_argument("--dry-run", action="store_true", help="show the prompt and ask nobody")
    group.add_argument("--save-transcripts", metavar="DIR", help="keep what is asked and answered there")
    group.add_argument("--replay", metavar="DIR", help="answers from saved transcripts instead of a model")


def model(args: argparse.Namespace) -> ModelOptions | None:
    """How a model is asked; None where none is. InputError `bad-command` or `bad-endpoint` for options that cannot be."""
    if not (args.model or args.replay or args.dry_run):
        return None
    from pathlib import Path

    from bpfsmith.propose.loop import Budget
    from bpfsmith.propose.model import Endpoint
    from bpfsmith.workflow.asking import ModelOptions

    for name in ("rounds", "candidates", "max_tokens", "time_budget", "timeout"):
        if getattr(args, name) <= 0:
            raise _bad(f"--{name.replace('_', '-')} has to be more than 0")
    for name in ("examples", "retries", "temperature"):
        if getattr(args, name) < 0:
            raise _bad(f"--{name} cannot be negative")
    price = _price(args.price)
    if args.cost_budget is not None and not args.price:
        raise _bad("--cost-budget needs --price: endpoints do not say what a token costs")
    for name in ("token_budget", "cost_budget"):
        if getattr(args, name) is not None and getattr(args, name) <= 0:
            raise _bad(f"--{name.replace('_', '-')} has to be more than 0")
    endpoint = None
    if args.model and not args.replay:
        endpoint = Endpoint.named(args.model, args.base_url, args.key_env, args.timeout, args.retries)
    budget = Budget(args.rounds, args.candidates, args.token_budget, args.cost_budget, price, args.time_budget, args.max_tokens)
    return ModelOptions(
        endpoint,
        budget,
        args.examples,
        args.temperature,
        args.seed,
        not args.no_feedback,
        Path(args.replay) if args.replay else None,
        Path(args.save_transcripts) if args.save_transcripts else None,
        args.dry_run,
    )


def _price(text: str | None) -> Price:
    from bpfsmith.propose.loop import Price

    if text is None:
        return Price()
    try:
        prompt, completion = (float(part) for part in text.split(","))
        if not (0 <= prompt < float("inf") and 0 <= completion < float("inf")):
            raise ValueError
    except ValueError as error:
        raise _bad(f"--price {text} is not two numbers with a comma between them, such as 0.15,0.60") from error
    return Price(prompt, completion)


def _bad(message: str) -> InputError:
    from bpfsmith.diagnostic import Diagnostic, InputError

    return InputError(Diagnostic("bad-command", message, help="see --help"))
