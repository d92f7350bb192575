"""A fused pair is proved to be the pair; what is not is told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.semantics.verdict import Different, Equal
from bpfsmith.trace import proof
from bpfsmith.trace.against import compared
from bpfsmith.trace.forms import Form, kernel_of
from bpfsmith.trace.fuse import FusedObject, fuse
from bpfsmith.trace.pairs import KeyClass
from bpfsmith.trace.relation import Side, State
from bpfsmith.trace.rewriting import Storage
from bpfsmith.trace.sharing import Users
from bpfsmith.trace.specialise import known_of, with_values
from tests.unit.trace.probes import STORE, TAKE, pair

EXAMPLES = Path(__file__).parents[3] / "examples" / "pairs"
KERNEL = kernel_of("6.18")
FILTER = "if (bpf_get_current_pid_tgid() >> 32 != 42) return 0;"


SPEC = read_object(pair(STORE, TAKE)).map("start")
STATE = State(SPEC, KeyClass.TID)


def fused(data: bytes, form: Form) -> FusedObject:
    return fuse(data, "test.o", KERNEL, here=False, only=frozenset({form}))


@pytest.mark.parametrize("form", [Form.SESSION, Form.SESSION_STORAGE, Form.TASK_STORAGE])
@pytest.mark.parametrize("entry", [STORE, FILTER + STORE])
def test_every_form_of_a_latency_pair_is_proved(form: Form, entry: str) -> None:
    made = fused(pair(entry, TAKE), form)
    (outcome,) = made.outcomes
    assert outcome.form is form
    assert isinstance(outcome.verdict, Equal)
    sections = [program.section for program in made.obj.programs]
    assert sections == (["uprobe", "uretprobe"] if form is Form.TASK_STORAGE else ["uprobe.session"])


SOCKET = ("tp_btf/inet_sock_set_state", "tp_btf/inet_sock_set_state")
BY_SOCKET = "HASH(start, u64, u64);"


def by_socket(code: str, argument: int = 0) -> str:
    return f"if (ctx[2] == tid) return 0; u64 sk = ctx[{argument}]; " + code.replace("&tid", "&sk")


def test_the_state_of_a_socket_can_be_kept_on_it() -> None:
    (outcome,) = fused(pair(by_socket(STORE), by_socket(TAKE), BY_SOCKET, SOCKET), Form.OBJECT_STORAGE).outcomes
    assert isinstance(outcome.verdict, Equal)
    assert set(proof.OBJECTS) <= set(outcome.verdict.assumptions)
    for other in (by_socket(STORE, 1), by_socket(STORE.replace("&start, &tid", "&start, &now"))):
        assert all(
            item.form is None for item in fused(pair(other, by_socket(TAKE), BY_SOCKET, SOCKET), Form.OBJECT_STORAGE).outcomes
        )


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("way_in", by_socket(STORE.replace("&now, 0", "&total, 0"))),
        ("way_out", by_socket(TAKE.replace("total +=", "total -="))),
    ],
)
def test_storage_on_the_object_of_another_pair_is_never_equal(name: str, broken: str) -> None:
    entry, exit_ = (broken, by_socket(TAKE)) if name == "way_in" else (by_socket(STORE), broken)
    original = read_object(pair(by_socket(STORE), by_socket(TAKE), BY_SOCKET, SOCKET))
    made = fused(pair(entry, exit_, BY_SOCKET, SOCKET), Form.OBJECT_STORAGE).obj
    state, storage = State(original.map("start"), KeyClass.POINTER, 0), Storage("start", 8, "sk")
    step = proof.task_storage(Side(original.program(name), original), Side(made.program(name), made), state, storage)
    assert not isinstance(step.verdict, Equal)


BESIDE = """
HASH(start, u32, u64); HASH(other, u32, u64);
SEC("uprobe/g") int in_g(u64 *ctx) { u32 tid = bpf_get_current_pid_tgid(); u64 now = NOW; bpf_map_update_elem(&other, &tid, &now, 0); return 0; }
SEC("uretprobe/g") int out_g(u64 *ctx) { u32 tid = bpf_get_current_pid_tgid(); u64 *at = bpf_map_lookup_elem(&other, &tid);
    if (at) total -= *at; bpf_map_delete_elem(&other, &tid); return 0; }
