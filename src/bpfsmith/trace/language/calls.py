"""What a run of a probe asks of the kernel and tells it, in the words of the prover: clock, strings, stacks and records.

The engine compares two runs by the calls that they made and what each was given (`semantics.recorded`). Here the same is
written down for a meaning: a method for each thing that the language can ask, from what the helper is documented to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bpfsmith.semantics.memory import Bytes, joined
from bpfsmith.semantics.recorded import ORDER, STRIDE
from bpfsmith.semantics.terms import Term, Terms

CLOCK = "bpf_ktime_get_ns"
_COUNT_BITS = 16
Given = Sequence[tuple[int, Term]]
"""What a call is given: bytes and value of each part."""


@dataclass(slots=True)
class Calls:
    """`counts`: how often each helper was called so far (16 bits); `records`: what the calls were given."""

    t: Terms
    counts: dict[str, Term] = field(default_factory=dict)
    records: dict[str, Bytes] = field(default_factory=dict)

    def count(self, name: str) -> Term:
        return self.counts.get(name, self.t.const(_COUNT_BITS, 0))

    def _next(self, name: str) -> Term:
        number = self.count(name)
        self.counts[name] = self.t.add(_COUNT_BITS, number, self.t.const(_COUNT_BITS, 1))
        return number

    def either(self, held: Term, then: dict[str, Term], other: dict[str, Term]) -> dict[str, Term]:
        """The counts of one way where `held`, else those of the other."""
        zero = self.t.const(_COUNT_BITS, 0)
        names = sorted(then.keys() | other.keys())
        return {name: self.t.ite(_COUNT_BITS, held, then.get(name, zero), other.get(name, zero)) for name in names}

    # --- what can be asked --------------------------------------------------------------------------------------------
    def clock(self) -> Term:
        """Nanoseconds, 64 bits."""
        return self.t.app(CLOCK, 64, self._next(CLOCK))

    def comm(self, size: int) -> list[Term]:
        """The bytes of the running thread's name: the same for the whole run."""
        t, told = self.t, self.t.const(32, size)
        words = [t.app(f"bpf_get_current_comm.1+{at}", 64, told) for at in range(0, size, 8)]
        return [t.extract(word, 64, low + 7, low) for word in words for low in range(0, 64, 8)]

    def string(self, on: Term, helper: str, address: Term, size: int) -> list[Term]:
        """The bytes of the string at an address, up to its end or `size`, zeros behind; all zeros where there is none."""
        t, told = self.t, self.t.const(32, size)
        number = self._made(on, helper, [(4, told), (4, told), (8, address)])
        length, zero = t.app(helper, 64, number), t.const(8, 0)
        read = [t.ite(8, t.slt(64, t.const(64, at), length), t.app(f"{helper}.1.{at}", 8, number), zero) for at in range(size)]
        return [t.ite(8, t.slt(64, length, t.const(64, 0)), zero, byte) for byte in read]

    def kernel(self, address: Term, size: int) -> Term:
        """`size` bytes of the kernel's memory through a pointer of known type; 8 * size bits."""
        t, order = self.t, self.count(ORDER)
        return joined(t, [t.app("kernel", 8, t.add(64, address, t.const(64, i)), order) for i in range(size)])

    def probed(self, on: Term, address: Term, size: int) -> Term:
        """The same where the pointer's type is not known to the verifier: a copy, zeros where it fails."""
        t, helper = self.t, "bpf_probe_read_kernel"
        told = t.const(32, size)
        number = self._made(on, helper, [(4, told), (4, told), (8, address)])
        return t.app(f"{helper}.1+0", 8 * size, number)

    def stack(self, on: Term, stacks: str, flags: int) -> Term:
        """The number under which the stack is kept in the map `stacks`, or a negative error."""
        channel = f"bpf_get_stackid:{stacks}"
        return self.t.app(channel, 64, self._made(on, channel, [(8, self.t.const(64, flags))]))

    def sent(self, on: Term, events: str, record: Bytes, size: int) -> None:
        """A record that goes to the ring buffer `events`."""
        t = self.t
        parts: list[tuple[int, Term]] = []
        for at in range(0, size, 8):
            piece = min(8, size - at)
            value = record.load(t, t.const(64, at), piece)
            assert isinstance(value, Term)
            parts.append((piece, value))
        self._made(
            on, f"bpf_ringbuf_output:{events}", [*parts, (4, t.const(32, size)), (8, t.const(64, size)), (8, t.const(64, 0))]
        )

    def _made(self, on: Term, channel: str, given: Given) -> Term:
        """The number of a call that is made where `on`; what it was given is recorded, with its place among all calls."""
        t = self.t
        order, number = self._next(ORDER), self._next(channel)
        start = t.mul(64, t.zext(number, _COUNT_BITS, 64), t.const(64, STRIDE))
        memory, at = self.records.get(channel) or Bytes(lambda offset: t.const(8, 0)), 0
        for size, value in ((2, order), *given):
            where = t.add(64, start, t.const(64, at))
            old = memory.load(t, where, size)
            assert isinstance(old, Term)
            memory, at = memory.store(t, where, size, t.ite(8 * size, on, value, old)), at + size
        self.records[channel] = memory
        return number
