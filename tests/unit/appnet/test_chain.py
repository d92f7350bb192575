"""Chains: the elements one behind the other, each as if it ran alone on what the one before it forwards."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bpfsmith.appnet import core, interpreter
from bpfsmith.appnet.binding_file import binding
from bpfsmith.appnet.chain import chained
from bpfsmith.appnet.numbers import FixedNumbers
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.appnet.wire import Message
from bpfsmith.diagnostic import InputError, Unsupported
from bpfsmith.source import SourceText

NUMBERS = FixedNumbers()
BINDING = binding("c", {"port": 1, "fields": {"x": "u8", "user": "text8(7)"}})
PARTS = {
    "limit": (
        "state:\n    n: uint\ninit():\n    n = 2\nreq(rpc):\n    x = get(rpc, 'x')\n    match n > 40 or x == 3:\n"
        "        true => send(err('l'), Up)\n        false => n = n + x\n    send(rpc, Down)\n"
        "resp(rpc):\n    match n > 0:\n        true => n = n - 1\n"
    ),
    "early": (
        "state:\n    n: uint\n    m: Map<string, uint>\ninit():\n    pass\nreq(rpc):\n    match get(m, get(rpc, 'user')):\n"
        "        Some(x) =>\n            set(m, get(rpc, 'user'), x + 1)\n            match x > 3:\n"
        "                true => send(rpc, Down)\n    n = n + 1\n    set(m, get(rpc, 'user'), n)\n"
    ),
    "draws": (
        "state:\n    drops: uint\n    @size(9)\n    log: Vec<float>\ninit():\n    pass\nreq(rpc):\n    x = randomf(0.0, 1.0)\n"
        "    match x < 0.3 and randomf(0.0, 4.0) < 2.0:\n        true =>\n            drops = drops + 1\n"
        "            append(log, x)\n            send(err('d'), Drop)\n        false => send(rpc, Pass)\n"
        "resp(rpc):\n    match randomf(0.0, 1.0) < 0.5:\n        true => drops = drops + 1\n"
    ),
}


def element(name: str) -> core.Element:
    return type_check(SourceText(f"{name}.appnet", PARTS[name]), BINDING).element


def begun(one: core.Element) -> dict[str, Any]:
    return interpreter.run(one, "init", interpreter.initial_state(one, NUMBERS), iter(()), iter(()), NUMBERS).state


@pytest.mark.parametrize(
    "names",
    [("limit", "early"), ("early", "draws", "limit"), ("draws", "draws"), ("limit", "limit", "early", "draws")],
    ids=str,
)
def test_a_chain_is_its_elements_one_behind_the_other(names: tuple[str, ...]) -> None:
    """Law: a chain decides and keeps what its elements do, one after the other until one refuses; responses go back."""
    source = random.Random(str(names))
    parts = [element(name) for name in names]
    whole = chained(parts)
    apart, together = [begun(part) for part in parts], begun(whole)
    for _ in range(300):
        body = source.choice(("req", "req", "resp"))
        message = Message({"x": source.randrange(6), "user": source.choice((b"a", b"b", b"c"))}, 9)
        words = [source.getrandbits(32) for _ in range(16)]
        left, forwarded = iter(words), True
        order = range(len(parts)) if body == "req" else reversed(range(len(parts)))
        for index in order:
            if body in parts[index].steps and forwarded:
                done = interpreter.run(parts[index], body, apart[index], left, iter(()), NUMBERS, message)
                apart[index], forwarded = done.state, done.forwarded
        done = interpreter.run(whole, body, together, iter(words), iter(()), NUMBERS, message)
        together = done.state
        assert done.forwarded == forwarded
        assert list(together.values()) == [value for state in apart for value in state.values()]


def test_what_cannot_be_chained_is_refused() -> None:
    """Law: a chain that nothing gets through, or whose elements read different messages, is an error."""
    wall = type_check(
        SourceText("wall.appnet", "state:\n    pass\ninit():\n    pass\nreq(rpc):\n    send(err('x'), Up)\n"), BINDING
    ).element
    with pytest.raises(InputError) as caught:
        chained([wall, element("limit")])
    assert caught.value.diagnostics[0].id == "chain-order"
    other = type_check(SourceText("limit.appnet", PARTS["limit"]), binding("o", {"port": 2, "fields": {"x": "u8"}})).element
    with pytest.raises(InputError) as caught:
        chained([element("early"), other])
    assert caught.value.diagnostics[0].id == "chain-binding"
    division = "state:\n    n: int\ninit():\n    pass\nreq(rpc):\n    n = 7 / n\n"
    divides = type_check(SourceText("d.appnet", division), BINDING).element
    with pytest.raises(Unsupported) as refused:
        chained([element("limit"), divides])
    assert refused.value.diagnostics[0].id == "unsupported-chain"
