"""What a proof of a step takes for granted, in sentences for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bpfsmith.appnet import core, facts
from bpfsmith.appnet.core import BOOL, Element
from bpfsmith.appnet.evaluation import CLOCK, RANDOM, Actions, Plan
from bpfsmith.appnet.layout import Layout
from bpfsmith.appnet.packets import Packets

_UNREADABLE = {"forward": "forwarded as it is", "drop": "dropped"}


@dataclass(frozen=True, slots=True)
class Told:
    """The step that is spoken of."""

    element: Element
    layout: Layout
    body: str
    plan: Plan
    actions: Actions
    used_float: bool

    @property
    def statements(self) -> tuple[core.Stmt, ...]:
        return self.element.body(self.body)


def assumed(step: Told, constants: Mapping[str, core.Const]) -> tuple[str, ...]:
    """The assumptions of one step: its invariant, its message, what helpers give, what numbers are."""
    return (*_invariant(step, constants), *_message(step), *_around(step))


def _invariant(step: Told, constants: Mapping[str, core.Const]) -> Iterator[str]:
    if step.body == "init":
        yield "init runs once, before the first packet, on zeroed state"
    for name, value in constants.items():
        yield f"invariant: {name} = {facts.shown(value)} (set by init, never changed)"
    kept = [item for item in step.element.state if item.name in step.layout.scalars]
    for item in kept:
        if item.type == BOOL and item.name not in constants:
            yield f"invariant: {item.name} is stored as 0 or 1 (init and every step keep it so)"
    for item in kept:
        if item.type.name == "Vec":
            yield f"invariant: {item.name} has at most {item.max_entries} items (init and every step keep it so)"
            if item.name in facts.written(step.statements):
                yield f"what is appended to {item.name} when it has {item.max_entries} items is lost"


def _message(step: Told) -> Iterator[str]:
    binding = step.element.binding
    if binding is None or step.body == "init":
        return
    around, words = binding.envelope, "requests to" if step.body == "req" else "responses from"
    yield (
        f"messages are {words} {around.transport.upper()} port {binding.port} over {around.words}, "
        f"{'one segment each' if around.slides else 'in one piece'}; all else is forwarded unseen"
    )
    if around.slides:
        yield "what spans segments or shares one with another message is not told apart"
        if facts.answers(step.statements):
            yield (
                "a segment that is dropped is sent again by its sender's TCP, which sees a delay and no error"
                + ("" if binding.packets else ", and is decided anew each time (a binding with [packets] remembers)")
            )
    if binding.packets is not None:
        yield from _packets(step, binding.packets)
    if facts.needs_message(step.statements):
        then = _UNREADABLE[binding.unreadable]
        yield f"a message whose fields cannot be read, or are longer than the binding admits, is {then}"
    if any(item.kind == "record" for item in binding.needed(step.body, facts.fields_read(step.statements))):
        yield "protobuf fields come in the order of their numbers, and once where not repeated, as serializers write them"
    if binding.reply is not None and facts.answers(step.statements) and step.actions.reply is not None:
        yield "an error goes back to its sender: addresses and ports change places, the UDP checksum becomes 0 (RFC 768)"
    if facts.fields_set(step.statements):
        yield "where a field is set, the UDP checksum becomes 0: none computed (RFC 768)"


def _packets(step: Told, packets: Packets) -> Iterator[str]:
    assert step.layout.rpcs is not None
    name, entries = step.layout.rpcs.name, step.layout.rpcs.max_entries
    yield (
        f"an RPC is remembered in {name} for {packets.life_ns / 10**9:g} s from its first packet on, in an LRU map of "
        f"{entries} entries that takes each new one and forgets the least used: what is forgotten is an RPC not seen"
    )
    if packets.number:
        yield f"a packet whose RPC is not decided, and that does not help to decide it, is {_UNREADABLE[packets.early]}"
    binding = step.element.binding
    wanted = facts.fields_read(step.statements) | facts.fields_set(step.statements)
    if binding is not None and binding.parts(step.body, wanted).several:
        yield "packets that come before a decision are forwarded: who receives an RPC does so only with all of its packets"


def _around(step: Told) -> Iterator[str]:
    for name, spec in step.layout.maps.items():
        if name in facts.written(step.statements):
            yield f"precondition: map {name} never fills up (it holds {spec.max_entries} entries)"
    expressions = list(facts.expressions(step.statements))
    if any(isinstance(expr, core.Draw) for expr in expressions):
        yield f"{RANDOM} gives independent uniform 32-bit words (a probability is exact to 2^-32)"
    reads_clock = any(isinstance(expr, core.Clock) for expr in expressions)
    if reads_clock:
        yield f"{CLOCK} does not go back"
    if RANDOM in step.plan.ahead:
        yield "random words are drawn before the step, one for each randomf in the text; unused ones are discarded"
    if reads_clock and facts.written(step.statements):
        yield "the clock may be read before the state is locked: another CPU's step may have seen a later instant"
    if CLOCK in step.plan.ahead:
        yield "the clock is read before the step, once for each current_time in the text"
    if step.used_float:
        yield "float is fixed point: 32 fractional bits, range +-2^31, saturating; each operation errs by less than 2^-31"
