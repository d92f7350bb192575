"""The interpreter's own part: memory, maps, helpers and control. What ops compute is held to numbers in tests/conformance."""

from __future__ import annotations

import errno

import pytest

from bpfsmith.execution import HelperResult, RunInput, RunOutput
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.semantics import callbacks, concrete_helpers, helpers, kfuncs
from bpfsmith.semantics.concrete import BudgetExceeded, Fault, Machine, run
from bpfsmith.semantics.concrete_memory import Pointer
from bpfsmith.semantics.state import Unmodelled

PACKET = bytes(range(64))


def assembled(text: str, section: str = "xdp") -> Program:
    return assemble(text if ".section" in text else f".section {section}\n{text}", "test.s")[0]


def outcome(text: str, given: RunInput | None = None, section: str = "xdp") -> RunOutput:
    return run(assembled(text, section), given or RunInput(PACKET))


def gap(text: str, given: RunInput | None = None, section: str = "xdp") -> str:
    with pytest.raises(Unmodelled) as caught:
        outcome(text, given, section)
    return caught.value.gap


def test_prover_and_interpreter_model_the_same_calls() -> None:
    assert concrete_helpers.EXACT.keys() <= helpers.HELPERS.keys() | callbacks.CALLBACKS.keys()
    assert all(concrete_helpers.helper(number) for number in (*helpers.HELPERS, *callbacks.CALLBACKS))
    assert all(concrete_helpers.kfunc(name) for name in kfuncs.KFUNCS)


# --- the packet and the context ---------------------------------------------------------------------------------------
BOUNDS = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n"


def test_packet_bounds_are_those_of_the_input() -> None:
    assert outcome(BOUNDS + "r0 = r3\nr0 -= r2\nexit").return_value == 64


def test_the_packet_comes_back_as_it_was_left() -> None:
    assert outcome(BOUNDS + "*(u16 *)(r2 +62) = 0x1234\nr0 = 2\nexit").packet == PACKET[:62] + b"\x34\x12"


@pytest.mark.parametrize(
    "access", ["r0 = *(u16 *)(r2 +63)", "r0 = *(u8 *)(r2 -1)", "r0 = *(u8 *)(r3 +0)", "*(u64 *)(r2 +57) = 0"]
)
def test_an_access_outside_the_packet_is_a_fault(access: str) -> None:
    with pytest.raises(Fault, match=r"insn 2: \d bytes at offset"):
        outcome(BOUNDS + f"{access}\nr0 = 0\nexit")


def test_pointers_compare_as_addresses_also_before_the_packet() -> None:
    text = BOUNDS + "r2 += -8\nr0 = 1\nif r2 < r3 goto out\nr0 = 0\nout: exit"
    assert outcome(text).return_value == 1


@pytest.mark.parametrize("condition", ["w2 < w3", "r2 & r3", "w2 == 0", "r2 < 5", "r2 == 5", "r2 > r10"])
def test_a_pointer_has_no_value_to_compare(condition: str) -> None:
    assert gap(BOUNDS + f"r0 = 1\nif {condition} goto out\nr0 = 0\nout: exit") == "pointer-comparison"


def test_context_fields_have_their_names() -> None:
    given = RunInput(PACKET, ctx={"mark": 0x1_2345_6789})
    assert outcome("r0 = *(u32 *)(r1 +8)\nexit", given, "tc").return_value == 0x23456789
    assert outcome("r0 = *(u32 *)(r1 +32)\nexit", given, "tc").return_value == 0  # priority, which the input leaves out
    assert outcome("r0 = *(u32 *)(r1 +0)\nexit", given, "tc").return_value == 64  # len


def test_a_part_of_a_packet_pointer_is_not_read() -> None:
    assert gap("r0 = *(u8 *)(r1 +1)\nexit") == "unmodelled-context"


def test_metadata_ends_where_the_packet_starts() -> None:
    assert outcome("r0 = *(u32 *)(r1 +0)\nr1 = *(u32 *)(r1 +8)\nr0 -= r1\nexit").return_value == 0
    given = RunInput(PACKET, world={("packet_meta_length", ()): 4, ("packet", (2**64 - 4,)): 9})
    assert outcome("r1 = *(u32 *)(r1 +8)\nr0 = *(u8 *)(r1 +0)\nexit", given).return_value == 9


