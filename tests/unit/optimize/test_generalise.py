"""What was found for one window becomes a rule for many, where that can be proved."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

from bpfsmith.optimize.cache import RuleCache, is_window, opened, save
from bpfsmith.optimize.generalise import generalised, text_of
from bpfsmith.optimize.rules import Rule, proved, read
from bpfsmith.optimize.search import run_steps
from bpfsmith.optimize.steps import Step, Window


def masks(first: int, second: int) -> Window:
    return Window((Step("and", 64, 0, None, first), Step("and", 64, 0, None, second)), (0,), 0, 3)


def test_numbers_become_letters() -> None:
    rule = generalised(masks(0xFF, 0x3C), (Step("and", 64, 0, None, 0x3C),))
    assert rule is not None
    assert (rule.before, rule.zeros) == ("r1 &= K; r1 &= L", ())
    assert proved(rule)


def test_shifts_keep_their_ranges() -> None:
    window = Window((Step("lsh", 64, 0, None, 48), Step("rsh", 64, 0, None, 48)), (0,), 0, 3)
    rule = generalised(window, (Step("and", 64, 0, None, 0xFFFF),))
    assert rule is not None
    assert proved(rule)
    assert "K < 64" in rule.when


def test_what_holds_for_one_number_only_is_no_rule() -> None:
    window = Window((Step("mul", 32, 0, None, 3), Step("mul", 32, 0, None, 0xAAAAAAAB - (1 << 32))), (0,), 0, 3)
    assert generalised(window, (Step("mov", 32, 0, 0, 0),)) is None


def test_the_next_window_of_the_kind_is_not_searched_for(tmp_path: Path) -> None:
    first = RuleCache({})
    assert first.shorter(masks(0xFF, 0x3C)) is not None
    assert first.generalise(dict(first.fresh)) == 1
    save(tmp_path / "rules.sqlite3", first.fresh.items())
    second = opened(tmp_path / "rules.sqlite3")
    other = masks(0xF0F0, 0x0FF0)
    steps = second.shorter(other)
    assert steps is not None and len(steps) == 1
    assert not any(is_window(key) for key in second.fresh)
    assert run_steps(steps, [0x123456789])[0] == run_steps(other.steps, [0x123456789])[0]


def test_every_step_is_read_back_from_its_text() -> None:
    random = Random(1)
    kinds = ["add", "sub", "mul", "or", "and", "xor", "lsh", "rsh", "arsh", "mov", "udiv", "umod"]
    steps = [Step("neg", 64, 0, None, 0), Step("neg", 32, 1, None, 0), Step("swap", 64, 0, None, 32)]
    steps += [Step(order, 64, 0, None, bits) for order in ("be", "le") for bits in (16, 32, 64)]
    steps += [Step("sx", width, 1, 0, bits) for width, bits in ((64, 8), (64, 32), (32, 16))]
    for what, width, src in product(kinds, (32, 64), (None, 0, 1)):
        number = random.randrange(1, 32) if what.endswith("sh") else random.choice((-1, -300, 5, 0x7FFFFFFF))
        steps.append(Step(what, width, 1, src, 0 if src is not None else number))
    for step in steps:
        for _ in range(3):  # beside others, as in a window
            window = (random.choice(steps), step, random.choice(steps))
            moved = tuple(item._replace(dst=item.dst + 1, src=None if item.src is None else item.src + 1) for item in window)
            assert read(Rule("", "; ".join(map(text_of, window)), "", "")).before == moved
