"""Solver terms of our own: hash-consed, rewritten as they are built, exported to a solver only at the end.

A `Term` is a bit vector (width > 0) or a truth value (width 0). Equal terms are the same object, so that what rewriting can
decide is decided by `is`. `Terms` is a `Domain`; the normal forms are chosen so that what compilers do to byte-wise access,
masks and comparisons comes out the same:

    shifts, masks, zero extension   ->  concat / extract          (x & 0xff  ->  concat(0, extract(x, 7, 0)))
    sums                            ->  sum of coefficient * term  (x + x << 1  ->  3 * x)
    comparisons                     ->  eq, ult, slt, constant on the right, narrowest width
    ite                             ->  positive condition, common leading zeros hoisted out

The rewriter is trusted, so it is checked: `Terms(rewrite=False)` builds the same terms bare, and tests compare the two.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, Final

from bpfsmith.semantics.domain import CONCRETE

BOOL: Final = 0


class Term:
    """A node; make them through `Terms` only. `number` is the value of a const, 0 or 1 for a truth, and the lowest bit of an
    extract; `name` is the function of an app."""

    __slots__ = ("args", "ident", "name", "number", "op", "width")

    def __init__(self, op: str, width: int, args: tuple[Term, ...], number: int, name: str, ident: int) -> None:
        self.op, self.width, self.args, self.number, self.name, self.ident = op, width, args, number, name, ident

    def __repr__(self) -> str:
        return show(self, depth=6)

    @property
    def is_const(self) -> bool:
        return self.op == "const"


class Terms:
    """Builds terms. Every method is total; `rewrite=False` leaves out every simplification but hash-consing."""

    def __init__(self, rewrite: bool = True) -> None:
        self.rewrite = rewrite
        self._table: dict[tuple[object, ...], Term] = {}
        # Rewriting looks into both arms of an ite; without a memo shared subterms would make that exponential.
        self._memo: dict[tuple[object, ...], Term] = {}
        self._negations: dict[Term, Term] = {}
        # What is known on paths, of conditions and of disjunctions: kept here for `fork`, as it lives as long.
        self.paths: dict[frozenset[Term], Any] = {}
        self.questions: dict[Term, Any] = {}
        self.choices: dict[Term, Any] = {}
        self.mentioned: dict[Term, frozenset[Term]] = {}
        self.true = self._make("truth", BOOL, (), 1)
        self.false = self._make("truth", BOOL, (), 0)

    def __len__(self) -> int:
        return len(self._table)

    def _make(self, op: str, width: int, args: tuple[Term, ...], number: int = 0, name: str = "") -> Term:
        key = (op, width, number, name, *args)
        term = self._table.get(key)
        if term is None:
            term = Term(op, width, args, number, name, len(self._table))
            self._table[key] = term
        return term

    # --- leaves -------------------------------------------------------------------------------------------------------
    def const(self, width: int, value: int) -> Term:
        return self._make("const", width, (), value & ((1 << width) - 1))

    def truth(self, value: bool) -> Term:
        return self.true if value else self.false

    def app(self, name: str, width: int, *args: Term) -> Term:
        """An uninterpreted function of `args`: an input of the program, such as app("packet", 8, offset)."""
        return self._make("app", width, args, name=name)

    # --- bit structure ------------------------------------------------------------------------------------------------
    def extract(self, a: Term, width: int, high: int, low: int) -> Term:
        if low == 0 and high == a.width - 1:
            return a
        if not self.rewrite:
            return self._make("extract", high - low + 1, (a,), low)
        key = ("extract", a, high, low)
        term = self._memo.get(key)
        if term is None:
            term = self._memo[key] = self._extract(a, high, low)
        return term

    def _extract(self, a: Term, high: int, low: int) -> Term:
        size = high - low + 1
        match a.op:
            case "const":
                return self.const(size, a.number >> low)
            case "extract":
                return self.extract(a.args[0], a.args[0].width, high + a.number, low + a.number)
            case "concat":
                pieces, top = [], a.width
                for part in a.args:
                    bottom = top - part.width
                    h, l = min(high, top - 1), max(low, bottom)
                    if h >= l:
                        pieces.append(self.extract(part, part.width, h - bottom, l - bottom))
                    top = bottom
                return self._concat(pieces)
            case "sext":
                inner = a.args[0]
                if high < inner.width:
                    return self.extract(inner, inner.width, high, low)
                if low < inner.width:
                    return self.sext(self.extract(inner, inner.width, inner.width - 1, low), inner.width - low, size)
                sign = self.extract(inner, inner.width, inner.width - 1, inner.width - 1)
                return self.sext(sign, 1, size)
            case "and" | "or" | "xor":
                parts = [self.extract(arg, arg.width, high, low) for arg in a.args]
                return self._bitwise(a.op, size, parts)
            case "mul" if high == a.width - 1 and (quotient := self._magic_division(a, low)) is not None:
                return self.extract(self.zext(quotient, quotient.width, a.width), a.width, size - 1, 0)
            case "add" if (inverted := _inverted(a)) is not None:
                return self.xor(size, self.extract(inverted, a.width, high, low), self.const(size, -1))
            case "add" if high == a.width - 1 and (quotient := self._long_magic_division(a, low)) is not None:
                return self.extract(self.zext(quotient, quotient.width, a.width), a.width, size - 1, 0)
            case "add" | "mul" if low and (narrow := _register_width(high + 1)) < a.width and (high == 31 or _is_linear(a)):
                # Upper bits do not matter: as narrow as where there are narrow operations.
                return self.extract(self.extract(a, a.width, narrow - 1, 0), narrow, high, low)
            case "add" if low == 0 and size < (narrow := min(_register_width(size), a.width)):
                whole = self.extract(a, a.width, narrow - 1, 0) if narrow < a.width else a
                if whole.op == "add" and whole.width == narrow:
                    return self._make("extract", size, (whole,), 0)
                return self.extract(whole, narrow, size - 1, 0)
            case "add" if low == 0:
                return self._sum(size, [self.extract(arg, arg.width, high, 0) for arg in a.args])
            case "mul" if low == 0:
                product = self.extract(a.args[0], a.width, high, 0)
                for arg in a.args[1:]:
                    product = self.mul(size, product, self.extract(arg, a.width, high, 0))
                return product
            case "ite":
                return self.ite(
                    size,
                    a.args[0],
                    self.extract(a.args[1], a.width, high, low),
                    self.extract(a.args[2], a.width, high, low),
                )
            case _:
                return self._make("extract", size, (a,), low)

    def _magic_division(self, product: Term, shift: int) -> Term | None:
        """x / c for (M * x) >> shift with M = ceil(2**shift / c), which is how compilers divide by constants (Hacker's Delight,
        10-9): exact for every x below 2**n when M * c - 2**shift <= 2**(shift - n)."""
        if len(product.args) != 2 or not product.args[0].is_const:
            return None
        magic, factor = product.args[0].number, product.args[1]
        n = product.width - leading_zeros(factor)
        if not magic > 2 or magic.bit_length() + n > product.width or (divisor := _magic_divisor(magic, shift, n)) is None:
            return None
        return self.udiv(n, self.extract(factor, factor.width, n - 1, 0), self.const(n, divisor))

    def _long_magic_division(self, total: Term, shift: int) -> Term | None:
        """x / c for (q + ((x - q) >> 1)) >> shift with q = (M * x) >> n: magic numbers of n + 1 bits, 2**n + M. The sum is
        below 2**n, so that it may have more bits."""
        if len(total.args) != 2:
            return None
        parts = [_without_zeros(part) for part in total.args]
        for q, half in (parts, parts[::-1]):
            n = q.width
            if q.op != "extract" or q.number != n or q.args[0].op != "mul" or q.args[0].width != 2 * n:
                continue
            if half.op != "extract" or half.number != 1 or half.width != n - 1:
                continue
            magic, wide = q.args[0].args[0], q.args[0].args[1:]
            rest = half.args[0]
            if not (magic.is_const and len(wide) == 1 and rest.width == n):
                continue
            x = self.extract(wide[0], 2 * n, n - 1, 0)
            divisor = _magic_divisor((1 << n) + magic.number, n + 1 + shift, n)
            if leading_zeros(wide[0]) >= n and divisor is not None and self._sum(n, (rest, q)) is x:
                return self.udiv(n, x, self.const(n, divisor))
        return None

    def concat(self, high: Term, high_width: int, low: Term, low_width: int) -> Term:
        if not self.rewrite:
            return self._make("concat", high.width + low.width, (high, low))
        return self._concat([high, low])

    def _concat(self, parts: Iterable[Term]) -> Term:
        """Most significant part first; flattens, joins neighbouring constants and neighbouring slices of one term."""
        out: list[Term] = []
        for part in (piece for item in parts for piece in (item.args if item.op == "concat" else (item,))):
            if out:
                joined = self._join(out[-1], part)
                if joined is not None:
                    out[-1] = joined
                    continue
                if part.op == "extract" and (whole := self._whole_quotient(out[-1], part)) is not None:
                    above = out.pop()
                    if above.width > whole.width - part.width:
                        out.append(self.extract(above, above.width, above.width - 1, whole.width - part.width))
                    part = whole
            out.append(part)
        if len(out) == 1:
            return out[0]
        return self._make("concat", sum(part.width for part in out), tuple(out))

    def _whole_quotient(self, above: Term, low: Term) -> Term | None:
        """x / c where `low` is its low bits, `above` ends in zeros for the rest, and these are zero in x / c too."""
        quotient = low.args[0]
        rest = quotient.width - low.width
        if low.number or not (_divided_by_constant(quotient) and above.is_const and above.width >= rest):
            return None
        largest = ((1 << quotient.width) - 1) // quotient.args[1].number
        fits = largest.bit_length() <= low.width and above.number & ((1 << rest) - 1) == 0
        return quotient if fits else None

    def _join(self, high: Term, low: Term) -> Term | None:
        if high.op == "const" and low.op == "const":
            return self.const(high.width + low.width, high.number << low.width | low.number)
        slices = high.op == "extract" and low.op == "extract" and high.args[0] is low.args[0]
        if slices and high.number == low.number + low.width:
            return self.extract(high.args[0], high.args[0].width, high.number + high.width - 1, low.number)
        if high.op == "extract" and high.number == low.width and high.args[0].op in ("add", "mul"):
            # The low bits of sums and products were taken as narrow ones: put them together again.
            whole = high.args[0]
            if self.extract(whole, whole.width, low.width - 1, 0) is low:
                return self.extract(whole, whole.width, high.number + high.width - 1, 0)
        if high.op == "add" and low.op == "add":
            inverted = _inverted(high), _inverted(low)
            if inverted[0] is not None and inverted[1] is not None:
                width = high.width + low.width
                both = self._concat([inverted[0], inverted[1]])
                return self._sum(width, [self._scale_any(width, -1, both), self.const(width, -1)])
        if high.op == "ite" and low.op == "ite" and high.args[0] is low.args[0]:
            # Slices of one ite were pushed into its arms: put them together again.
            condition, h1, h2 = high.args
            _, l1, l2 = low.args
            return self.ite(high.width + low.width, condition, self._concat([h1, l1]), self._concat([h2, l2]))
        return None

    def zext(self, a: Term, width: int, to_width: int) -> Term:
        if to_width == a.width:
            return a
        return self.concat(self.const(to_width - a.width, 0), to_width - a.width, a, a.width)

    def sext(self, a: Term, width: int, to_width: int) -> Term:
        if to_width == a.width:
            return a
        if self.rewrite:
            if a.is_const:
                return self.const(to_width, CONCRETE.sext(a.number, a.width, to_width))
            if leading_zeros(a) > 0:
                return self.zext(a, a.width, to_width)
            if a.width == 1:  # a mask made of one bit
                return self.ite(to_width, self._eq_const(1, a, 1), self.const(to_width, -1), self.const(to_width, 0))
            if a.op == "sext":
                return self.sext(a.args[0], a.args[0].width, to_width)
        return self._make("sext", to_width, (a,))

    # --- arithmetic ---------------------------------------------------------------------------------------------------
    def add(self, width: int, a: Term, b: Term) -> Term:
        if not self.rewrite:
            return self._make("add", width, (a, b))
        if a.is_const and b.is_const:
            return self.const(width, a.number + b.number)
        return self._sum(width, (a, b))

    def sub(self, width: int, a: Term, b: Term) -> Term:
        if not self.rewrite:
            return self._make("add", width, (a, self._make("mul", width, (self.const(width, -1), b))))
        if a is b:
            return self.const(width, 0)
        return self._sum(width, (a, self.mul(width, self.const(width, -1), b)))

    def _sum(self, width: int, terms: Iterable[Term]) -> Term:
        coefficients: dict[Term, int] = {}
        constant = 0
        for term in terms:
            for item in self._summands(term):
                if item.is_const:
                    constant += item.number
                    continue
                factor, base = self._scaled(item)
                coefficients[base] = coefficients.get(base, 0) + factor
        mask = (1 << width) - 1
        constant &= mask
        merged = self._sum_of_choices(width, coefficients, constant)
        if merged is not None:
            return merged
        items = [
            (base, factor & mask)
            for base, factor in sorted(coefficients.items(), key=lambda entry: entry[0].ident)
            if factor & mask
        ]
        if not items:
            return self.const(width, constant)
        if len(items) + bool(constant) > 1:
            needed = (constant + sum(factor * _largest(base) for base, factor in items)).bit_length()
            if needed < width and needed <= 40:  # as narrow as the sum is
                narrow = [self._scale_any(needed, factor, self.extract(base, width, needed - 1, 0)) for base, factor in items]
                return self.zext(self._sum(needed, [*narrow, self.const(needed, constant)]), needed, width)
        parts = [base if factor == 1 else self._scale(width, factor, base) for base, factor in items]
        if constant:
            parts.append(self.const(width, constant))
        if len(parts) == 1:
            return parts[0]
        joined = self._disjoint(width, parts)
        return joined if joined is not None else self._make("add", width, tuple(parts))

    def _summands(self, term: Term) -> tuple[Term, ...]:
        """What a term is the sum of; also of one that was made narrow because it does not need its width."""
        if term.op == "add":
            return term.args
        narrow = _without_zeros(term)
        if narrow is term or narrow.op != "add":
            return (term,)
        parts = [(1, part) if part.is_const else self._scaled(part) for part in narrow.args]
        if sum(factor * _largest(part) for factor, part in parts) >> narrow.width:
            return (term,)
        wide = [self.zext(part, narrow.width, term.width) for _, part in parts]
        return tuple(self._scale_any(term.width, factor, part) for (factor, _), part in zip(parts, wide, strict=True))

    def _upper(self, term: Term) -> int:
        """A number that the term does not exceed, also where it is a sum of remainders: x - c * (x / c) is below c."""
        narrow = _without_zeros(term)
        if narrow.op != "add":
            return _largest(term)
        factors, constant = self._linear(narrow)
        mask, total = (1 << narrow.width) - 1, 0
        for base in list(factors):
            if not _divided_by_constant(base) or factors.get(base) != -base.args[1].number & mask:
                continue
            parts, extra = self._linear(base.args[0])
            if base.args[0].width == narrow.width and all(factors.get(part) == factor for part, factor in parts.items()):
                factors = {known: factor for known, factor in factors.items() if known not in parts and known is not base}
                constant, total = constant - extra & mask, total + base.args[1].number - 1
        total += constant + sum(factor * _largest(base) for base, factor in factors.items())
        return min(total, mask)

    def _linear(self, term: Term) -> tuple[dict[Term, int], int]:
        """A term as factors of other terms and a constant, modulo 2**width."""
        mask, constant = (1 << term.width) - 1, 0
        factors: dict[Term, int] = {}
        for part in term.args if term.op == "add" else (term,):
            if part.is_const:
                constant += part.number
            else:
                factor, base = self._scaled(part)
                factors[base] = factors.get(base, 0) + factor & mask
        return factors, constant & mask

    def _sum_of_choices(self, width: int, coefficients: dict[Term, int], constant: int) -> Term | None:
        """Choices on one condition are added arm by arm: (c ? a : b) + (c ? x : y) is c ? a + x : b + y. A choice between
        constants takes the constant in."""
        by_condition: dict[Term, list[Term]] = {}
        for base in coefficients:
            choice = self._choice(base)
            if choice is not None:
                by_condition.setdefault(choice[0], []).append(base)
        for condition, bases in by_condition.items():
            choices = {base: self._choice(base) for base in bases}
            arms_of = {base: choice[1:] for base, choice in choices.items() if choice is not None}
            alone = len(bases) == 1
            if alone and not (len(coefficients) == 1 and constant and all(arm.is_const for arm in arms_of[bases[0]])):
                continue
            rest = [self._scale_any(width, factor, base) for base, factor in coefficients.items() if base not in arms_of]
            extra = self.const(width, constant if alone else 0)
            then, other = (
                self._sum(
                    width, [*(self._scale_any(width, coefficients[base], arms[side]) for base, arms in arms_of.items()), extra]
                )
                for side in (0, 1)
            )
            left_over = self.const(width, 0 if alone else constant)
            return self._sum(width, [*rest, self.ite(width, condition, then, other), left_over])
        return None

    def _choice(self, term: Term) -> tuple[Term, Term, Term] | None:
        """(condition, then, other) of an ite, also of one whose leading zeros were hoisted out."""
        if term.op == "ite":
            condition, then, other = term.args
            return condition, then, other
        if term.op == "concat" and len(term.args) == 2 and term.args[1].op == "ite" and _is_zero(term.args[0]):
            condition, then, other = term.args[1].args
            return condition, self.zext(then, then.width, term.width), self.zext(other, other.width, term.width)
        return None

    def _scale_any(self, width: int, factor: int, base: Term) -> Term:
        return self.mul(width, self.const(width, factor), base)

    def _scaled(self, term: Term) -> tuple[int, Term]:
        """`term` as factor * base: the inverse of `_scale`."""
        if term.op == "mul" and term.args[0].is_const:
            rest = term.args[1:]
            return term.args[0].number, rest[0] if len(rest) == 1 else self._make("mul", term.width, rest)
        if term.op == "concat" and len(term.args) == 2 and term.args[1].is_const and term.args[1].number == 0:
            high, zeros = term.args
            if high.op == "extract" and high.number == 0 and high.args[0].width == term.width:
                return 1 << zeros.width, high.args[0]
        return 1, term

    def _scale(self, width: int, factor: int, base: Term) -> Term:
        if factor & (factor - 1) == 0 and factor:
            return self._shift_left(base, factor.bit_length() - 1)
        if base.op == "mul":
            return self._make("mul", width, (self.const(width, factor), *base.args))
        return self._make("mul", width, (self.const(width, factor), base))

    def _disjoint(self, width: int, parts: list[Term]) -> Term | None:
        """A sum or union of bit-disjoint parts as one concat, or None."""
        if not any(part.op == "concat" for part in parts):
            return None
        result = parts[0]
        for part in parts[1:]:
            merged = self._overlay(result, part)
            if merged is None:
                return None
            result = merged
        return result

    def _overlay(self, a: Term, b: Term) -> Term | None:
        """a | b when at every bit one of them is the constant 0; None otherwise."""
        out: list[Term] = []
        for x, y in self._aligned(a, b):
            if x.is_const and x.number == 0:
                out.append(y)
            elif y.is_const and y.number == 0:
                out.append(x)
            else:
                return None
        return self._concat(out)

    def _aligned(self, a: Term, b: Term) -> list[tuple[Term, Term]]:
        """Both terms cut at each other's concat boundaries, most significant first."""
        cuts = {0}
        for term in (a, b):
            at = term.width
            for part in term.args if term.op == "concat" else (term,):
                at -= part.width
                cuts.add(at)
        pieces, top = [], a.width
        for low in sorted(cuts, reverse=True):
            pieces.append((self.extract(a, a.width, top - 1, low), self.extract(b, b.width, top - 1, low)))
            top = low
        return pieces

    def remainder(self, total: Term, modulus: int) -> int | None:
        """A sum modulo a constant, where that is plain: every summand that varies is a multiple of it."""
        constant = 0
        for part in self._summands(total):
            if part.is_const:
                constant += part.number
                continue
            factor, base = self._scaled(part)
            zeros = base.args[-1].width if base.op == "concat" and _is_zero(base.args[-1]) else 0
            if (factor << zeros) % modulus:
                return None
        return constant % modulus

    def mul(self, width: int, a: Term, b: Term) -> Term:
        if not self.rewrite:
            return self._make("mul", width, (a, b))
        if b.is_const:
            a, b = b, a
        if a.is_const:
            factor = a.number
            if b.is_const:
                return self.const(width, factor * b.number)
            if factor in (0, 1):
                return a if factor == 0 else b
            if b.op == "add":
                return self._sum(width, [self.mul(width, a, part) for part in b.args])
            if b.op == "ite" and (b.args[1].is_const or b.args[2].is_const):
                return self.ite(width, b.args[0], self.mul(width, a, b.args[1]), self.mul(width, a, b.args[2]))
            inner, base = self._scaled(b)
            product = inner * factor & ((1 << width) - 1)
            if product in (0, 1):
                return self.const(width, 0) if product == 0 else base
            return self._scale(width, product, base)
        fa, x = self._scaled(a)
        fb, y = self._scaled(b)
        if fa * fb != 1:
            return self.mul(width, self.const(width, fa * fb), self.mul(width, x, y))
        factors = sorted((*_factors(a), *_factors(b)), key=_ident)
        for at, choice in enumerate(factors):
            # y * (y == 0 ? _ : q) is y * q: what guards a division is not needed in the remainder that is made of it.
            if choice.op == "ite" and any(_is_zero_test(choice.args[0], other) for other in factors):
                rest = [part for position, part in enumerate(factors) if position != at]
                return self._product(width, [choice.args[2], *rest])
        return self._make("mul", width, tuple(factors))

    def _product(self, width: int, factors: list[Term]) -> Term:
        product = factors[0]
        for factor in factors[1:]:
            product = self.mul(width, product, factor)
        return product

    def udiv(self, width: int, a: Term, b: Term) -> Term:
        if self.rewrite:
            if a.is_const and b.is_const:
                return self.const(width, CONCRETE.udiv(width, a.number, b.number))
            if b.is_const and b.number == 0:
                return self.const(width, -1)
            if b.is_const and b.number & (b.number - 1) == 0:
                return self._shift_right(a, b.number.bit_length() - 1)
            if (narrow := self._narrow_division(width, a, b)) is not None:
                return narrow
        return self._make("udiv", width, (a, b))

    def urem(self, width: int, a: Term, b: Term) -> Term:
        if self.rewrite:
            if a.is_const and b.is_const:
                return self.const(width, CONCRETE.urem(width, a.number, b.number))
            if b.is_const and b.number == 0:
                return a
            if b.is_const and b.number & (b.number - 1) == 0:
                bits = b.number.bit_length() - 1
                return self.zext(self.extract(a, width, bits - 1, 0), bits, width) if bits else self.const(width, 0)
            # x % y is x - y * (x / y), also for y = 0: compilers write it both ways.
            return self.sub(width, a, self.mul(width, b, self.udiv(width, a, b)))
        return self._make("urem", width, (a, b))

    def _narrow_division(self, width: int, a: Term, b: Term) -> Term | None:
        zeros = min(leading_zeros(a), leading_zeros(b))
        if zeros == 0 or width - zeros < 8:
            return None
        size = width - zeros
        x, y = self.extract(a, width, size - 1, 0), self.extract(b, width, size - 1, 0)
        narrow = self.zext(self.udiv(size, x, y), size, width)
        if b.is_const:
            return narrow
        return self.ite(width, self.eq(size, y, self.const(size, 0)), self.const(width, -1), narrow)

    def and_(self, width: int, a: Term, b: Term) -> Term:
        return self._bitwise("and", width, [a, b])

    def or_(self, width: int, a: Term, b: Term) -> Term:
        return self._bitwise("or", width, [a, b])

    def xor(self, width: int, a: Term, b: Term) -> Term:
        return self._bitwise("xor", width, [a, b])

    def _bitwise(self, op: str, width: int, parts: list[Term]) -> Term:
        if not self.rewrite:
            return self._make(op, width, tuple(parts))
        ones = (1 << width) - 1
        constant = ones if op == "and" else 0
        items: dict[Term, int] = {}
        for part in (piece for item in parts for piece in (item.args if item.op == op else (item,))):
            if part.is_const:
                constant = _fold(op, constant, part.number)
            else:
                items[part] = items.get(part, 0) + 1
        if op == "xor":
            items = {item: 1 for item, count in items.items() if count % 2}
        if (op == "and" and constant == 0) or (op == "or" and constant == ones) or not items:
            return self.const(width, constant)
        terms = sorted(items, key=_ident)
        neutral = ones if op == "and" else 0
        for mask in terms:
            if mask.op == "ite" and all(arm.is_const and arm.number in (0, ones) for arm in mask.args[1:]):
                others = [term for term in terms if term is not mask] + [self.const(width, constant)]
                arms = [self._bitwise(op, width, [*others, arm]) for arm in mask.args[1:]]
                return self.ite(width, mask.args[0], *arms)
        if op == "xor" and constant == ones and width > 1:  # ~x is -x - 1
            return self.sub(width, self.const(width, -1), self._bitwise(op, width, terms))
        if constant != neutral:
            if op == "and":
                return self._mask(width, self._bitwise(op, width, terms), constant)
            terms.append(self.const(width, constant))
        if len(terms) == 1:
            return terms[0]
        if op != "and":
            joined = self._disjoint(width, terms)
            if joined is not None:
                return joined
        if len(terms) == 2 and any(term.op == "concat" for term in terms):
            # Work piece by piece, so that zeros and shared slices simplify where they stand.
            return self._concat([self._bitwise(op, x.width, [x, y]) for x, y in self._aligned(*terms)])
        return self._make(op, width, tuple(terms))

    def _mask(self, width: int, a: Term, mask: int) -> Term:
        """a & mask: a concat of slices and zeros when the mask has few runs, else an and-node."""
        runs, at = [], 0
        while at < width:
            bit = mask >> at & 1
            end = at
            while end < width and (mask >> end & 1) == bit:
                end += 1
            runs.append((bit, at, end - 1))
            at = end
        if len(runs) > 7:
            return self._make("and", width, (a, self.const(width, mask)))
        return self._concat(
            self.extract(a, width, high, low) if bit else self.const(high - low + 1, 0) for bit, low, high in reversed(runs)
        )

    def _shift_left(self, a: Term, amount: int) -> Term:
        if amount == 0:
            return a
        if amount >= a.width:
            return self.const(a.width, 0)
        return self._concat([self.extract(a, a.width, a.width - amount - 1, 0), self.const(amount, 0)])

    def _shift_right(self, a: Term, amount: int) -> Term:
        if amount == 0:
            return a
        if amount >= a.width:
            return self.const(a.width, 0)
        return self._concat([self.const(amount, 0), self.extract(a, a.width, a.width - 1, amount)])

    def shl(self, width: int, a: Term, b: Term) -> Term:
        if self.rewrite and b.is_const:
            return self._shift_left(a, b.number)
        return self._make("shl", width, (a, b))

    def lshr(self, width: int, a: Term, b: Term) -> Term:
        if self.rewrite and b.is_const:
            return self._shift_right(a, b.number)
        return self._make("lshr", width, (a, b))

    def ashr(self, width: int, a: Term, b: Term) -> Term:
        if self.rewrite and b.is_const:
            amount = min(b.number, width - 1)
            if amount == 0:
                return a
            return self.sext(self.extract(a, width, width - 1, amount), width - amount, width)
        return self._make("ashr", width, (a, b))

    # --- choice -------------------------------------------------------------------------------------------------------
    def ite(self, width: int, condition: Term, then: Term, other: Term) -> Term:
        if width == BOOL:
            if self.rewrite and then is other:
                return then
            return self.any_of(self.all_of(condition, then), self.all_of(self.negate(condition), other))
        if not self.rewrite:
            return self._make("ite", width, (condition, then, other))
        if then is other:
            return then
        if condition.op == "truth":
            return then if condition.number else other
        if condition.op == "not":
            condition, then, other = condition.args[0], other, then
        if then.op == "ite" and then.args[0] is condition:
            then = then.args[1]
        if other.op == "ite" and other.args[0] is condition:
            other = other.args[2]
        if then is other:
            return then
        if then.op == "ite" and then.args[2] is other:  # ite(c, ite(d, x, y), y)
            return self.ite(width, self.all_of(condition, then.args[0]), then.args[1], other)
        if other.op == "ite" and other.args[1] is then:  # ite(c, x, ite(d, x, y))
            return self.ite(width, self.any_of(condition, other.args[0]), then, other.args[2])
        zeros = min(leading_zeros(then), leading_zeros(other))
        if 0 < zeros < width:
            size = width - zeros
            narrow = self.ite(size, condition, self.extract(then, width, size - 1, 0), self.extract(other, width, size - 1, 0))
            return self._concat([self.const(zeros, 0), narrow])
        return self._make("ite", width, (condition, then, other))

    # --- comparisons --------------------------------------------------------------------------------------------------
    def eq(self, width: int, a: Term, b: Term) -> Term:
        if not self.rewrite:
            return self._make("eq", BOOL, (a, b))
        if a is b:
            return self.true
        if a.is_const:
            a, b = b, a
        if b.is_const:
            return self._eq_const(width, a, b.number)
        if a.op == "concat" or b.op == "concat":
            pairs = self._aligned(a, b)
            if len(pairs) > 1 and all(x.is_const or y.is_const or x is y or _slices(x, y) for x, y in pairs):
                return self.all_of(*(self.eq(x.width, x, y) for x, y in pairs))
        if a.op == "add" or b.op == "add":
            difference = self.sub(width, a, b)
            if difference.is_const:
                return self.truth(difference.number == 0)
        if a.ident > b.ident:
            a, b = b, a
        return self._make("eq", BOOL, (a, b))

    def same(self, a: Term, b: Term) -> Term:
        """Equality of two terms of one sort, truths included."""
        return self.ite(BOOL, a, b, self.negate(b)) if a.width == BOOL else self.eq(a.width, a, b)

    def _eq_const(self, width: int, a: Term, value: int) -> Term:
        key = ("eq", a, value)
        term = self._memo.get(key)
        if term is None:
            term = self._memo[key] = self._eq_const_bare(width, a, value)
        return term

    def _eq_const_bare(self, width: int, a: Term, value: int) -> Term:
        match a.op:
            case "const":
                return self.truth(a.number == value)
            case "concat":
                parts, top = [], width
                for part in a.args:
                    top -= part.width
                    parts.append(self._eq_const(part.width, part, value >> top & ((1 << part.width) - 1)))
                return self.all_of(*parts)
            case "ite":
                then, other = a.args[1], a.args[2]
                if then.is_const or other.is_const:
                    return self.ite(BOOL, a.args[0], self._eq_const(width, then, value), self._eq_const(width, other, value))
            case "add" if (dividend := self._remainder(a)) is not None:
                return self._remainder_is(width, *dividend, value)
            case "add" if a.args[-1].is_const:
                rest = self._sum(width, a.args[:-1])
                return self._eq_const(width, rest, value - a.args[-1].number & ((1 << width) - 1))
            case "mul" if len(a.args) == 2 and a.args[0].is_const and a.args[0].number & 1:
                inverse = pow(a.args[0].number, -1, 1 << width)
                return self._eq_const(width, a.args[1], value * inverse & ((1 << width) - 1))
            case "xor" if a.args[-1].is_const:
                rest = self._bitwise("xor", width, list(a.args[:-1]))
                return self._eq_const(width, rest, value ^ a.args[-1].number)
            case "udiv" if value == 0 and a.args[1].is_const and a.args[1].number:
                return self.ult(width, *a.args)
            case "extract" if value == 0 and a.number + width == a.args[0].width and _divided_by_constant(a.args[0]):
                return self.ult(a.args[0].width, a.args[0], self.const(a.args[0].width, 1 << a.number))
            case "xor" if len(a.args) == 2 and width == 1:
                x, y = (self._eq_const(1, arg, 1) for arg in a.args)
                return self.ite(BOOL, x, self.negate(y) if value else y, y if value else self.negate(y))
            case "xor" if len(a.args) == 2 and value == 0:
                return self.eq(width, *a.args)
            case "or" if value == 0 and not a.args[-1].is_const:
                return self.all_of(*(self._eq_const(width, arg, 0) for arg in a.args))
            case "or" if width == 1:
                return self.any_of(*(self._eq_const(1, arg, 1) for arg in a.args))
            case "and" if width == 1:
                both = self.all_of(*(self._eq_const(1, arg, 1) for arg in a.args))
                return both if value else self.negate(both)
            case "sext":
                inner = a.args[0]
                low = value & ((1 << inner.width) - 1)
                if CONCRETE.sext(low, inner.width, width) != value:
                    return self.false
                return self._eq_const(inner.width, inner, low)
            case _:
                pass
        return self._make("eq", BOOL, (a, self.const(width, value)))

    def _remainder(self, total: Term) -> tuple[Term, int, int] | None:
        """(D, c, k) when the sum is D % c + k: that is D - c * (D / c) + k for constants c and k."""
        mask = (1 << total.width) - 1
        for part in total.args:
            if part.op == "mul" and len(part.args) == 2 and part.args[0].is_const and _divided_by_constant(part.args[1]):
                dividend, divisor = part.args[1].args
                if part.args[0].number == -divisor.number & mask:
                    rest = self._sum(total.width, [item for item in total.args if item is not part])
                    extra = self.sub(total.width, rest, dividend)
                    if extra.is_const:
                        return dividend, divisor.number, extra.number
        return None

    def _remainder_is(self, width: int, dividend: Term, divisor: int, extra: int, value: int) -> Term:
        """D % c + extra == value. Divisibility by c = odd * 2**k is a bound on D * odd**-1 rotated right by k (Hacker's
        Delight, 10-17), which is how compilers write it."""
        mask = (1 << width) - 1
        wanted = value - extra & mask
        if wanted >= divisor:
            return self.false
        if wanted:
            total = self.urem(width, dividend, self.const(width, divisor))
            return self._make("eq", BOOL, (total, self.const(width, wanted)))
        zeros = _trailing_zeros(divisor)
        product = self.mul(width, dividend, self.const(width, pow(divisor >> zeros, -1, 1 << width)))
        if zeros:
            low = self.extract(product, width, zeros - 1, 0)
            product = self._concat([low, self.extract(product, width, width - 1, zeros)])
        return self.ult(width, product, self.const(width, mask // divisor + 1))

    def ult(self, width: int, a: Term, b: Term) -> Term:
        if not self.rewrite:
            return self._make("ult", BOOL, (a, b))
        key = ("ult", a, b)
        term = self._memo.get(key)
        if term is None:
            term = self._memo[key] = self._ult(width, a, b)
        return term

    def _ult(self, width: int, a: Term, b: Term) -> Term:
        if a is b:
            return self.false
        if a.is_const and b.is_const:
            return self.truth(a.number < b.number)
        zeros = min(leading_zeros(a), leading_zeros(b))
        if zeros == width:
            return self.false
        if zeros:
            size = width - zeros
            return self.ult(size, self.extract(a, width, size - 1, 0), self.extract(b, width, size - 1, 0))
        if a.is_const:
            if a.number == (1 << width) - 1:
                return self.false
            return self.negate(self.ult(width, b, self.const(width, a.number + 1)))
        if b.is_const:
            bound = b.number
            if bound == 0:
                return self.false
            if _divided_by_constant(a):  # x / c < k is x < k * c
                limit = bound * a.args[1].number
                return self.true if limit >> width else self.ult(width, a.args[0], self.const(width, limit))
            if self._upper(a) < bound:
                return self.true
            if bound & (bound - 1) == 0:  # x < 2**k: the upper bits are zero
                low = bound.bit_length() - 1
                return self._eq_const(width - low, self.extract(a, width, width - 1, low), 0)
            if (-bound) & ((1 << width) - 1) & ((-bound) - 1 & ((1 << width) - 1)) == 0:
                # x < 2**width - 2**k: not all of the upper bits are ones
                low = ((1 << width) - bound).bit_length() - 1
                return self.negate(
                    self._eq_const(width - low, self.extract(a, width, width - 1, low), (1 << (width - low)) - 1)
                )
            if a.op == "ite" and (a.args[1].is_const or a.args[2].is_const):
                return self.ite(BOOL, a.args[0], self.ult(width, a.args[1], b), self.ult(width, a.args[2], b))
            if a.op == "concat" and a.args[-1].width < width:
                # Low bits under a bound whose low bits are zero do not matter.
                low = min(a.args[-1].width, _trailing_zeros(bound))
                if low:
                    high = self.extract(a, width, width - 1, low)
                    return self.ult(width - low, high, self.const(width - low, bound >> low))
        return self._make("ult", BOOL, (a, b))

    def slt(self, width: int, a: Term, b: Term) -> Term:
        if not self.rewrite:
            return self._make("slt", BOOL, (a, b))
        key = ("slt", a, b)
        term = self._memo.get(key)
        if term is None:
            term = self._memo[key] = self._slt(width, a, b)
        return term

    def _slt(self, width: int, a: Term, b: Term) -> Term:
        if a is b:
            return self.false
        if a.is_const and b.is_const:
            return self.truth(CONCRETE.slt(width, a.number, b.number))
        if leading_zeros(a) and leading_zeros(b):
            return self.ult(width, a, b)
        narrow = max(_sign_width(a), _sign_width(b))
        if narrow < width:
            return self.slt(narrow, self.extract(a, width, narrow - 1, 0), self.extract(b, width, narrow - 1, 0))
        if a.is_const:
            if a.number == (1 << (width - 1)) - 1:
                return self.false
            return self.negate(self.slt(width, b, self.const(width, a.number + 1)))
        if b.is_const:
            if b.number == 0:
                return self._eq_const(1, self.extract(a, width, width - 1, width - 1), 1)
            if b.number == 1 << (width - 1):
                return self.false
            if a.op == "ite" and (a.args[1].is_const or a.args[2].is_const):
                return self.ite(BOOL, a.args[0], self.slt(width, a.args[1], b), self.slt(width, a.args[2], b))
        return self._make("slt", BOOL, (a, b))

    # --- truth --------------------------------------------------------------------------------------------------------
    def negate(self, condition: Term) -> Term:
        if not self.rewrite:
            return self._make("not", BOOL, (condition,))
        if condition.op == "truth":
            return self.truth(not condition.number)
        if condition.op == "not":
            return condition.args[0]
        term = self._negations.get(condition)
        if term is None:
            term = self._negations[condition] = self._negate(condition)
        return term

    def _negate(self, condition: Term) -> Term:
        if condition.op == "eq" and condition.args[0].width == 1 and condition.args[1].is_const:
            return self._make("eq", BOOL, (condition.args[0], self.const(1, 1 - condition.args[1].number)))
        if condition.op in ("conj", "disj"):  # negation stands at the leaves only
            parts = [self.negate(arg) for arg in condition.args]
            return self.any_of(*parts) if condition.op == "conj" else self.all_of(*parts)
        return self._make("not", BOOL, (condition,))

    def all_of(self, *conditions: Term) -> Term:
        return self._connect("conj", "disj", conditions, self.true, self.false)

    def any_of(self, *conditions: Term) -> Term:
        return self._connect("disj", "conj", conditions, self.false, self.true)

    def _connect(self, op: str, dual: str, conditions: Iterable[Term], neutral: Term, absorbing: Term) -> Term:
        if not self.rewrite:
            parts = tuple(conditions)
            return parts[0] if len(parts) == 1 else self._make(op, BOOL, parts) if parts else neutral
        items = self._flat(op, conditions, neutral)
        while True:
            # In an order that is the same in every run: a negation may be a new term.
            if absorbing in items or any(self.negate(item) in items for item in sorted(items, key=_ident)):
                return absorbing
            decided = self._without_decided(op, items)
            if decided is None:
                return absorbing
            items, changed = decided, False
            kept: set[Term] = set()
            for item in sorted(items, key=_ident):
                if item.op == dual:
                    if any(arg in items for arg in item.args):
                        continue  # absorption: a & (a | b) is a
                    # a & (!a | b) is a & b
                    rest = [arg for arg in item.args if self.negate(arg) not in items]
                    if len(rest) < len(item.args):
                        smaller = self._connect(dual, op, rest, absorbing, neutral)
                        items, changed = self._flat(op, (*(items - {item}), smaller), neutral), True
                        break
                kept.add(item)
            if not changed:
                break
        factored = self._factor(op, dual, kept, neutral, absorbing)
        if factored is not None:
            return factored
        if not kept:
            return neutral
        if len(kept) == 1:
            return next(iter(kept))
        return self._make(op, BOOL, tuple(sorted(kept, key=_ident)))

    def _flat(self, op: str, conditions: Iterable[Term], neutral: Term) -> set[Term]:
        parts = (piece for item in conditions for piece in (item.args if item.op == op else (item,)))
        return {part for part in parts if part is not neutral}

    def _without_decided(self, op: str, items: set[Term]) -> set[Term] | None:
        """x == 1 decides whether x == 2: (x == 1) & !(x == 2) is x == 1, and (x == 1) & (x == 2) is false, which is None here.
        The same for a disjunction, of which it is said with every part negated."""
        positive: dict[Term, Term] = {}
        negative = []
        for item in items:
            test, negated = (item.args[0], True) if item.op == "not" else (item, False)
            if test.op != "eq" or not test.args[1].is_const:
                continue
            if negated == (op == "disj"):
                if positive.setdefault(test.args[0], test.args[1]) is not test.args[1]:
                    return None
            else:
                negative.append((item, test))
        return items - {item for item, test in negative if positive.get(test.args[0], test.args[1]) is not test.args[1]}

    def _factor(self, op: str, dual: str, items: set[Term], neutral: Term, absorbing: Term) -> Term | None:
        """(a & b) | (a & !b) is a: the merge of two branches gives back the condition above them."""
        if len(items) != 2:
            return None
        first, second = items
        left = set(first.args if first.op == dual else (first,))
        right = set(second.args if second.op == dual else (second,))
        common = left & right
        if not common:
            return None
        rest = self._connect(
            op,
            dual,
            (
                self._connect(dual, op, left - common, absorbing, neutral),
                self._connect(dual, op, right - common, absorbing, neutral),
            ),
            neutral,
            absorbing,
        )
        return self._connect(dual, op, (*common, rest), absorbing, neutral)


def _ident(term: Term) -> int:
    return term.ident


def _inverted(term: Term) -> Term | None:
    """x of ~x, which is -x - 1."""
    ones = (1 << term.width) - 1
    if term.op != "add" or len(term.args) != 2 or not term.args[1].is_const or term.args[1].number != ones:
        return None
    negative = term.args[0]
    known = negative.op == "mul" and len(negative.args) == 2 and negative.args[0].is_const and negative.args[0].number == ones
    return negative.args[1] if known else None


def _largest(term: Term) -> int:
    """A number that the term does not exceed."""
    return term.number if term.is_const else (1 << term.width - leading_zeros(term)) - 1


def _register_width(bits: int) -> int:
    """The least of 8, 16, 32 and more that holds so many bits."""
    return next((width for width in (8, 16, 32) if bits <= width), 1 << 16)


def _is_linear(term: Term) -> bool:
    return term.op == "add" or term.args[0].is_const


def _without_zeros(term: Term) -> Term:
    """The part below the leading zeros of a zero-extension."""
    return term.args[1] if term.op == "concat" and len(term.args) == 2 and _is_zero(term.args[0]) else term


def _magic_divisor(magic: int, shift: int, bits: int) -> int | None:
    """The c for which (magic * x) >> shift is x / c for every x below 2**bits."""
    if shift < bits:
        return None
    divisor = -(-(1 << shift) // magic)
    excess = magic * divisor - (1 << shift)
    return divisor if 0 <= excess <= 1 << (shift - bits) and divisor.bit_length() <= bits else None


def _is_zero_test(condition: Term, term: Term) -> bool:
    """Does the condition say that the term is zero?"""
    if condition.op != "eq" or not condition.args[1].is_const or condition.args[1].number:
        return False
    tested = condition.args[0]
    return tested is term or (term.op == "extract" and tested is term.args[0])


def _factors(term: Term) -> tuple[Term, ...]:
    return term.args if term.op == "mul" else (term,)


def _fold(op: str, a: int, b: int) -> int:
    return a & b if op == "and" else a | b if op == "or" else a ^ b


def _trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1


def _is_zero(term: Term) -> bool:
    return term.is_const and term.number == 0


def _divided_by_constant(term: Term) -> bool:
    return term.op == "udiv" and term.args[1].is_const and term.args[1].number != 0


def _slices(a: Term, b: Term) -> bool:
    """Are both slices of something, so that comparing them apart loses no structure?"""
    return a.op in ("extract", "app") and b.op in ("extract", "app")


def leading_zeros(term: Term) -> int:
    """How many of the most significant bits are known to be zero."""
    if term.op == "const":
        return term.width - term.number.bit_length()
    if term.op == "concat" and term.args[0].op == "const" and term.args[0].number == 0:
        return term.args[0].width
    if term.op == "concat" and term.args[0].op == "const":
        return term.args[0].width - term.args[0].number.bit_length()
    return 0


def _sign_width(term: Term) -> int:
    """The least width that holds the term as a signed number."""
    if term.op == "sext":
        return term.args[0].width
    if term.op == "const":
        for size in (8, 16, 32):
            if size < term.width and CONCRETE.sext(term.number & ((1 << size) - 1), size, term.width) == term.number:
                return size
        return term.width
    return min(term.width, term.width - leading_zeros(term) + 1)


def postorder(*roots: Term) -> list[Term]:
    """Every subterm once, arguments before users."""
    seen: set[Term] = set()
    order: list[Term] = []
    stack: list[tuple[Term, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        term, expanded = stack.pop()
        if expanded:
            order.append(term)
        elif term not in seen:
            seen.add(term)
            stack.append((term, True))
            stack.extend((arg, False) for arg in reversed(term.args) if arg not in seen)
    return order


def postorder_until(root: Term, known: Container[Term]) -> list[Term]:
    """Subterms of `root` that are not in `known` yet, arguments first."""
    order: list[Term] = []
    seen: set[Term] = set()
    stack: list[tuple[Term, bool]] = [(root, False)]
    while stack:
        term, expanded = stack.pop()
        if expanded:
            order.append(term)
        elif term not in seen and term not in known:
            seen.add(term)
            stack.append((term, True))
            stack.extend((arg, False) for arg in term.args)
    return order


def rebuild(t: Terms, term: Term, args: list[Term]) -> Term:
    """The term with other arguments, rewritten anew."""
    if all(new is old for new, old in zip(args, term.args, strict=True)):
        return term
    width = term.width
    match term.op:
        case "app":
            return t.app(term.name, width, *args)
        case "extract":
            return t.extract(args[0], args[0].width, term.number + width - 1, term.number)
        case "concat":
            result = args[0]
            for arg in args[1:]:
                result = t.concat(result, result.width, arg, arg.width)
            return result
        case "sext":
            return t.sext(args[0], args[0].width, width)
        case "ite":
            return t.ite(width, args[0], args[1], args[2])
        case "eq":
            return t.eq(args[0].width, args[0], args[1])
        case "ult":
            return t.ult(args[0].width, args[0], args[1])
        case "slt":
            return t.slt(args[0].width, args[0], args[1])
        case "not":
            return t.negate(args[0])
        case "conj":
            return t.all_of(*args)
        case "disj":
            return t.any_of(*args)
        case _:
            operation = {
                "add": t.add, "mul": t.mul, "and": t.and_, "or": t.or_, "xor": t.xor, "udiv": t.udiv, "urem": t.urem,
                "shl": t.shl, "lshr": t.lshr, "ashr": t.ashr,
            }[term.op]  # fmt: skip
            result = args[0]
            for arg in args[1:]:
                result = operation(width, result, arg)
            return result


def show(term: Term, depth: int = 12) -> str:
    """The term as text, cut at `depth`."""
    if term.op == "const":
        return f"{term.number:#x}:{term.width}"
    if term.op == "truth":
        return str(bool(term.number)).lower()
    if depth == 0:
        return "..."
    args = ", ".join(show(arg, depth - 1) for arg in term.args)
    if term.op == "app":
        return f"{term.name}({args})" if args else term.name
    if term.op == "extract":
        return f"{show(term.args[0], depth - 1)}[{term.number + term.width - 1}:{term.number}]"
    return f"{term.op}({args})"