"""  # noqa: E501


def test_two_maps_of_a_program_become_storage_together() -> None:
    """The exit of f also looks into what g has left."""
    taking = "u64 *g = bpf_map_lookup_elem(&other, &tid); if (g) total += *g;" + TAKE
    made = fused(pair(STORE, taking, BESIDE, ("uprobe/f", "uretprobe/f")), Form.TASK_STORAGE)
    assert [outcome.form for outcome in made.outcomes] == [Form.TASK_STORAGE] * 2
    assert all(isinstance(outcome.verdict, Equal) for outcome in made.outcomes)
    original = read_object(pair(STORE, taking.replace("+= *g", "-= *g"), BESIDE, ("uprobe/f", "uretprobe/f")))
    sides = (Side(original.program("way_out"), original), Side(made.obj.program("way_out"), made.obj))
    also = [(State(original.map("other"), KeyClass.TID), Storage("other", 8))]
    assert not isinstance(proof.task_storage(*sides, STATE, Storage("start", 8), also=also).verdict, Equal)


def test_formats_of_messages_are_as_they_stand_and_constants_are_not() -> None:
    """A program that prints is proved, and one that reads a constant of the loader's is not proved for its default alone."""
    printing = 'static const char text[] = "took %llu"; bpf_trace_printk(text, sizeof(text), NOW - *at);'
    maps = "static long (*bpf_trace_printk)(const char *, u32, ...) = (void *)6; const volatile u32 limit = 0;"
    maps += "HASH(start, u32, u64);"
    (outcome,) = fused(pair(STORE, TAKE.replace("total +=", printing + " total +="), maps), Form.TASK_STORAGE).outcomes
    assert isinstance(outcome.verdict, Equal)
    original = read_object(pair("if (limit) return 0;" + STORE, TAKE, maps))
    made = fused(pair(STORE, TAKE, maps), Form.TASK_STORAGE).obj
    step = proof.task_storage(
        Side(original.program("way_in"), original), Side(made.program("way_in"), made), STATE, Storage("start", 8)
    )
    assert not isinstance(step.verdict, Equal)


def test_a_function_that_the_kernel_may_lack_is_the_same_for_both_forms() -> None:
    declared = 'extern void *bpf_task_from_pid(int) __attribute__((weak, section(".ksyms"))); HASH(start, u32, u64);'
    asks = "if (!bpf_task_from_pid) return 0;" + STORE
    (outcome,) = fused(pair(asks, TAKE, declared), Form.TASK_STORAGE).outcomes
    assert isinstance(outcome.verdict, Equal)
    original = read_object(pair(asks, TAKE, declared))
    made = fused(pair(asks.replace("!", ""), TAKE, declared), Form.TASK_STORAGE).obj
    sides = Side(original.program("way_in"), original), Side(made.program("way_in"), made)
    assert not isinstance(proof.task_storage(*sides, STATE, Storage("start", 8)).verdict, Equal)


FUNCTION = ("fentry/do_unlinkat", "fexit/do_unlinkat")


@pytest.mark.parametrize("form", [Form.SESSION, Form.SESSION_STORAGE])
def test_a_session_of_a_function_runs_its_exit_for_calls_that_are_passed_over_too(form: Form) -> None:
    """fsession has to return 0: what the entry passes over, the exit has to see."""
    made = fuse(pair(FILTER + STORE, TAKE, hooks=FUNCTION), "test.o", kernel_of("7.2"), here=False, only=frozenset({form}))
    (outcome,) = made.outcomes
    assert outcome.form is form
    assert isinstance(outcome.verdict, Equal)
    assert (proof.NOT_ZERO in outcome.verdict.assumptions) is (form is Form.SESSION)
    early = fused(pair(FILTER + STORE, TAKE), form).obj  # the same of a uprobe's, which returns 1
    state, storage = STATE, Storage("start", 8) if form is Form.SESSION_STORAGE else None
    original = read_object(pair(FILTER + STORE, TAKE, hooks=FUNCTION))
    halves = (Side(original.program("way_in"), original), Side(original.program("way_out"), original))
    steps = proof.session(Users(state, (halves,)), *halves, Side(early.program("way_in"), early), storage, early_out=False)
    assert not isinstance(proof.summary(steps), Equal)


KEEP = "u64 now = ctx[1]; if (now == 7) return 0; bpf_map_update_elem(&start, &tid, &now, 0);"


def test_state_that_is_only_an_argument_is_read_again_at_the_exit() -> None:
    made = fused(pair(FILTER + KEEP, TAKE, hooks=FUNCTION), Form.REREAD)
    (outcome,) = made.outcomes
    assert outcome.form is Form.REREAD
    assert isinstance(outcome.verdict, Equal)
    assert [program.section for program in made.obj.programs] == ["fexit/do_unlinkat"]