def test_what_is_stored_to_the_context_is_read_again_and_reported() -> None:
    done = outcome("*(u32 *)(r1 +8) = 7\nr0 = *(u32 *)(r1 +8)\nexit", section="tc")
    assert done.return_value == 7
    assert done.context[8] == 7


# --- the stack --------------------------------------------------------------------------------------------------------
def test_a_spilled_pointer_comes_back_whole() -> None:
    assert outcome(BOUNDS + "*(u64 *)(r10 -8) = r2\nr4 = *(u64 *)(r10 -8)\nr0 = *(u8 *)(r4 +9)\nexit").return_value == 9


@pytest.mark.parametrize("store", ["*(u8 *)(r10 -8) = 0", "*(u32 *)(r10 -4) = 0"])
def test_an_overwritten_pointer_is_lost(store: str) -> None:
    assert gap(BOUNDS + f"*(u64 *)(r10 -8) = r2\n{store}\nr4 = *(u64 *)(r10 -8)\nr0 = 0\nexit") == "leaked-pointer"


def test_the_overwriting_bytes_can_be_read() -> None:
    assert outcome(BOUNDS + "*(u64 *)(r10 -8) = r2\n*(u32 *)(r10 -8) = 7\nr0 = *(u16 *)(r10 -8)\nexit").return_value == 7


def test_a_part_of_a_pointer_is_no_number() -> None:
    assert gap(BOUNDS + "*(u64 *)(r10 -8) = r2\nr0 = *(u32 *)(r10 -8)\nexit") == "leaked-pointer"


def test_the_stack_has_512_bytes() -> None:
    assert outcome("*(u64 *)(r10 -512) = 5\nr0 = *(u64 *)(r10 -512)\nexit").return_value == 5
    assert gap("*(u64 *)(r10 -520) = 5\nr0 = 0\nexit") == "fault"
    assert gap("*(u64 *)(r10 -4) = 5\nr0 = 0\nexit") == "fault"


# --- maps -------------------------------------------------------------------------------------------------------------
def map_call(map_line: str, helper: str, key: int, value: int = 0, flags: int = 0) -> str:
    return f"""
    {map_line}
    .section xdp
            *(u32 *)(r10 -4) = {key}
            *(u64 *)(r10 -16) = {value}
            r1 = map[m]
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -16
            r4 = {flags}
            call {helper}
            exit
    """


HASH, ARRAY = ".map m hash key=4 value=8 max=2", ".map m array key=4 value=8 max=2"
ONE, TWO, SEVEN = (number.to_bytes(4, "little") for number in (1, 2, 7))


@pytest.mark.parametrize(
    ("map_line", "key", "flags", "error"),
    [
        (HASH, 1, 0, 0),
        (HASH, 1, 1, errno.EEXIST),
        (HASH, 1, 2, 0),
        (HASH, 2, 0, 0),
        (HASH, 2, 2, errno.ENOENT),
        (HASH, 1, 3, errno.EINVAL),
        (ARRAY, 1, 0, 0),
        (ARRAY, 1, 1, errno.EEXIST),
        (ARRAY, 1, 2, 0),
        (ARRAY, 2, 0, errno.E2BIG),
        (ARRAY, 2, 1, errno.E2BIG),
        (ARRAY, 1, 3, errno.EINVAL),
    ],
)
def test_updates_answer_as_the_kernel_does(map_line: str, key: int, flags: int, error: int) -> None:
    given = RunInput(PACKET, maps={"m": {ONE: bytes(8)}})
    after = outcome(map_call(map_line, "bpf_map_update_elem", key, 5, flags), given)
    assert after.return_value == -error % (1 << 32)
    stored = after.maps["m"].get(key.to_bytes(4, "little"))
    assert (stored == (5).to_bytes(8, "little")) is (error == 0)


