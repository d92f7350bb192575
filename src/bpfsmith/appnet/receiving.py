"""How a packet becomes a message of a step: what is no message leaves, and what is remembered of its RPC is followed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bpfsmith.appnet import facts
from bpfsmith.appnet.arrivals import Arrival, from_bytes, read_terms, replied, write_field
from bpfsmith.appnet.binding import Binding
from bpfsmith.appnet.core import Stmt
from bpfsmith.appnet.evaluation import CLOCK, Env, Evaluation, Rpc
from bpfsmith.appnet.packets import DECISION, FORWARDED, OPEN, PARTS, REFUSED, SEEN, UNTIL, Parts
from bpfsmith.semantics.memory import Bytes, HashMap, joined
from bpfsmith.semantics.terms import Term


@dataclass(slots=True)
class Receiving(Evaluation):
    """Takes messages out of packets for one body, and leaves what errors and set fields make of the packet."""

    packet: Bytes = field(init=False)  # as it came
    places: dict[str, Term] = field(default_factory=dict)  # where the fields of the message lie
    generation: int = 0  # of entries of maps

    @property
    def statements(self) -> tuple[Stmt, ...]:
        return self.element.body(self.body)

    def receive(self, env: Env) -> None:
        """Goes on with packets that are messages, and that decide of their RPC; others leave here."""
        t, binding = self.t, self.element.binding
        if binding is None:
            return
        whole = binding.envelope.slides and self.actions.whole
        message = read_terms(t, binding, self.body, self.statements, whole)
        self.packet, self.places = message.packet, dict(message.places)
        unreadable = self.actions.forward if binding.unreadable == "forward" else self.actions.abort
        self._leave(env, t.negate(message.ours), self.actions.forward)
        self._leave(env, t.negate(message.opened), unreadable)
        if binding.packets is not None:
            env.fields = {**message.fields}
            self._recall(env, binding, message)
        self._leave(env, t.negate(message.readable), unreadable)
        env.fields = {**message.fields, **env.fields}
        self.watch.begins = env.path

    def _leave(self, env: Env, when: Term, action: int) -> None:
        """Packets of this kind are through; `env` goes on with the others."""
        through = env.copy()
        through.path = self.t.all_of(env.path, when)
        if through.path is not self.t.false:
            self.finish(through, action)
        env.path = self.t.all_of(env.path, self.t.negate(when))

    def _recall(self, env: Env, binding: Binding, message: Arrival) -> None:
        """What is remembered of the packet's RPC: a decision is followed, and what is not decided goes on in `env`."""
        t, packets, spec = self.t, binding.packets, self.layout.rpcs
        assert packets is not None and spec is not None
        key = self._key_of_rpc(binding, message)
        self.readings_before = 1
        number = env.calls.get(CLOCK, t.const(16, 0))
        now = t.app(CLOCK, 64, t.const(16, 0))
        env.calls[CLOCK] = t.add(16, number, t.const(16, 1))
        memory = HashMap.initial(t, spec.name, spec.key_size, spec.value_size)

        def of_entry(at: int, size: int) -> Term:
            return memory.load(t, key, t.const(64, at), size)

        alive = t.all_of(memory.present(t, key), t.ult(64, now, of_entry(UNTIL, 8)))
        decision = of_entry(DECISION, 4)
        decided = t.all_of(alive, t.negate(t.eq(32, decision, t.const(32, OPEN))))
        forwarded = t.eq(32, decision, t.const(32, FORWARDED))
        self.watch.followed, self.watch.now = t.all_of(env.path, decided), now
        self._leave(env, t.all_of(decided, forwarded), self.actions.forward)
        self._leave(env, t.all_of(decided, t.negate(forwarded)), self.actions.abort)
        ends = t.add(64, now, t.const(64, packets.life_ns))
        wanted = facts.fields_read(self.statements) | facts.fields_set(self.statements)
        parts = binding.parts(self.body, wanted)
        early = self.actions.forward if packets.early == "forward" else self.actions.abort
        which = message.fields[packets.number] if packets.number else None
        self.watch.rpc = Rpc(memory, key, ends, t.const(32, 0), ())
        if not parts.several:
            if which is not None:
                self._leave(env, t.negate(t.eq(32, which, t.const(32, packets.first))), early)
            return
        assert which is not None
        self._collect(env, binding, message, parts, alive, which, early)

    def _collect(
        self, env: Env, binding: Binding, message: Arrival, parts: Parts, alive: Term, which: Term, early: int
    ) -> None:
        """Adds what this packet has of the fields to what is kept of them; goes on when all of them are there."""
        t, packets, rpc = self.t, binding.packets, self.watch.rpc
        assert packets is not None and rpc is not None
        zero = t.const(8, 0)
        start = t.add(64, message.places[""], t.const(64, binding.header_size))
        kept = [t.ite(8, alive, rpc.load(t, PARTS + at, 1), zero) for at in range(parts.size)]
        seen = t.ite(32, alive, rpc.load(t, SEEN, 4), t.const(32, 0))
        until = t.ite(64, alive, rpc.load(t, UNTIL, 8), rpc.until)
        known, short = t.false, t.false
        for index in sorted({piece.packet for piece in parts.pieces}):
            here = t.eq(32, which, t.const(32, (packets.first + index) & 0xFFFFFFFF))
            known = t.any_of(known, here)
            last = max(piece.at + piece.size for piece in parts.of(index))
            short = t.any_of(short, t.all_of(here, t.ult(64, message.end, t.add(64, start, t.const(64, last)))))
            seen = t.ite(32, here, t.or_(32, seen, t.const(32, 1 << index)), seen)
            for piece in parts.of(index):
                for step in range(piece.size):
                    came = message.packet.load(t, t.add(64, start, t.const(64, piece.at + step)), 1)
                    assert isinstance(came, Term)
                    kept[piece.slot + step] = t.ite(8, here, came, kept[piece.slot + step])
        self._leave(env, t.negate(known), early)
        unreadable = self.actions.forward if binding.unreadable == "forward" else self.actions.abort
        self._leave(env, short, unreadable)
        self.watch.rpc = replace(rpc, until=until, seen=seen, parts=tuple(kept))
        whole = t.eq(32, t.and_(32, seen, t.const(32, parts.wanted)), t.const(32, parts.wanted))
        held = env.copy()
        held.path = t.all_of(env.path, t.negate(whole))
        if held.path is not t.false:
            self.remember(held, OPEN)
            self.finish(held, self.actions.forward)
        env.path = t.all_of(env.path, whole)
        for name, slot in parts.slots:
            item = binding.field(self.body, name)
            assert item is not None
            env.fields[name] = from_bytes(t, item, kept[slot : slot + item.size])

    def _key_of_rpc(self, binding: Binding, message: Arrival) -> Term:
        """Client and id, as they lie in the key."""
        t, around, packets = self.t, binding.envelope, binding.packets
        assert packets is not None
        address, port = around.client(self.body)
        raw: list[Term] = []
        for at, size in ((address, around.address_size), (port, 2)):
            for step in range(size):
                byte = message.packet.load(t, t.const(64, at + step), 1)
                assert isinstance(byte, Term)
                raw.append(byte)
        raw += [t.const(8, 0)] * 2
        if around.slides:
            for step in range(4):
                byte = message.packet.load(t, t.const(64, around.sequence + step), 1)
                assert isinstance(byte, Term)
                raw.append(byte)
            return joined(t, raw)
        id = message.fields[packets.id]
        found = binding.field(self.body, packets.id)
        assert found is not None
        if found.kind == "bytes":  # without the length in front
            id = t.extract(id, id.width, 8 * found.size + 7, 8)
        front = joined(t, raw)
        return t.concat(id, id.width, front, front.width)

    def finish(self, env: Env, action: int) -> None:
        """A step that decides of its RPC is remembered."""
        if self.watch.rpc is not None and self.watch.begins is not None:
            self.remember(env, FORWARDED if action == self.actions.forward else REFUSED)
        Evaluation.finish(self, env, action)

    def remember(self, env: Env, decision: int) -> None:
        t, rpc = self.t, self.watch.rpc
        assert rpc is not None
        entry = Bytes(lambda offset: t.const(8, 0))
        entry = entry.store(t, t.const(64, UNTIL), 8, rpc.until)
        entry = entry.store(t, t.const(64, DECISION), 4, t.const(32, decision))
        entry = entry.store(t, t.const(64, SEEN), 4, rpc.seen)
        for at in range(0, len(rpc.parts), 8):
            entry = entry.store(t, t.const(64, PARTS + at), 8, joined(t, list(rpc.parts[at : at + 8])))
        self.generation += 1
        env.rpcs = rpc.memory.insert(t.true, rpc.key, entry, t.const(32, self.generation))

    def set_field(self, name: str, value: Term, env: Env) -> None:
        t, binding = self.t, self.element.binding
        assert binding is not None
        item = binding.field(self.body, name)
        assert item is not None
        env.fields[name] = value
        env.packet = write_field(t, env.packet or self.packet, binding, item, self.places[name], value)

    def refuse(self, env: Env) -> None:
        """An error drops the message, or goes back to its sender where the binding defines a reply."""
        binding = self.element.binding
        if binding is None or binding.reply is None or self.actions.reply is None:
            self.finish(env, self.actions.abort)
            return
        env.packet = replied(self.t, env.packet or self.packet, binding)
        self.finish(env, self.actions.reply)
