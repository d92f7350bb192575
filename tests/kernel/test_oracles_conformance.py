"""The kernel's answers to the conformance experiments: its verifier, its JIT, its maps."""

from __future__ import annotations

import pytest

from bpfsmith.kernel.maps import open_maps
from tests.conformance.controls import CONTROLS, Control
from tests.conformance.experiments import EXPERIMENTS, Experiment
from tests.support.oracles import by_kernel

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=str)
def test_the_kernel_computes_what_is_written_down(experiment: Experiment) -> None:
    with open_maps(experiment.program) as maps:
        assert by_kernel(experiment.program, experiment.given, maps) == experiment.expected


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_the_kernel_goes_where_it_should(control: Control) -> None:
    with open_maps(control.program) as maps:
        assert by_kernel(control.program, control.given, maps).return_value == control.expected
