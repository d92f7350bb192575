"""The type checker: what becomes of a right program in the core, and laws about wrong ones.

The texts of diagnostics are in tests/spec/appnet-*.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.parse import read_source
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.diagnostic import InputError, ToolError, Unsupported
from bpfsmith.source import SourceText
from tests.unit.appnet.appnet_corpus import PROGRAMS, program

STATE = "i: int\nu: uint\nf: float\nb: bool\nt: Instant\nm: Map<int, float>\nn: Map<uint, int>"


def element(lines: str, state: str = STATE, init: str = "pass") -> core.Element:
    return type_check(SourceText("x.appnet", program(lines, state, init))).element


def ids(lines: str, state: str = STATE, init: str = "pass") -> list[str]:
    """The ids of what is wrong with a program."""
    try:
        element(lines, state, init)
    except ToolError as error:
        return [diagnostic.id for diagnostic in error.diagnostics]
    return []


def value(text: str, target: str = "f") -> core.Expr:
    (statement,) = element(f"{target} = {text}").req
    assert isinstance(statement, core.SetState)
    return statement.value


def show(expression: core.Expr) -> str:
    """An expression with its types."""
    match expression:
        case core.Const(literal, kind):
            return f"{literal!r}:{kind}" if isinstance(literal, bytes) else f"{literal}:{kind}"
        case (
            core.Field() | core.MessageSize() | core.TextSize() | core.Widen() | core.MakePair() | core.Item() | core.VecGet()
            | core.VecSize()
        ):  # fmt: skip
            raise AssertionError(f"no test here shows a {type(expression).__name__}")
        case core.Local(name) | core.StateVar(name):
            return name
        case core.Unary(op, operand):
            return f"({op} {show(operand)})"
        case core.Binary(op, left, right, kind):
            return f"({show(left)} {op} {show(right)}):{kind}"
        case core.ToFloat(operand):
            return f"float({show(operand)})"
        case core.Draw(site, low, high):
            return f"draw{site}[{low}, {high})"
        case core.Clock(site):
            return f"clock{site}"
        case core.TimeDiff(later, earlier):
            return f"({show(later)} since {show(earlier)})"
        case core.MapGet(name, key):
            return f"{name}[{show(key)}]"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_the_corpus_is_right(path: Path) -> None:
    checked = type_check(read_source(path))
    assert checked.element.name == path.stem
    assert checked.element.req
    assert {warning.id for warning in checked.warnings} <= {"single-host-state"}


@pytest.mark.parametrize(
    ("target", "text", "shown"),
    [
        ("f", "0.05", "1/20:float"),
        ("f", "2", "2:float"),
        ("f", "-2", "-2:float"),
        ("f", "1 + 2 * i", "float((1:int add (2:int mul i):int):int)"),
        ("f", "i * 0.5", "(float(i) mul 1/2:float):float"),
        ("f", "u + f", "(float(u) add f):float"),
        ("f", "2 * 3", "(2:float mul 3:float):float"),
        ("f", "float(i / 2)", "float((i div 2:int):int)"),
        ("f", "float(i) / 2", "(float(i) div 2:float):float"),
        ("f", "float(7)", "7:float"),
        ("f", "max(0, f)", "(0:float max f):float"),
        ("u", "u + 4294967295", "(u add 4294967295:uint):uint"),
        ("u", "2 * 3 - u", "((2:uint mul 3:uint):uint sub u):uint"),
        ("i", "-2147483648", "-2147483648:int"),
        ("i", "-i % 3", "((neg i) rem 3:int):int"),
        ("i", "min(i, -1)", "(i min -1:int):int"),
        ("b", "i < 3", "(i lt 3:int):bool"),
        ("b", "i < 3.5", "(float(i) lt 7/2:float):bool"),
        ("b", "not (1 != 2) or b == true", "((not (1:int ne 2:int):bool) or (b eq True:bool):bool):bool"),
        ("b", "t <= current_time()", "(t le clock0):bool"),
        ("t", "current_time()", "clock0"),
        ("f", "time_diff(current_time(), t)", "(clock0 since t)"),
        (
            "b",
            "randomf(0, 1) < 0.5 and randomf(-1, 2e0) > 1",
            "((draw0[0, 1) lt 1/2:float):bool and (draw1[-1, 2) gt 1:float):bool):bool",
        ),
    ],
)
def test_conversions_are_explicit(target: str, text: str, shown: str) -> None:
    assert show(value(text, target)) == shown


def test_sites_are_numbered_in_text_order_in_each_body() -> None:
    text = "\n".join(
        [
            "r = randomf(0, 1)",
            "match b:",
            "    true => f = randomf(0, 2)",
            "    false => set(m, 1, randomf(0, 3) + randomf(0, 4))",
            "t = current_time()",
        ]
    )
    made = element(text, init="f = randomf(0, 1)\nt = current_time()")
    for body, draws in ((made.init, [0]), (made.req, [0, 1, 2, 3])):
        assert [item.site for item in facts.expressions(body) if isinstance(item, core.Draw)] == draws
        assert [item.site for item in facts.expressions(body) if isinstance(item, core.Clock)] == [0]


def test_state_keeps_its_order_and_its_sizes() -> None:
    made = element("pass", state="a: int\n@size(7)\nm: Map<bool, Instant>\nn: Map<uint, bool>")
    assert [(item.name, str(item.type), item.max_entries) for item in made.state] == [
        ("a", "int", 0),
        ("m", "Map<bool, Instant>", 7),
        ("n", "Map<uint, bool>", 1024),
    ]


def test_sends_become_forward_and_abort_whatever_their_case() -> None:
    sends = ("send(rpc, down)", "send(rpc, PASS)", "send(err('a'), up)", 'send(err("b"), Drop)')
    text = "match i:" + "".join(f"\n    {number} => {send}" for number, send in enumerate(sends))
    (match,) = element(text).req
    assert isinstance(match, core.Match)
    ends = [arm.body[0] for arm in match.arms]
    assert [type(end).__name__ for end in ends] == ["Forward", "Forward", "Abort", "Abort"]
    assert [end.message for end in ends if isinstance(end, core.Abort)] == ["a", "b"]


def test_any_name_stands_for_the_message() -> None:
    text = "state:\ninit():\nreq(m):\n    send(m, Down)\nresp(r):\n    send(r, Up)\n"
    assert len(type_check(SourceText("x", text)).element.req) == 1


def test_a_kept_option_looks_up_the_key_of_its_own_place() -> None:
    first, second, third = element("v = get(m, i + 1)\ni = 0\nmatch v:\n    Some(x) => f = x").req
    assert isinstance(first, core.SetLocal) and isinstance(second, core.SetState) and isinstance(third, core.Match)
    assert (show(first.value), show(third.subject)) == ("(i add 1:int):int", f"m[{first.name}]")


def test_the_kept_key_has_a_name_of_its_own() -> None:
    made = element("v_key = 1.5\nv = get(m, i)\nmatch v:\n    None => f = v_key", state=STATE + "\nv_key_2: int")
    names = [statement.name for statement in made.req if isinstance(statement, core.SetLocal)]
    assert len(set(names)) == 2 and "v_key_2" not in names


def test_bound_names_of_different_types_do_not_share_a_local() -> None:
    text = "match get(m, 1):\n    Some(x) => f = x\nmatch get(n, 1):\n    Some(x) => i = x\nx = true\nb = x"
    kinds: dict[str, set[core.Type]] = {}
    for expression in facts.expressions(element(text).req):
        if isinstance(expression, core.Local):
            kinds.setdefault(expression.name, set()).add(expression.type)
    assert sorted(map(len, kinds.values())) == [1, 1, 1]


def test_draws_and_patterns_never_share_a_local() -> None:
    """A local that holds only draws is kept as its word, so a pattern must not put a number into it."""
    made = element("match get(m, 1):\n    Some(x) => f = x\nx = randomf(0, 1)\nb = x < 0.5")
    bound = {
        arm.pattern.name
        for item in made.req
        if isinstance(item, core.Match)
        for arm in item.arms
        if isinstance(arm.pattern, core.Some)
    }
    assert bound.isdisjoint(facts.draw_locals(made.req))


def test_bounds_of_draws_fold_over_constant_state() -> None:
    made = element("f = randomf(low - 1, 2 * high)", state="low: float\nhigh: int\nf: float", init="low = 0.5\nhigh = 3")
    (draw,) = [item for item in facts.expressions(made.req) if isinstance(item, core.Draw)]
    assert (draw.low, draw.high) == (Fraction(-1, 2), Fraction(6))


@pytest.mark.parametrize(
    ("init", "lines"),
    [
        ("low = 0.5", "low = 0.5\nf = randomf(0, low)"),
        ("low = 0.5\nlow = 0.6", "f = randomf(0, low)"),
        ("match b:\n        true => low = 0.5", "f = randomf(0, low)"),
        ("low = randomf(0, 1)", "f = randomf(0, low)"),
        ("pass", "f = randomf(0, low)"),
    ],
)
def test_state_that_may_change_is_no_bound(init: str, lines: str) -> None:
    assert ids(lines, state="low: float\nf: float\nb: bool", init=init) == ["unsupported-random-bounds"]


@pytest.mark.parametrize(
    "lines",
    [
        "match b:\n    true => x = 1\n    false => x = 2\ni = x",
        "match b:\n    true => x = 1\n    false => send(rpc, Pass)\ni = x",
        "match i:\n    0 => send(rpc, Pass)\n    _ => x = 1\ni = x",
        "match get(n, 1):\n    Some(y) => x = y\n    None => x = 0\ni = x",
        "x = 0\nmatch i:\n    0 => x = 1\ni = x",
        "match i:\n    0 =>\n        x = 1\n        i = x\n    _ =>\n        x = 2\n        i = x",
        "match get(m, 1):\n    Some(x) => f = x\n    None => pass\nx = 1\ni = x",
        "v = get(m, 1)\nmatch i:\n    0 => set(m, 1, 2)\n    _ => match v:\n        Some(x) => f = x",
        "v = get(m, 1)\nset(n, 1, 2)\nmatch v:\n    None => pass",
        "v = get(m, 1)\nmatch v:\n    Some(x) => f = x\nmatch v:\n    None => pass",
        "match t:\n    _ => pass",
        "match f:\n    1 => pass\n    0.5 => pass",
        "match not b:\n    true => pass",
    ],
)
def test_right_programs(lines: str) -> None:
    assert ids(lines) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("match b:\n    true => x = 1\ni = x", ["maybe-unset"]),
        ("match b:\n    true => x = 1\n    false => i = x", ["maybe-unset"]),
        ("match i:\n    0 => x = 1\n    1 => match b:\n        true => x = 2\n    _ => x = 3\ni = x", ["maybe-unset"]),
        ("x = 1\nx = 1.5", ["type-mismatch"]),
        ("x = u\nx = i", ["mixed-signedness"]),
        ("x = 1\nmatch get(m, 1):\n    Some(x) => pass", ["shadowed-name"]),
        ("match get(m, 1):\n    Some(x) => x = 1", ["wrong-target"]),
        ("v = get(m, 1)\ndelete(m, 2)\nmatch v:\n    None => pass", ["unsupported-option-value"]),
        ("v = get(m, 1)\nv = get(m, 2)", ["unsupported-option-value"]),
        ("match b:\n    true => v = get(m, 1)\nmatch v:\n    None => pass", ["maybe-unset"]),
        ("f = (i / 2) * 3 + 0.5", ["ambiguous-division"]),
        ("f = 1 / 2", ["ambiguous-division"]),
        ("send(rpc, Pass)\npass", ["statement-after-send"]),
        ("match b:\n    true => send(rpc, Pass)\n    _ => send(rpc, Down)\ni = 1", ["statement-after-send"]),
        ("b = randomf(0, 1) == 0.5", ["draw-equality"]),
        ("r = randomf(0, 1)\nmatch r:\n    0.5 => pass", ["draw-equality"]),
        ("i = none + 1\nf = none2 * none3", ["unknown-name"] * 3),
        ("b = 1 < i < 3", ["chained-comparison"]),
        ("get(m, 1.5)", ["type-mismatch"]),
        ("set(n, -1, 1)", ["literal-out-of-range"]),
        ("rpc = 1\nm = 2\n_ = 3", ["wrong-target"] * 3),
        ("x = 'a'\nset(rpc, 'f', x)", ["unsupported-payload"]),
        ("b = b < true", ["type-mismatch"]),
        ("i = true + 1", ["type-mismatch"]),
        ("err('a')", ["type-mismatch"]),
        ("i = set(n, 1, 1)", ["type-mismatch"]),
        ("send(err(i), Drop)", ["wrong-arguments"]),
        ("match b:\n    true => x = 1\n    1 => pass\n    false => x = 2\ni = x", ["pattern-mismatch"]),
    ],
)
def test_wrong_programs(lines: str, expected: list[str]) -> None:
    assert ids(lines) == expected


def test_init_has_no_message() -> None:
    assert ids("pass", init="send(rpc, Pass)") == ["send-direction"]


def test_the_message_must_not_hide_state() -> None:
    assert ids("pass", state="rpc: int") == ["duplicate-name"]


def test_what_is_only_unsupported_is_not_called_wrong() -> None:
    with pytest.raises(Unsupported):
        element("x = len(rpc)")
    with pytest.raises(InputError):
        element("x = len(rpc)\ny = zz")


def test_errors_come_in_text_order_and_are_counted_beyond_a_hundred() -> None:
    with pytest.raises(InputError) as caught:
        element("\n".join(f"i = unknown{number}" for number in range(150)))
    *shown, rest = caught.value.diagnostics
    lines = [diagnostic.primary.span.line for diagnostic in shown if diagnostic.primary]
    assert len(lines) == 100 and lines == sorted(lines)
    assert (rest.id, rest.message) == ("too-many-errors", "50 more errors are not shown")


def test_every_id_has_a_page() -> None:
    """Each id that the front end's source names is explained in docs/diagnostics."""
    root = Path(__file__).parents[3]
    missing = {
        id for id in _ids_in(root / "src" / "bpfsmith" / "appnet") if not (root / "docs" / "diagnostics" / f"{id}.md").exists()
    }
    assert not missing


def _ids_in(package: Path) -> Iterator[str]:
    import re

    names = ("parse", "lexer", "syntax_errors", "findings", "declarations", "numeric", "expressions", "bodies", "typecheck")
    for name in names:
        text = (package / f"{name}.py").read_text(encoding="utf-8")
        yield from re.findall(r'"((?:unsupported-[a-z-]+)|(?:[a-z]+(?:-[a-z]+)+))"', text)
