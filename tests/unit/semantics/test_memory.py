"""Symbolic memory and hash maps against their plain models: a bytearray, and a dict."""

from __future__ import annotations

import random

import pytest

from bpfsmith.semantics.evaluate import Inputs, evaluate
from bpfsmith.semantics.fork import branch
from bpfsmith.semantics.memory import Bytes, HashMap, Pointer, Region, Target, merge_bytes, merge_values
from bpfsmith.semantics.terms import Term, Terms

SIZE = 24
KEYS = range(4)


def initial(t: Terms) -> Bytes:
    return Bytes(lambda offset: t.app("memory", 8, offset))


def word(t: Terms, memory: Bytes, offset: Term, size: int) -> Term:
    value = memory.load(t, offset, size)
    assert isinstance(value, Term)
    return value


def inputs(known: dict[str, int], memory: bytes) -> Inputs:
    def value(name: str, width: int, args: tuple[int, ...]) -> int:
        return memory[args[0]] if name == "memory" else known[name]

    return value


def map_inputs(known: dict[str, int], before: dict[int, bytes]) -> Inputs:
    def value(name: str, width: int, args: tuple[int, ...]) -> int:
        if name == "map:m.present":
            return int(args[0] in before)
        if name == "map:m.value":
            return before.get(args[0], bytes(8))[args[1]]
        return known[name]

    return value


@pytest.mark.parametrize("constant_share", [1.0, 0.6], ids=["constant offsets", "any offsets"])
def test_memory_is_a_byte_array(constant_share: float) -> None:
    """Law: after any stores, branches and merges, a load gives the little-endian bytes that an array would hold."""
    for seed in range(60):
        rng, t = random.Random(seed), Terms()
        known = {f"v{i}": rng.getrandbits(64) for i in range(4)} | {f"c{i}": rng.getrandbits(1) for i in range(3)}
        known |= {f"o{i}": rng.randrange(SIZE - 8) for i in range(3)}
        start = bytes(rng.getrandbits(8) for _ in range(SIZE))

        def offset(rng: random.Random = rng, t: Terms = t) -> tuple[Term, str]:
            if rng.random() < constant_share:
                at = rng.randrange(SIZE - 8)
                return t.const(64, at), str(at)
            name = f"o{rng.randrange(3)}"
            return t.app(name, 64), name

        def number(name: str, known: dict[str, int] = known) -> int:
            return known[name] if name in known else int(name)

        symbolic, plain = initial(t), bytearray(start)
        for _ in range(rng.randrange(1, 9)):
            branches = []
            for _ in range(2):
                memory, shadow = symbolic, bytearray(plain)
                for _ in range(rng.randrange(3)):
                    (where, name), size, value = offset(), rng.choice((1, 2, 4, 8)), f"v{rng.randrange(4)}"
                    memory = memory.store(t, where, size, t.extract(t.app(value, 64), 64, 8 * size - 1, 0))
                    shadow[number(name) : number(name) + size] = known[value].to_bytes(8, "little")[:size]
                branches.append((memory, shadow))
            choice = f"c{rng.randrange(3)}"
            symbolic = merge_bytes(branch(t, t.app(choice, 0)), branches[0][0], branches[1][0])
            plain = branches[0][1] if known[choice] else branches[1][1]
        for _ in range(6):
            (where, name), size = offset(), rng.choice((1, 2, 4, 8))
            expected = int.from_bytes(plain[number(name) : number(name) + size], "little")
            assert evaluate([word(t, symbolic, where, size)], inputs(known, start)) == [expected]
        written = symbolic.written()
        if written is not None:
            assert {at for at in range(SIZE) if plain[at] != start[at]} <= written


