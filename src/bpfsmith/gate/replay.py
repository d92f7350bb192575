"""Runs a candidate on a counterexample's input, so that nobody is shown a difference that was not seen to happen.

The run is the kernel's own, of its verifier, JIT and maps, with the input arranged by `runs`.
"""

from __future__ import annotations

from dataclasses import replace

from bpfsmith.diagnostic import KernelError
from bpfsmith.execution import Counterexample, RunInput, RunOutput
from bpfsmith.gate.runs import KernelRuns
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel.probe import Available, can_bpf, kernel_release
from bpfsmith.objfile.object import Object
from bpfsmith.semantics import concrete
from bpfsmith.semantics.equiv import NULL_ACCESS, NotAccepted, Replayer, Unreplayable
from bpfsmith.semantics.state import Unmodelled

Side = tuple[Program, Object | None]
"""A program and the object that its BTF is in."""


def kernel_replayer(program: Program, obj: Object | None = None, reference: Side | None = None) -> Replayer | None:
    """A replayer in this machine's kernel, or None where bpf(2) cannot be used. `obj` is where the program's BTF is.

    Without a `reference` to run (a meaning is none) the candidate must do just what the prover says. With one both are run, and
    have to part: what a helper returned that nobody could choose is then as it was, and the counterexample says what was seen.
    """
    if not isinstance(can_bpf(), Available):
        return None

    def replay(example: Counterexample) -> Counterexample | None:
        try:
            actual = run_in_kernel(program, obj, example.input)
            expected = run_in_kernel(*reference, example.input) if reference else None
        except KernelError as error:  # no test run of this type, or not of such a packet
            raise Unreplayable(error.diagnostics[0].message) from error
        if example.observable == NULL_ACCESS:
            rejected = (f"kernel {kernel_release()}, whose verifier rejects the candidate",)
            return replace(example, replayed_on=rejected) if actual is None else None
        if actual is None:
            raise NotAccepted("the kernel's verifier rejects the candidate")
        if for_section(program.section).name == "BPF_PROG_TYPE_SYSCALL":
            # It has no packet: what the test run gives back means nothing.
            actual = replace(actual, packet=example.actual.packet)
            expected = replace(expected, packet=actual.packet) if expected else None
        seen = replace(example, replayed_on=(*example.replayed_on, f"kernel {kernel_release()}"))
        if expected is None:
            return seen if shows_difference(example, actual) else None
        part = first_difference(expected, actual)
        if part is None:  # also where both do as the prover says: what it says of helpers and of inner maps is not to be seen
            return None
        as_told = shows_difference(replace(example, actual=example.expected), expected) and shows_difference(example, actual)
        return seen if as_told else replace(seen, observable=part, expected=expected, actual=actual)

    return replay


def interpreter_replayer(reference: Program | None, candidate: Program) -> Replayer:
    """A replayer on the interpreter, which can be told what helpers give and what memory holds. Both programs are run where
    there are two; a candidate alone is held against what the reference is said to do."""

    def replay(example: Counterexample) -> Counterexample | None:
        replayed_on = (*example.replayed_on, "interpreter")
        try:
            actual = concrete.run(candidate, example.input, side="candidate")
        except concrete.Fault as fault:
            if example.observable == NULL_ACCESS:
                return replace(example, replayed_on=replayed_on)
            raise Unreplayable(f"the interpreter stops: {fault.detail}") from fault
        except Unmodelled as gap:
            raise Unreplayable(f"the interpreter does not know what happens: {gap.detail}") from gap
        if reference is None:
            return replace(example, replayed_on=replayed_on) if shows_difference(example, actual) else None
        try:
            expected = concrete.run(reference, example.input, side="reference")
        except Unmodelled as gap:
            raise Unreplayable(f"the interpreter does not know what happens: {gap.detail}") from gap
        if first_difference(expected, actual) is None:
            return None
        return replace(example, expected=expected, actual=actual, replayed_on=replayed_on)

    return replay


def first_difference(expected: RunOutput, actual: RunOutput) -> str | None:
    """The first observable in which two runs differ."""
    if expected.return_value != actual.return_value:
        return "return value"
    if expected.packet != actual.packet:
        return "packet"
    for name in sorted(expected.maps.keys() & actual.maps.keys()):
        if expected.maps[name] != actual.maps[name]:
            return f"map {name}"
    for helper in sorted(expected.calls.keys() | actual.calls.keys()):
        if expected.calls.get(helper, 0) != actual.calls.get(helper, 0):
            return f"number of calls of {helper}"
    if expected.records != actual.records:
        return "what calls are given"
    if expected.context != actual.context:
        return "context"
    return "metadata of the packet" if expected.metadata != actual.metadata else None


def run_in_kernel(program: Program, obj: Object | None, given: RunInput) -> RunOutput | None:
    """One run of `program` in the kernel with `given` arranged; None when the kernel does not load it."""
    with KernelRuns(program, obj) as runs:
        return runs.run(given) if runs.accepted else None


def shows_difference(example: Counterexample, actual: RunOutput) -> bool:
    """Does what was seen agree with what the prover says of the candidate?"""
    wanted = example.actual
    if actual.return_value != wanted.return_value & 0xFFFFFFFF or actual.packet != wanted.packet:
        return False
    if any(actual.calls.get(name, count) != count for name, count in wanted.calls.items()):
        return False
    return all(dict(actual.maps[name]) == dict(contents) for name, contents in wanted.maps.items() if name in actual.maps)