@pytest.mark.parametrize(
    ("entry", "exit_"),
    [
        (STORE, TAKE),
        (KEEP + "total += 1;", TAKE),
        (KEEP.replace("ctx[1]", "*(u64 *)ctx[1]"), TAKE),
        (KEEP, TAKE.replace("bpf_map_delete_elem(&start, &tid);", "")),
    ],
)
def test_state_that_may_have_changed_is_not_read_again(entry: str, exit_: str) -> None:
    (outcome,) = fused(pair(entry, exit_, hooks=FUNCTION), Form.REREAD).outcomes
    assert outcome.form is None


def test_arguments_read_again_for_another_pair_are_never_equal() -> None:
    original = read_object(pair(KEEP, TAKE, hooks=FUNCTION))
    way_in, way_out = (Side(original.program(name), original) for name in ("way_in", "way_out"))
    for entry, exit_ in (
        (KEEP.replace("== 7", "== 8"), TAKE),
        (KEEP.replace("ctx[1]", "ctx[0]"), TAKE),
        (KEEP, TAKE.replace("+=", "-=")),
    ):
        made = fused(pair(entry, exit_, hooks=FUNCTION), Form.REREAD).obj
        steps = proof.reread(way_in, way_out, Side(made.program("way_out"), made), STATE)
        assert not isinstance(proof.summary(steps), Equal)


def test_what_the_object_holds_beside_the_pair_stays_as_it_is() -> None:
    data = pair(STORE, TAKE, 'HASH(start, u32, u64); u32 other = 7; SEC("tc") int bystander(void *c) { return other; }')
    before, after = read_object(data), fused(data, Form.SESSION).obj
    assert after.program("bystander").insns == before.program("bystander").insns
    assert [spec.name for spec in after.maps] == [spec.name for spec in before.maps]
    assert after.variable("other") == before.variable("other")
    assert after.license == before.license


def test_pairs_that_share_their_sections_and_their_map_become_sessions() -> None:
    """Their programs leave the sections, in which others stay; what uses the map for itself has to leave nothing in it."""
    leaving = TAKE.replace("bpf_map_delete_elem(&start, &tid);", "")
    for alone, proved in ((STORE + TAKE, True), (STORE + leaving, False)):
        bodies = (
            ("uprobe", "f_enter", STORE), ("uprobe", "bystander", "total += 1;"), ("uprobe", "g_enter", FILTER + STORE),
            ("uretprobe", "f_exit", TAKE), ("uretprobe", "g_exit", TAKE), ("tp_btf/kfree", "alone", alone),
        )  # fmt: skip
        programs = "\n".join(
            f'SEC("{hook}") int {name}(u64 *ctx) {{ u32 tid = bpf_get_current_pid_tgid(); {body} return 0; }}'
            for hook, name, body in bodies
        )
        made = fused(pair("", "", f"HASH(start, u32, u64);\n{programs}", ("tc", "tc")), Form.SESSION)
        forms = {outcome.pair.name: outcome.form for outcome in made.outcomes}
        assert forms == dict.fromkeys(("f_enter -> f_exit", "g_enter -> g_exit"), Form.SESSION if proved else None)
        if proved:
            sections = {item.name: item.section for item in made.obj.programs if item.section != "tc"}
            moved = dict.fromkeys(("f_enter", "g_enter"), "uprobe.session")
            assert sections == {"bystander": "uprobe", "alone": "tp_btf/kfree", **moved}
            assert any(insn.span is not None for insn in made.obj.program("g_enter").insns)
            said = [item.verdict.assumptions for item in made.outcomes if isinstance(item.verdict, Equal)]
            assert all(any(text.startswith("alone use") for text in texts) for texts in said)


CONFIGURED = (
    "static u64 (*bpf_get_attach_cookie)(void *) = (void *)174; const volatile u32 targ = 0; const volatile u32 other = 0;"
    "HASH(start, u32, u64);"
)
ASKS = "if (targ && bpf_get_current_pid_tgid() >> 32 != targ) return 0;"


