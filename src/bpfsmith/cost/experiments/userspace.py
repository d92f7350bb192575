"""Userspace and eBPF: maps through system calls and shared memory, channels, tracing hooks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack

from bpfsmith.cost.bench import Bench, Driver, Loaded, run_ns
from bpfsmith.cost.experiment import THROUGH_THE_KERNEL, Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.cost.experiments.loops import STEPS
from bpfsmith.cost.experiments.maps import fill, room_for
from bpfsmith.isa.program import MapSpec
from bpfsmith.kernel import links
from bpfsmith.kernel.maps import open_maps, possible_cpus
from bpfsmith.objfile.maps import BPF_F_MMAPABLE

_ENTRIES = 1_000
_COUNT = 2_000
_BATCHED = ("hash_batch", "array_batch")


def _asked(driver: Driver, case: str, command: str, which: int = 0) -> Action:
    return lambda: {case: driver.ask(command)[which]}


def _access(bench: Bench, stack: ExitStack) -> Opened:
    kinds = ("array", "hash", "lru_hash", "percpu_hash")
    maps = bench.load(stack, "maps.bpf.c", [f"fill_{kind}" for kind in kinds], entries=room_for(_ENTRIES))
    for kind in kinds:
        fill(maps, f"fill_{kind}", _ENTRIES)
    shared = stack.enter_context(open_maps([MapSpec("shared", "BPF_MAP_TYPE_ARRAY", 4, 8, _ENTRIES, BPF_F_MMAPABLE)]))
    channel = bench.load(stack, "channels.bpf.c", ["ring_output"])
    fds = {kind: maps.maps.fd(kind) for kind in kinds}
    ring, sender, mmapped = channel.maps.fd("ring"), channel.fd("ring_output"), shared.fd("shared")
    driver = bench.driver(stack, (*fds.values(), ring, sender, mmapped))
    sizes = dict.fromkeys(kinds, 8) | {"percpu_hash": 8 * possible_cpus()}
    actions = [_asked(driver, "walk", f"walk 0 {_ENTRIES} 8 200000"), _asked(driver, "syscall", "syscall 5000")]
    actions += [_asked(driver, kind, f"lookup {fds[kind]} {_ENTRIES} {sizes[kind]} {_COUNT}") for kind in kinds]
    actions += [_asked(driver, "hash_update", f"update {fds['hash']} {_ENTRIES} 8 {_COUNT}")]
    actions += [_asked(driver, f"{kind}_batch", f"batch {fds[kind]} {_ENTRIES} {sizes[kind]}") for kind in ("array", "hash")]
    actions += [_asked(driver, "ring", f"ring {ring} {sender} {1 << 20}", 1)]
    actions += [_asked(driver, "mmap", f"mmap {mmapped} {_ENTRIES} 8 200000")]
    return Opened(tuple(actions))


# --- channels ---------------------------------------------------------------------------------------------------------
_CHANNELS = {
    "ring_output": "ring buffer, output", "ring_reserve": "ring buffer, reserve and submit", "perf_output": "perf event array",
    "queue_push": "queue, popped by system calls",
}  # fmt: skip
_RECORDS = (64, 1024)


def _channels(bench: Bench, stack: ExitStack) -> Opened:
    actions: list[Action] = []
    missing: list[Missing] = []
    for size in _RECORDS:
        loaded = bench.load(stack, "channels.bpf.c", _CHANNELS, flags=(f"-DRECORD={size}",))
        for name in _CHANNELS:
            if name in loaded.refused:
                missing += [Missing(f"{name}_{side}@{size}", loaded.refused[name]) for side in ("produce", "consume", "both")]
                continue
            actions.append(_channel(bench, stack, loaded, name, size))
    return Opened(tuple(actions), tuple(missing))


def _channel(bench: Bench, stack: ExitStack, loaded: Loaded, name: str, size: int) -> Action:
    channel = {"ring": "ring", "perf": "perf", "queue": "queue"}[name.partition("_")[0]]
    fds = loaded.maps.fd(channel), loaded.fd(name)
    driver = bench.driver(stack, fds)
    if channel == "perf":
        driver.ask(f"perf-open {fds[0]}")

    def sample() -> Mapping[str, float]:
        produce, consume, _ = driver.ask(f"{channel} {fds[0]} {fds[1]} {1 << 20}")
        return {f"{name}_produce@{size}": produce, f"{name}_consume@{size}": consume, f"{name}_both@{size}": produce + consume}

    return sample


# --- tracing hooks ----------------------------------------------------------------------------------------------------
_UPROBES = {
    "uprobe": ("on_uprobe", "BPF_TRACE_UPROBE_MULTI", False),
    "uretprobe": ("on_uretprobe", "BPF_TRACE_UPROBE_MULTI", True),
    "session": ("on_uprobe_session", "BPF_TRACE_UPROBE_SESSION", False),
    "session_entry": ("on_uprobe_session_entry_only", "BPF_TRACE_UPROBE_SESSION", False),
}
_KERNEL_HOOKS = ("raw_tp", "tp_btf", "fentry", "fexit", "kprobe")
_FIRED = "bpf_modify_return_test_tp"
_TARGETS = {"push": "function that begins with push", "nop": "function that begins with a 5-byte nop"}
_CALLS = 300


def _tracing(bench: Bench, stack: ExitStack) -> Opened:
    names = ["fire", *(f"on_{hook}" for hook in _KERNEL_HOOKS), *(program for program, _, _ in _UPROBES.values())]
    loaded = bench.load(stack, "tracing.bpf.c", names)
    actions: list[Action] = []
    missing: list[Missing] = []
    if "fire" in loaded.programs:
        actions += _tracepoints(loaded, missing)
    else:
        missing += [Missing(case, loaded.refused["fire"]) for case in _KERNEL_HOOKS]
    for target in _TARGETS:
        plain = bench.driver(stack)
        actions.append(_asked(plain, f"{target}_floor", f"call {target} {_CALLS * 100}"))
        for case, (program, attach_type, on_return) in _UPROBES.items():
            name = f"{case}_{target}"
            if program in loaded.refused:
                missing.append(Missing(name, loaded.refused[program]))
                continue
            driver = bench.driver(stack, own_copy=True)
            where = int(driver.ask(f"offset {target}")[0])
            try:
                probe = links.uprobe(
                    loaded.fd(program), str(driver.executable), where, driver.pid, attach_type, on_return=on_return
                )
                stack.enter_context(probe)
            except OSError as error:
                missing.append(Missing(name, f"the kernel does not attach it: {error.strerror}"))
                continue
            actions.append(_asked(driver, name, f"call {target} {_CALLS}"))
    return Opened(tuple(actions), tuple(missing))


def _tracepoints(loaded: Loaded, missing: list[Missing]) -> list[Action]:
    """Hooks of a function that only our own programs call, and of the tracepoint in it: nobody else passes our probes."""

    def fired() -> float:
        return run_ns(loaded.copies["fire"]) / STEPS

    def attached(hook: str) -> AbstractContextManager[int]:
        fd = loaded.fd(f"on_{hook}")
        match hook:
            case "raw_tp":
                return links.raw_tracepoint(fd, "bpf_trigger_tp")
            case "kprobe":
                return links.kprobe(fd, _FIRED)
            case _:  # what is loaded with its target
                return links.raw_tracepoint(fd)

    def with_probe(hook: str) -> Action:
        def sample() -> Mapping[str, float]:
            with attached(hook):
                return {hook: fired()}

        return sample

    actions: list[Action] = [lambda: {"tp_floor": fired()}]
    for hook in _KERNEL_HOOKS:
        if f"on_{hook}" in loaded.refused:
            missing.append(Missing(hook, loaded.refused[f"on_{hook}"]))
            continue
        try:
            with attached(hook):
                actions.append(with_probe(hook))
        except OSError as error:
            missing.append(Missing(hook, f"the kernel does not attach it: {error.strerror}"))
    return actions


EXPERIMENTS = (
    Experiment(
        "user", "user", "Table 4", f"a map access from userspace, {_ENTRIES} keys", "ns",
        (
            Case("walk", "the loop alone", is_floor=True),
            Case("syscall", "bpf(2) that fails at once", None, "walk"),
            Case("array", "array, system call", 485, "walk"),
            Case("hash", "hash, system call", 495, "walk"),
            Case("lru_hash", "LRU hash, system call", 495, "walk"),
            Case("percpu_hash", "per-CPU hash, system call", 1550, "walk"),
            Case("hash_update", "hash, update by system call", None, "walk"),
            Case("array_batch", "array, one batch of all, an entry"),
            Case("hash_batch", "hash, one batch of all, an entry"),
            Case("ring", "ring buffer, a record of 64 bytes", 10),
            Case("mmap", "array mapped into memory", 2, "walk"),
        ),
        _access,
        (
            Ordering("ring", "hash", "a ring buffer is far below a system call", "system call"),
            Ordering("mmap", "array", "mapped memory is far below a system call", "system call"),
            Ordering("hash_batch", "hash", "a batch is below a system call for each", "system call"),
            Ordering("hash", "percpu_hash", "per-CPU maps cost userspace more", "map implementation"),
            Ordering("array", "hash", "by system call an array and a hash cost about the same", "system call", similar=True),
        ),
        width_power=THROUGH_THE_KERNEL,
    ),
    Experiment(
        "channels", "channels", "Figs. 7-9, 13", "a record from eBPF to userspace on one CPU, by bytes", "ns",
        tuple(
            Case(f"{name}_{side}@{size}", f"{title}, {size} bytes, {words}")
            for name, title in _CHANNELS.items() for size in _RECORDS
            for side, words in (("produce", "to produce"), ("consume", "to consume"), ("both", "both"))
        ),
        _channels,
        (
            Ordering("ring_output_both@64", "perf_output_both@64", "a ring buffer is faster than perf events", "channel"),
            Ordering("ring_output_both@64", "queue_push_both@64", "a ring buffer is faster than system calls", "system call"),
            Ordering("ring_output_both@64", "ring_output_both@1024", "larger records cost more", "copies"),
        ),
        "throughput is 1000 / ns million records a second",
        width_power=THROUGH_THE_KERNEL,
    ),
    Experiment(
        "tracing", "tracing", "", "an empty probe, once through", "ns",
        (
            Case("tp_floor", "the tracepoint without a probe", is_floor=True),
            *(Case(hook, hook, None, "tp_floor") for hook in _KERNEL_HOOKS),
            *(Case(f"{target}_floor", f"the call alone, {target}", is_floor=True) for target in _TARGETS),
            *(
                Case(f"{case}_{target}", f"{case.replace('_', ', ')}, {words}", None, f"{target}_floor")
                for target, words in _TARGETS.items() for case in _UPROBES
            ),
        ),
        _tracing,
        (
            Ordering("raw_tp", "uprobe_push", "a tracepoint costs less than a uprobe", "hook"),
            Ordering("uprobe_push", "session_push", "a session costs more than the entry alone", "hook"),
            Ordering("session_entry_push", "session_push", "a session that stops at the entry costs less", "hook"),
        ),
        width_power=THROUGH_THE_KERNEL,
    ),
)  # fmt: skip
