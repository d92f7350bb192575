"""Programs as people write them: each compiles to an object that is proved equal, and does in the kernel what it means.

`appnet/` holds the programs that must be Equal; `appnet_refused/` those that must stop, with the expected diagnostic's id in
the first line (`# expect: unsupported-payload`); `appnet_unknown/` those whose proof is known to give up, with the gap in the
first line (`# gap: solver-limit`), so that a prover that learns to decide them fails a test here, and the file moves.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from bpfsmith.diagnostic import ToolError
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.verdict import Equal, Unknown
from bpfsmith.workflow.compiling import Compiled, compile_appnet
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input
from tests.corpus.stepping import walk

HERE = Path(__file__).parent
STEPS = 6
QUICK_TO_GIVE_UP = Limits(bitwuzla_steps=1_600, z3_rlimit=500_000)
"""For programs that are not decided anyway: the gap is the same, the wait is not."""


def programs(folder: str) -> list[object]:
    return [pytest.param(path, id=path.stem) for path in sorted((HERE / folder).glob("*.appnet"))]


def first_line(path: Path, key: str) -> str:
    """The value of `# key: value` in the first line of a program."""
    found = re.fullmatch(rf"# {key}: ([a-z0-9-]+)", path.read_text().splitlines()[0])
    assert found, f"{path.name} must begin with `# {key}: ..`"
    return found[1]


@cache
def compiled(path: Path, limits: Limits | None = None) -> Compiled:
    opened = open_input(str(path), Toolchain())
    assert isinstance(opened, AppnetInput)
    return compile_appnet(opened, Toolchain(), limits=limits, timed=False)


@pytest.mark.parametrize("path", programs("appnet"))
def test_is_proved_and_accepted(path: Path) -> None:
    """Law: what is generated is proved to mean the program, and the verifier accepts it."""
    result = compiled(path)
    assert isinstance(result.verdict, Equal), str(result.verdict)
    assert result.rejected is None, result.rejected


@pytest.mark.kernel
@pytest.mark.parametrize("path", programs("appnet") + programs("appnet_unknown"))
def test_does_in_the_kernel_what_it_means(path: Path) -> None:
    """Law: a run in the kernel decides as the interpreter does, and leaves the state that it leaves, also where no proof is."""
    limits = QUICK_TO_GIVE_UP if path.parent.name == "appnet_unknown" else None
    walk(compiled(path, limits), STEPS, jumps=0.3)


@pytest.mark.parametrize("path", programs("appnet_unknown"))
def test_known_gap(path: Path) -> None:
    """Law: a known gap of the prover is Unknown with its name, never Different; a gap that is closed fails here."""
    verdict = compiled(path, QUICK_TO_GIVE_UP).verdict
    assert isinstance(verdict, Unknown), f"{verdict}: if this is Equal, move the file to appnet/"
    assert verdict.gap == first_line(path, "gap")


@pytest.mark.parametrize("path", programs("appnet_refused"))
def test_stops_at_its_place(path: Path) -> None:
    """Law: what is not translated stops with a diagnostic that names the line and says what to do."""
    with pytest.raises(ToolError) as caught:
        compiled(path)
    first = caught.value.diagnostics[0]
    assert first.id == first_line(path, "expect")
    assert first.primary is not None
    assert first.help