@pytest.mark.parametrize("form", [Form.SESSION, Form.SESSION_STORAGE, Form.TASK_STORAGE])
def test_what_is_known_is_folded_in_and_what_was_asked_before_is_not_asked_again(form: Form) -> None:
    data = pair(ASKS + "if (bpf_get_attach_cookie(ctx) != 7) return 0;" + STORE, ASKS + TAKE, CONFIGURED)
    known = known_of(read_object(data), ("targ=42", "way_in.cookie=7"))
    made = fuse(data, "test.o", KERNEL, here=False, only=frozenset({form}), known=known)
    (outcome,) = made.outcomes
    assert isinstance(outcome.verdict, Equal)
    assert set(known.said()) <= set(outcome.verdict.assumptions)
    assert outcome.special is not None
    assert outcome.special.slots_after < 0.75 * outcome.special.slots_before
    assert outcome.special.checks_removed == (form is not Form.TASK_STORAGE)
    variable = made.obj.variable("targ")
    assert (made.obj.map(".rodata").initial or b"")[variable.offset :][:4] == (42).to_bytes(4, "little")
    reads = [insn.symbol for program in made.obj.programs for insn in program.insns if insn.symbol == ".rodata"]
    assert not reads


def test_a_program_for_one_configuration_is_not_equal_in_another() -> None:
    data = pair(ASKS + STORE, ASKS + TAKE, CONFIGURED)
    original = read_object(data)
    made = fuse(
        data, "test.o", KERNEL, here=False, only=frozenset({Form.TASK_STORAGE}), known=known_of(original, ("targ=42",))
    ).obj
    for text, same in (("targ=42", True), ("targ=43", False), ("other=1", False)):
        known = known_of(original, (text,))
        told = read_object(with_values(data, original, known))
        sides = Side(told.program("way_in"), told, known), Side(made.program("way_in"), made, known)
        assert isinstance(proof.task_storage(*sides, STATE, Storage("start", 8)).verdict, Equal) is same


@pytest.mark.parametrize("question", ["if (NOW & 1) return 0;", "if (bpf_get_current_pid_tgid() >> 32 == 43) return 0;"])
def test_a_question_that_only_the_way_out_asks_stays(question: str) -> None:
    data = pair(STORE, question + TAKE, CONFIGURED)
    known = known_of(read_object(data), ("targ=42",))
    (outcome,) = fuse(data, "test.o", KERNEL, here=False, only=frozenset({Form.SESSION}), known=known).outcomes
    assert outcome.special is None or not outcome.special.checks_removed


def test_an_exit_that_acts_without_an_entry_is_not_left_out() -> None:
    lonely = TAKE.replace("if (!at) return 0;", "if (!at) { total = 0; return 0; }")
    (outcome,) = fused(pair(FILTER + STORE, lonely), Form.SESSION).outcomes
    assert outcome.form is None
    assert "left out" in outcome.put_aside[0][1] or "differ" in outcome.put_aside[0][1]


def test_an_exit_that_leaves_its_entry_is_said_where_it_matters() -> None:
    leaving = TAKE.replace("bpf_map_delete_elem(&start, &tid);", "")
    by_thread, by_clock = FILTER + STORE, "if (NOW & 1) return 0;" + STORE
    for entry, said in ((by_thread, False), (by_clock, True)):
        (outcome,) = fused(pair(entry, leaving), Form.SESSION).outcomes
        assert isinstance(outcome.verdict, Equal)
        assert (proof.STALE in outcome.verdict.assumptions) is said


def test_a_pair_changed_by_hand_is_compared_half_by_half() -> None:
    original = read_object(pair(STORE, TAKE))
    for entry, exit_, same in (
        (STORE.replace("u64 now = NOW;", "u64 now = NOW + 0;"), TAKE, True),
        (STORE, TAKE.replace("NOW - *at", "*at - NOW"), False),
    ):
        ((_, verdict),) = compared(original, read_object(pair(entry, exit_)))
        assert isinstance(verdict, Equal) is same


BY_HAND = """
static void *(*bpf_task_storage_get)(void *, void *, void *, u64) = (void *)156;
static void *(*bpf_get_current_task_btf)(void) = (void *)158;
static long (*bpf_task_storage_delete)(void *, void *) = (void *)157;
struct state {{ {0} }};
struct {{ __uint(type, 29); __uint(map_flags, 1); __type(key, int); __type(value, struct state); }} mine SEC(".maps");
#define GET(flags) struct state *p = bpf_task_storage_get(&mine, bpf_get_current_task_btf(), 0, flags)
"""
ARM = "p->ts = now; p->armed = 1;"
PUT = "u64 now = NOW; GET(1); if (!p) return 0; "