def test_a_full_hash_takes_no_new_key_and_overwrites_old_ones() -> None:
    given = RunInput(PACKET, maps={"m": {ONE: bytes(8), TWO: bytes(8)}})
    assert outcome(map_call(HASH, "bpf_map_update_elem", 7), given).return_value == -errno.E2BIG % (1 << 32)
    assert outcome(map_call(HASH, "bpf_map_update_elem", 2, 9), given).return_value == 0


def test_deletes_answer_as_the_kernel_does() -> None:
    given = RunInput(PACKET, maps={"m": {ONE: bytes(8), TWO: bytes(8)}})
    done = outcome(map_call(HASH, "bpf_map_delete_elem", 1), given)
    assert (done.return_value, set(done.maps["m"])) == (0, {TWO})
    assert outcome(map_call(HASH, "bpf_map_delete_elem", 7), given).return_value == -errno.ENOENT % (1 << 32)
    assert outcome(map_call(ARRAY, "bpf_map_delete_elem", 1)).return_value == -errno.EINVAL % (1 << 32)


REPLACED, DELETED = "call bpf_map_update_elem", "call bpf_map_delete_elem"
TAKEN = """
            *(u32 *)(r10 -4) = 2
            r1 = map[m]
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -16
            r4 = 0
            call bpf_map_update_elem
"""


@pytest.mark.parametrize("calls", [REPLACED, f"{DELETED}\n{TAKEN}"], ids=["replaced", "deleted and its place taken"])
def test_a_pointer_into_an_entry_that_was_given_up_is_not_followed(calls: str) -> None:
    assert gap(used_after(calls), RunInput(PACKET, maps={"m": {ONE: bytes(8)}})) == "stale-value-pointer"


def test_the_bytes_of_an_entry_that_was_just_deleted_are_still_there() -> None:
    assert outcome(used_after(DELETED), RunInput(PACKET, maps={"m": {ONE: b"\x07" + bytes(7)}})).return_value == 7


def used_after(calls: str) -> str:
    return f"""
    {HASH}
    .section xdp
            *(u32 *)(r10 -4) = 1
            *(u64 *)(r10 -16) = 8
            r1 = map[m]
            r2 = r10
            r2 += -4
            call bpf_map_lookup_elem
            if r0 == 0 goto out
            r6 = r0
            r1 = map[m]
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -16
            r4 = 0
            {calls}
            r0 = *(u64 *)(r6 +0)
    out:    exit
    """


def test_values_of_an_array_lie_at_multiples_of_eight() -> None:
    text = """
    .map m array key=4 value=12 max=3
    .section xdp
            *(u32 *)(r10 -4) = 1
            r1 = map[m]
            r2 = r10
            r2 += -4
            call bpf_map_lookup_elem
            if r0 == 0 goto out
            *(u32 *)(r0 +8) = 7
            r0 = *(u32 *)(r0 +0)
    out:    exit
    """
    given = RunInput(PACKET, maps={"m": {ONE: b"\x05" + bytes(11), TWO: b"\x06" * 12}})
    after = outcome(text, given)
    assert after.return_value == 5
    assert after.maps["m"] == {bytes(4): bytes(12), ONE: b"\x05" + bytes(7) + b"\x07\0\0\0", TWO: b"\x06" * 12}


def test_a_data_section_starts_with_its_initial_value_and_rodata_stays() -> None:
    text = """
    .map .rodata array key=4 value=4 max=1 initial=2a000000 frozen
    .section xdp
            r1 = map[.rodata][0]+0
            r0 = *(u32 *)(r1 +0)
            {}
            exit
    """
    assert outcome(text.format("")).return_value == 42
    assert gap(text.format("*(u32 *)(r1 +0) = 1")) == "fault"


def test_maps_without_a_model_are_refused_when_they_are_used() -> None:
    assert gap(map_call(".map m stack_trace key=4 value=8 max=2", "bpf_map_lookup_elem", 0)) == "unmodelled-map"


