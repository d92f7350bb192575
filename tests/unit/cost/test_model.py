"""The model of the core: sums that add up, and what must not make a program cheaper."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfsmith.cost.model import Model, PathCost, Usage
from bpfsmith.cost.paths import paths
from bpfsmith.cost.profile import Profile, load_profile
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import MapSpec

PROFILE = load_profile()
LINES = st.lists(
    st.sampled_from(
        ("r2 += r3", "r2 *= r3", "r3 ^= r2", "*(u64 *)(r10 -8) = r2", "r4 = *(u64 *)(r10 -8)", "r5 = 7", "r2 /= r3")
    ),
    max_size=40,
)


def cost(lines: list[str], model: Model | None = None) -> PathCost:
    text = "\n".join([".section xdp", "r2 = 1", "r3 = 3", "*(u64 *)(r10 -8) = r2", *lines, "r0 = 2", "exit"])
    program = assemble(text, "test.s")[0]
    return (model or Model(PROFILE)).cost(program, paths(program).paths[0].steps)


@given(LINES)
def test_instructions_add_up_to_the_path(lines: list[str]) -> None:
    """What is said of single instructions sums to what is said of the path."""
    found = cost(lines)
    assert sum(found.per_insn.values()) == pytest.approx(found.ns)
    assert all(ns >= 0 for ns in found.per_insn.values())


@given(LINES, LINES)
def test_more_instructions_are_never_cheaper(lines: list[str], more: list[str]) -> None:
    """A path that goes on takes at least as long."""
    assert cost(lines + more).ns >= cost(lines).ns - 1e-9


def test_waiting_costs_more_than_going_side_by_side() -> None:
    """A long chain of multiplications takes longer than as many that do not wait for each other."""
    chained = ["r2 *= r3"] * 400
    apart = [f"r{2 + n % 4} = 7\nr{2 + n % 4} *= 3" for n in range(400)]
    assert cost(chained).ns > cost(apart).ns


def map_ns(kind: str, usage: Usage, verb: str = "lookup", size: int = 8) -> float:
    spec = MapSpec("m", f"BPF_MAP_TYPE_{kind}", 4, size, 1 << 20)
    return Model(PROFILE, usage).map_ns(verb, spec, {})


@pytest.mark.parametrize("kind", ["ARRAY", "HASH", "LRU_HASH", "LPM_TRIE"])
def test_a_map_costs_more_the_more_of_it_is_used(kind: str) -> None:
    """From 100 keys to 1,000, 100,000 and a million."""
    costs = [map_ns(kind, Usage(keys)) for keys in (1_000, 100_000, 1_000_000)]
    assert costs == sorted(costs)
    assert costs[-1] > costs[0]


def test_skew_helps_where_the_cache_is_too_small() -> None:
    """Popular keys stay in the cache; among few keys there is little to win."""
    assert map_ns("HASH", Usage(100_000, 1.4)) < 0.8 * map_ns("HASH", Usage(100_000, 0.0))
    assert map_ns("HASH", Usage(1, 1.4)) == map_ns("HASH", Usage(1, 0.0))


def test_kinds_stand_in_the_order_of_the_study() -> None:
    """An array is faster than a hash, and an update of a hash slower than its lookup."""
    assert map_ns("ARRAY", Usage(100)) < map_ns("HASH", Usage(100)) < map_ns("HASH", Usage(100), "update")


def test_what_the_profile_does_not_know_is_said() -> None:
    """A helper that was not measured is a guess, and named."""
    text = ".section tc\nr2 = 0\nr3 = 0\nr4 = 0\ncall bpf_skb_change_proto\nr0 = 0\nexit\n"
    program = assemble(text, "test.s")[0]
    found = Model(PROFILE).cost(program, paths(program).paths[0].steps)
    assert any("bpf_skb_change_proto is not in the profile" in text for text in found.guesses)


def ns_by_line(text: str, profile: Profile = PROFILE) -> dict[int, float]:
    program = assemble(text, "test.s")[0]
    found = Model(profile).cost(program, paths(program).paths[0].steps)
    return {insn: ns for (_, insn), ns in found.per_insn.items()}


def test_a_lock_and_its_release_cost_what_was_measured_of_both() -> None:
    """The measured pair is shared out between its two calls, not counted for each."""
    head = ".map m array key=4 value=16 max=1\n.section tc\nr2 = r10\nr2 += -4\n*(u32 *)(r10 -4) = 0\nr1 = map[m]\n"
    find = "call bpf_map_lookup_elem\nif r0 == 0 goto +5\nr6 = r0\nr1 = r6\ncall bpf_spin_lock\nr1 = r6\n"
    ns = sorted(ns_by_line(head + find + "call bpf_spin_unlock\nr0 = 0\nexit\n").values())
    assert sum(ns[-2:]) == pytest.approx(PROFILE.value("helpers", "spin_lock", 0.0), rel=0.25)


def test_atomics_cost_what_their_own_kind_was_measured_at() -> None:
    """Where an addition that returns nothing took less than one that does, and a fetching OR more, they are predicted so."""
    helpers = PROFILE.experiments["helpers"]
    ns_of = {"atomic_add": 5.0, "atomic_fetch_add": 6.0, "atomic_fetch_or": 8.0}
    cases = {**helpers.cases, **{name: replace(helpers.cases[name], value=value) for name, value in ns_of.items()}}
    profile = replace(PROFILE, experiments={**PROFILE.experiments, "helpers": replace(helpers, cases=cases)})

    def ns(line: str) -> float:
        return max(ns_by_line(f".section xdp\nr2 = 1\n*(u64 *)(r10 -8) = r2\n{line}\nr0 = 2\nexit\n", profile).values())

    add, fetch_add = ns("lock *(u64 *)(r10 -8) += r2"), ns("r2 = atomic64_fetch_add((u64 *)(r10 -8), r2)")
    assert add < fetch_add < ns("r2 = atomic64_fetch_or((u64 *)(r10 -8), r2)")


def test_a_slower_machine_is_slower_everywhere() -> None:
    """Twice the cost of an addition makes arithmetic dearer."""
    insns = PROFILE.experiments["insns"]
    doubled = {name: replace(item, value=2 * item.value) for name, item in insns.cases.items()}
    slower = replace(PROFILE, experiments={**PROFILE.experiments, "insns": replace(insns, cases=doubled)})
    lines = ["r2 += r3"] * 300
    assert cost(lines, Model(slower)).ns > 1.5 * cost(lines).ns


def test_a_key_of_narrow_stores_stalls_a_hash() -> None:
    """A hash reads its key by words: one put together from halves is waited for, one stored as words is not."""
    head = ".map m hash key=8 value=8 max=8\n.section tc\nr1 = 1\n"
    call = "r2 = r10\nr2 += -8\nr1 = map[m]\ncall bpf_map_lookup_elem\nr0 = 0\nexit\n"
    stores = {
        "words": "*(u32 *)(r10 -8) = r1\n*(u32 *)(r10 -4) = r1\n",
        "halves": "*(u32 *)(r10 -8) = r1\n*(u16 *)(r10 -4) = r1\n*(u16 *)(r10 -2) = r1\n",
    }
    model = Model(PROFILE)
    found = {name: assemble(head + text + call, "test.s")[0] for name, text in stores.items()}
    ns = {name: model.cost(item, paths(item).paths[0].steps).ns for name, item in found.items()}
    assert ns["halves"] - ns["words"] == pytest.approx(model.stall, abs=1)
