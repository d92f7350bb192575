"""Fused objects are accepted by the verifier and loadable as they are."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.semantics.verdict import Equal
from bpfsmith.trace.forms import Form, running_kernel
from bpfsmith.trace.fuse import fuse

EXAMPLES = Path(__file__).parents[2] / "examples" / "pairs"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("name", "form"),
    [("funclatency", Form.SESSION), ("rwlat", Form.TASK_STORAGE), ("opensnoop", Form.TASK_STORAGE)],
)
def test_the_best_form_of_an_example_is_proved_and_accepted(name: str, form: Form) -> None:
    data = Compiler.default().compile(EXAMPLES / f"{name}.bpf.c")
    (outcome,) = fuse(data, name, running_kernel(platform.release()), here=True).outcomes
    assert (outcome.form, outcome.loaded) == (form, "accepted")
    assert isinstance(outcome.verdict, Equal)
