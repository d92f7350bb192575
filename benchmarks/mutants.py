"""Single-instruction mutants of real programs: what the engine says of them, held against 10,000 random inputs.

    .venv/bin/python benchmarks/mutants.py [--count 1000] [--runs 10000] [--jobs N] [--seed N] [--csv FILE] [--cases DIR]

One operand, opcode, offset, immediate, condition or register is changed, and the kernel must still accept the program. Then the
engine judges it, and both programs are run in the kernel on packets made for them and on populated maps (`gate.differential`).
Of the mutants that random inputs tell apart, how many are Different? Is any Equal contradicted? Each Different is written to
DIR as a case that `replay_independently.py` runs without any of our code.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from corpora import OWN, REFERENCE, Compiled, Pair, compiled_programs, verdict_of_verifier
from equiv import check_all
from replay_independently import replays

from bpfsmith.execution import Counterexample
from bpfsmith.gate.differential import RUNS, differential
from bpfsmith.gate.prove import prove_equal
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.isa.tables import MAP_TYPES
from bpfsmith.kernel.testrun import header_bytes
from bpfsmith.semantics.verdict import Different, Equal, Unknown
from bpfsmith.workflow.describe import Vocabulary, counterexample_json

RUNNABLE = frozenset(f"BPF_PROG_TYPE_{name}" for name in ("XDP", "SCHED_CLS", "SOCKET_FILTER", "CGROUP_SKB"))
"""Program types with a test run on packets."""

_ALU, _JMP, _JMP32, _ALU64 = 0x04, 0x05, 0x06, 0x07
_ALU_OPS = (0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xA0, 0xB0, 0xC0)
_JMP_OPS = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)
_SIZES = (0x00, 0x08, 0x10, 0x18)
_ATOMICS = (0x00, 0x40, 0x50, 0xA0, 0x01, 0x41, 0x51, 0xA1, 0xE1, 0xF1)


@dataclass(frozen=True)
class Row:
    program: str
    insn_idx: int
    change: str
    verdict: str
    gap: str
    detail: str
    seconds: float
    told_apart: str  # the observable that random inputs told the two apart by
    runs: int
    replayed: str  # by the independent script: yes, no, or why it cannot


# --- mutants ----------------------------------------------------------------------------------------------------------
def mutations(insn: Insn) -> Iterator[tuple[str, Insn]]:
    """Every kind of change that makes sense for the instruction, without regard to whether the kernel takes it."""
    kind, is_register = insn.opcode & 7, bool(insn.opcode & 8)
    if insn.symbol is not None or insn.opcode in (0x85, 0x95):
        return
    for register in range(10):
        yield "destination", replace(insn, dst_reg=register)
        if is_register or kind in (1, 3):
            yield "source", replace(insn, src_reg=register)
    if kind in (_ALU, _ALU64) and insn.opcode & 0xF0 not in (0x80, 0xD0):
        for op in _ALU_OPS:
            yield "operation", replace(insn, opcode=insn.opcode & 0x0F | op)
        yield "width", replace(insn, opcode=insn.opcode ^ _ALU ^ _ALU64)
    if kind in (_JMP, _JMP32) and insn.opcode & 0xF0:
        for op in _JMP_OPS:
            yield "condition", replace(insn, opcode=insn.opcode & 0x0F | op)
        yield "width", replace(insn, opcode=insn.opcode ^ _JMP ^ _JMP32)
    if kind in (_JMP, _JMP32):
        for step in (-2, -1, 1, 2, 3):
            yield "target", replace(insn, offset=insn.offset + step)
    if kind in (1, 2, 3) and insn.opcode >> 5 in (3, 4, 6):
        for step in (-8, -4, -2, -1, 1, 2, 4, 8):
            yield "offset", replace(insn, offset=insn.offset + step)
    if kind in (1, 2, 3) and insn.opcode >> 5 in (3, 4):
        for size in _SIZES:
            yield "size", replace(insn, opcode=insn.opcode & ~0x18 | size)
    if kind == 3 and insn.opcode >> 5 == 6:
        for op in _ATOMICS:
            yield "atomic", replace(insn, imm=op)
    if not is_register and kind in (2, _ALU, _ALU64, _JMP, _JMP32) and insn.opcode & 0xF0 not in (0x80, 0xD0):
        for number in (insn.imm + 1, insn.imm - 1, insn.imm ^ 1, insn.imm << 1, insn.imm >> 1, -insn.imm, ~insn.imm, 0):
            yield "immediate", replace(insn, imm=(number + (1 << 31)) % (1 << 32) - (1 << 31))


def mutant(program: Program, random: Random) -> tuple[int, str, Program] | None:
    """One changed instruction, in the program or in one of its functions."""
    bodies = [program.insns, *(sub.insns for sub in program.subprograms)]
    which = random.choices(range(len(bodies)), [len(body) for body in bodies])[0]
    body = list(bodies[which])
    at = random.randrange(len(body))
    kinds: dict[str, list[Insn]] = {}
    for kind, changed in mutations(body[at]):
        if changed != body[at]:
            kinds.setdefault(kind, []).append(changed)
    if not kinds:
        return None
    kind = random.choice(sorted(kinds))
    body[at] = random.choice(kinds[kind])
    if which == 0:
        return at, kind, replace(program, insns=tuple(body))
    subprograms = list(program.subprograms)
    subprograms[which - 1] = replace(subprograms[which - 1], insns=tuple(body))
    return at, kind, replace(program, subprograms=tuple(subprograms))


def accepted_mutants(originals: Sequence[tuple[str, Compiled]], count: int, random: Random) -> Iterator[tuple[Pair, int, str]]:
    """`count` mutants that this machine's verifier accepts, no two the same, programs in turn."""
    seen: dict[int, set[object]] = {}
    found = 0
    while found < count:
        for number, (source, original) in enumerate(originals):
            known = seen.setdefault(number, {original.code})
            for _ in range(60):
                made = mutant(original.program, random)
                if made is None:
                    continue
                changed = Compiled(("mutant", "v3"), made[2], original.obj)
                if changed.code in known:
                    continue
                known.add(changed.code)
                try:
                    refused = verdict_of_verifier(changed.program, changed.obj)
                except ValueError:  # a jump out of the program
                    continue
                if refused is None:
                    yield Pair("mutants", source, original, changed), made[0], made[1]
                    found += 1
                    break
            if found == count:
                return


