"""A model's share of AppNet programs that it gets through the gate: at the first try and with feedback, with 0, 1, 3 examples.

    .venv/bin/python benchmarks/propose.py --model NAME --base-url URL [--tasks N] [--seeds N] [--rounds N] [--examples 0 1 3]
                                           [--no-feedback-too] [--csv FILE] [--table1]

Each task is asked for once per seed and number of examples, one candidate a round. The first round is the same with and without
feedback; what feedback adds is what the later rounds bring. As a harder baseline, --no-feedback-too asks as often without it.
Rows are appended to the CSV as they come, and tasks that are in it already are not asked again: a run can be stopped and go on.

--table1 prints SimpleBPF's Table 1 (eBPF '25) with the "LLM-based" columns for this model, and the size of prompt and examples
beside that of the rule-based generator (its argument about development effort). --summary reads a CSV and asks nobody.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from math import sqrt
from pathlib import Path

from bpfsmith.appnet import core, facts
from bpfsmith.diagnostic import ToolError
from bpfsmith.propose import examples as library_module
from bpfsmith.propose.examples import SHIPPED, library
from bpfsmith.propose.loop import Budget
from bpfsmith.propose.model import Endpoint
from bpfsmith.propose.task import Failure, Passed, Stage
from bpfsmith.workflow.asking import ModelOptions
from bpfsmith.workflow.compiling import compile_appnet, opened_appnet
from bpfsmith.workflow.demo import PUBLISHED
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.judging import steps_insns
from bpfsmith.workflow.proposing import compile_with_model

ROOT = Path(__file__).parents[1]
PLACES = (ROOT / "examples" / "appnet", ROOT / "tests" / "corpus" / "appnet")
LLM_PUBLISHED = {"logging": (24, 67, 67), "logging_fault": (36, 119, 145), "fault": (26, 59, 76)}
"""The paper's Table 1, "LLM-based": lines of C, eBPF insns, JIT insns."""


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation. `first` and `final` say how far its first and its best candidate came, `rounds` how many it took."""

    task: str
    examples: int
    seed: int
    feedback: bool
    first: str
    final: str
    rounds: int
    tokens: int
    asking_s: float
    judging_s: float
    c_lines: int
    insns: int
    rules_insns: int
    reasons: str

    @property
    def key(self) -> tuple[str, int, int, bool]:
        return self.task, self.examples, self.seed, self.feedback


def tasks(count: int) -> list[Path]:
    """AppNet programs in a fixed order, the three of the paper first: what has a binding (whose messages have to be unpacked)
    and what is longer than a model's window come last."""
    found = [path for place in PLACES for path in sorted(place.glob("*.appnet"))]

    def order(path: Path) -> tuple[bool, bool, bool, str]:
        bound = path.with_suffix(".bind.toml").exists()
        return path.stem not in PUBLISHED, bound, len(path.read_text()) > 1_500, path.stem

    ready = []
    for path in sorted(found, key=order):
        try:
            opened = opened_appnet(str(path), Toolchain())
        except ToolError:
            continue
        body = (*opened.element.req, *opened.element.resp)
        if not any(isinstance(item, core.VecGet) for item in facts.expressions(body)) and body:
            ready.append(path)
        if len(ready) == count:
            break
    return ready


def run(path: Path, options: ModelOptions, count: int, seed: int, feedback: bool) -> Row | Failure:
    """One conversation, or the failure of the endpoint that ended it."""
    toolchain = Toolchain()
    opened = opened_appnet(str(path), toolchain)
    rules = compile_appnet(opened, toolchain, timed=False)
    found = compile_with_model(opened, rules, toolchain, options, timed=False)
    for attempt in found.proposed.attempts:
        if isinstance(attempt.answer, Failure):
            return attempt.answer
    attempts, best = found.proposed.attempts, found.candidate
    spent = found.proposed.spent
    return Row(
        path.stem,
        count,
        seed,
        feedback,
        attempts[0].stage.name.lower(),
        max(item.stage for item in attempts).name.lower(),
        max(item.round for item in attempts),
        spent.tokens,
        round(spent.asking_s, 1),
        round(spent.judging_s, 1),
        best.generated.line_count if best else 0,
        steps_insns(best) if best else 0,
        steps_insns(rules),
        " | ".join(item.words for item in attempts if not isinstance(item.judged, Passed)),
    )


# --- what is printed --------------------------------------------------------------------------------------------------
def interval(passed: int, total: int) -> str:
    """Wilson's 95 % interval of a share, in percent."""
    if not total:
        return "-"
    z, share = 1.96, passed / total
    middle, width = share + z * z / (2 * total), z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low, high = ((middle + sign * width) / (1 + z * z / total) for sign in (-1, 1))
    return f"{100 * low:.0f} to {100 * high:.0f}"


def summary(rows: Sequence[Row]) -> None:
    """Shares with their intervals, by number of examples."""
    print(
        "examples  feedback  conversations  first try    after all rounds  added  95 % first  95 % final  tokens each  s each"
    )
    done = Stage.ACCEPTED.name.lower()
    for count in sorted({row.examples for row in rows}):
        for feedback in (True, False):
            own = [row for row in rows if (row.examples, row.feedback) == (count, feedback)]
            if not own:
                continue
            first, final = sum(row.first == done for row in own), sum(row.final == done for row in own)
            total = len(own)
            print(
                f"{count:>8}  {'yes' if feedback else 'no':>8}  {total:>13}  {100 * first / total:>7.1f} %  "
                f"{100 * final / total:>14.1f} %  {100 * (final - first) / total:>4.1f}  {interval(first, total):>10}  "
                f"{interval(final, total):>10}  {sum(row.tokens for row in own) / total:>11.0f}  "
                f"{sum(row.asking_s for row in own) / total:>6.1f}"
            )
    stages = [stage.name.lower() for stage in Stage]
    counts = {stage: sum(row.first == stage for row in rows) for stage in stages}
    print("first candidates came as far as: " + ", ".join(f"{stage} {number}" for stage, number in counts.items() if number))