@pytest.mark.parametrize(
    ("members", "entry", "exit_", "same"),
    [
        ("u64 ts; u32 armed;", ARM, "if (!p->armed) return 0; total += NOW - p->ts; p->armed = 0;", True),
        ("u8 on; u64 ts;", "p->ts = now; p->on = 1;", "if (!p->on) return 0; total += NOW - p->ts; p->on = 0;", True),
        ("u64 ts;", "p->ts = now;", "if (!p->ts) return 0; total += NOW - p->ts; p->ts = 0;", True),
        ("u64 ts;", "p->ts = now;", "total += NOW - p->ts; bpf_task_storage_delete(&mine, bpf_get_current_task_btf());", True),
        ("u64 ts; u32 armed;", ARM, "if (!p->armed) return 0; total += p->ts - NOW; p->armed = 0;", False),
        ("u64 ts; u32 armed;", ARM, "if (!p->armed) return 0; total += NOW - p->ts;", False),
        ("u64 ts; u32 armed;", "p->ts = now;", "if (!p->armed) return 0; total += NOW - p->ts; p->armed = 0;", False),
        ("u64 ts;", "p->ts = now;", "total += NOW - p->ts;", False),
    ],
)
def test_task_storage_by_hand_is_compared_under_its_own_layout(members: str, entry: str, exit_: str, same: bool) -> None:
    other = read_object(pair(PUT + entry, "GET(0); if (!p) return 0; " + exit_, BY_HAND.format(members)))
    ((_, verdict),) = compared(read_object(pair(STORE, TAKE)), other)
    assert isinstance(verdict, Equal) is same


def compiled(name: str, *flags: str) -> Object:
    return replace(read_object(Compiler.default().compile(EXAMPLES / name, flags=flags)), path=name)


def test_a_session_written_by_hand_is_equal_and_one_with_the_difference_wrong_is_told_apart() -> None:
    original = compiled("funclatency.bpf.c")
    ((_, right),) = compared(original, compiled("session.bpf.c"))
    ((_, wrong),) = compared(original, compiled("session.bpf.c", "-DWRONG"))
    assert isinstance(right, Equal)
    assert isinstance(wrong, Different)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("way_in", STORE.replace("&now, 0", "&total, 0")),
        ("way_in", "if (NOW & 1) return 0;" + STORE),
        ("way_out", TAKE.replace("NOW - *at", "*at - NOW")),
        ("way_out", TAKE.replace("bpf_map_delete_elem(&start, &tid);", "")),
        ("way_out", TAKE.replace("if (!at) return 0;", "if (!at) { total++; return 0; }")),
        ("way_out", TAKE.replace("total += NOW - *at;", "*at = 0;")),
    ],
)
def test_task_storage_of_another_pair_is_never_equal(name: str, broken: str) -> None:
    """The proof compares with the original, not with what was meant: a form made of a changed program must fail."""
    entry, exit_ = (broken, TAKE) if name == "way_in" else (STORE, broken)
    original, made = read_object(pair(STORE, TAKE)), fused(pair(entry, exit_), Form.TASK_STORAGE)
    step = proof.task_storage(
        Side(original.program(name), original), Side(made.obj.program(name), made.obj), STATE, Storage("start", 8)
    )
    assert not isinstance(step.verdict, Equal)


@pytest.mark.parametrize(
    ("entry", "exit_"),
    [
        ("if (NOW & 1) return 0;" + STORE, TAKE),
        (STORE.replace("u64 now = NOW;", "u64 now = NOW + 1;"), TAKE),
        (STORE, TAKE.replace("NOW - *at", "NOW - *at + 1")),
        (STORE, TAKE.replace("total +=", "total -=")),
    ],
)
def test_a_session_of_another_pair_is_never_equal(entry: str, exit_: str) -> None:
    original, made = read_object(pair(STORE, TAKE)), fused(pair(entry, exit_), Form.SESSION)
    program = made.obj.program("way_in")
    assert program.section == "uprobe.session"
    first, second = (Side(original.program(name), original) for name in ("way_in", "way_out"))
    steps = proof.session(Users(STATE, ((first, second),)), first, second, Side(program, made.obj), None)
    assert not isinstance(proof.summary(steps), Equal)


def test_a_key_that_is_not_the_threads_own_makes_no_pair() -> None:
    assert fused(pair("tid ^= 1;" + STORE, TAKE), Form.TASK_STORAGE).outcomes == ()