# --- judging ----------------------------------------------------------------------------------------------------------
def judge(pair: Pair, runs: int) -> tuple[str, str, str]:
    """The engine's verdict and gap; as JSON the detail, what random runs of both say, and of a Different the counterexample as
    `check --output-format json` prints it. (One process does both, so that nobody waits for the other.)"""
    a, b = pair.reference, pair.candidate
    verdict, gap, detail, counterexample = "", "", "", None
    match prove_equal(a.program, a.obj, b.program, b.obj, random_runs=RUNS):
        case Equal():
            verdict = "equal"
        case Unknown(gap=gap, detail=detail):
            verdict = "unknown"
        case Different(counterexample=example):
            verdict, counterexample = "different", counterexample_json(example, Vocabulary(b.program))
    # What is known to differ needs no long search, and counts among what is told apart where a short one finds it.
    apart, done = told_apart(pair, min(runs, RUNS) if verdict == "different" else runs)
    return verdict, gap, json.dumps({"detail": detail, "counterexample": counterexample, "apart": apart, "runs": done})


def told_apart(pair: Pair, runs: int) -> tuple[str, int]:
    a, b = pair.reference, pair.candidate
    found = differential(a.program, a.obj, b.program, b.obj, runs=runs, seed=1, budget_s=60)
    return (found.observable, runs) if isinstance(found, Counterexample) else ("", found.runs)


def case_of(pair: Pair, counterexample: object) -> dict[str, object]:
    """Both programs as raw instructions and map definitions, and the input: all that another tool needs."""
    return {
        "reference": _dumped(pair.reference.program),
        "candidate": _dumped(pair.candidate.program),
        "counterexample": counterexample,
    }


def _dumped(program: Program) -> dict[str, object]:
    kind, linked = for_section(program.section), program.linked()
    return {
        "name": program.name,
        "prog_type": kind.number,
        "expected_attach_type": kind.attach_number,
        "has_ethernet": not header_bytes(kind),
        "license": program.license,
        "insns": encode(linked).hex(),
        "maps": [_dumped_map(spec) for spec in program.maps],
        "references": [[slot, insn.symbol] for slot, insn in _slots(linked) if insn.is_wide and insn.symbol is not None],
    }


def _slots(insns: Sequence[Insn]) -> Iterator[tuple[int, Insn]]:
    at = 0
    for insn in insns:
        yield at, insn
        at += insn.slots


def _dumped_map(spec: MapSpec) -> dict[str, object]:
    return {
        "name": spec.name, "type": MAP_TYPES[spec.type], "key_size": spec.key_size, "value_size": spec.value_size,
        "max_entries": spec.max_entries, "flags": spec.flags, "frozen": spec.frozen,
        "initial": spec.initial.hex() if spec.initial is not None else None, "per_cpu": "PERCPU" in spec.type,
    }  # fmt: skip


def rows_of(
    mutants: Sequence[tuple[Pair, int, str]], runs: int, jobs: int, timeout_s: float, cases: Path | None
) -> Iterator[Row]:
    by_pair = {id(pair): (at, kind, number) for number, (pair, at, kind) in enumerate(mutants)}
    judged = check_all([(pair, "mutants") for pair, _, _ in mutants], jobs, timeout_s, partial(judge, runs=runs))
    for pair, row in judged:
        at, kind, number = by_pair[id(pair)]
        # A child that was stopped or failed says so in plain words.
        said: Any = json.loads(row.detail) if row.detail.startswith("{") else {"detail": row.detail, "apart": "", "runs": 0}
        replayed = ""
        if row.verdict == "different":
            example = said["counterexample"]
            case = case_of(pair, example)
            in_kernel = any(oracle.startswith("kernel") for oracle in example["replayed_on"])
            replayed = replays(case) if in_kernel else "interpreter only"
            if cases is not None:
                cases.mkdir(parents=True, exist_ok=True)
                (cases / f"{number:04}.json").write_text(json.dumps(case, indent=1))
        yield Row(pair.name, at, kind, row.verdict, row.gap, said["detail"], row.cpu_s, said["apart"], said["runs"], replayed)


