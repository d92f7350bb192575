"""Every instruction, executed: interpreter and prover against numbers that were written down without them.

The third oracle, the kernel, is asked in tests/kernel/test_oracles_conformance.py.
"""

from __future__ import annotations

import pytest

from bpfsmith.execution import RunInput
from bpfsmith.isa.encoding import decode
from bpfsmith.isa.insn import BPF_EXIT, BPF_JMP, Insn
from bpfsmith.isa.program import Program
from bpfsmith.semantics.concrete import run
from bpfsmith.semantics.state import Unmodelled
from tests.conformance.controls import CONTROLS, NOT_EXECUTED, Control
from tests.conformance.experiments import EXPERIMENTS, Experiment
from tests.conformance.instructions import INSTRUCTIONS
from tests.support.oracles import by_prover_at_constants

each_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=str)


def test_every_row_is_executed_or_has_an_excuse() -> None:
    executed = {experiment.row.text for experiment in EXPERIMENTS} | {row for control in CONTROLS for row in control.rows}
    rows = {row.text for row in INSTRUCTIONS}
    assert executed | NOT_EXECUTED.keys() == rows
    assert not executed & NOT_EXECUTED.keys()


@each_experiment
def test_the_interpreter_computes_what_is_written_down(experiment: Experiment) -> None:
    assert run(experiment.program, experiment.given) == experiment.expected


@each_experiment
def test_the_prover_folds_constants_to_what_is_written_down(experiment: Experiment) -> None:
    assert by_prover_at_constants(experiment.program, experiment.given) == experiment.expected


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_the_interpreter_goes_where_it_should(control: Control) -> None:
    assert run(control.program, control.given).return_value == control.expected


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_the_prover_goes_where_it_should(control: Control) -> None:
    assert by_prover_at_constants(control.program, control.given).return_value == control.expected


@pytest.mark.parametrize("text", NOT_EXECUTED)
def test_what_has_no_meaning_is_refused_and_never_skipped(text: str) -> None:
    row = next(row for row in INSTRUCTIONS if row.text == text)
    use = Insn(0x79, 0, 1)  # r0 = *(u64 *)(r1 +0): for rows that only name something
    program = Program("bare", "xdp", (Insn(0xBF, 2, 1), *decode(row.encoding), use, Insn(BPF_JMP | BPF_EXIT)))
    for oracle in (run, by_prover_at_constants):
        with pytest.raises(Unmodelled):
            oracle(program, RunInput())
