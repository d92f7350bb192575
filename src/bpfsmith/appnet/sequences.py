"""From one packet to all packets of an RPC: what has to hold of a step so that the body runs once for each RPC.

The bytecode is proved to be the step, from every state and so also from every memory of RPCs. By induction over the packets
that arrive it then follows: as long as an RPC is remembered, the body has run for it once, with the state that the RPCs before
it left, and every later packet of it, in whatever order and how often it comes, meets the fate that the body decided. The
steps of that induction are asked of the solver here, about the meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bpfsmith.appnet.evaluation import Actions, Watch
from bpfsmith.appnet.layout import Layout
from bpfsmith.appnet.packets import DECISION, FORWARDED, OPEN, UNTIL
from bpfsmith.semantics.behaviour import Behaviour
from bpfsmith.semantics.cut import light
from bpfsmith.semantics.memory import Bytes, HashMap
from bpfsmith.semantics.solver import Limits, Unsatisfiable, satisfiable
from bpfsmith.semantics.terms import Term, Terms

EVIDENCE = "by induction over any sequence of packets: the body runs once for each remembered RPC, whose packets share a fate"
_LIMITS = Limits(bitwuzla_steps=20_000)


def gap(t: Terms, step: Behaviour, layout: Layout, actions: Actions, watch: Watch) -> str | None:
    """The part of the induction that the step does not have, in a sentence; None when it has all."""
    for words, hypothesis, conclusion in _lemmas(t, step, layout, actions, watch):
        asked = [*step.preconditions, hypothesis, t.negate(conclusion)]
        if not isinstance(satisfiable(light(t, asked), _LIMITS), Unsatisfiable):
            return words
    return None


def _lemmas(t: Terms, step: Behaviour, layout: Layout, actions: Actions, watch: Watch) -> Iterator[tuple[str, Term, Term]]:
    rpc, begins, spec = watch.rpc, watch.begins, layout.rpcs
    assert rpc is not None and begins is not None and spec is not None
    assert watch.followed is not None and watch.now is not None
    after = step.hashes.get(spec.name, rpc.memory)
    decision = rpc.load(t, DECISION, 4)
    forwards = t.eq(32, step.return_value, t.const(32, actions.forward))
    same_fate = _iff(t, forwards, t.eq(32, decision, t.const(32, FORWARDED)))
    kept = t.all_of(*_same_state(t, step, layout))
    other = t.app("any RPC", 8 * spec.key_size)
    yield "what is decided of an RPC is followed", watch.followed, same_fate
    yield (
        "a packet of a decided RPC changes nothing",
        watch.followed,
        t.all_of(kept, _same_entry(t, rpc.memory, after, rpc.key)),
    )
    yield "the body does not run for a decided RPC", t.all_of(watch.followed, begins), t.false
    yield "only a packet for which the body runs changes the state", t.negate(begins), kept
    new = after.load(t, rpc.key, t.const(64, DECISION), 4)
    decided = t.all_of(after.present(t, rpc.key), t.negate(t.eq(32, new, t.const(32, OPEN))))
    until = after.load(t, rpc.key, t.const(64, UNTIL), 8)
    yield "what the body decides is remembered", begins, decided
    yield "it is remembered as what is done", begins, _iff(t, forwards, t.eq(32, new, t.const(32, FORWARDED)))
    early = t.ult(64, watch.now, t.const(64, 1 << 63))  # 292 years after the start
    yield "it is remembered for a while", t.all_of(begins, early), t.ult(64, watch.now, until)
    apart = t.negate(t.eq(other.width, other, rpc.key))
    yield "what is remembered of other RPCs stays", apart, _same_entry(t, rpc.memory, after, other)


def _iff(t: Terms, a: Term, b: Term) -> Term:
    return t.ite(0, a, b, t.negate(b))


def _same_entry(t: Terms, before: HashMap, after: HashMap, key: Term) -> Term:
    there = before.present(t, key)
    same: list[Term] = [_iff(t, there, after.present(t, key))]
    for at in range(0, before.value_size, 8):
        a, b = (side.load(t, key, t.const(64, at), 8) for side in (before, after))
        same.append(t.any_of(t.negate(there), t.eq(64, a, b)))
    return t.all_of(*same)


def _same_state(t: Terms, step: Behaviour, layout: Layout) -> Iterator[Term]:
    """Does every state variable keep its value?"""
    for section, fields in (step.observed or {}).items():
        for item in fields:
            memory = step.data.get(section)
            if memory is not None:
                yield from _same_bytes(t, section, memory, range(item.offset, item.offset + item.size))
    for spec in layout.maps.values():
        after = step.hashes.get(spec.name)
        if after is not None:
            before = HashMap.initial(t, spec.name, spec.key_size, spec.value_size)
            yield _same_entry(t, before, after, t.app(f"any key of {spec.name}", 8 * spec.key_size))


def _same_bytes(t: Terms, section: str, memory: Bytes, places: Sequence[int]) -> Iterator[Term]:
    for at in places:
        now = memory.load(t, t.const(64, at), 1)
        assert isinstance(now, Term)
        yield t.eq(8, now, t.app(f"map:{section}", 8, t.const(64, at)))
