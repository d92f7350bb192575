"""How long steps take: a small model of the CPU's core, its numbers taken from a cost profile.

Instructions start when what they read is there, a few side by side; the clock of the front end runs on with their number, that
of results with their latencies. A path takes what the later of the two says, of which a part hides behind the work around it:
the share that does is fitted (`profile.Fit`) to programs that were measured. This is what llvm-mca does, with the instructions
of the JIT counted per class instead of decoded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bpfsmith.cost.profile import Profile
from bpfsmith.cost.steps import Address, Call, Step
from bpfsmith.ir import ops
from bpfsmith.ir.ops import AluKind, AtomicKind, Op, Operand
from bpfsmith.ir.registers import defines, uses
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.tables import HELPERS

BPF_TAIL_CALL = 12
_WINDOW = 224  # instructions that a core of this decade looks ahead (Skylake's reorder buffer)
_LOAD_CYCLES = 5  # from the first-level cache, Skylake
_CACHE_LINE = 64
_WORD = 4
_BASE_KEY_BYTES = 4  # of the maps that the profile's walks look up
_MANY_KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Usage:
    """How the maps of a program are used: `keys` distinct ones, popular by a Zipf exponent of `skew` (0: all alike)."""

    keys: int = 1
    skew: float = 0.0


@dataclass(frozen=True, slots=True)
class PathCost:
    """`ns` above an empty program; `per_insn` sums to it, by (function, insn index).

    `guesses` are what the profile did not know.
    """

    ns: float
    per_insn: Mapping[tuple[str, int], float]
    guesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Cost:
    """`slots` ns of the front end, `latency` ns until the result is there."""

    slots: float
    latency: float


@dataclass
class Model:
    """Costs on the machine of a profile."""

    profile: Profile
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self.fit = self.profile.fit
        insns = self.profile
        self.cycle = insns.value("insns", "alu_latency", 0.3)
        self.slot = self.cycle * self.fit.uop_cycles
        self.mul = insns.value("insns", "mul_latency", 3 * self.cycle)
        self.div64 = insns.value("insns", "div64_latency", 60 * self.cycle)
        self.div32 = insns.value("insns", "div32_latency", 25 * self.cycle)
        self.shift = insns.value("insns", "shift_latency", self.cycle)
        self.swap = insns.value("insns", "swap_latency", self.cycle)
        self.forward = insns.value("insns", "forward_latency", 5 * self.cycle)
        self.stall = insns.value("insns", "stall_latency", 13 * self.cycle) - self.forward
        self.taken = self.slot * self.fit.taken_uops
        self.atomic = {case: insns.value("helpers", case, 20 * self.cycle) for case in {_LOCKED, *_ATOMICS.values()}}
        self.turn = insns.value("helpers", "loop_helper", 5 * self.cycle)
        self.subprogram = insns.value("helpers", "subprogram_call", 5 * self.cycle)
        chain = insns.value("chain", "tail_calls", 0) - insns.value("chain", "inlined", 0)
        self.tail_call = max(chain / 3, 2 * self.cycle)

    # --- one path ------------------------------------------------------------------------------------------------------
    def cost(self, program: Program, steps: Sequence[Step]) -> PathCost:
        """What a run of these steps takes above an empty program."""
        guesses: dict[str, None] = {}
        known: dict[object, tuple[_Cost, tuple[int, ...], tuple[int, ...]]] = {}  # of instructions that come again, in loops
        ready = [0.0] * 11
        memory: dict[Address, float] = {}
        narrow: dict[Address, int] = {}  # stores of less than a word, and when
        front = retired = 0.0
        window: list[float] = []
        per_insn: dict[tuple[str, int], float] = {}
        before = 0.0
        for index, (step, following) in enumerate(itertools.zip_longest(steps, steps[1:])):
            where = step.function, step.insn_idx
            taken = following is not None and following.insn_idx != step.insn_idx + 1
            if (found := known.get((where, taken, step.call))) is None:
                found = self._cost(program, step, taken, guesses), _reads(step.op), _writes(step.op)
                known[where, taken, step.call] = found
            cost, reads, writes = found
            if index and step.insn_idx == 0 and isinstance(steps[index - 1].op, ops.Exit | ops.CallHelper):
                front += self.turn  # of bpf_loop or for_each: its callback is called
            start = max([front, *(ready[item] for item in reads)])
            if len(window) >= _WINDOW:
                start = max(start, window[-_WINDOW])
            front = max(front + cost.slots, start - _WINDOW * self.slot)
            done = start + cost.latency
            if step.call is not None and self._stalls(program, step.call, narrow, index):
                front, done = front + self.stall, done + self.stall
            match step.op:
                case ops.Load() if step.address is not None and step.address in memory:
                    done = max(done, memory[step.address] + self.forward)
                case ops.Store(size=size) if step.address is not None:
                    memory[step.address] = done
                    narrow.pop(step.address, None)
                    if size < _WORD:
                        narrow[step.address] = index
                case _:
                    pass
            for item in writes:
                ready[item] = done
            retired = max(retired, done)
            window.append(retired)
            now = self._elapsed(front, retired)
            per_insn[where] = per_insn.get(where, 0.0) + max(now - before, 0.0)
            before = max(before, now)
        entry = self.fit.enter_ns if steps else 0.0
        if steps:
            first = steps[0].function, steps[0].insn_idx
            per_insn[first] = per_insn.get(first, 0.0) + entry
        return PathCost(before + entry, per_insn, tuple(guesses))

    def _stalls(self, program: Program, call: Call, narrow: Mapping[Address, int], index: int) -> bool:
        """Does a map read its key by words of which halves were stored a moment ago? Such a load cannot be forwarded: it waits
        until the stores have left the store buffer. Hashes read 32 bits at a time (jhash2)."""
        spec = next((spec for spec in program.maps if spec.name == call.map), None)
        if spec is None or call.key is None or "HASH" not in spec.type:
            return False
        kind, region, start = call.key
        near = ((kind, region, start + offset) for offset in range(spec.key_size))
        return any(index - narrow[address] < _WINDOW for address in near if address in narrow)

    def _elapsed(self, front: float, retired: float) -> float:
        return front + (1 - self.fit.hidden) * max(retired - front, 0.0)

    def _cost(self, program: Program, step: Step, taken: bool, guesses: dict[str, None]) -> _Cost:
        match step.op:
            case ops.Alu(kind=kind, width=width, src=src):
                return self._alu(kind, width, src)
            case ops.Negate() | ops.MoveSigned():
                return _Cost(self.slot, self.cycle)
            case ops.ByteOrder(to=to, bits=bits):
                return _Cost(self.slot, 0.0) if to == "le" else _Cost(self.slot * (2 if bits == 16 else 1), self.swap)
            case ops.LoadImm() | ops.LoadMap() | ops.LoadMapValue() | ops.LoadFunction() | ops.LoadSymbol():
                return _Cost(self.slot, 0.0)
            case ops.Load():
                return _Cost(self.slot, _LOAD_CYCLES * self.cycle)
            case ops.Store():
                return _Cost(self.slot, 0.0)
            case ops.Atomic(kind=kind, fetch=fetch):
                took = self.atomic[_ATOMICS[kind] if fetch else _LOCKED]
                return _Cost(took * self.fit.atomic_share, took)
            case ops.LoadSkb():
                return _Cost(self.subprogram, 2 * _LOAD_CYCLES * self.cycle)
            case ops.CallHelper() | ops.CallKfunc():
                return self._call(program, step, guesses)
            case ops.CallSubprogram():
                return _Cost(self.subprogram, 0.0)
            case ops.Branch():
                return _Cost(self.taken if taken else self.slot, self.cycle)
            case ops.Jump() | ops.MayGoto():
                return _Cost(self.taken, 0.0)
            case ops.Exit():
                return _Cost(0.0, 0.0)
            case ops.Unlifted(text=text):
                guesses[f"{text} is taken for one addition"] = None
                return _Cost(self.slot, self.cycle)

    def _alu(self, kind: AluKind, width: int, src: Operand) -> _Cost:
        match kind:
            case AluKind.MOV:
                return _Cost(self.slot, 0.0)
            case AluKind.MUL:
                return _Cost(self.slot, self.mul)
            case AluKind.UDIV | AluKind.SDIV | AluKind.UMOD | AluKind.SMOD:
                took = self.div64 if width == 64 else self.div32
                return _Cost(took * self.fit.div_share, took)
            case AluKind.LSH | AluKind.RSH | AluKind.ARSH if isinstance(src, int):
                return _Cost(self.slot, self.shift)
            case _:
                return _Cost(self.slot, self.cycle)

    # --- calls ---------------------------------------------------------------------------------------------------------
    def _call(self, program: Program, step: Step, guesses: dict[str, None]) -> _Cost:
        call = step.call or Call(None, ())
        if isinstance(step.op, ops.CallKfunc):
            return self._waited(self._kfunc_ns(step.op.name, guesses))
        assert isinstance(step.op, ops.CallHelper)
        if step.op.helper_id == BPF_TAIL_CALL:
            return _Cost(self.tail_call, self.tail_call)
        name = HELPERS[step.op.helper_id].name if step.op.helper_id in HELPERS else f"helper {step.op.helper_id}"
        spec = next((spec for spec in program.maps if spec.name == call.map), None)
        if name in _MAP_VERBS and spec is not None:
            took = self.map_ns(_MAP_VERBS[name], spec, guesses)
            if call.empty and spec.type == "BPF_MAP_TYPE_LPM_TRIE":
                took = self.profile.value("maps.kinds", "lpm_empty", took)
            elif call.found is False and name == "bpf_map_delete_elem":
                took = self.profile.value("maps.update", "hash_delete_nothing", took / 2)
            elif call.found is False and "HASH" in spec.type:
                took = max(took - self._hit_ns(spec.key_size), 0.0)
            inlined = _MAP_VERBS[name] == "lookup" and spec.type in _INLINED
            return _Cost(took, took + _LOAD_CYCLES * self.cycle) if inlined else self._waited(took)
        took = self._helper_ns(name, call, guesses)
        return _Cost(took, took) if took < 1 else self._waited(took)

    def _waited(self, took: float) -> _Cost:
        took += self.fit.call_ns
        return _Cost(took, took * self.fit.call_latency)

    def _helper_ns(self, name: str, call: Call, guesses: dict[str, None]) -> float:
        short = name.removeprefix("bpf_")
        if short == "loop":
            return 0.0  # its turns are what costs
        if short in _HALF_OF:
            case, default_ns = _HALF_OF[short]
            return self.profile.value("helpers", case, default_ns) / 2
        for case in (short, _SAME_AS.get(short, short)):
            found = self.profile.find("helpers", case)
            if found is not None:
                return max(found.value, 0.0)
        stem = _SAME_AS.get(short, short)
        if stem in _SIZED:
            sizes, argument = _SIZED[stem]
            size = call.constants[argument - 1] if len(call.constants) >= argument else None
            if size is None:
                size = sizes[0]
                guesses[f"the size given to {name} is not known: taken as {size} bytes"] = None
            points = [(float(s), self.profile.value("helpers", f"{stem}_{s}", math.nan)) for s in sizes]
            if all(not math.isnan(value) for _, value in points):
                return max(_on_line(float(size), points), 0.0)
        if short == "task_storage_get":
            return self.profile.value("maps.kinds", "task", 5.0)
        if short == "perf_event_output":
            return self.profile.value("channels", "perf_output_produce@64", 110.0)
        middle = self.unknown_helper_ns
        guesses[f"{name} is not in the profile: taken as {middle:.0f} ns, the median of helpers"] = None
        return middle

    @property
    def unknown_helper_ns(self) -> float:
        """What a helper that was not measured is taken for."""
        section = self.profile.experiments.get("helpers")
        values = sorted(item.value for name, item in section.cases.items() if "atomic" not in name) if section else []
        return values[len(values) // 2] if values else 10.0

    def _kfunc_ns(self, name: str, guesses: dict[str, None]) -> float:
        short = name.removeprefix("bpf_")
        found = self.profile.find("kfuncs", short)
        if found is not None:
            return max(found.value, 0.0)
        if short in ("rcu_read_lock", "rcu_read_unlock"):
            return self.profile.value("kfuncs", "rcu_read_lock_unlock", 4.0) / 2
        guesses[f"{name} is not in the profile: taken as {self.unknown_helper_ns:.0f} ns, the median of helpers"] = None
        return self.unknown_helper_ns

    # --- maps ----------------------------------------------------------------------------------------------------------
    def map_ns(self, verb: str, spec: MapSpec, guesses: dict[str, None]) -> float:
        """A lookup, update or delete in a map of this kind, by how it is used."""
        kind = _KINDS.get(spec.type.removeprefix("BPF_MAP_TYPE_"))
        if kind is None:
            guesses[f"{spec.type} is not in the profile: taken as a hash"] = None
            kind = "hash"
        keys = min(self.usage.keys, max(spec.max_entries, 1))
        value = self._lookup_ns(kind, keys, spec)
        if kind in ("hash", "percpu_hash", "lru_hash"):
            value += self._key_ns(spec.key_size) - self._key_ns(_BASE_KEY_BYTES)
        if verb == "lookup":
            return max(value, 0.0)
        if verb == "delete":
            both = self.profile.value("maps.update", f"{'lru_hash' if kind == 'lru_hash' else 'hash'}_delete", 150.0)
            return max(both - self._update_ns(kind), 0.0) + max(value - self._lookup_ns(kind, 1, spec), 0.0)
        return self._update_ns(kind) + max(value - self._lookup_ns(kind, 100, spec), 0.0)

    def _update_ns(self, kind: str) -> float:
        return self.profile.value("maps.update", f"{kind}_update", self.profile.value("maps.update", "hash_update", 60.0))

    def _lookup_ns(self, kind: str, keys: int, spec: MapSpec) -> float:
        series = _SERIES_OF.get(kind, kind)
        points = _points(self.profile, "maps.footprint", f"{series}@")
        if not points:
            return self.profile.value("maps.kinds", kind, 20.0)
        # What counts for caches is bytes: larger values are like more keys.
        base = 8 if "array" in kind else _CACHE_LINE
        per_key = spec.value_size if "array" in kind else 48 + spec.key_size + spec.value_size
        like = keys * max(per_key / base, 1.0) if keys > 1 else 1.0
        value = _on_line(math.log(like), [(math.log(x), y) for x, y in points])
        if series != kind:  # the per-CPU kinds, which were measured at one footprint only
            value += self.profile.value("maps.kinds", kind, 0) - self.profile.value("maps.kinds", series, 0)
        return value * self._skewed(series, keys)

    def _skewed(self, kind: str, keys: int) -> float:
        """What skew leaves of the cost of a footprint; nothing to win where everything is in the cache anyway."""
        points = _points(self.profile, "maps.skew", f"{kind}~")
        if not points or self.usage.skew <= 0 or keys < 2:
            return 1.0
        uniform = points[0][1]
        if uniform <= 0:
            return 1.0
        ratio = _on_line(self.usage.skew, points) / uniform
        weight = min(math.log(keys) / math.log(_MANY_KEYS), 1.0)
        return 1 - weight * (1 - min(ratio, 1.0))

    def _hit_ns(self, size: int) -> float:
        """What a key that is there costs more than one that is not: comparing it, and reading its value."""
        points = _points(self.profile, "maps.keys", "miss")
        return max(self._key_ns(size) - _on_line(float(size), points), 0.0) if points else 0.0

    def _key_ns(self, size: int) -> float:
        points = _points(self.profile, "maps.keys", "key")
        return _on_line(float(size), points) if points else 0.0


_MAP_VERBS = {
    "bpf_map_lookup_elem": "lookup", "bpf_map_update_elem": "update", "bpf_map_delete_elem": "delete",
    "bpf_map_lookup_percpu_elem": "lookup",
}  # fmt: skip
_INLINED = frozenset(("BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_PERCPU_ARRAY"))
_KINDS = {
    "ARRAY": "array", "PERCPU_ARRAY": "percpu_array", "HASH": "hash", "PERCPU_HASH": "percpu_hash", "LRU_HASH": "lru_hash",
    "LRU_PERCPU_HASH": "lru_hash", "LPM_TRIE": "lpm", "PROG_ARRAY": "array", "ARRAY_OF_MAPS": "array", "HASH_OF_MAPS": "hash",
    "DEVMAP": "array", "CPUMAP": "array", "XSKMAP": "array", "SOCKMAP": "array", "DEVMAP_HASH": "hash", "SOCKHASH": "hash",
}  # fmt: skip
_SERIES_OF = {"percpu_array": "array", "percpu_hash": "hash"}
# Helpers that do what another one does, and those whose cost grows with an argument: the sizes measured, and which of r1 to r5.
_SAME_AS = {
    "ktime_get_tai_ns": "ktime_get_ns", "redirect_map": "redirect", "redirect_peer": "redirect", "redirect_neigh": "redirect",
    "xdp_adjust_meta": "xdp_adjust_head", "probe_read_user": "probe_read_kernel", "probe_read": "probe_read_kernel",
    "csum_diff": "csum_diff", "ringbuf_output": "ringbuf_output", "get_current_task_btf": "get_current_task",
    "get_current_ancestor_cgroup_id": "get_current_cgroup_id", "skb_load_bytes_relative": "skb_load_bytes",
    "map_push_elem": "ringbuf_output", "strncmp": "strncmp",
}  # fmt: skip
# The cases of atomic instructions: without a fetch each is one locked instruction; x86 has no fetching OR, AND and XOR, and
# the JIT makes a loop of compare-and-exchange of them.
_LOCKED = "atomic_add"
_ATOMICS = {
    AtomicKind.ADD: "atomic_fetch_add", AtomicKind.XCHG: "atomic_xchg", AtomicKind.CMPXCHG: "atomic_cmpxchg",
    AtomicKind.OR: "atomic_fetch_or", AtomicKind.AND: "atomic_fetch_or", AtomicKind.XOR: "atomic_fetch_or",
}  # fmt: skip
# Helpers that only come in twos: measured together (the case, and what it is taken for unmeasured, in ns), and halved.
_HALF_OF = {
    "spin_lock": ("spin_lock", 25.0), "spin_unlock": ("spin_lock", 25.0),
    "ringbuf_reserve": ("ringbuf_reserve_discard", 20.0), "ringbuf_submit": ("ringbuf_reserve_discard", 20.0),
    "ringbuf_discard": ("ringbuf_reserve_discard", 20.0),
}  # fmt: skip
_SIZED = {
    "csum_diff": ((64, 512), 4), "xdp_load_bytes": ((32, 512), 4), "xdp_store_bytes": ((32,), 4),
    "skb_load_bytes": ((32, 512), 4), "skb_store_bytes": ((32,), 4), "probe_read_kernel": ((8,), 2),
    "ringbuf_output": ((8,), 3), "strncmp": ((16,), 2),
}  # fmt: skip


def _points(profile: Profile, experiment: str, prefix: str) -> list[tuple[float, float]]:
    section = profile.experiments.get(experiment)
    if section is None:
        return []
    found = ((name.removeprefix(prefix), item.value) for name, item in section.cases.items() if name.startswith(prefix))
    return sorted((float(x), value) for x, value in found)


def _on_line(x: float, points: Sequence[tuple[float, float]]) -> float:
    """The value at x on the line through the points; beyond the ends, on with the last one's slope upwards, level downwards."""
    if len(points) == 1 or x <= points[0][0]:
        return points[0][1]
    ahead = next((index for index, (end, _) in enumerate(points) if x <= end), len(points) - 1)
    (x0, y0), (x1, y1) = points[ahead - 1], points[ahead]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _reads(op: Op) -> tuple[int, ...]:
    """What an instruction waits for. A call into the program moves no arguments: each is as ready as it was."""
    return () if isinstance(op, ops.CallSubprogram) else uses(op)


def _writes(op: Op) -> tuple[int, ...]:
    return () if isinstance(op, ops.CallSubprogram) else defines(op)
