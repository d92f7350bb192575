"""Maps from eBPF: kinds, footprint, skew, updates, inlined lookups."""

from __future__ import annotations

import bisect
import itertools
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from bpfsmith.cost.bench import COPIES, Bench, Loaded, run_ns
from bpfsmith.cost.experiment import Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.cost.experiments.loops import STEPS
from bpfsmith.kernel import syscall, testrun
from bpfsmith.kernel.load import Accepted
from bpfsmith.kernel.maps import possible_cpus

_ORDER = 131_072  # ORDER of programs/walk.h
FOOTPRINTS = (1, 100, 1_000, 10_000, 100_000)
SKEWS = (0.0, 0.6, 0.9, 1.1, 1.4)
KINDS = ("array", "percpu_array", "hash", "percpu_hash", "lru_hash", "lpm")
_TITLES = {
    "array": "array", "percpu_array": "per-CPU array", "hash": "hash", "percpu_hash": "per-CPU hash", "lru_hash": "LRU hash",
    "lpm": "LPM trie",
}  # fmt: skip


def key_order(keys: int, skew: float) -> tuple[int, ...]:
    """_ORDER keys below `keys`, drawn from a Zipf distribution with exponent `skew` (0: uniform); the same ones every time."""
    draw = random.Random(f"{keys} {skew}")
    names = list(range(keys))
    draw.shuffle(names)  # popular keys lie anywhere in the map
    if skew == 0:
        # Every key as often as any other, in random order: the whole footprint is touched.
        sequence = (names * (_ORDER // keys + 1))[:_ORDER]
        draw.shuffle(sequence)
        return tuple(sequence)
    sums = list(itertools.accumulate((rank + 1) ** -skew for rank in range(keys)))
    return tuple(names[bisect.bisect(sums, draw.random() * sums[-1], hi=keys - 1)] for _ in range(_ORDER))


def lay_out(loaded: Loaded, order: tuple[int, ...]) -> None:
    """Put the keys that are to be visited into the program's memory."""
    variable = _offset(loaded, "order")
    contents = bytearray(loaded.maps.read(".bss")[bytes(4)])
    contents[variable : variable + 4 * _ORDER] = struct.pack(f"<{_ORDER}I", *order)
    start = _offset(loaded, "at")
    contents[start : start + 4] = bytes(4)
    loaded.maps.write(".bss", {bytes(4): bytes(contents)})


def fill(loaded: Loaded, program: str, keys: int) -> None:
    """Insert keys 0 to `keys` - 1 by running the fill program, STEPS keys a run."""
    contents = bytearray(loaded.maps.read(".bss")[bytes(4)])
    where, until = _offset(loaded, "from"), _offset(loaded, "until")
    contents[until : until + 4] = keys.to_bytes(4, "little")
    for first in range(0, keys, STEPS):
        contents[where : where + 4] = first.to_bytes(4, "little")
        syscall.map_update(loaded.maps.fd(".bss"), bytes(4), bytes(contents))
        testrun.run(loaded.programs[program])


def room_for(keys: int) -> dict[str, int]:
    """max_entries of each kind for so many keys.

    An LRU map evicts before it is full, since each CPU keeps free elements to itself; the other hashes get as much room, so
    that they have as many buckets.
    """
    roomy = 2 * keys + 1024 * possible_cpus()
    return {**dict.fromkeys(KINDS, max(keys, 4)), "hash": roomy, "percpu_hash": roomy, "lru_hash": roomy}


def misses(loaded: Loaded, program: str) -> int:
    """How many keys of one walk were not found: each value is 1, and the walk adds them up."""
    assert loaded.maps.object is not None
    run_ns(loaded.copies[program], tries=1)
    where = loaded.maps.object.variable("result")
    found = loaded.maps.read(where.section)[bytes(4)][where.offset : where.offset + 8]
    return STEPS - int.from_bytes(found, "little")


def _offset(loaded: Loaded, variable: str) -> int:
    assert loaded.maps.object is not None
    return loaded.maps.object.variable(variable).offset


def _walk(bench: Bench, stack: ExitStack, kinds: tuple[str, ...], keys: int, skew: float) -> tuple[Loaded, dict[str, str]]:
    """The programs of `kinds` with their maps filled, and why some cannot be measured."""
    names = ["walk_floor", *(f"walk_{kind}" for kind in kinds)]
    loaded = bench.load(
        stack, "maps.bpf.c", [*names, *(f"fill_{kind}" for kind in kinds)], entries=room_for(keys), copies=COPIES
    )
    for kind in kinds:
        if f"fill_{kind}" in loaded.programs:
            fill(loaded, f"fill_{kind}", keys)
    lay_out(loaded, key_order(keys, skew))
    unfit = dict(loaded.refused)
    for kind in kinds:
        if f"walk_{kind}" in loaded.programs and (missed := misses(loaded, f"walk_{kind}")):
            unfit[f"walk_{kind}"] = f"{missed} of {STEPS} keys are not in the map"
    return loaded, unfit


def _sampler(case: str, copies: Sequence[Accepted]) -> Action:
    def sample() -> Mapping[str, float]:
        return {case: run_ns(copies) / STEPS}

    return sample


def _by(sizes: tuple[tuple[str, int, float], ...], kinds: tuple[str, ...]) -> Callable[[Bench, ExitStack], Opened]:
    """An opener: each of `kinds` at each of the sizes (suffix, keys, skew); the floor is that of the same sequence of keys."""

    def open_(bench: Bench, stack: ExitStack) -> Opened:
        actions: list[Action] = []
        missing: list[Missing] = []
        for suffix, keys, skew in sizes:
            loaded, unfit = _walk(bench, stack, kinds, keys, skew)
            for program in ("floor", *kinds):
                name = f"walk_{program}"
                if name in unfit:
                    missing.append(Missing(f"{program}{suffix}", unfit[name]))
                else:
                    actions.append(_sampler(f"{program}{suffix}", loaded.copies[name]))
        return Opened(tuple(actions), tuple(missing))

    return open_


def _types(bench: Bench, stack: ExitStack) -> Opened:
    opened = _by((("", 100, 0.0),), KINDS)(bench, stack)
    tasks = bench.load(stack, "maps.bpf.c", ["walk_task", "walk_task_floor"], copies=COPIES)
    actions = list(opened.actions)
    missing = list(opened.missing)
    for case, program in (("task", "walk_task"), ("floor_task", "walk_task_floor")):
        if program in tasks.programs:
            actions.append(_sampler(case, tasks.copies[program]))
        else:
            missing.append(Missing(case, tasks.refused[program]))
    empty = bench.load(stack, "maps.bpf.c", ["walk_lpm"], copies=COPIES)
    lay_out(empty, key_order(100, 0))
    if "walk_lpm" in empty.programs:
        actions.append(_sampler("lpm_empty", empty.copies["walk_lpm"]))
    return Opened(tuple(actions), tuple(missing))


_DELETES = {
    "hash_delete": "hash, delete and insert", "lru_hash_delete": "LRU hash, delete and insert",
    "hash_delete_nothing": "hash, delete of a key that is not there",
}  # fmt: skip
_UPDATES = ("array", "percpu_array", "hash", "percpu_hash", "lru_hash")


def _updates(bench: Bench, stack: ExitStack) -> Opened:
    names = [f"walk_{kind}_update" for kind in _UPDATES] + [f"walk_{case}" for case in (*_DELETES, "floor")]
    loaded = bench.load(
        stack, "maps.bpf.c", [*names, *(f"fill_{kind}" for kind in _UPDATES)], entries=room_for(100), copies=COPIES
    )
    for kind in _UPDATES:
        fill(loaded, f"fill_{kind}", 100)
    lay_out(loaded, key_order(100, 0))
    actions = tuple(_sampler(name.removeprefix("walk_"), loaded.copies[name]) for name in names if name in loaded.programs)
    return Opened(actions, tuple(Missing(name.removeprefix("walk_"), why) for name, why in loaded.refused.items()))


_INLINED = ("array", "hash", "lru_hash")


def _inlining(bench: Bench, stack: ExitStack) -> Opened:
    names = ["walk_floor", *(f"walk_{kind}" for kind in _INLINED), *(f"walk_{kind}_called" for kind in _INLINED)]
    resized = {**room_for(100), **{f"{kind}_b": room_for(100)[kind] for kind in _INLINED}}
    loaded = bench.load(stack, "maps.bpf.c", [*names, *(f"fill_{kind}" for kind in _INLINED)], entries=resized, copies=COPIES)
    for kind in _INLINED:
        fill(loaded, f"fill_{kind}", 100)
    lay_out(loaded, key_order(100, 0))
    actions = tuple(_sampler(name.removeprefix("walk_"), loaded.copies[name]) for name in names if name in loaded.programs)
    return Opened(actions, tuple(Missing(name.removeprefix("walk_"), why) for name, why in loaded.refused.items()))


KEY_BYTES = (4, 8, 16, 32, 64)


def _keys(bench: Bench, stack: ExitStack) -> Opened:
    names = [f"key{size}" for size in KEY_BYTES]
    loaded = bench.load(
        stack, "maps.bpf.c", ["walk_floor", *(f"{verb}_{name}" for name in names for verb in ("walk", "fill"))], copies=COPIES
    )
    for name in names:
        fill(loaded, f"fill_{name}", 100)
    lay_out(loaded, key_order(100, 0))
    empty = bench.load(stack, "maps.bpf.c", [f"walk_{name}" for name in names], copies=COPIES)
    lay_out(empty, key_order(100, 0))
    walks = [_sampler(name, loaded.copies[f"walk_{name}"]) for name in ("floor", *names)]
    return Opened((*walks, *(_sampler(f"miss{size}", empty.copies[f"walk_key{size}"]) for size in KEY_BYTES)))


_STUDY_TYPES = {"array": 3.9, "hash": 18.8, "lru_hash": 19.2}

_SIZED = ("array", "hash", "lru_hash", "lpm")


def _sized_cases(suffixes: tuple[tuple[str, str], ...]) -> tuple[Case, ...]:
    floors = tuple(Case(f"floor{suffix}", f"the loop alone, {text}", is_floor=True) for suffix, text in suffixes)
    return floors + tuple(
        Case(f"{kind}{suffix}", f"{_TITLES[kind]}, {text}", floor=f"floor{suffix}")
        for kind in _SIZED
        for suffix, text in suffixes
    )


EXPERIMENTS = (
    Experiment(
        "maps.kinds", "maps", "Table 3", "a lookup from eBPF, 100 keys in turn", "ns",
        (
            Case("floor", "the loop alone", is_floor=True),
            *(Case(kind, _TITLES[kind], _STUDY_TYPES.get(kind), "floor") for kind in KINDS),
            Case("lpm_empty", "LPM trie without entries", None, "floor"),
            Case("floor_task", "the loop alone, raw_tp", is_floor=True),
            Case("task", "task storage", None, "floor_task"),
        ),
        _types,
        (
            Ordering("array", "hash", "an array is faster than a hash", "map implementation"),
            Ordering("array", "lru_hash", "an array is faster than an LRU hash", "map implementation"),
            Ordering("hash", "lru_hash", "a hash and an LRU hash are looked up alike", "map implementation", similar=True),
        ),
    ),
    Experiment(
        "maps.footprint", "maps", "Fig. 11", "a lookup by number of keys in use, each as often as any other", "ns",
        _sized_cases(tuple((f"@{n}", f"{n:,} key{'s' if n > 1 else ''}") for n in FOOTPRINTS)),
        _by(tuple((f"@{n}", n, 0.0) for n in FOOTPRINTS), _SIZED),
        (
            Ordering("array@100", "array@100000", "arrays slow down with their footprint", "CPU caches"),
            Ordering("hash@100", "hash@100000", "hashes slow down with their footprint", "CPU caches"),
            Ordering("lru_hash@100", "lru_hash@100000", "LRU hashes slow down with their footprint", "CPU caches"),
            Ordering("array@100000", "hash@100000", "at 100,000 keys an array is faster than a hash", "map implementation"),
        ),
        "the study gives throughput at 100,000 flows against 100: array -10.8 %, hash -30.5 %, LRU hash -22.6 %", 10,
    ),
    Experiment(
        "maps.skew", "maps", "Fig. 12", "a lookup among 100,000 keys by skew (Zipf exponent)", "ns",
        _sized_cases(tuple((f"~{s}", f"Zipf {s}") for s in SKEWS)),
        _by(tuple((f"~{s}", 100_000, s) for s in SKEWS), _SIZED),
        (
            Ordering("hash~1.4", "hash~0.0", "skew makes a large hash faster", "CPU caches"),
            Ordering("lru_hash~1.4", "lru_hash~0.0", "skew makes a large LRU hash faster", "CPU caches"),
        ),
        seconds=10,
    ),
    Experiment(
        "maps.update", "maps", "", "an update from eBPF, 100 keys in turn", "ns",
        (
            Case("floor", "the loop alone", is_floor=True),
            *(Case(f"{kind}_update", f"{_TITLES[kind]}, update", None, "floor") for kind in _UPDATES),
            *(Case(name, title, None, "floor") for name, title in _DELETES.items()),
        ),
        _updates,
        (Ordering("array_update", "hash_update", "an array is updated faster than a hash", "map implementation"),),
    ),
    Experiment(
        "maps.keys", "maps", "", "a lookup in a hash by length of the key, 100 keys in turn", "ns",
        (
            Case("floor", "the loop alone", is_floor=True),
            *(Case(f"key{size}", f"hash, keys of {size} bytes", None, "floor") for size in KEY_BYTES),
            *(Case(f"miss{size}", f"hash, keys of {size} bytes that are not there", None, "floor") for size in KEY_BYTES),
        ),
        _keys,
        (Ordering("key4", "key64", "long keys make a hash slower", "map implementation"),),
    ),
    Experiment(
        "maps.inlining", "maps", "Section 4.1", "a lookup that the verifier inlines, and one that it cannot", "ns",
        (
            Case("floor", "the loop alone", is_floor=True),
            *(Case(kind, f"{_TITLES[kind]}, inlined", None, "floor") for kind in _INLINED),
            *(Case(f"{kind}_called", f"{_TITLES[kind]}, map not known", None, "floor") for kind in _INLINED),
        ),
        _inlining,
        (
            Ordering("array", "array_called", "inlining makes an array lookup faster", "verifier"),
            Ordering("hash", "hash_called", "inlining makes a hash lookup faster", "verifier"),
        ),
        "the study: inlined lookups save 20 % (array), 8 % (hash), 4 % (LRU hash)",
    ),
)  # fmt: skip
