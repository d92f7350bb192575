"""Draws that are only asked a yes-or-no question: compared by how many words say yes, not word by word.

`word < 214748365` and `word % 100 < 5` pick different words and the same share of them. Where each side asks one question of a
word, and nothing else, both questions are replaced by one coin; what is left to prove is the rest of the program, and the
verdict lists the difference in probability. (The share is counted exactly: the question is proved to be a threshold on the
word, or on the word modulo a constant.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product

from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.solver import Limits, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import BOOL, Term, Terms, postorder, postorder_until, rebuild

RANDOM = "bpf_get_prandom_u32"
WORDS = 1 << 32
TOLERANCE = 1_000_000
"""Shares agree when they differ by at most one word, or by one part in this many of the smaller one."""


@dataclass(frozen=True, slots=True)
class Coins:
    """The pairs with both sides' questions about some words replaced by coins, and what that assumes."""

    pairs: list[tuple[Term, Term]]
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tossed:
    """Ways to replace words by coins, best first (a question of share one half can also be read the other way round), and
    facts about the shares of questions that disagree."""

    ways: tuple[Coins, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Draw:
    """One word and the gate through which each side depends on it: a condition, or a single bit."""

    word: Term
    gates: tuple[Term, Term]
    counts: tuple[int, int]

    @property
    def place(self) -> str:
        return f"{RANDOM} call {self.word.args[0].number + 1}"


def toss_coins(t: Terms, pairs: list[tuple[Term, Term]], limits: Limits | None) -> Tossed:
    """Looks for words of which each side asks one question that can be counted."""
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    words = {term for term in postorder(*left) if _is_word(term)} & {term for term in postorder(*right) if _is_word(term)}
    draws: list[_Draw] = []
    for word in sorted(words, key=lambda item: item.ident):
        a, b = _gate(word, left), _gate(word, right)
        if a is None or b is None or a is b:
            continue
        same = t.same(_question(t, a), _question(t, b))
        if isinstance(satisfiable([t.negate(same)], limits), Unsatisfiable):
            continue  # word for word the same question: nothing to count
        first, second = (_count(t, word, _question(t, gate), limits) for gate in (a, b))
        if first is not None and second is not None:
            draws.append(_Draw(word, (a, b), (first, second)))
    readings = [[(draw, flipped) for flipped in _readings(draw)] for draw in draws]
    notes = tuple(_disagreement(draw) for draw, ways in zip(draws, readings, strict=True) if not ways)
    agreed = [ways for ways in readings if ways]
    if not agreed:
        return Tossed(notes=notes)
    return Tossed(tuple(_replaced(t, pairs, list(way)) for way in islice(product(*agreed), 8)), notes)


def _readings(draw: _Draw) -> list[bool]:
    """Whether the second question may be read as it stands (False), or as the negation of the first (True)."""
    a, b = draw.counts
    tolerance = max(1, min(a, WORDS - a) // TOLERANCE)
    return [flipped for flipped in (False, True) if abs(a - (WORDS - b if flipped else b)) <= tolerance]


def _disagreement(draw: _Draw) -> str:
    shares = [min(Fraction(count, WORDS), 1 - Fraction(count, WORDS)) for count in draw.counts]
    return (
        f"{draw.place}: the reference tells {float(shares[0]):.6%} of all random words from the rest, "
        f"the candidate {float(shares[1]):.6%}"
    )


def _replaced(t: Terms, pairs: list[tuple[Term, Term]], way: list[tuple[_Draw, bool]]) -> Coins:
    done: dict[Term, Term] = {}
    assumptions = []
    for draw, flipped in way:
        coin = t.app(f"coin:{draw.word.args[0].number}", BOOL)
        for gate, value in zip(draw.gates, (coin, t.negate(coin) if flipped else coin), strict=True):
            done[gate] = value if gate.width == BOOL else t.ite(1, value, t.const(1, 1), t.const(1, 0))
            if gate.width == BOOL:
                done[t.negate(gate)] = t.negate(value)
        a, b = draw.counts
        difference = Fraction(abs(a - (WORDS - b if flipped else b)), WORDS)
        assumptions.append(
            f"{draw.place}: compared by the number of words; the probabilities differ by {float(difference):.3g}"
        )
    flat = [root for pair in pairs for root in pair]
    for root in flat:
        for term in postorder_until(root, done):
            done[term] = rebuild(t, term, [done[arg] for arg in term.args])
    return Coins([(done[a], done[b]) for a, b in pairs], tuple(assumptions))


def _is_word(term: Term) -> bool:
    return term.op == "app" and term.name == RANDOM and term.args[0].is_const


def _gate(word: Term, roots: list[Term]) -> Term | None:
    """The one condition or bit through which the roots depend on the word, or None when there is another way."""
    depends: dict[Term, bool] = {}
    alone: dict[Term, bool] = {}  # no input but the word
    for term in postorder(*roots):
        depends[term] = term is word or any(depends[arg] for arg in term.args)
        alone[term] = term is word or (term.op != "app" and all(alone[arg] for arg in term.args))
    gates: set[Term] = set()
    seen: set[Term] = set()
    todo = list(roots)
    while todo:
        term = todo.pop()
        if term in seen or not depends[term]:
            continue
        seen.add(term)
        if term.width <= 1 and alone[term]:
            gates.add(term.args[0] if term.op == "not" else term)
        elif term is word:
            return None
        else:
            todo += term.args
    return gates.pop() if len(gates) == 1 else None


def _question(t: Terms, gate: Term) -> Term:
    return gate if gate.width == BOOL else t.eq(1, gate, t.const(1, 1))


def _count(t: Terms, word: Term, question: Term, limits: Limits | None) -> int | None:
    """How many words say yes; None when the question is of no shape that can be counted here."""

    def says(value: int) -> bool:
        return bool(evaluate([question], lambda name, width, args: value)[0])

    for modulus in (WORDS, *_moduli(question)):
        first = says(0)
        low, high = 0, modulus - 1
        if says(high) == first:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if says(middle) == first else (low, middle)
        rest = word if modulus == WORDS else t.urem(32, word, t.const(32, modulus))
        below = t.ult(32, rest, t.const(32, high))
        shape = below if first else t.negate(below)
        if not _agree(question, shape):
            continue
        if isinstance(satisfiable([t.negate(t.same(question, shape))], limits), Unsatisfiable):
            whole, part = divmod(WORDS, modulus)
            under = whole * high + min(part, high)
            return under if first else WORDS - under
    return None


def _agree(question: Term, shape: Term) -> bool:
    """Do they on some hundred words? Most wrong shapes need no solver to be refused."""

    def answers(word: int) -> list[int]:
        return evaluate([question, shape], lambda name, width, args: word)

    return all(len(set(answers(0x9E3779B1 * step % WORDS))) == 1 for step in range(200))


def _moduli(question: Term) -> Iterator[int]:
    """Constants by which the word may be taken modulo."""
    for term in postorder(question):
        if term.op == "udiv" and term.args[1].is_const and 1 < term.args[1].number < WORDS:
            yield term.args[1].number
            for shift in range(1, 9):  # the divisor of an even number was narrowed
                yield term.args[1].number << shift
        if term.op == "extract" and term.number == 0 and term.width < 32:
            yield 1 << term.width
