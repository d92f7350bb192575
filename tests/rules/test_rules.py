"""Each rewrite rule holds for all registers and numbers, its near miss does not, and it is found where it fits."""

from __future__ import annotations

import pytest

from bpfsmith.optimize.rules import RULES, Pattern, Rule, applied, near_miss, proved, read
from bpfsmith.optimize.search import run_steps
from bpfsmith.optimize.steps import Step, Window

NUMBERS = (0, 1, 2, 3, 5, 8, 16, 24, 33, 40, 48, 255, 256, 4096, -1, -256)
names = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def windows(pattern: Pattern) -> list[Window]:
    """The rule's first part with numbers for its letters, on other registers than its own."""
    holes = sorted({step.imm for step in pattern.before if step.src is None and step.imm in pattern.holes})
    registers = {register: index for index, register in enumerate(pattern.inputs)}
    for step in pattern.before:
        registers.setdefault(step.dst, len(registers))
    zeros = tuple(dict(enumerate(pattern.rule.zeros)).get(index, 0) for index in range(len(pattern.inputs)))
    found = []
    for first in NUMBERS:
        for second in NUMBERS:
            chosen = dict(zip(holes, (first, second), strict=False))
            steps = tuple(
                Step(
                    step.what,
                    step.width,
                    registers[step.dst],
                    None if step.src is None else registers[step.src],
                    chosen.get(step.imm, step.imm) if step.src is None else step.imm,
                )
                for step in pattern.before
            )
            found.append(Window(steps, zeros, registers[pattern.output], max(pattern.rule.cpu, 3)))
    return found


@names
def test_the_rule_holds(rule: Rule) -> None:
    assert proved(rule)


@names
def test_its_near_miss_does_not(rule: Rule) -> None:
    assert not proved(near_miss(rule))


@names
def test_it_is_applied_where_it_fits_and_gives_the_same(rule: Rule) -> None:
    pattern = read(rule)
    hits = 0
    for window in windows(pattern):
        steps = applied(pattern, window)
        if steps is None:
            continue
        hits += 1
        assert len(steps) <= len(window.steps)
        for value in (0, 1, 0xFF, 0x0123456789ABCDEF, (1 << 64) - 1):
            inputs = [(value ^ index) & ((1 << (64 - zeros)) - 1) for index, zeros in enumerate(window.zeros)]
            assert run_steps(steps, inputs)[window.output] == run_steps(window.steps, inputs)[window.output]
    assert hits


def test_no_two_rules_have_one_name() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
