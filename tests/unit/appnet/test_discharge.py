"""Divisors that are proved not to be zero: which divisions are marked so, what that saves, and which are refused."""

from __future__ import annotations

import pytest

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.discharge import discharged
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.lower import lower
from bpfsmith.appnet.sharing import Sharing, sharing
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.diagnostic import InputError
from bpfsmith.source import SourceText
from tests.unit.appnet.appnet_corpus import program

STATE = "a: int\nn: int\nu: uint\nf: float\nb: bool\nk: int\nzero: int\nm: Map<int, int>"
INIT = "k = 3\nzero = 0\na = 7\nn = 2"
CHANGES = "\nn = n - 1\nu = u + 1\nf = f + 0.5\nb = not b"
"""What keeps the divisors from being constants."""

PROVED = {
    "a greatest with 1": "a = a / max(n, 1)",
    "a remainder of a greatest with 1": "a = a % max(1, n)",
    "a float at least a tenth": "f = 1.0 / max(f, 0.1)",
    "a sum of an absolute value and 1": "a = a / (max(min(n, 100), -100) + 101)",
    "under a match of greater": "match n > 0:\n    true => a = a / n",
    "under a match of less": "match n < 0:\n    true => a = a % n",
    "under a match of a float": "match f > 0.5:\n    true => f = 1.0 / f",
    "under a match of a product of conditions": "match b and n > 3:\n    true => a = a / (n - 3)",
    "behind the arm that ends the path": "match n < 1:\n    true => send(err('none'), Drop)\na = a / n",
    "on the right of `and`": "match n > 0 and a / n > 3:\n    true => a = 1",
    "on the right of `or`": "match n < 1 or a / n > 3:\n    true => a = 1",
    "of a Map's value": "match get(m, 1):\n    Some(v) => a = a / max(v, 1)",
    "a local": "x = max(n, 1)\na = a / x",
}
REWRITTEN = {
    "under a match of not equal": "match n != 0:\n    true => a = a / n",
    "under the other arm of equal": "match n == 0:\n    true => pass\n    false => a = a / n",
    "under the other pattern": "match n:\n    0 => pass\n    _ => a = a / n",
    "a greatest of uint": "u = u / max(u, 1)",
    "a remainder and 1": "u = u / (u % 4 + 1)",
    "right of a comparison with 0": "match n == 0 or a / n > 3:\n    true => a = 1",
    "by what was divided by before": "a = a / max(n, 1)\na = a % max(n, 1)",
    "of a Map's value that is not 0": "match get(m, 1):\n    Some(v) =>\n        match v != 0:\n            true => a = a / v",
}
"""Those for which rewriting alone shows that the divisor is not zero."""
UNPROVED = {
    "nothing said": "a = a / n",
    "a float": "f = 1.0 / f",
    "at least zero": "match n >= 0:\n    true => a = a / n",
    "the wrong arm": "match n > 0:\n    false => a = a / n",
    "another variable": "match u > 0:\n    true => a = a / n",
    "changed since": "match n > 0:\n    true =>\n        n = n - 1\n        a = a / n",
    "the other side of `or`": "match n > 0 or a / n > 3:\n    true => a = 1",
    "a product that wraps": "match n > 0:\n    true => a = a / (n * 4)",
    "a greatest with 0": "a = a / max(n, 0)",
    "a Map's value": "match get(m, 1):\n    Some(v) => a = a / v",
    "a draw": "f = 1.0 / randomf(0, 1)",
}


def element(req: str, init: str = INIT) -> core.Element:
    return type_check(SourceText("x.appnet", program(req + CHANGES, STATE, init))).element


def divisions(body: tuple[core.Stmt, ...]) -> list[core.Binary]:
    return [expr for expr in facts.expressions(body) if isinstance(expr, core.Binary) and expr.op in ("div", "rem")]


def c_text(made: core.Element) -> str:
    return lower(made, initial_values(made)).c_text


@pytest.mark.parametrize("lines", PROVED.values(), ids=PROVED.keys())
def test_a_divisor_that_is_never_zero_needs_no_guard(lines: str) -> None:
    """Law: its division is marked, and the C that is generated does not test it; unmarked, it does."""
    plain = element(lines)
    made = discharged(plain)
    assert all(division.guarded for division in divisions(made.req))
    assert "divisor" not in c_text(made)
    assert not any(division.guarded for division in divisions(plain.req))
    assert "divisor" in c_text(plain)


