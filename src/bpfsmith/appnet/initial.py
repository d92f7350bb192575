"""What `init()` makes of the state, where that is known before the program runs."""

from __future__ import annotations

from fractions import Fraction

from bpfsmith.appnet import core, facts, fixed, meaning
from bpfsmith.appnet.evaluation import Actions, Plan
from bpfsmith.appnet.layout import layout_apart
from bpfsmith.appnet.shapes import size_of, text_bytes
from bpfsmith.semantics.terms import Term, Terms


def initial_values(element: core.Element) -> dict[str, int] | None:
    """Each scalar's raw value (as it lies in memory, unsigned) after `init`; None when `init` has to run in the kernel,
    because it reads the clock, draws, or fills a Map."""
    in_kernel = any(
        isinstance(item, core.Draw | core.Clock | core.MapGet | core.VecGet) for item in facts.expressions(element.init)
    ) or any(isinstance(item, core.MapSet | core.MapDelete | core.VecSet) for item in facts.statements(element.init))
    if in_kernel:
        return None
    t = Terms()
    scalars = [item for item in element.state if item.type.name not in ("Map", "Vec")]
    layout = layout_apart(element)
    after = meaning.behaviour(t, element, layout, Plan(), Actions(0, 0), "init").data["state"] if scalars else None
    constants = facts.constants(element)
    out = {}
    for item in scalars:
        if item.name in constants:
            out[item.name] = raw_value(constants[item.name])
            continue
        assert after is not None
        value = after.load(t, t.const(64, layout.scalars[item.name][1]), size_of(item.type))
        out[item.name] = value.number if isinstance(value, Term) and value.is_const else 0
    return out


def raw_value(constant: core.Const) -> int:
    """A constant as it lies in memory, read as an unsigned number."""
    value = constant.value
    if isinstance(value, bytes):
        return int.from_bytes(text_bytes(value, size_of(constant.type)), "little")
    if constant.type == core.FLOAT:
        return fixed.from_fraction(Fraction(value))
    return int(value) & 0xFFFFFFFF
