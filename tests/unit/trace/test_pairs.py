"""Pairs are found by the state that flows from one hook to another, and by nothing else."""

from __future__ import annotations

import pytest

from bpfsmith.objfile.object import Object, read_object
from bpfsmith.trace.forms import Form, judge, kernel_of
from bpfsmith.trace.hooks import PairKind
from bpfsmith.trace.pairs import KeyClass, Pair, find_pairs
from tests.unit.trace.probes import STORE, TAKE, latency, pair

LOOK = "u64 *at = bpf_map_lookup_elem(&start, &key); if (!at) return 0; total += NOW - *at; bpf_map_delete_elem(&start, &key);"


def only(obj: Object) -> Pair:
    (found,) = find_pairs(obj).pairs
    return found


@pytest.mark.parametrize(
    ("hooks", "kind"),
    [
        (("uprobe", "uretprobe"), PairKind.FUNCTION),
        (("kprobe/do_unlinkat", "kretprobe/do_unlinkat"), PairKind.FUNCTION),
        (("fentry/do_unlinkat", "fexit/do_unlinkat"), PairKind.FUNCTION),
        (("kprobe/dummy_read", "kretprobe/dummy_read"), PairKind.FUNCTION),
        (("tracepoint/syscalls/sys_enter_openat", "tracepoint/syscalls/sys_exit_openat"), PairKind.SYSCALL),
        (("tp_btf/sys_enter", "tp_btf/sys_exit"), PairKind.SYSCALL),
        (("ksyscall/openat", "kretsyscall/openat"), PairKind.SYSCALL),
        (("tp_btf/mm_vmscan_direct_reclaim_begin", "tp_btf/mm_vmscan_direct_reclaim_end"), PairKind.BEGIN_END),
        (("raw_tp/softirq_entry", "raw_tp/softirq_exit"), PairKind.BEGIN_END),
    ],
)
def test_two_hooks_of_one_thing_with_a_flow_of_state_are_a_pair(hooks: tuple[str, str], kind: PairKind) -> None:
    found = only(latency(hooks))
    assert (found.entry.program.name, found.exit.program.name, found.kind) == ("way_in", "way_out", kind)
    (state,) = found.maps
    assert (state.spec.name, state.key_class, state.spec.value_size, state.private) == ("start", KeyClass.TID, 8, True)


@pytest.mark.parametrize(
    "hooks",
    [
        ("kprobe/do_unlinkat", "kretprobe/do_rmdir"),
        ("tracepoint/syscalls/sys_enter_openat", "tracepoint/syscalls/sys_exit_close"),
        ("tp_btf/softirq_entry", "tp_btf/irq_handler_exit"),
        ("uretprobe", "uprobe"),
        ("xdp", "tc"),
    ],
)
def test_hooks_of_different_things_are_no_pair(hooks: tuple[str, str]) -> None:
    assert find_pairs(latency(hooks)).pairs == ()


def test_a_histogram_that_both_halves_count_into_is_no_state() -> None:
    count = (
        "u32 k = 1; u64 one = 1, *n = bpf_map_lookup_elem(&start, &k);"
        "if (n) *n += 1; else bpf_map_update_elem(&start, &k, &one, 0);"
    )
    assert find_pairs(read_object(pair(count, count))).pairs == ()


def test_scratch_space_that_is_filled_before_it_is_read_is_no_state() -> None:
    scratch = 'struct { __uint(type, 6); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } start SEC(".maps");'
    fill = "u32 k = 0; volatile u64 *p = bpf_map_lookup_elem(&start, &k);if (!p) return 0; *p = NOW; total += *p;"
    assert find_pairs(read_object(pair(fill, fill, scratch))).pairs == ()


def test_a_constant_key_of_a_per_cpu_map_is_state_and_of_a_shared_array_is_none() -> None:
    for number, count in ((6, 1), (2, 0)):
        kind = f"__uint(type, {number}); __uint(max_entries, 1)"
        maps = f'struct {{ {kind}; __type(key, u32); __type(value, u64); }} start SEC(".maps");'
        store = "u32 k = 0; u64 now = NOW; bpf_map_update_elem(&start, &k, &now, 0);"
        take = "u32 k = 0; u64 *at = bpf_map_lookup_elem(&start, &k); if (at) total += NOW - *at;"
        found = find_pairs(read_object(pair(store, take, maps, ("tp_btf/irq_handler_entry", "tp_btf/irq_handler_exit")))).pairs
        assert len(found) == count
        assert all(item.maps[0].key_class is KeyClass.CONSTANT for item in found)