@pytest.mark.parametrize(
    "lines",
    [pytest.param(lines, id=name) for name, lines in REWRITTEN.items()],
)
def test_a_divisor_that_is_plainly_never_zero_needs_no_guard(lines: str) -> None:
    """Law: as above, where there is nothing left to ask the solver."""
    assert "divisor" not in c_text(discharged(element(lines)))


@pytest.mark.parametrize("lines", UNPROVED.values(), ids=UNPROVED.keys())
def test_a_divisor_that_may_be_zero_is_tested(lines: str) -> None:
    """Law: where some state or input makes the divisor zero, the division is not marked, and the C tests it."""
    made = discharged(element(lines))
    assert [division.guarded for division in divisions(made.req)] == [False]
    assert "divisor" in c_text(made)


def test_one_of_two_divisions_is_marked_alone() -> None:
    """Law: what is known of one division says nothing of the same one a line later."""
    made = discharged(element("match n > 0:\n    true => a = a / n\na = a / n"))
    assert [division.guarded for division in divisions(made.req)] == [True, False]
    assert c_text(made).count("divisor0 == 0") == 1
    assert "divisor1" not in c_text(made)


def test_constant_divisors_are_known() -> None:
    """Law: a literal and a state variable that is never changed need no guard when they are not zero."""
    assert "divisor" not in c_text(discharged(element("a = a / 5\na = a / k\nf = f / 0.5")))
    assert "divisor" in c_text(discharged(element("a = a / k\nk = k - 1")))


def test_divisions_of_init_are_marked_on_their_own() -> None:
    """Law: init starts from zeros, so what it has set is not zero, what it has set to a draw may be."""
    made = discharged(element("pass", "f = randomf(0, 1)\nf = 1.0 / max(f, 0.25)\nf = 1.0 / (f - 1.0)"))
    assert [division.guarded for division in divisions(made.init)] == [True, False]


def test_what_is_marked_needs_no_lock() -> None:
    """Law: a step whose only reason for a lock is a division by zero takes none when that cannot happen."""
    lines = "u = u + 1\nmatch 1.0 / max(randomf(0, 1), 0.5) > 1.5:\n    true => send(err('x'), Drop)"
    text = program(lines, "u: uint")
    plain = type_check(SourceText("x.appnet", text)).element
    assert sharing(plain) is Sharing.LOCK
    assert sharing(discharged(plain)) is Sharing.ATOMIC


ZEROS = {
    "a literal": ("a = a / 0", INIT, "0"),
    "the literal of a remainder": ("a = a % 0", INIT, "0"),
    "a literal float": ("f = f / 0.0", INIT, "0.0"),
    "a literal in an arm": ("match n > 0:\n    true => a = a / 0", INIT, "0"),
    "constant state": ("a = a / zero", INIT, "zero"),
    "constant state in an arm": ("match n > 0:\n    true => a = a % zero", INIT, "zero"),
    "a literal of init": ("pass", "a = 5 / 0", "0"),
    "state that init has not set": ("pass", "a = 5 / n", "n"),
    "a difference in init": ("pass", "n = 7\na = 5 / (n - 7)", "(n - 7)"),
    "a remainder in init": ("pass", "n = 7\na = 5 % (n % 7)", "(n % 7)"),
    "a float in init": ("pass", "f = 0.25\nf = 1.0 / (f - 0.25)", "(f - 0.25)"),
}


@pytest.mark.parametrize(("req", "init", "divisor"), ZEROS.values(), ids=ZEROS.keys())
def test_a_divisor_that_is_always_zero_is_an_error_at_its_place(req: str, init: str, divisor: str) -> None:
    """Law: InputError `division-by-zero` whose carets stand under the divisor, and under nothing else."""
    with pytest.raises(InputError) as caught:
        discharged(element(req, init))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.id == "division-by-zero"
    assert diagnostic.primary is not None
    span = diagnostic.primary.span
    lines = program(req + CHANGES, STATE, init).splitlines()
    (number,) = (at for at, line in enumerate(lines, 1) if f"/ {divisor}" in line or f"% {divisor}" in line)
    assert (span.path, span.line, span.end_line) == ("x.appnet", number, number)
    assert lines[number - 1][span.column - 1 : span.end_column - 1] == divisor


def test_init_that_may_divide_by_zero_is_no_error() -> None:
    """Law: only what happens on every run of init is an error."""
    made = discharged(element("pass", "match randomf(0, 1) < 0.5:\n    true => a = 5 / n"))
    assert [division.guarded for division in divisions(made.init)] == [False]
