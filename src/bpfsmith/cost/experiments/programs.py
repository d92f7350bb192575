"""What programs are made of: chaining, copies, work of growing size, helpers, kfuncs, atomics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from bpfsmith.cost.bench import COPIES, Bench, Driver, Loaded, run_ns, wall_ns
from bpfsmith.cost.experiment import Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.cost.experiments.loops import self_timed
from bpfsmith.kernel import syscall
from bpfsmith.kernel.load import Accepted
from bpfsmith.packet.build import udp_packet

_FLOOR = Case("floor", "an empty program", is_floor=True)

# --- chaining ---------------------------------------------------------------------------------------------------------
_CHAINS = {
    "inlined": "one program", "bpf_to_bpf": "bpf-to-bpf calls", "global_functions": "global functions",
    "tail_calls": "tail calls", "tail_calls_unknown": "tail calls, element not known to the JIT",
}  # fmt: skip
_TAILS = {
    "tail_calls": (("tail_1", 1), ("tail_2", 2), ("tail_3", 3)),
    "tail_calls_unknown": (("unknown_1", 1), ("unknown_2", 2), ("tail_3", 3)),
}
_REQUEST = udp_packet(bytes(range(16)) + bytes(48), dport=7)
_REPEAT = 2_000


def _chain(bench: Bench, stack: ExitStack) -> Opened:
    actions = []
    missing = []
    floor = bench.load(stack, "net.bpf.c", ["pass_tcx"], copies=COPIES)
    actions.append(_repeated("floor", floor.copies["pass_tcx"]))
    for case in _CHAINS:
        tails = _TAILS.get(case, ())
        loaded = bench.load(stack, "chain.bpf.c", [case, *(name for name, _ in tails)], copies=COPIES)
        if loaded.refused:
            missing.append(Missing(case, next(iter(loaded.refused.values()))))
            continue
        for name, index in tails:
            loaded.maps.put_fd("stages", index, loaded.fd(name))
        syscall.map_update(loaded.maps.fd("cache"), bytes(range(16)), (7).to_bytes(8, "little"))
        actions.append(_repeated(case, loaded.copies[case]))
    return Opened(tuple(actions), tuple(missing))


def _repeated(case: str, copies: Sequence[Accepted]) -> Action:
    return lambda: {case: wall_ns(copies, _REQUEST, _REPEAT, tries=2 * COPIES)}


# --- copies and work --------------------------------------------------------------------------------------------------
_COPY_TURNS = 32  # TURNS of programs/copy.bpf.c
_COPIES = {
    "loop_u8": "eBPF, a byte at a time", "loop_u64": "eBPF, eight bytes at a time", "helper": "bpf_xdp_load_bytes",
    "probe_read": "bpf_probe_read_kernel", "kfunc": "bpf_dynptr_copy (kfunc)",
}  # fmt: skip


def _native(driver: Driver, case: str, command: str) -> Action:
    return lambda: {case: driver.ask(command)[0]}


def _copy(bench: Bench, stack: ExitStack) -> Opened:
    programs = {"floor": "loop_floor", **{name: name for name in _COPIES}}
    opened = self_timed("copy.bpf.c", programs, per=_COPY_TURNS)(bench, stack)
    driver = bench.driver(stack)
    native = (_native(driver, "native_floor", "native none 1024 5000"), _native(driver, "native", "native memcpy 1024 5000"))
    return Opened((*opened.actions, *native), opened.missing)


_SIZES = (64, 256, 1024)
_WORK = {"hash": "FNV-1a hash", "sum": "sum of words", "count": "count by a branch"}


def _work(bench: Bench, stack: ExitStack) -> Opened:
    loaded = bench.load(stack, "work.bpf.c", ["loop_floor", *_WORK], copies=COPIES)
    driver = bench.driver(stack)
    actions: list[Action] = [lambda: {"floor": run_ns(loaded.copies["loop_floor"])}]
    actions.append(_native(driver, "native_floor", "native none 64 20000"))
    _scatter(loaded)
    for kind in _WORK:
        for size in _SIZES:
            actions.append(_work_of(loaded, kind, size))
            actions.append(_native(driver, f"{kind}_native@{size}", f"native {kind} {size} {400_000 // size}"))
    return Opened(tuple(actions))


def _scatter(loaded: Loaded) -> None:
    """The bytes that the native side has too."""
    assert loaded.maps.object is not None
    where = loaded.maps.object.variable("data")
    contents = bytearray(loaded.maps.read(".bss")[bytes(4)])
    contents[where.offset : where.offset + where.size] = bytes(i * 31 & 0xFF for i in range(where.size))
    loaded.maps.write(".bss", {bytes(4): bytes(contents)})


def _work_of(loaded: Loaded, kind: str, size: int) -> Action:
    copies, sizes = loaded.copies[kind], loaded.maps.fd(".data")

    def sample() -> Mapping[str, float]:
        syscall.map_update(sizes, bytes(4), size.to_bytes(4, "little"))
        return {f"{kind}@{size}": run_ns(copies)}

    return sample


# --- helpers, kfuncs, atomics -----------------------------------------------------------------------------------------
ATOMICS = {
    "plain_add": "load, add, store", "atomic_add": "atomic add", "atomic_add32": "atomic add, 32 bits",
    "atomic_fetch_add": "atomic fetch and add", "atomic_xchg": "atomic exchange",
    "atomic_cmpxchg": "atomic compare and exchange",
    "atomic_fetch_or": "atomic fetch and or",
}  # fmt: skip
HELPERS_XDP = (
    "ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "jiffies64", "get_prandom_u32", "get_smp_processor_id",
    "csum_diff_64", "csum_diff_512", "xdp_load_bytes_32", "xdp_load_bytes_512", "xdp_store_bytes_32", "xdp_adjust_head",
    "xdp_adjust_tail", "xdp_get_buff_len", "redirect", "probe_read_kernel_8", "strncmp_16", "ringbuf_output_8",
    "ringbuf_reserve_discard", "spin_lock",
)  # fmt: skip
HELPERS_TC = (
    "skb_load_bytes_32", "skb_load_bytes_512", "skb_store_bytes_32", "l3_csum_replace", "l4_csum_replace", "skb_pull_data",
    "get_hash_recalc",
)  # fmt: skip
HELPERS_RAW_TP = (
    "get_current_pid_tgid", "get_current_uid_gid", "get_current_comm", "get_current_task", "get_current_cgroup_id",
    "get_numa_node_id",
)  # fmt: skip
CALLS = {"subprogram_call": "bpf-to-bpf call", "loop_helper": "bpf_loop, a turn"}
KFUNCS = {
    "rcu_read_lock_unlock": "bpf_rcu_read_lock and _unlock", "iter_num_next": "bpf_iter_num_next, a turn",
    "dynptr_slice": "bpf_dynptr_slice", "dynptr_from_xdp": "bpf_dynptr_from_xdp",
}  # fmt: skip
_HELPERS = (*HELPERS_XDP, *HELPERS_TC, *HELPERS_RAW_TP)
_ALL_HELPERS = (*ATOMICS, *_HELPERS, *CALLS)


def _helper_title(name: str) -> str:
    stem, _, size = name.rpartition("_")
    return f"bpf_{stem}, {size} bytes" if size.isdigit() else f"bpf_{name}"


def _helper_floor(name: str) -> str:
    return "floor_tc" if name in HELPERS_TC else "floor_raw_tp" if name in HELPERS_RAW_TP else "floor_xdp"


_LOOP_FLOORS = tuple(Case(f"floor_{kind}", f"the loop alone, {kind}", is_floor=True) for kind in ("xdp", "tc", "raw_tp"))

EXPERIMENTS = (
    Experiment(
        "chain", "chain", "Table 5", "the hit path of a cache in four stages, by how they are chained", "ns",
        (_FLOOR, *(Case(name, title, None, "floor") for name, title in _CHAINS.items())),
        _chain,
        tuple(
            Ordering("inlined", name, f"one program is faster than {_CHAINS[name]}", "program structure")
            for name in ("tail_calls", "tail_calls_unknown", "bpf_to_bpf", "global_functions")
        ),
        "the study gives throughput: 1.14 M requests/s without tail calls, 1.07 and 1.12 with them",
    ),
    Experiment(
        "copy", "copy", "Table 6", "copying 1 KB", "ns",
        (
            Case("floor", "the loop alone", is_floor=True), Case("native_floor", "the native loop alone", is_floor=True),
            Case("native", "native memcpy", 32, "native_floor"),
            *(Case(n, t, {"loop_u8": 340, "kfunc": 36}.get(n), "floor") for n, t in _COPIES.items()),
        ),
        _copy,
        (
            Ordering("native", "loop_u8", "memcpy is faster than a loop in eBPF", "instruction set"),
            Ordering("helper", "loop_u64", "a helper copies faster than a loop in eBPF", "instruction set"),
            Ordering("kfunc", "loop_u8", "a kfunc copies faster than a loop in eBPF", "instruction set"),
        ),
    ),
    Experiment(
        "complexity", "complexity", "Fig. 14", "the same work as eBPF and natively, by bytes", "ns",
        (
            _FLOOR, Case("native_floor", "the native loop alone", is_floor=True),
            *(
                Case(f"{kind}{native}@{size}", f"{title}, {size} bytes, {'native' if native else 'eBPF'}", None,
                     "native_floor" if native else "floor")
                for kind, title in _WORK.items() for size in _SIZES for native in ("", "_native")
            ),
        ),
        _work,
        (
            Ordering("hash@64", "hash@1024", "work in eBPF grows with its size", "program"),
            Ordering("sum_native@1024", "sum@1024", "what a compiler vectorises is faster natively", "instruction set"),
            Ordering("count_native@1024", "count@1024", "a loop with a branch is faster natively", "instruction set"),
        ),
        seconds=6,
    ),
    Experiment(
        "helpers", "helpers", "", "atomics, helpers and calls", "ns",
        (
            *_LOOP_FLOORS,
            *(Case(name, title, None, "floor_xdp") for name, title in (ATOMICS | CALLS).items()),
            *(Case(name, _helper_title(name), None, _helper_floor(name)) for name in _HELPERS),
        ),
        self_timed("helpers.bpf.c", {name: name for name in ("floor_xdp", "floor_tc", "floor_raw_tp", *_ALL_HELPERS)}),
        (
            Ordering("plain_add", "atomic_add", "an atomic add costs more than load, add and store", "CPU"),
            Ordering("get_smp_processor_id", "ktime_get_ns", "an inlined helper is faster than a called one", "verifier"),
            Ordering("ktime_get_coarse_ns", "ktime_get_ns", "the coarse clock is faster than the fine one", "helper"),
        ),
        seconds=6,
    ),
    Experiment(
        "kfuncs", "helpers", "", "kernel functions", "ns",
        (*_LOOP_FLOORS[:2], *(Case(n, t, None, "floor_tc" if n.startswith("rcu") else "floor_xdp") for n, t in KFUNCS.items())),
        self_timed("kfuncs.bpf.c", {name: name for name in ("floor_xdp", "floor_tc", *KFUNCS)}),
    ),
)  # fmt: skip