def test_an_object_that_both_hooks_are_given_makes_an_event_pair() -> None:
    store = "u64 key = ctx[0], now = NOW; bpf_map_update_elem(&start, &key, &now, 0);"
    body = f"u64 key = ctx[0]; {LOOK}"
    found = only(
        read_object(pair(store, body, "HASH(start, u64, u64);", ("tp_btf/block_rq_issue", "tp_btf/block_rq_complete")))
    )
    assert (found.kind, found.maps[0].key_class) == (PairKind.EVENT, KeyClass.POINTER)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("u64 key = bpf_get_current_pid_tgid();", KeyClass.PID_TGID),
        ("u64 key = bpf_get_current_pid_tgid() >> 32;", KeyClass.TGID),
        ("u64 key = (u32)bpf_get_current_pid_tgid();", KeyClass.TID),
    ],
)
def test_keys_are_named_by_where_they_come_from(key: str, expected: KeyClass) -> None:
    store = f"{key} u64 now = NOW; bpf_map_update_elem(&start, &key, &now, 0);"
    found = only(read_object(pair(store, f"{key} {LOOK}", "HASH(start, u64, u64);")))
    assert found.maps[0].key_class is expected


def test_a_map_that_is_marked_carries_state_whatever_its_keys_are() -> None:
    tag = '__attribute__((btf_decl_tag("pair_map")))'
    maps = (
        f'struct {{ __uint(type, 1); __uint(max_entries, 8); __type(key, u64); __type(value, u64); }} start SEC(".maps") {tag};'
    )
    key = "u64 key = NOW / 1000;"
    body = (f"{key} bpf_map_update_elem(&start, &key, &key, 0);", f"{key} {LOOK}")
    assert find_pairs(read_object(pair(*body, "HASH(start, u64, u64);"))).pairs == ()
    assert only(read_object(pair(*body, maps))).maps[0].key_class is KeyClass.OTHER


def test_kernels_without_sessions_leave_task_storage_and_older_ones_nothing() -> None:
    obj = latency()
    found = find_pairs(obj)
    forms = {release: judge(found.pairs[0], found, kernel_of(release)).allowed for release in ("5.10", "6.1", "6.16")}
    assert forms["5.10"] == ()
    assert forms["6.1"] == (Form.TASK_STORAGE,)
    assert forms["6.16"] == (Form.SESSION, Form.SESSION_STORAGE, Form.TASK_STORAGE)


def test_a_value_that_the_exit_changes_in_place_does_not_go_into_a_cookie() -> None:
    take = TAKE.replace("total += NOW - *at;", "*at += 1; total += *at;")
    found = find_pairs(read_object(pair(STORE, take)))
    judged = judge(found.pairs[0], found, kernel_of("6.16"))
    assert judged.allowed[0] is Form.SESSION_STORAGE
    assert "in place" in dict(judged.refused)[Form.SESSION]


def test_a_process_wide_key_stays_in_its_hash() -> None:
    key = "u64 key = bpf_get_current_pid_tgid() >> 32;"
    store = f"{key} u64 now = NOW; bpf_map_update_elem(&start, &key, &now, 0);"
    found = find_pairs(read_object(pair(store, f"{key} {LOOK}", "HASH(start, u64, u64);")))
    judged = judge(found.pairs[0], found, kernel_of("7.0"))
    assert judged.allowed == ()
    assert "not the thread's" in dict(judged.refused)[Form.TASK_STORAGE]


def test_kprobe_sections_without_a_target_can_be_a_processes() -> None:
    obj = latency(("kprobe/dummy_f", "kretprobe/dummy_f"))
    (found,) = find_pairs(obj, uprobes=True).pairs
    assert (found.entry.hook.mechanism, found.exit.hook.mechanism) == ("uprobe", "uprobe")
    named = latency(("kprobe/do_unlinkat", "kretprobe/do_unlinkat"))
    assert find_pairs(named, uprobes=True).pairs[0].entry.hook.mechanism == "kprobe"


def test_entries_whose_targets_the_loader_names_belong_to_exits_of_their_name() -> None:
    programs = "\n".join(
        f'SEC("{hook}") int {name}_{word}(u64 *ctx) {{ u32 tid = bpf_get_current_pid_tgid(); {body} return 0; }}'
        for name in ("open", "close")
        for hook, word, body in (("uprobe", "enter", STORE), ("uretprobe", "exit", TAKE))
    )
    found = find_pairs(read_object(pair("", "", f"HASH(start, u32, u64); {programs}", ("tc", "tc"))))
    assert [item.name for item in found.pairs] == ["open_enter -> open_exit", "close_enter -> close_exit"]


