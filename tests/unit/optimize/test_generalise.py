"""What was found for one window becomes a rule for many, where that can be proved."""

from __future__ import annotations

from pathlib import Path

from bpfsmith.optimize.cache import RuleCache, is_window, opened, save
from bpfsmith.optimize.generalise import generalised
from bpfsmith.optimize.rules import proved
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
    save(tmp_path / "rules.sqlite3", first.fresh.items())
    second = opened(tmp_path / "rules.sqlite3")
    other = masks(0xF0F0, 0x0FF0)
    steps = second.shorter(other)
    assert steps is not None and len(steps) == 1
    assert not any(is_window(key) for key in second.fresh)
    assert run_steps(steps, [0x123456789])[0] == run_steps(other.steps, [0x123456789])[0]
