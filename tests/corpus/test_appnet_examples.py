"""The shipped AppNet programs: proved, accepted, laid out, and at work as the reference interpreter says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from bpfsmith.appnet.format import formatted
from bpfsmith.appnet.parse import read_source
from bpfsmith.semantics.verdict import Equal
from bpfsmith.workflow.compiling import Compiled, compile_appnet, opened_appnet
from bpfsmith.workflow.inputs import Toolchain
from tests.corpus.stepping import walk

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "appnet").glob("*.appnet"))
STEPS = 24


@cache
def compiled(path: Path) -> Compiled:
    return compile_appnet(opened_appnet(str(path), Toolchain()), Toolchain(), timed=False, optimized=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_is_proved_and_accepted(path: Path) -> None:
    """Law: every shipped program is proved to mean what it says, and the verifier accepts it."""
    done = compiled(path)
    assert isinstance(done.verdict, Equal), str(done.verdict)
    assert done.rejected is None, done.rejected


@pytest.mark.kernel
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_does_in_the_kernel_what_it_means(path: Path) -> None:
    """Law: on messages and on packets that are nearly messages, the kernel does what the interpreter does."""
    walk(compiled(path), STEPS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_stands_in_its_layout(path: Path) -> None:
    """Law: `bpfsmith fmt` has nothing to change in what we ship."""
    source = read_source(path)
    assert formatted(source) == source.text


def test_there_are_many_and_they_are_short() -> None:
    """Law: fifteen programs and more, which together have less than 45 % of the lines of the C that is made of them."""
    done = [compiled(path) for path in EXAMPLES]
    assert len(done) >= 15
    appnet, c = sum(item.element.line_count for item in done), sum(item.generated.line_count for item in done)
    assert appnet < 0.45 * c, f"{appnet} lines of AppNet, {c} of C"