def test_a_key_that_is_the_cpu_is_state_of_what_cannot_leave_it() -> None:
    maps = 'struct { __uint(type, 2); __uint(max_entries, 64); __type(key, u32); __type(value, u64); } start SEC(".maps");'
    store = "u32 k = bpf_get_smp_processor_id(); u64 now = NOW; bpf_map_update_elem(&start, &k, &now, 0);"
    take = "u32 k = bpf_get_smp_processor_id(); u64 *at = bpf_map_lookup_elem(&start, &k); if (at) total += NOW - *at;"
    found = only(read_object(pair(store, take, maps, ("kprobe/trace_preempt_off", "kprobe/trace_preempt_on"))))
    assert (found.kind, found.maps[0].key_class) == (PairKind.BEGIN_END, KeyClass.CPU)


COOKIE = "static u64 (*bpf_get_socket_cookie)(void *) = (void *)46;"


@pytest.mark.parametrize(
    ("key", "choice"),
    [
        ("u64 key = bpf_get_socket_cookie((void *)ctx[0]);", ""),
        ("u64 key = ctx[1];", "u64 other = ctx[0]; u64 *at = bpf_map_lookup_elem(&start, ctx[2] ? &key : &other);"),
    ],
)
def test_an_object_is_known_by_its_cookie_and_as_one_of_two_arguments(key: str, choice: str) -> None:
    store = f"{key} u64 now = NOW; bpf_map_update_elem(&start, &key, &now, 0);"
    take = key + (LOOK.replace("u64 *at = bpf_map_lookup_elem(&start, &key);", choice) if choice else LOOK)
    hooks = ("tp_btf/tcp_probe", "tp_btf/tcp_rcv_space_adjust")
    found = only(read_object(pair(store, take, COOKIE + "HASH(start, u64, u64);", hooks)))
    assert (found.kind, found.maps[0].key_class) == (PairKind.EVENT, KeyClass.POINTER)


def test_two_programs_at_one_event_are_a_pair_and_one_that_only_drops_is_none() -> None:
    hooks = ("tp_btf/inet_sock_set_state", "tp_btf/inet_sock_set_state")
    store = "u64 key = ctx[0], now = NOW; bpf_map_update_elem(&start, &key, &now, 0);"
    drop = "u64 key = ctx[0]; bpf_map_delete_elem(&start, &key);"
    assert only(read_object(pair(store, "u64 key = ctx[0]; " + LOOK, "HASH(start, u64, u64);", hooks))).kind is PairKind.EVENT
    assert find_pairs(read_object(pair(store, drop, "HASH(start, u64, u64);", hooks))).pairs == ()


PER_CPU = 'struct {{ __uint(type, 6); __uint(max_entries, 1); __type(key, u32); __type(value, u64); }} {0} SEC(".maps");'


def test_what_a_helper_writes_into_a_value_is_left_there() -> None:
    helper = "static long (*bpf_get_current_comm)(void *, u32) = (void *)16;"
    fill = "u32 k = 0; u64 *p = bpf_map_lookup_elem(&start, &k); if (p) bpf_get_current_comm(p, 8);"
    take = "u32 k = 0; u64 *p = bpf_map_lookup_elem(&start, &k); if (p) total += *p;"
    data = pair(fill, take, helper + PER_CPU.format("start"), ("fentry/do_unlinkat", "fexit/do_unlinkat"))
    assert [item.spec.name for item in only(read_object(data)).maps] == ["start"]


def test_a_value_of_one_map_or_another_is_state_of_both() -> None:
    """Spinning locks keep their time by the CPU, sleeping ones by the thread."""
    maps = "HASH(start, u32, u64);" + PER_CPU.format("spinning")
    choose = (
        "u32 k = 0; u64 *p; if (ctx[1]) p = bpf_map_lookup_elem(&spinning, &k);"
        "else { u64 z = 0; bpf_map_update_elem(&start, &tid, &z, 0); p = bpf_map_lookup_elem(&start, &tid); } if (!p) return 0;"
    )
    take = (
        "u32 k = 0; u64 *p = bpf_map_lookup_elem(&spinning, &k); if (!p || !*p) p = bpf_map_lookup_elem(&start, &tid);"
        "if (!p) return 0; total += NOW - *p; *p = 0;"
    )
    hooks = ("tp_btf/contention_begin", "tp_btf/contention_end")
    found = only(read_object(pair(choose + "*p = NOW;", take, maps, hooks)))
    assert {item.spec.name: item.key_class for item in found.maps} == {"spinning": KeyClass.CONSTANT, "start": KeyClass.TID}


