"""Names for values that two programs share: equal values get one name, others none, and names never make a proof too easy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfsmith.semantics.evaluate import Inputs, evaluate
from bpfsmith.semantics.naming import Names
from bpfsmith.semantics.terms import Term, Terms, postorder, rebuild

RARE = 0x5EED_0F_A_7E57
"""A number that no random input is."""

Operation = Callable[[Terms, Term, Term], Term]

PLAIN: dict[str, Operation] = {
    "add": lambda t, a, b: t.add(64, a, b),
    "and": lambda t, a, b: t.and_(64, a, b),
    "xor": lambda t, a, b: t.xor(64, a, b),
    "or": lambda t, a, b: t.or_(64, a, b),
    "max": lambda t, a, b: t.ite(64, t.ult(64, a, b), b, a),
}
OTHERWISE: dict[str, Operation] = {
    "add": lambda t, a, b: t.add(64, t.and_(64, a, b), t.or_(64, a, b)),
    "and": lambda t, a, b: t.sub(64, t.add(64, a, b), t.or_(64, a, b)),
    "xor": lambda t, a, b: t.sub(64, t.or_(64, a, b), t.and_(64, a, b)),
    "or": lambda t, a, b: t.add(64, t.xor(64, a, b), t.and_(64, a, b)),
    "max": lambda t, a, b: t.sub(64, t.add(64, a, b), t.ite(64, t.ult(64, a, b), a, b)),
}
"""The same values, written in a way that the rewriter does not see through."""


def rarely_wrong(name: str) -> Operation:
    """An operation that is right but for one input."""
    return lambda t, a, b: t.ite(64, t.eq(64, a, t.const(64, RARE)), b, OTHERWISE[name](t, a, b))


@pytest.fixture
def names() -> Names:
    return Names.under(Terms(), [], {})


def expanded(names: Names, term: Term) -> Term:
    """The term with every name replaced by what it stands for."""
    done: dict[Term, Term] = {}
    for part in postorder(term):
        if part in names.definitions:
            done[part] = expanded(names, names.definitions[part])
        else:
            done[part] = rebuild(names.t, part, [done[arg] for arg in part.args])
    return done[term]


@pytest.mark.parametrize("operation", PLAIN)
def test_equal_values_have_one_name(names: Names, operation: str) -> None:
    """Law: a value, the same value again and the same value written differently have the same name, which is its own name."""
    t = names.t
    x, y = t.app("x", 64), t.app("y", 64)
    value, other = PLAIN[operation](t, x, y), OTHERWISE[operation](t, x, y)
    assert value is not other
    assert names.settle(value) is value
    name = names.define(value)
    assert (name.op, name.width) == ("app", 64)
    assert names.definitions == {name: value}
    assert names.vectors.values(name) == names.vectors.values(value)
    assert [names.define(value), names.settle(value), names.define(other), names.settle(other)] == [name] * 4
    assert [names.define(name), names.settle(name)] == [name] * 2
    assert list(names.definitions) == [name]


@pytest.mark.parametrize("operation", PLAIN)
def test_a_value_that_differs_on_one_input_has_another_name(names: Names, operation: str) -> None:
    """Law: random inputs do not decide: a value that is the same on all of them but not on every input stays itself."""
    t = names.t
    x, y = t.app("x", 64), t.app("y", 64)
    name = names.define(PLAIN[operation](t, x, y))
    nearly = rarely_wrong(operation)(t, x, y)
    assert names.vectors.signature(nearly) == names.vectors.signature(PLAIN[operation](t, x, y))
    assert names.settle(nearly) is nearly
    other = names.define(nearly)
    assert other not in (name, nearly)
    assert names.settle(PLAIN[operation](t, x, y)) is name
    assert names.settle(nearly) is other


def test_a_value_computed_from_names_is_found_by_what_they_stand_for(names: Names) -> None:
    """Law: the second step of a computation settles over the name of the first, in both ways to write it."""
    t = names.t
    x, y, z = t.app("x", 64), t.app("y", 64), t.app("z", 64)
    first = names.define(t.mul(64, x, y))
    second = names.define(PLAIN["add"](t, first, z))
    assert names.settle(OTHERWISE["add"](t, first, z)) is second
    assert expanded(names, second) is t.add(64, t.mul(64, x, y), z)


def test_a_name_that_is_defined_later_is_found(names: Names) -> None:
    """Law: that a value had no name once does not keep it from the name that it has now."""
    t = names.t
    x, y = t.app("x", 64), t.app("y", 64)
    other = OTHERWISE["xor"](t, x, y)
    assert names.settle(other) is other
    name = names.define(PLAIN["xor"](t, x, y))
    assert names.settle(other) is name


def test_what_is_given_is_known() -> None:
    """Law: values that are equal only where the given conditions hold have one name under these, and two without."""
    for holds in (True, False):
        t = Terms()
        x, y = t.app("x", 64), t.app("y", 64)
        conditions = [t.eq(64, t.and_(64, x, y), t.const(64, 0))]
        names = Names.under(t, conditions if holds else [], {})
        name = names.define(t.add(64, x, y))
        union = t.or_(64, x, y)
        assert names.settle(union) is (name if holds else union)


def test_inputs_and_constants_keep_themselves(names: Names) -> None:
    """Law: what needs no name gets none: constants, inputs, words of the packet, and what does not fill a register."""
    t = names.t
    x = t.app("x", 64)
    byte = [t.app("packet", 8, t.const(64, at)) for at in range(8)]
    word = byte[0]
    for part in byte[1:]:
        word = t.concat(part, 8, word, word.width)
    narrow = t.add(32, t.extract(x, 64, 31, 0), t.const(32, 1))
    for value in (t.const(64, 7), x, word, narrow, t.ult(64, x, t.const(64, 9))):
        assert names.define(value) is value
        assert names.settle(value) is value
    assert not names.definitions
    assert names.define(t.add(64, word, t.const(64, 1))) in names.definitions


STEP = st.tuples(
    st.sampled_from(sorted(PLAIN)), st.integers(0, 9), st.integers(0, 9), st.sampled_from(["same", "other", "rare"])
)


def inputs(x: int, y: int) -> Inputs:
    known = {"x": x, "y": y}
    return lambda name, width, args: known[name]


@settings(max_examples=40)
@given(st.lists(STEP, min_size=1, max_size=4), st.integers(0, 2**64 - 1))
def test_what_is_equal_over_names_is_equal(steps: list[tuple[str, int, int, str]], number: int) -> None:
    """Law: two computations that come to the same term over names come to the same number, whatever was named on the way."""
    t = Terms()
    names = Names.under(t, [], {})
    start = [t.app("x", 64), t.app("y", 64)]
    reference, candidate, plain, true = list(start), list(start), list(start), list(start)
    for name, left, right, way in steps:
        a, b = left % len(plain), right % len(plain)
        write = {"same": PLAIN[name], "other": OTHERWISE[name], "rare": rarely_wrong(name)}[way]
        plain.append(PLAIN[name](t, plain[a], plain[b]))
        true.append(write(t, true[a], true[b]))
        reference.append(names.define(PLAIN[name](t, reference[a], reference[b])))
        candidate.append(names.settle(write(t, candidate[a], candidate[b])))
    for x, y in ((number, RARE), (RARE, number), (RARE, RARE), (number, number), (0, number)):
        named = evaluate([expanded(names, term) for term in [*reference, *candidate]], inputs(x, y))
        assert named == evaluate([*plain, *true], inputs(x, y))
