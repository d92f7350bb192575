"""The rewriter is trusted by every proof, so it is held against terms built bare, on random programs of terms.

Each case draws a few roots that share subterms and conditions; seeds are fixed, so that a failure is the same everywhere. Small
widths matter most: carries, signs and saturated constants collide there all the time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from bpfsmith.semantics.context import contextual
from bpfsmith.semantics.evaluate import Inputs, evaluate
from bpfsmith.semantics.sweep import Sweep
from bpfsmith.semantics.terms import Term, Terms, leading_zeros, postorder, rebuild, show

WIDTHS = (1, 2, 3, 4, 5, 8, 13, 16, 32, 64)
BINARY = ("add", "sub", "mul", "udiv", "urem", "and_", "or_", "xor")
SHIFTS = ("shl", "lshr", "ashr")


@dataclass(frozen=True)
class Pair:
    """One expression built twice: through the rewriter, and bare."""

    rewritten: Term
    bare: Term


@dataclass
class Twins:
    """Draws expressions. Values and conditions are reused, as merged branches reuse them."""

    rng: random.Random
    width: int
    functions: bool = True  # inputs that are applied to other terms
    rewriting: Terms = field(default_factory=Terms)
    bare: Terms = field(default_factory=lambda: Terms(rewrite=False))
    values: dict[int, list[Pair]] = field(default_factory=dict)
    conditions: list[Pair] = field(default_factory=list)

    def build(self, make: Callable[[Terms, tuple[Term, ...]], Term], *args: Pair) -> Pair:
        return Pair(
            make(self.rewriting, tuple(arg.rewritten for arg in args)), make(self.bare, tuple(arg.bare for arg in args))
        )

    def const(self, width: int, value: int) -> Pair:
        return self.build(lambda t, _: t.const(width, value))

    def any_const(self, width: int) -> Pair:
        run = (1 << self.rng.randrange(width)) - self.rng.randrange(2)
        edges = (0, 1, -1, 1 << (width - 1), run, self.rng.getrandbits(width), self.rng.getrandbits(width))
        return self.const(width, self.rng.choice(edges))

    def call(self, operation: str, width: int, *args: Pair) -> Pair:
        """t.operation(width, *args)."""
        return self.build(lambda t, terms: getattr(t, operation)(width, *terms), *args)

    def resize(self, operation: str, width: int, to_width: int, arg: Pair) -> Pair:
        return self.build(lambda t, terms: getattr(t, operation)(terms[0], width, to_width), arg)

    def value(self, width: int, depth: int) -> Pair:
        known = self.values.setdefault(width, [])
        if known and self.rng.random() < 0.3:
            return self.rng.choice(known)
        pair = self._value(width, depth)
        known.append(pair)
        return pair

    def _value(self, width: int, depth: int) -> Pair:
        rng = self.rng
        if depth == 0 or rng.random() < 0.08:
            if rng.random() < 0.35:
                return self.any_const(width)
            name = f"{rng.choice('xyz')}{width}"
            return self.build(lambda t, _: t.app(name, width))
        kind = rng.choice(
            ("binary", "binary", "constant", "constant", "shift", "ite", "ite", "mask", "slice", "join", "widen", "app")
        )
        if kind == "binary":
            return self.call(rng.choice(BINARY), width, self.value(width, depth - 1), self.value(width, depth - 1))
        if kind == "constant":
            sides = [self.value(width, depth - 1), self.any_const(width)]
            if rng.random() < 0.3:
                sides.reverse()
            return self.call(rng.choice(BINARY), width, *sides)
        if kind == "shift":
            return self.call(rng.choice(SHIFTS), width, self.value(width, depth - 1), self.const(width, rng.randrange(width)))
        if kind == "ite":
            condition = self.condition(depth - 1)
            return self.call("ite", width, condition, self.value(width, depth - 1), self.value(width, depth - 1))
        if kind == "mask":
            mask = self.call("ite", width, self.condition(depth - 1), self.const(width, -1), self.const(width, 0))
            return self.call(rng.choice(("and_", "or_", "xor")), width, mask, self.value(width, depth - 1))
        if kind == "slice":
            wide = width + rng.randrange(width + 1)
            low = rng.randrange(wide - width + 1)
            return self.build(lambda t, terms: t.extract(terms[0], wide, low + width - 1, low), self.value(wide, depth - 1))
        if kind == "join" and width > 1:
            size = rng.randrange(1, width)
            parts = self.value(size, depth - 1), self.value(width - size, depth - 1)
            return self.build(lambda t, terms: t.concat(terms[0], size, terms[1], width - size), *parts)
        if kind == "widen" and width > 1:
            size = rng.randrange(1, width)
            return self.resize(rng.choice(("zext", "sext")), size, width, self.value(size, depth - 1))
        if kind == "app" and self.functions:
            return self.build(lambda t, terms: t.app(f"f{width}", width, terms[0]), self.value(width, depth - 1))
        return self.value(width, depth - 1)

    def condition(self, depth: int) -> Pair:
        if self.conditions and self.rng.random() < 0.35:
            return self.rng.choice(self.conditions)
        pair = self._condition(depth)
        self.conditions.append(pair)
        return pair

    def _condition(self, depth: int) -> Pair:
        rng = self.rng
        width = rng.choice((self.width, self.width, max(1, self.width // 2), 1))
        kind = (
            "compare"
            if depth <= 0
            else rng.choice(("compare", "compare", "constant", "remainder", "connect", "connect", "negate", "ite"))
        )
        below = max(depth - 1, 0)
        if kind == "connect":
            parts = [self.condition(below) for _ in range(rng.choice((2, 2, 3)))]
            name = rng.choice(("all_of", "any_of"))
            return self.build(lambda t, terms: getattr(t, name)(*terms), *parts)
        if kind == "negate":
            return self.build(lambda t, terms: t.negate(terms[0]), self.condition(below))
        if kind == "ite":
            return self.call("ite", 0, *(self.condition(below) for _ in range(3)))
        if kind == "remainder":  # x - c * (x / c) + k == v, as compilers write x % c == v - k
            x, c = self.value(width, below), self.any_const(width)
            product = self.call("mul", width, c, self.call("udiv", width, x, c))
            rest = self.call("add", width, self.call("sub", width, x, product), self.any_const(width))
            return self.call("eq", width, rest, self.any_const(width))
        sides = [self.value(width, below), self.any_const(width) if kind == "constant" else self.value(width, below)]
        if rng.random() < 0.3:
            sides.reverse()
        return self.call(rng.choice(("eq", "ult", "slt")), width, *sides)

    def root(self, depth: int) -> Pair:
        return self.condition(depth) if self.rng.random() < 0.5 else self.value(self.width, depth)


def inputs(seed: int) -> Inputs:
    """Any function of (name, arguments); edge values are common."""

    def value(name: str, width: int, args: tuple[int, ...]) -> int:
        rng = random.Random(repr((seed, name, args)))
        if width == 0:
            return rng.getrandbits(1)
        return rng.choice((0, 1, (1 << width) - 1, 1 << (width - 1), rng.getrandbits(width), rng.getrandbits(width)))

    return value


def table(known: dict[str, int]) -> Inputs:
    return lambda name, width, args: known[name]


def pinning(given: Inputs, pinned: str, number: int) -> Inputs:
    """`given`, but for one input."""
    return lambda name, width, args: number if name == pinned else given(name, width, args)


def cases(width: int, count: int, functions: bool = True) -> Iterator[tuple[Twins, list[Pair]]]:
    for seed in range(count):
        rng = random.Random(1000 * width + seed)
        twins = Twins(rng, width, functions)
        yield twins, [twins.root(1 + seed % 5) for _ in range(3)]


def assert_same_values(expected: list[Term], actual: list[Term], given: Inputs, what: str) -> None:
    wanted, found = evaluate(expected, given), evaluate(actual, given)
    for a, b, want, got in zip(expected, actual, wanted, found, strict=True):
        assert want == got, f"{what}: {show(a)} is {want:#x}, but {show(b)} is {got:#x}"


@pytest.mark.parametrize("width", WIDTHS)
def test_rewriting_keeps_every_value(width: int) -> None:
    """Law: a term built with rewriting has the value of the same term built bare, on every input."""
    for _, roots in cases(width, 60):
        for seed in range(10):
            assert_same_values([root.bare for root in roots], [root.rewritten for root in roots], inputs(seed), "rewriting")


@pytest.mark.parametrize("width", [1, 2, 3])
def test_rewriting_keeps_every_value_on_all_inputs(width: int) -> None:
    """Law: at narrow widths the same holds on all inputs there are, not only on those drawn."""
    for twins, roots in cases(width, 60, functions=False):
        names = sorted({(term.name, term.width) for root in roots for term in postorder(root.bare) if term.op == "app"})
        if sum(size for _, size in names) > 8:
            continue
        for values in itertools.product(*(range(1 << size) for _, size in names)):
            known = {name: value for (name, _), value in zip(names, values, strict=True)}
            assert_same_values(
                [root.bare for root in roots],
                [root.rewritten for root in roots],
                table(known),
                f"at {known}",
            )
        assert twins.rewriting.rewrite


@pytest.mark.parametrize("width", [1, 3, 8, 32, 64])
def test_what_is_known_from_context_keeps_every_value(width: int) -> None:
    """Law: `contextual` gives roots that are equal to what they were."""
    for twins, roots in cases(width, 50):
        terms = [root.rewritten for root in roots]
        simpler = contextual(twins.rewriting, terms)
        for seed in range(10):
            assert_same_values(terms, simpler, inputs(seed), "contextual")


@pytest.mark.parametrize("width", [1, 3, 8, 32, 64])
def test_rebuilding_after_a_substitution_substitutes(width: int) -> None:
    """Law: rebuilding a term with one input replaced by a constant gives its value at that constant."""
    for twins, roots in cases(width, 40):
        t = twins.rewriting
        name, pinned = f"x{width}", t.const(width, 5)
        done: dict[Term, Term] = {}
        for term in postorder(*(root.rewritten for root in roots)):
            here = term.op == "app" and term.name == name
            done[term] = pinned if here else rebuild(t, term, [done[arg] for arg in term.args])
        for seed in range(6):
            given = inputs(seed)

            terms = [root.rewritten for root in roots]
            assert_same_values(terms, [done[term] for term in terms], pinning(given, name, pinned.number), "rebuild")


@pytest.mark.parametrize("width", [1, 4, 8, 32])
def test_known_leading_zeros_are_zeros(width: int) -> None:
    """Law: the bits that `leading_zeros` promises to be zero are zero on every input."""
    for _, roots in cases(width, 30):
        order = [term for term in postorder(*(root.rewritten for root in roots)) if term.width]
        for seed in range(5):
            for term, value in zip(order, evaluate(order, inputs(seed)), strict=True):
                assert value >> (term.width - leading_zeros(term)) == 0, show(term)


@pytest.mark.parametrize("width", [2, 3, 4, 8])
def test_cutpoints_keep_every_value_that_is_asked_about(width: int) -> None:
    """Law: what `Sweep` gives back has the value of what went in wherever the conditions hold."""
    for seed in range(12):
        twins = Twins(random.Random(77_000 + 100 * width + seed), width)
        given = [twins.condition(2).rewritten for _ in range(seed % 3)]
        pairs = [(twins.value(width, 4).rewritten, twins.value(width, 4).rewritten) for _ in range(2)]
        pairs.append((twins.condition(4).rewritten, twins.condition(4).rewritten))
        swept = Sweep(twins.rewriting, given, {}).run(pairs)
        before, after = [root for pair in pairs for root in pair], [root for pair in swept for root in pair]
        for number in range(30):
            if all(evaluate(given, inputs(number))):
                assert_same_values(before, after, inputs(number), "sweep")


def test_equal_terms_are_one_object() -> None:
    """Law: building the same expression again gives the same object, so that `is` decides equality."""
    for seed in range(40):
        t = Terms()
        first, second = (Twins(random.Random(seed), 8, rewriting=t).root(4).rewritten for _ in range(2))
        assert first is second