def test_fields_of_one_name_in_both_records_of_an_event_are_its_key() -> None:
    """Such as number and CPU of an interrupt; not so where the two events have nothing to do with each other."""
    key = "struct { u32 kind, cpu; u64 id; } key = {}; key.kind = 1; key.cpu = bpf_get_smp_processor_id();"
    key += "key.id = *(int *)&ctx[1];"
    maps = "struct key { u32 a[4]; }; HASH(start, struct key, u64);"
    store = f"{key} u64 now = NOW; bpf_map_update_elem(&start, &key, &now, 0);"
    for last, count in (("irq_handler_exit", 1), ("softirq_raise", 0)):
        hooks = ("tracepoint/irq/irq_handler_entry", f"tracepoint/irq/{last}")
        assert len(find_pairs(read_object(pair(store, f"{key} {LOOK}", maps, hooks))).pairs) == count


def test_storage_that_both_halves_only_write_is_no_flow() -> None:
    storage = (
        "static void *(*bpf_task_storage_get)(void *, void *, void *, u64) = (void *)156;"
        'struct { __uint(type, 29); __uint(map_flags, 1); __type(key, int); __type(value, u64); } start SEC(".maps");'
    )
    get = "u64 *p = bpf_task_storage_get(&start, (void *)ctx[0], 0, 1); if (!p) return 0;"
    hooks = ("tp_btf/sched_wakeup", "tp_btf/sched_wakeup_new")
    assert find_pairs(read_object(pair(get + "*p = NOW;", get + "*p = NOW;", storage, hooks))).pairs == ()
    found = find_pairs(read_object(pair(get + "*p = NOW;", get + "total += *p; *p = 0;", storage, hooks)))
    assert [item.name for item in found.pairs] == ["way_in -> way_out"]


def test_an_argument_is_known_where_the_registers_are_read_as_kernel_memory() -> None:
    read = "static long (*bpf_probe_read_kernel)(void *, u32, const void *) = (void *)113;"
    key = "u64 key; bpf_probe_read_kernel(&key, 8, &ctx[14]);"
    store = f"{key} u64 now = NOW; bpf_map_update_elem(&start, &key, &now, 0);"
    found = only(
        read_object(pair(store, f"u64 key = ctx[14]; {LOOK}", read + "HASH(start, u64, u64);", ("kprobe/f", "kprobe/g")))
    )
    assert (found.kind, found.maps[0].key_class) == (PairKind.EVENT, KeyClass.POINTER)


def test_a_process_is_followed_from_one_event_to_another_that_uses_its_state_up() -> None:
    key = "u32 pid = bpf_get_current_pid_tgid() >> 32;"
    store = f"{key} u64 now = NOW; bpf_map_update_elem(&start, &pid, &now, 0);"
    take = f"{key} u64 *at = bpf_map_lookup_elem(&start, &pid); if (at) total += NOW - *at;"
    hooks = ("tracepoint/sched/sched_process_exec", "tracepoint/sched/sched_process_exit")
    found = only(read_object(pair(store, take + "bpf_map_delete_elem(&start, &pid);", hooks=hooks)))
    assert (found.kind, found.maps[0].key_class) == (PairKind.EVENT, KeyClass.TGID)
    assert find_pairs(read_object(pair(store, take, hooks=hooks))).pairs == ()


def test_an_exit_belongs_to_the_entry_that_leaves_the_most_for_it() -> None:
    """One entry for reads and writes of a library beside one for its handshakes, which all keep their time in one map."""
    both = STORE + "bpf_map_update_elem(&buffers, &tid, &ctx[14], 0);"
    taking = "u64 *b = bpf_map_lookup_elem(&buffers, &tid); if (!b) return 0; total += *b; bpf_map_delete_elem(&buffers, &tid);"
    bodies = (
        ("uprobe", "rw_enter", both), ("uretprobe", "read_exit", taking + TAKE), ("uretprobe", "write_exit", taking + TAKE),
        ("uprobe", "handshake_enter", STORE), ("uretprobe", "handshake_exit", TAKE),
    )  # fmt: skip
    programs = "\n".join(
        f'SEC("{hook}") int {name}(u64 *ctx) {{ u32 tid = bpf_get_current_pid_tgid(); {body} return 0; }}'
        for hook, name, body in bodies
    )
    data = pair("", "", f"HASH(start, u32, u64); HASH(buffers, u32, u64); {programs}", ("tc", "tc"))
    names = [item.name for item in find_pairs(read_object(data)).pairs]
    assert names == ["rw_enter -> read_exit", "rw_enter -> write_exit", "handshake_enter -> handshake_exit"]