def table1(rows: Sequence[Row]) -> None:
    """The paper's three programs, its own LLM-based columns beside this model's."""
    print("program        C lines  insns   C lines  insns   insns")
    print("               (paper, LLM)     (this model)     (rules)")
    for name, (lines, insns, _) in LLM_PUBLISHED.items():
        own = [row for row in rows if row.task == name and row.insns]
        best = min(own, key=lambda row: row.insns, default=None)
        mine = (str(best.c_lines), str(best.insns)) if best else ("-", "-")
        rules = next((str(row.rules_insns) for row in rows if row.task == name), "-")
        print(f"{name:<13}  {lines:>7}  {insns:>5}   {mine[0]:>7}  {mine[1]:>5}   {rules:>5}")
    print("(the published programs are not public: ours are written from their description, so compare ratios)")
    print()
    effort()


def effort() -> None:
    """Lines that somebody wrote for one way and for the other."""
    source = ROOT / "src" / "bpfsmith"
    prompts = _lines((Path(library_module.__file__).parent / "prompts").glob("generate.md"))
    shown = [item for item in library([SHIPPED]) if item.kind == "generate"]
    pairs = _lines([item.path for item in shown] + [item.answer_path for item in shown])
    names = ("lower", "ctext", "declared", "unpack", "names", "facts", "fixed")
    generator = _lines(path for name in names for path in (source / "appnet").glob(f"{name}.py"))
    loop = _lines((source / "propose").glob("*.py"))
    print(f"prompt {prompts} lines, {len(shown)} examples {pairs} lines; the loop around them {loop} lines of Python")
    print(f"rule-based generator {generator} lines of Python (lower, ctext, declared, unpack, names, facts, fixed)")
    print("parser, meaning, proof and gate are shared by both ways, and are what makes either right")


def _lines(paths: Iterable[Path]) -> int:
    return sum(1 for path in paths for line in path.read_text().splitlines() if line.strip())


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV that an earlier run wrote."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        kinds = {"int": int, "float": float, "str": str, "bool": lambda text: text == "True"}
        return [Row(*(kinds[str(item.type)](row[item.name]) for item in fields(Row))) for row in csv.DictReader(file)]  # type: ignore[operator]


def main() -> int:
    parser = argparse.ArgumentParser(description="A language model against the gate.")
    parser.add_argument("--model", help="the model's name")
    parser.add_argument("--base-url", default="http://127.0.0.1:8089/v1")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--examples", type=int, nargs="+", default=[0, 1, 3])
    parser.add_argument("--max-tokens", type=int, default=700)
    parser.add_argument("--temperature", type=float, default=0.2)
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--time-budget", type=float, default=3600, help="seconds of one conversation")
    parser.add_argument("--stop-after", type=float, default=float("inf"), metavar="SECONDS", help="begin no conversation later")
    parser.add_argument("--no-feedback-too", action="store_true", help="ask as often without feedback, as a baseline")
    parser.add_argument("--csv", type=Path, default=Path("propose.csv"))
    parser.add_argument("--table1", action="store_true")
    parser.add_argument("--summary", action="store_true", help="ask nobody, only read the CSV")
    args = parser.parse_args()
    rows = read_rows(args.csv)
    if not args.summary:
        if not args.model:
            parser.error("--model NAME is needed, or --summary")
        rows = ask_all(args, rows)
    summary(rows) if rows else print("no conversations yet")
    if args.table1:
        print()
        table1(rows)
    return 0


def ask_all(args: argparse.Namespace, rows: list[Row]) -> list[Row]:
    """Asks what is not in `rows` yet, seed by seed, so that a run that is stopped has whole seeds."""
    known = {row.key for row in rows}
    started = time.monotonic()
    chosen = tasks(args.tasks)
    print(f"{len(chosen)} tasks, {args.seeds} seeds, examples {args.examples}, {len(known)} conversations are there already")
    fresh = not args.csv.exists()
    with args.csv.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(item.name for item in fields(Row))
        for seed in range(1, args.seeds + 1):
            for count in args.examples:
                for path in chosen:
                    for feedback in (True, False) if args.no_feedback_too else (True,):
                        if (path.stem, count, seed, feedback) in known:
                            continue
                        if time.monotonic() - started > args.stop_after:
                            return rows
                        budget = Budget(args.rounds, 1, seconds=args.time_budget, answer_tokens=args.max_tokens)
                        endpoint = Endpoint(args.model, args.base_url, timeout_s=args.timeout)
                        options = ModelOptions(endpoint, budget, count, args.temperature, 100_000 * seed, feedback)
                        row = run(path, options, count, seed, feedback)
                        if isinstance(row, Failure):
                            print(f"{path.stem}: {row.message}", flush=True)
                            if row.lasting:
                                return rows
                            continue
                        rows.append(row)
                        writer.writerow(astuple(row))
                        file.flush()
                        took = f"{row.asking_s:.0f} s, {row.tokens} tokens"
                        print(f"{row.task:<24} examples {count} seed {seed}: {row.first} -> {row.final} ({took})", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
