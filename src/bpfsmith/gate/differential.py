"""Runs two programs on random inputs, side by side: finds many differences, and proves nothing.

In the kernel where the program type has a test run, else in the interpreter. Runs follow each other on maps that stay as they
are left, and every so often the maps are filled anew: equal programs stay in step. Where they do not, the one run that parted
them is made again from the contents that the maps had then, and only what shows again counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from bpfsmith.diagnostic import KernelError
from bpfsmith.execution import Counterexample, HelperResult, MapContents, RunInput
from bpfsmith.gate.inputs import Inputs
from bpfsmith.gate.replay import Side, first_difference
from bpfsmith.gate.runs import KernelRuns, check_sizes
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel.probe import Available, can_bpf, kernel_release
from bpfsmith.kernel.testrun import header_bytes
from bpfsmith.objfile.object import Object
from bpfsmith.packet.build import udp_packet
from bpfsmith.semantics import concrete
from bpfsmith.semantics.behaviour import DRAWS
from bpfsmith.semantics.state import Unmodelled

RUNS = 2_000
LEAST_BATCH, BATCH = 20, 200
"""How many runs follow each other before the maps are filled anew: the more there is to fill, the longer."""

INTERPRETED_RUNS = 200
BUDGET_S = 3.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both programs did the same on `runs` inputs, on the oracle `where`; `reason` says why there were no more."""

    runs: int
    where: str
    reason: str = ""

    def words(self) -> str:
        """One line for a report."""
        if not self.runs:
            return f"not run on random inputs: {self.reason}"
        return f"{self.runs:,} random inputs on {self.where}: both did the same" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class _Step:
    packet: bytes
    ctx: Mapping[str, int]
    draws: tuple[HelperResult, ...]


def differential(
    reference: Program,
    reference_object: Object | None,
    candidate: Program,
    candidate_object: Object | None,
    *,
    runs: int = RUNS,
    seed: int = 0,
    budget_s: float = BUDGET_S,
) -> Agreement | Counterexample:
    """Do the programs part on one of `runs` random inputs, within `budget_s` seconds? A Counterexample was seen twice."""
    try:
        check_sizes(reference)
        check_sizes(candidate)
    except KernelError as error:
        return Agreement(0, "no runs", error.diagnostics[0].message)
    inputs = Inputs((reference, candidate), seed)
    deadline = time.monotonic() + budget_s
    reason = "no bpf(2) here"
    if isinstance(can_bpf(), Available):
        try:
            return _in_kernel((reference, reference_object), (candidate, candidate_object), inputs, runs, deadline)
        except KernelError as error:
            reason = error.diagnostics[0].message
    return _interpreted(reference, candidate, inputs, min(runs, INTERPRETED_RUNS), deadline, reason)


# --- in the kernel ----------------------------------------------------------------------------------------------------
def _in_kernel(
    reference: Side,
    candidate: Side,
    inputs: Inputs,
    runs: int,
    deadline: float,
) -> Agreement | Counterexample:
    where = f"kernel {kernel_release()}"
    with ExitStack() as resources:
        sides = [resources.enter_context(KernelRuns(*side)) for side in (reference, candidate)]
        if not all(side.accepted for side in sides):
            return Agreement(0, where, "the verifier does not accept both programs")
        helpers = sorted({helper for side in sides for helper in side.helpers})
        done = 0
        while done < runs and time.monotonic() < deadline:
            maps = inputs.maps()
            batch = min(runs - done, max(LEAST_BATCH, min(BATCH, 2 * sum(map(len, maps.values())))))
            steps = [_Step(inputs.packet(), inputs.ctx(), inputs.draws(helpers)) for _ in range(batch)]
            if not _stay_in_step(sides, maps, steps):
                found = _first_difference(sides, maps, steps)
                if found is not None:
                    return replace(found, replayed_on=(where,))
            done += len(steps)
    return Agreement(done, where, "" if done >= runs else "time was up")


def _stay_in_step(sides: Sequence[KernelRuns], maps: Mapping[str, MapContents], steps: Sequence[_Step]) -> bool:
    """Does every run of the batch give the same, and leave the same in the end?"""
    for side in sides:
        side.fill(maps)
    a, b = sides
    for step in steps:
        for side in sides:
            side.draw(step.draws)
        if a.step(step.packet, step.ctx) != b.step(step.packet, step.ctx):
            return False
    return _shared(a.contents(), b.contents()) and a.calls() == b.calls()


def _first_difference(
    sides: Sequence[KernelRuns], maps: Mapping[str, MapContents], steps: Sequence[_Step]
) -> Counterexample | None:
    """The batch again, looking at the maps after every run; None when what parted the programs does not show in one run."""
    for side in sides:
        side.fill(maps)
    for step in steps:
        before = sides[0].contents()
        for side in sides:
            side.draw(step.draws)
        first, second = ((side.step(step.packet, step.ctx), side.contents(), side.calls()) for side in sides)
        if first[0] != second[0] or not _shared(first[1], second[1]) or first[2] != second[2]:
            given = RunInput(step.packet, step.ctx, before, step.draws)
            simple = _confirmed(sides, _simplified(sides, given))
            return simple or _confirmed(sides, given)
    return None


