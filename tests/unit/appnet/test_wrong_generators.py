"""A generator that gets one rule wrong is caught each time, with a counterexample that a person can read.

Each case changes what the real generator wrote in the one way in which a wrong rule would have, and says which observable the
proof must name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.lower import lower
from bpfsmith.appnet.prove import prove
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.codegen.clang import Compiler
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.equiv import NULL_ACCESS
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict
from bpfsmith.source import SourceText

HALF = """\
state:
    count: uint
init():
    count = 0
req(rpc):
    count = count + 1
    match randomf(0.0, 1.0) > 0.5:
        true => send(err('fault'), Up)
"""

LIMIT = """\
state:
    used: int
    limit: int
init():
    limit = 10
req(rpc):
    match used <= limit:
        true => used = used + 1
        false => send(err('over the limit'), Up)
"""

BUCKET = """\
state:
    last: Instant
    tokens: float
init():
    tokens = 10.0
req(rpc):
    now = current_time()
    tokens = min(10.0, tokens + time_diff(now, last) * 5.0)
    last = now
    match tokens >= 1.0:
        true => tokens = tokens - 1.0
        false => send(err('rate limit'), Up)
"""

HITS = """\
state:
    hits: Map<int, int>
init():
    pass
req(rpc):
    match get(hits, 7):
        Some(n) => set(hits, 7, n * 2 + 1)
        None => set(hits, 7, 1)
"""

TOGGLE = """\
state:
    odd: bool
    total: uint
init():
    odd = false
req(rpc):
    match odd:
        true => total = total + 2
        false => total = total + 1
    odd = not odd
"""


@dataclass(frozen=True)
class Wrong:
    """What a wrong generator does to the text, and the observable in which that shows."""

    name: str
    program: str
    before: str
    after: str
    observable: str


WRONG = (
    Wrong("a percentage by the last digit", HALF, r"\(word0 >= 2147483648u\)", "(word0 % 10 > 5)", "return value"),
    Wrong("a threshold that is off by a tenth", HALF, r"2147483648u", "1932735283u", "return value"),
    Wrong("a state update dropped", HALF, r"__atomic_fetch_add\(&count, 1u, __ATOMIC_RELAXED\);", "", "state count"),
    Wrong("a count that counts twice", HALF, r"&count, 1u", "&count, 2u", "state count"),
    Wrong("both arms swapped", HALF, r">= 2147483648u", "< 2147483648u", "return value"),
    Wrong("< for <=", LIMIT, r"used <= 10", "used < 10", "return value"),
    Wrong("an unsigned comparison", LIMIT, r"used <= 10", "(__u32)used <= 10u", "return value"),
    Wrong("a bucket that is never refilled", BUCKET, r"tokens = min_s64\(.*\);", "", "state tokens"),
    Wrong("a bucket that may overflow", BUCKET, r"min_s64\((0x\w+), (.*)\);", r"\2;", "state tokens"),
    Wrong("an unsigned look at a signed number", BUCKET, r"\(__s64\)tokens >= \(__s64\)", "tokens >= ", "return value"),
    Wrong(
        "seconds that wrap instead of going negative",
        BUCKET,
        r"fx_seconds\((\w+), (\w+)\)",
        r"(((\1 - \2) / 1000000000) << 32)",
        "return value",
    ),
    Wrong("a clock that is not stored", BUCKET, r"last = now;", "", "state last"),
    Wrong("a forgotten null check", HITS, r"if \(entry1\)", "if (1)", NULL_ACCESS),
    Wrong("an entry that is never made", HITS, r"bpf_map_update_elem\(&hits, &key4.*\);", "", "keys of map hits"),
    Wrong("another key", HITS, r"key2 = 7", "key2 = 8", "keys of map hits"),
    Wrong("a flag that sticks", TOGGLE, r"odd = !odd;", "odd = 1;", "state odd"),
)


def proved(source: str, change: Callable[[str], str]) -> Verdict:
    element = type_check(SourceText("case.appnet", source)).element
    generated = lower(element, initial_values(element))
    obj = read_object(Compiler.default().compile(change(generated.c_text), name="case.bpf.c"))
    return prove(element, obj.program(generated.function), obj)


@pytest.mark.parametrize("source", [HALF, LIMIT, BUCKET, HITS, TOGGLE])
def test_the_right_generator_is_proved(source: str) -> None:
    assert isinstance(proved(source, lambda text: text), Equal)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_rule_is_caught_with_a_counterexample(wrong: Wrong) -> None:
    def change(text: str) -> str:
        changed, count = re.subn(wrong.before, wrong.after, text, count=1)
        assert count == 1, text
        return changed

    verdict = proved(wrong.program, change)
    assert isinstance(verdict, Different)
    example = verdict.counterexample
    assert example.observable == wrong.observable
    if wrong.observable == "return value":
        assert example.expected.return_value != example.actual.return_value


@pytest.mark.parametrize("source", [LIMIT, BUCKET, TOGGLE])
def test_a_step_without_its_lock_is_never_equal(source: str) -> None:
    verdict = proved(source, lambda text: re.sub(r"bpf_spin_(un)?lock\(&state_lock\);", "", text))
    assert isinstance(verdict, Unknown)
    assert verdict.gap == "lost-atomicity"


def test_a_lock_that_is_given_back_half_way_is_never_equal() -> None:
    again = "tokens;\n\tbpf_spin_unlock(&state_lock);\n\tbpf_spin_lock(&state_lock);\n\ttokens = tokens +"
    verdict = proved(BUCKET, lambda text: text.replace("last = now;", f"last = now;\n\ttokens = {again} 0;"))
    assert isinstance(verdict, Unknown)
    assert verdict.gap == "lost-atomicity"


def test_a_plain_increment_is_never_equal() -> None:
    verdict = proved(HALF, lambda text: text.replace("__atomic_fetch_add(&count, 1u, __ATOMIC_RELAXED);", "count = count + 1;"))
    assert isinstance(verdict, Unknown)
    assert verdict.gap == "lost-atomicity"


def test_a_share_of_words_is_as_good_as_a_threshold_and_the_difference_is_listed() -> None:
    source = HALF.replace("randomf(0.0, 1.0) > 0.5", "randomf(0.0, 1.0) < 0.05")
    verdict = proved(source, lambda text: text.replace("word0 < 214748365u", "word0 % 100 < 5"))
    assert isinstance(verdict, Equal)
    assert any("probabilities differ by" in text for text in verdict.assumptions)