def test_a_hash_map_is_a_dict() -> None:
    """Law: after any guarded inserts, deletes and stores into entries, presence and bytes are those of a dict."""
    for seed in range(80):
        rng, t = random.Random(seed), Terms()
        known = {f"k{i}": rng.choice(KEYS) for i in range(3)} | {f"g{i}": rng.getrandbits(1) for i in range(3)}
        known |= {f"v{i}": rng.getrandbits(64) for i in range(3)}
        before = {key: bytes(rng.getrandbits(8) for _ in range(8)) for key in KEYS if rng.random() < 0.5}

        given = map_inputs(known, before)
        symbolic, plain = HashMap.initial(t, "m", 4, 8), dict(before)
        for _ in range(rng.randrange(1, 7)):
            key, guard, value = (f"{letter}{rng.randrange(3)}" for letter in "kgv")
            holds, where, raw = known[guard], known[key], known[value].to_bytes(8, "little")
            condition, place = t.app(guard, 0), t.app(key, 32)
            kind = rng.choice(("insert", "delete", "poke", "branch"))
            if kind == "insert":
                bytes_of_value = initial(t).store(t, t.const(64, 0), 8, t.app(value, 64))
                symbolic = symbolic.insert(condition, place, bytes_of_value, t.const(32, 1))
                plain = plain | {where: raw} if holds else plain
            elif kind == "delete":
                symbolic = symbolic.delete(condition, place)
                plain = {k: v for k, v in plain.items() if not (holds and k == where)}
            elif kind == "poke":
                at, size = rng.choice(((0, 8), (0, 4), (4, 4), (2, 2), (7, 1)))
                present = t.all_of(condition, symbolic.present(t, place))
                symbolic = symbolic.poke(
                    present, place, t.const(64, at), size, t.extract(t.app(value, 64), 64, 8 * size - 1, 0)
                )
                if holds and where in plain:
                    old = plain[where]
                    plain = plain | {where: old[:at] + raw[:size] + old[at + size :]}
            else:
                other = symbolic.delete(t.true, place)
                symbolic = other.merge(condition, symbolic)
                plain = {k: v for k, v in plain.items() if not (holds and k == where)}
        for entry in KEYS:
            asked = t.const(32, entry)
            assert evaluate([symbolic.present(t, asked)], given) == [int(entry in plain)]
            if entry in plain:
                loaded = [symbolic.load(t, asked, t.const(64, at), 1) for at in range(8)]
                assert bytes(evaluate(loaded, given)) == plain[entry]


def test_the_targets_of_a_merged_pointer_exclude_each_other() -> None:
    """Law: of the guards of a pointer that came from branches exactly one holds, and leads to what that branch had."""
    t = Terms()
    regions = [Region("packet"), Region("stack", "x.0"), None]
    pointers = [Pointer((Target(t.true, region, t.const(64, at)),)) for at, region in enumerate(regions)]
    inner = merge_values(branch(t, t.app("c", 0)), pointers[0], pointers[1])
    outer = merge_values(branch(t, t.app("d", 0)), inner, pointers[2])
    assert isinstance(outer, Pointer)
    for c in (0, 1):
        for d in (0, 1):
            held = evaluate([target.guard for target in outer.targets], inputs({"c": c, "d": d}, b""))
            assert sum(held) == 1
            chosen = outer.targets[held.index(1)]
            wanted = (0 if c else 1) if d else 2
            assert chosen.region == regions[wanted]
            assert evaluate([chosen.offset], inputs({"c": c, "d": d}, b"")) == [wanted]


def test_a_pointer_and_a_number_merge_as_what_each_path_holds() -> None:
    """Law: a value that is a pointer on one path and a number on another is either, on the condition of its path."""
    t = Terms()
    condition, pointer = t.app("c", 0), Pointer((Target(t.true, Region("ctx"), t.const(64, 0)),))
    for number, is_number in ((5, True), (0, False)):
        merged = merge_values(branch(t, condition), pointer, t.const(64, number))
        assert isinstance(merged, Pointer)
        first, second = merged.targets
        assert (first.guard, first.region) == (condition, Region("ctx"))
        assert (second.guard, second.region, second.offset) == (t.negate(condition), None, t.const(64, number))
        assert second.is_number is is_number
