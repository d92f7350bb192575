"""Random inputs that reach what programs look for: believable packets, map contents under the keys that are looked up.

Uniformly random bytes would stop at the first comparison with an ethertype. So packets are built of headers, addresses and
ports come from small pools, numbers that the programs compare with are written here and there, and the keys of hash maps are
those that the interpreter saw the programs look up. Everything depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from bpfsmith.execution import HelperResult, MapContents, RunInput
from bpfsmith.gate.runs import READABLE
from bpfsmith.ir.ops import CallHelper
from bpfsmith.isa.context import FieldKind
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.kernel.testrun import ETHERNET_BYTES, header_bytes
from bpfsmith.packet.build import Route, echo_request, tcp_packet, udp_packet
from bpfsmith.semantics import concrete
from bpfsmith.semantics.concrete_memory import Pointer
from bpfsmith.semantics.state import Unmodelled

LEARNING_RUNS = 60
POOL = 48
"""How many keys of a hash map are remembered, and elements of a large array filled."""

_LOOKS_UP = frozenset(HELPER_IDS[f"bpf_map_{verb}_elem"] for verb in ("lookup", "update", "delete"))
_IPV6_FRAME = 54  # test runs of programs on sk_buffs want whole headers of the network layer
_EDGES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WIDE_EDGES = (0, 1 << 32, 1 << 63, (1 << 64) - 1, (1 << 63) - 1)
_ADDRESSES = tuple(f"{net}.{host}" for net in ("192.0.2", "198.51.100", "10.0.0") for host in (1, 2, 77, 255))
_ADDRESSES6 = tuple(f"2001:db8::{host:x}" for host in (1, 2, 0x77, 0xFFFF))
_TCP_FLAGS = ("syn", "syn ack", "ack", "psh ack", "fin ack", "rst")
_SKB_FIELDS = ("mark", "priority", "cb[0]", "cb[1]", "cb[2]", "cb[3]", "cb[4]", "tstamp")
"""What a test run lets userspace set in struct __sk_buff (net/bpf/test_run.c: convert___skb_to_skb)."""
_PACKETS = ("struct xdp_md", "struct __sk_buff")
_SKB = frozenset(f"BPF_PROG_TYPE_{name}" for name in ("SCHED_CLS", "SCHED_ACT", "CGROUP_SKB"))


class Inputs:
    """An endless supply of inputs for programs that share map names."""

    def __init__(self, programs: Sequence[Program], seed: int = 0) -> None:
        self.random = Random(seed)
        self.kind = for_section(programs[0].section)
        self.specs = {spec.name: spec for program in programs for spec in program.maps if not spec.frozen}
        self.numbers = sorted({number for program in programs for number in _numbers(program)}) or [1]
        self.ports = [number for number in self.numbers if 0 < number < 65536] or [80]
        self.keys: dict[str, dict[bytes, None]] = {name: {} for name in self.specs}
        self._learn(programs)

    # --- packets ------------------------------------------------------------------------------------------------------
    def packet(self) -> bytes:
        """What the program sees: a frame, or above the link layer what follows its header; at least 14 bytes."""
        random = self.random
        frame = bytearray(self._frame())
        if header_bytes(self.kind):
            del frame[: 18 if frame[12:14] == b"\x81\x00" else ETHERNET_BYTES]
        if random.random() < 0.5:
            for _ in range(random.choice((1, 1, 2, 3))):
                self._poke(frame)
        if random.random() < 0.1:
            del frame[random.randrange(14, len(frame) + 1) :]
        return bytes(frame).ljust(14 if self.kind.name == "BPF_PROG_TYPE_XDP" else _IPV6_FRAME, b"\0")

    def _frame(self) -> bytes:
        random = self.random
        pool = _ADDRESSES if random.random() < 0.75 else _ADDRESSES6
        route = Route(
            random.choice(pool), random.choice(pool), random.choice((64, 64, 64, 0, 1, 2, 255)),
            vlan=random.choice((None, None, None, 1, 100, 4095)),
        )  # fmt: skip
        payload = random.randbytes(random.choice((0, 1, 4, 8, 18, 26, 40, 64, 100, 300)))
        match random.randrange(5):
            case 0:
                return echo_request(payload, random.randrange(65536), random.randrange(65536), route)
            case 1 | 2:
                flags, seq = random.choice(_TCP_FLAGS), random.getrandbits(32)
                frame = tcp_packet(payload, self._port(), self._port(), flags, seq, random.getrandbits(32), route)
            case _:
                frame = udp_packet(payload, self._port(), self._port(), route)
        return frame

    def _port(self) -> int:
        port = self.random.choice((*self.ports, 80, 443, 40000))
        return port if self.random.random() < 0.5 else int.from_bytes(port.to_bytes(2, "little"), "big")

    def _poke(self, frame: bytearray) -> None:
        """A number that means something to the programs, or any, somewhere in the headers."""
        random = self.random
        size = random.choice((1, 1, 2, 2, 4))
        at = random.randrange(max(1, min(len(frame), 96) - size)) // size * size + random.choice((0, 0, 2 if size > 1 else 0))
        number = self._number()
        frame[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, random.choice(("little", "big")))

    def _number(self) -> int:
        random = self.random
        match random.randrange(4):
            case 0:
                return random.choice(_EDGES)
            case 1:
                return random.getrandbits(32)
            case _:
                return random.choice(self.numbers) + random.choice((0, 0, 0, 1, -1))

    # --- everything else ----------------------------------------------------------------------------------------------
    def ctx(self) -> dict[str, int]:
        """Fields of the context that a run can be given."""
        random = self.random
        if self.kind.name in _SKB:
            names = random.sample(_SKB_FIELDS, random.randrange(4))
            return {name: self._number() % (1 << 32) for name in names}
        if self.kind.context_type not in _PACKETS and not any(item.kind is FieldKind.PACKET for item in self.kind.context):
            scalars = [item for item in self.kind.context if item.kind is FieldKind.SCALAR]
            return {item.name: self._number() % (1 << 8 * item.size) for item in scalars}
        return {}

    def maps(self) -> dict[str, MapContents]:
        """Contents for every map that can be filled."""
        return {name: self._contents(spec) for name, spec in self.specs.items() if spec.type in READABLE}

    def draws(self, helpers: Sequence[str], count: int = 16) -> tuple[HelperResult, ...]:
        """Results for nondeterministic helpers; clocks do not go back."""
        out: list[HelperResult] = []
        for helper in helpers:
            now = self.random.choice((1_000_000_000, 5_000_000_000, 1 << 40, self.random.getrandbits(44)))
            for _ in range(count):
                if "ktime" in helper:
                    now += self.random.choice((0, 1, 1000, 10**6, 10**9, 3 * 10**9))
                    out.append(HelperResult(helper, now))
                else:
                    out.append(HelperResult(helper, self._number() % (1 << 32)))
        return tuple(out)

    def run_input(self, helpers: Sequence[str] = ()) -> RunInput:
        """All of it, for one run from a state of its own."""
        return RunInput(self.packet(), self.ctx(), self.maps(), self.draws(helpers))

    def _contents(self, spec: MapSpec) -> MapContents:
        random = self.random
        if "ARRAY" in spec.type:
            indices = range(spec.max_entries) if spec.max_entries <= POOL else random.sample(range(spec.max_entries), POOL)
            learnt = {key for key in self.keys[spec.name] if int.from_bytes(key, "little") < spec.max_entries}
            keys = sorted({index.to_bytes(4, "little") for index in indices} | learnt)
        else:
            known = list(self.keys[spec.name])
            keys = random.sample(known, random.randint(0, len(known)))
            keys = sorted({_legal_key(spec, key) for key in keys[: max(1, spec.max_entries // 2)]})
        return {key: self._value(spec.value_size) for key in keys}

    def _value(self, size: int) -> bytes:
        random, out = self.random, bytearray()
        if random.random() < 0.15:
            return bytes(size)
        while len(out) < size:
            if random.random() < 0.2:  # where 64 bits end
                number = random.choice(_WIDE_EDGES) + random.choice((0, 0, 1, -1, 2, -3))
                out += (number % (1 << 64)).to_bytes(8, "little")
            else:
                out += self._half_word() + self._half_word()
        return bytes(out[:size])

    def _half_word(self) -> bytes:
        random = self.random
        match random.randrange(4):
            case 0:
                return random.randbytes(4)
            case 1:
                return (self._number() % (1 << 32)).to_bytes(4, "little")
            case _:
                return random.randrange(16).to_bytes(4, "little")

    # --- keys ---------------------------------------------------------------------------------------------------------
    def _learn(self, programs: Sequence[Program]) -> None:
        """Runs the programs in the interpreter, on maps that fill up with what is looked up, and keeps the keys."""
        for number in range(LEARNING_RUNS):
            program = programs[number % len(programs)]
            try:
                concrete.run(program, self.run_input(), observe=self._note, budget=20_000)
            except Unmodelled:
                continue

    def _note(self, machine: concrete.Machine) -> None:
        code = machine.functions[machine.function]
        op = code[machine.insn_idx] if machine.insn_idx < len(code) else None
        if not isinstance(op, CallHelper) or op.helper_id not in _LOOKS_UP:
            return
        handle, key = machine.registers[1], machine.registers[2]
        if not isinstance(handle, Pointer) or key is None:
            return
        known, spec = self.keys.get(handle.region.name), self.specs.get(handle.region.name)
        if known is not None and spec is not None and len(known) < POOL:
            known[machine.read(key, spec.key_size)] = None


def _legal_key(spec: MapSpec, key: bytes) -> bytes:
    """A prefix no longer than its bits."""
    if spec.type != "BPF_MAP_TYPE_LPM_TRIE":
        return key
    bits = min(int.from_bytes(key[:4], "little"), 8 * (spec.key_size - 4))
    return bits.to_bytes(4, "little") + key[4:]


def _numbers(program: Program) -> Iterator[int]:
    """Numbers that the program compares with, adds or stores."""
    for body in (program.insns, *(sub.insns for sub in program.subprograms)):
        for insn in body:
            if insn.imm and insn.symbol is None:
                yield insn.imm & 0xFFFFFFFF