TRIALS = 150
"""Runs of both programs that may be spent on making an input simpler."""


def _simplified(sides: Sequence[KernelRuns], given: RunInput) -> RunInput:
    """An input that the programs part on too, with less in it: change after change that leaves a difference is kept."""
    left = iter(range(TRIALS))
    plain = udp_packet(b"request").ljust(64, b"\0")[header_bytes(for_section(sides[0].program.section)) :]
    for change in _changes(given, plain):
        simpler = change(given)
        if simpler == given or next(left, None) is None:
            continue
        try:
            expected, actual = (side.run(simpler) for side in sides)
        except KernelError:
            continue
        if first_difference(expected, actual) is not None:
            given = simpler
    return replace(given, helper_results=_used(sides, given))


def _used(sides: Sequence[KernelRuns], given: RunInput) -> tuple[HelperResult, ...]:
    """The results that a call of either program got."""
    outputs = [side.run(given) for side in sides]
    left = {helper: max(output.calls.get(helper, 0) for output in outputs) for helper in sides[0].helpers + sides[1].helpers}
    kept = []
    for item in given.helper_results:
        left[item.helper] = left.get(item.helper, 0) - 1
        if left[item.helper] >= 0:
            kept.append(item)
    return tuple(kept)


Change = Callable[[RunInput], RunInput]


def _changes(given: RunInput, plain: bytes) -> Iterator[Change]:
    """From what takes most away to single bytes; `plain` is the packet that nobody wonders at."""
    length = len(plain)
    yield lambda now: replace(now, ctx={})
    yield lambda now: replace(now, helper_results=tuple(replace(item, value=0) for item in now.helper_results))
    for name in given.maps:
        yield partial(_with_map, name=name, contents={})
    yield lambda now: replace(now, packet=plain)
    yield lambda now: replace(now, packet=now.packet[:length].ljust(length, b"\0"))
    for size in (16, 4, 1):
        for at in range(0, length, size):
            yield partial(_with_bytes, at=at, plain=plain[at : at + size])
    for name, contents in given.maps.items():
        for key, value in contents.items() if len(contents) <= 16 else ():
            yield partial(_without, name=name, key=key)
            yield partial(_with_value, name=name, key=key, value=bytes(len(value)))


def _with_map(now: RunInput, name: str, contents: MapContents) -> RunInput:
    return replace(now, maps={**now.maps, name: contents})


def _without(now: RunInput, name: str, key: bytes) -> RunInput:
    return _with_map(now, name, {item: value for item, value in now.maps[name].items() if item != key})


def _with_value(now: RunInput, name: str, key: bytes, value: bytes) -> RunInput:
    return _with_map(now, name, {**now.maps[name], key: value}) if key in now.maps[name] else now


def _with_bytes(now: RunInput, at: int, plain: bytes) -> RunInput:
    end = at + len(plain)
    return replace(now, packet=now.packet[:at] + plain + now.packet[end:]) if end <= len(now.packet) else now


def _confirmed(sides: Sequence[KernelRuns], given: RunInput) -> Counterexample | None:
    """The counterexample, if it shows on programs loaded anew, whatever is left on the stack. What depends on addresses
    and on uninitialised stack is nobody's meaning."""
    seen = []
    for byte in (0x00, 0xA5, 0x01, 0xFF):
        for side in sides:
            with KernelRuns(side.program, side.obj) as again:
                again.scribble(byte)
                seen.append(again.run(given))
    expected, actual = seen[:2]
    part = first_difference(expected, actual)
    return Counterexample(given, part, expected, actual) if part and seen == [expected, actual] * 4 else None


def _shared(left: Mapping[str, MapContents], right: Mapping[str, MapContents]) -> bool:
    return all(left[name] == right[name] for name in left.keys() & right.keys())


# --- in the interpreter -----------------------------------------------------------------------------------------------
def _interpreted(
    reference: Program, candidate: Program, inputs: Inputs, runs: int, deadline: float, reason: str
) -> Agreement | Counterexample:
    done = 0
    for _ in range(runs):
        if time.monotonic() > deadline:
            return Agreement(done, "the interpreter", "time was up")
        given = inputs.run_input(sorted(DRAWS))
        try:
            expected, actual = concrete.run(reference, given), concrete.run(candidate, given)
        except Unmodelled as stopped:
            return Agreement(done, "the interpreter", f"{reason}; {stopped}")
        part = first_difference(expected, actual)
        if part is not None:
            return Counterexample(given, part, expected, actual, ("interpreter",))
        done += 1
    return Agreement(done, "the interpreter", reason)