def summary(rows: Sequence[Row]) -> Iterator[str]:
    verdicts = Counter(row.verdict for row in rows)
    apart = [row for row in rows if row.told_apart]
    caught = [row for row in apart if row.verdict == "different"]
    differing = [row for row in rows if row.verdict == "different"]
    contradicted = [row for row in apart if row.verdict == "equal"]
    yield f"mutants          {len(rows)}: " + ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items()))
    if apart:
        share = f"{100 * len(caught) / len(apart):.1f}%"
        yield f"told apart       {len(apart)} by random inputs, of which {len(caught)} Different: {share}"
    replayed = Counter(row.replayed for row in differing)
    yield (
        f"Different        {len(differing)}: {replayed['yes']} replay independently, {replayed['interpreter only']} were shown "
        "by the interpreter, since no test run can be given their input"
    )
    yield f"Equal            {verdicts['equal']}, of which {len(contradicted)} contradicted"
    for row in contradicted:
        yield f"  CONTRADICTED   {row.program} insn {row.insn_idx} ({row.change}): {row.told_apart}"
    for row in differing:
        if row.replayed not in ("yes", "interpreter only"):
            yield f"  NOT REPLAYED   {row.program} insn {row.insn_idx} ({row.change}), {row.gap}: {row.replayed}"
    for (verdict, gap), count in Counter(
        (row.verdict, row.gap) for row in rows if row.verdict in ("unknown", "error")
    ).most_common():
        missed = [row for row in apart if (row.verdict, row.gap) == (verdict, gap)]
        yield f"  {verdict} {gap}: {count}, of which {len(missed)} told apart"
        for row in missed[:6]:
            yield f"      {row.program} insn {row.insn_idx} ({row.change}): {row.told_apart}: {row.detail[:150]}"


def originals(corpora_named: Sequence[str], jobs: int) -> list[tuple[str, Compiled]]:
    out = []
    for name in corpora_named:
        for source, _, compilations in compiled_programs(sorted(OWN[name].glob("*.bpf.c")), [REFERENCE], jobs=jobs):
            item = compilations[0]
            if item.refused is None and for_section(item.program.section).name in RUNNABLE:
                out.append((source.name.removesuffix(".bpf.c"), item))
    return out


def random_originals(count: int, seed: int) -> list[tuple[str, Compiled]]:
    """Programs of the test suite's generator, which reach corners that nobody writes."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.support.random_programs import STEPS, program

    out = []
    for number in range(seed, seed + count):
        random = Random(number)
        steps = [(random.choice(sorted(STEPS)), random.getrandbits(32)) for _ in range(random.randint(1, 6))]
        out.append((f"random{number}", Compiled(REFERENCE, program(steps), None)))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", choices=[*OWN])
    parser.add_argument("--only", metavar="TEXT", help="programs whose name has TEXT in it")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="of N random programs instead of real ones")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=60, metavar="S")
    parser.add_argument("--csv", metavar="FILE")
    parser.add_argument("--cases", metavar="DIR", type=Path, help="where counterexamples go, as JSON")
    args = parser.parse_args()
    import bitwuzla  # noqa: F401 (children find it loaded)
    import z3  # noqa: F401

    programs = [
        item
        for item in (random_originals(args.random, args.seed) if args.random else originals(args.corpus or [*OWN], args.jobs))
        if args.only is None or args.only in f"{item[0]}:{item[1].program.name}"
    ]
    began, rows = time.monotonic(), []
    mutants = list(accepted_mutants(programs, args.count, Random(args.seed)))
    print(f"{len(mutants)} mutants of {len(programs)} programs in {time.monotonic() - began:.0f} s", file=sys.stderr)
    with ExitStack() as resources:
        file = resources.enter_context(Path(args.csv).open("w", newline="")) if args.csv else None
        table = csv.writer(file) if file else None
        if table:
            table.writerow(item.name for item in fields(Row))
        try:
            for row in rows_of(mutants, args.runs, args.jobs, args.timeout, args.cases):
                rows.append(row)
                if table and file:
                    table.writerow(astuple(row))
                    file.flush()
                if row.told_apart and row.verdict == "equal":
                    print(f"CONTRADICTED {row}", file=sys.stderr, flush=True)
                if sys.stderr.isatty():
                    print(f"\r{len(rows)} of {len(mutants)}", end="", file=sys.stderr)
        except KeyboardInterrupt:
            print(f"interrupted after {len(rows)} of {len(mutants)}", file=sys.stderr)
    for line in summary(rows):
        print(line)
    return 1 if any(row.told_apart and row.verdict == "equal" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
