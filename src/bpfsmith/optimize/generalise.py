"""From one window and its shorter form to a rule: numbers become letters where that can be proved for all numbers.

    r1 &= 255; r1 &= 15   ->   r1 &= 15          found by search
    r1 &= K; r1 &= L      ->   r1 &= {K & L}     what is kept

The most general form that is proved is taken: as many letters as possible, under the weakest condition of a list. What cannot
be said of other numbers than these is no rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations, product
from random import Random

from bpfsmith.ir.ops import AluKind
from bpfsmith.optimize.rules import Pattern, Rule, applied, expression_of, proved, read, truth_of
from bpfsmith.optimize.search import run_steps
from bpfsmith.optimize.steps import Step, Window

_LETTERS = "KLM"
_SIGNS = {
    AluKind.ADD: "+=", AluKind.SUB: "-=", AluKind.MUL: "*=", AluKind.OR: "|=", AluKind.AND: "&=", AluKind.XOR: "^=",
    AluKind.LSH: "<<=", AluKind.RSH: ">>=", AluKind.ARSH: "s>>=", AluKind.MOV: "=", AluKind.UDIV: "/=", AluKind.UMOD: "%=",
}  # fmt: skip
_SHIFTS = frozenset({AluKind.LSH, AluKind.RSH, AluKind.ARSH})
_OF_ONE = ("K", "-K", "64 - K", "32 - K", "(1 << K) - 1", "(1 << (64 - K)) - 1", "(1 << (32 - K)) - 1", "-(1 << K)", "1 << K")
_OF_TWO = ("K + L", "K - L", "K & L", "K | L", "K ^ L", "K * L", "K << L", "K & ((1 << L) - 1)", "K & ((1 << (64 - L)) - 1)")
_CONDITIONS_OF_ONE = ("0 < K", "K < 32", "32 < K", "31 < K", "K < 256", "K < 65536")
_CONDITIONS_OF_TWO = ("K + L < 64", "K + L < 32", "(K & L) == L", "(K & L) == 0", "K < L", "(K & ((1 << L) - 1)) == 0")
_MAX_SHIFTS = 2
"""Letters that stand for amounts of shifts: a proof goes through 64 numbers for each."""


def generalised(window: Window, found: tuple[Step, ...]) -> Rule | None:
    """The most general rule that is proved and makes `found` of the window."""
    numbers = list(dict.fromkeys(step.imm for step in window.steps if _has_number(step)))[: len(_LETTERS)]
    for count in range(len(numbers), 0, -1):
        for chosen in combinations(numbers, count):
            letters = dict(zip(_LETTERS, chosen, strict=False))
            shifted = {step.imm for step in window.steps if step.what in _SHIFTS and step.src is None}
            if len(shifted & set(chosen)) > _MAX_SHIFTS:
                continue
            for rule in _candidates(window, found, letters):
                if _is_plausible(rule, letters, window, found) and proved(rule):
                    return rule
    return None


def _has_number(step: Step) -> bool:
    return step.src is None and step.what in _SIGNS


def _candidates(window: Window, found: tuple[Step, ...], letters: Mapping[str, int]) -> Iterator[Rule]:
    names = {number: name for name, number in letters.items()}
    before = "; ".join(text_of(step, names.get(step.imm) if _has_number(step) else None) for step in window.steps)
    afters = [list(_expressions(step, letters)) if _has_number(step) else [None] for step in found]
    order = [register - 1 for register in read(Rule("", before, before, "")).inputs]
    zeros = tuple(window.zeros[register] for register in order)
    for condition in _conditions(window, letters):
        for known in dict.fromkeys(((), zeros)):
            for choice in product(*afters):
                after = "; ".join(text_of(step, text) for step, text in zip(found, choice, strict=True))
                yield Rule("learnt", before, after, "", condition, known, 4 if any(step.what == "sx" for step in found) else 1)


def text_of(step: Step, number: str | None = None) -> str:
    """The step as assembly, register 0 as r1; `number` stands in the place of its number."""
    name = "r" if step.width == 64 else "w"
    dst = f"{name}{step.dst + 1}"
    match step.what:
        case "neg":
            return f"{dst} = -{dst}"
        case "be" | "le":
            return f"{dst} = {step.what}{step.imm} {dst}"
        case "swap":
            return f"{dst} = bswap{step.imm} {dst}"
        case "sx":
            assert step.src is not None
            return f"{dst} = (s{step.imm}){name}{step.src + 1}"
        case what:
            source = f"{name}{step.src + 1}" if step.src is not None else number if number is not None else str(step.imm)
            return f"{dst} {_SIGNS[AluKind(what)]} {source}"


def _expressions(step: Step, letters: Mapping[str, int]) -> Iterator[str | None]:
    """What the number of a step could be, said with letters, and the number itself."""
    mask = (1 << step.width) - 1
    texts = [_named(text, (name,)) for name in letters for text in _OF_ONE]
    texts += [_named(text, pair) for pair in permutations(letters, 2) for text in _OF_TWO]
    for text in texts:
        if (expression_of(text, letters) - step.imm) & mask == 0:
            yield "{" + text + "}"
    yield None


def _conditions(window: Window, letters: Mapping[str, int]) -> Iterator[str]:
    """Conditions that hold of this window, the weakest first; amounts of shifts are always below the width."""
    ranges = []
    for name, number in letters.items():
        widths = [step.width for step in window.steps if step.what in _SHIFTS and step.src is None and step.imm == number]
        ranges += [f"{name} < {min(widths)}"] if widths else []
    more = [""] + [_named(text, (name,)) for name in letters for text in _CONDITIONS_OF_ONE]
    more += [_named(text, pair) for pair in permutations(letters, 2) for text in _CONDITIONS_OF_TWO]
    for text in more:
        whole = " and ".join([*ranges, *([text] if text else [])])
        if not text or truth_of(text, letters):
            yield whole


def _named(text: str, names: Sequence[str]) -> str:
    """The text with these letters for K and L."""
    return "".join({"K": names[0], "L": names[-1]}.get(letter, letter) for letter in text)


def _is_plausible(rule: Rule, letters: Mapping[str, int], window: Window, found: tuple[Step, ...]) -> bool:
    """Does the rule make of this window what was found, and does it hold on other numbers, as far as a few tell?"""
    pattern = read(rule)
    if applied(pattern, window) != found:
        return False
    random = Random(1)
    hits = 0
    for _ in range(60):
        other = _window_with(window, {letters[name]: _any(random) for name in letters}, pattern)
        steps = applied(pattern, other)
        if steps is None:
            continue
        hits += 1
        given = [random.getrandbits(64) & ((1 << (64 - zeros)) - 1) for zeros in other.zeros]
        if run_steps(steps, given)[window.output] != run_steps(other.steps, given)[window.output]:
            return False
    return hits > 1


def _any(random: Random) -> int:
    return random.choice(
        (random.randrange(64), random.getrandbits(16), random.getrandbits(31), (1 << random.randrange(31)) - 1)
    )


def _window_with(window: Window, numbers: Mapping[int, int], pattern: Pattern) -> Window:
    steps = tuple(step._replace(imm=numbers.get(step.imm, step.imm)) if _has_number(step) else step for step in window.steps)
    known = dict(zip((register - 1 for register in pattern.inputs), pattern.rule.zeros, strict=False))
    zeros = tuple(known.get(register, 0) for register in range(len(window.zeros)))
    return Window(steps, zeros, window.output, window.cpu)
