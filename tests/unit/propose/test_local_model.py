"""Opt in: a real model behind BPFSMITH_MODEL_URL (its name in BPFSMITH_MODEL) writes a counter that is proved."""

from __future__ import annotations

import os

import pytest

from bpfsmith.propose.examples import SHIPPED
from bpfsmith.propose.loop import Budget
from bpfsmith.propose.model import Endpoint
from bpfsmith.propose.task import Stage
from bpfsmith.workflow.asking import ModelOptions
from bpfsmith.workflow.compiling import compile_appnet, opened_appnet
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.proposing import compile_with_model

URL = os.environ.get("BPFSMITH_MODEL_URL")


@pytest.mark.skipif(URL is None, reason="BPFSMITH_MODEL_URL names no server")
def test_a_real_model_gets_a_shown_program_through_the_gate() -> None:
    toolchain = Toolchain()
    opened = opened_appnet(str(SHIPPED / "generate" / "count.appnet"), toolchain)
    rules = compile_appnet(opened, toolchain, timed=False)
    endpoint = Endpoint(os.environ.get("BPFSMITH_MODEL", "local"), URL or "", timeout_s=1800)
    options = ModelOptions(endpoint, Budget(rounds=2, candidates=1, seconds=3600, answer_tokens=400), examples=1)
    found = compile_with_model(opened, rules, toolchain, options, timed=False)
    assert max(item.stage for item in found.proposed.attempts) is Stage.ACCEPTED, found.proposed