def test_a_route_is_the_entry_with_the_longest_prefix() -> None:
    def key(length: int, *address: int) -> bytes:
        return length.to_bytes(4, "little") + bytes(address)

    wanted = key(32, 10, 1, 2, 3)
    text = (
        ".section xdp\n.map m lpm_trie key=8 value=8 max=4\n"
        f"*(u32 *)(r10 -8) = 32\n*(u32 *)(r10 -4) = {int.from_bytes(wanted[4:], 'little')}\n"
        "r2 = r10\nr2 += -8\nr1 = map[m]\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 +0)\nout: exit"
    )
    routes = {key(8, 10, 0, 0, 0): b"\x08", key(16, 10, 1, 0, 0): b"\x10", key(24, 10, 2, 0, 0): b"\x18"}
    values = {where: value.ljust(8, b"\0") for where, value in routes.items()}
    assert outcome(text, RunInput(PACKET, maps={"m": values})).return_value == 16
    assert outcome(text, RunInput(PACKET)).return_value == 0


# --- helpers and control ----------------------------------------------------------------------------------------------
def test_helpers_draw_from_the_input_in_call_order_and_are_counted() -> None:
    results = (
        HelperResult("bpf_get_prandom_u32", (7 << 32) + 1),
        HelperResult("bpf_ktime_get_ns", 100),
        HelperResult("bpf_get_prandom_u32", 2),
    )
    draw = "call bpf_get_prandom_u32\nr6 <<= 8\nr6 |= r0\n"
    text = "r6 = 0\n" + draw * 3 + "call bpf_ktime_get_ns\nr6 <<= 8\nr6 |= r0\nr0 = r6\nexit"
    done = outcome(text, RunInput(PACKET, helper_results=results))
    assert done.return_value == 0x01_02_00_64
    assert done.calls == {"bpf_get_prandom_u32": 3, "bpf_ktime_get_ns": 1}


def test_a_helper_without_a_model_is_named() -> None:
    with pytest.raises(Unmodelled, match="random, insn 0: helper bpf_snprintf_btf#149") as caught:
        run(assemble(".section xdp\n.program random\ncall bpf_snprintf_btf\nexit", "test.s")[0], RunInput())
    assert caught.value.gap == "unmodelled-helper"


def test_calls_and_exits_leave_nothing_in_scratch_registers() -> None:
    assert gap("r1 = 0\ncall bpf_ktime_get_ns\nr0 = r1\nexit") == "fault"
    assert gap("r2 = 0\ncall callee\nr0 = r2\nexit\n.function callee\nr0 = 0\nexit") == "fault"
    assert gap("r6 = 0\ncall callee\nexit\n.function callee\nr0 = r6\nexit") == "fault"
    assert gap("exit") == "fault"


def test_a_pointer_is_no_return_value() -> None:
    assert gap("r0 = r10\nexit") == "returned-pointer"


def test_an_endless_loop_uses_up_its_budget() -> None:
    with pytest.raises(BudgetExceeded, match="xdp, insn 2"):
        run(assembled("r0 = 0\nagain: r0 += 1\ngoto again"), RunInput(), budget=100)


def test_a_long_loop_ends() -> None:
    assert outcome("r0 = 0\nagain: r0 += 1\nif r0 != 70000 goto again\nexit").return_value == 70000


def test_an_observer_sees_every_instruction_before_it_is_executed() -> None:
    seen: list[tuple[str, int, object]] = []

    def observe(machine: Machine) -> None:
        seen.append((machine.function, machine.insn_idx, machine.registers[0]))
        assert isinstance(machine.registers[10], Pointer)

    program = assembled(".section xdp\n.program p\nr0 = 1\ncall f\nexit\n.function f\nr0 = 2\nexit")
    run(program, RunInput(), observe=observe)
    assert seen == [("p", 0, None), ("p", 1, 1), ("f", 0, 1), ("f", 1, 2), ("p", 2, 2)]


@pytest.mark.parametrize(
    "use",
    ["r0 = -r0", "r0 = be16 r0", "w1 = w0", "r0 *= 2", "r0 += r0", "r1 = (s8)r0", "lock *(u64 *)(r10 -8) += r0"],
)
def test_what_a_pointer_has_no_number_for_is_not_computed(use: str) -> None:
    assert gap(f"r0 = r10\n{use}\nr0 = 0\nexit") == "pointer-arithmetic"
