"""C for RPCs that take several packets: the map that remembers them, and what stands before and behind a body.

What it means is said in `packets`; `meaning` says the same in terms, and the proof holds one against the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.appnet.binding import Field
from bpfsmith.appnet.packets import FORWARDED, REFUSED, Packets, Parts
from bpfsmith.appnet.unpack import Unpacking, number_of


@dataclass(frozen=True, slots=True)
class Remembering:
    """The RPCs of one body. `name` is the map's, in C and in the object."""

    name: str
    unpacking: Unpacking
    packets: Packets

    @property
    def parts(self) -> Parts:
        return self.unpacking.binding.parts(self.unpacking.body, self.unpacking.wanted)

    def declaration(self) -> Iterator[str]:
        """The map, and the structs of its keys and values."""
        binding = self.unpacking.binding
        yield f"struct {self.name}_key {{"
        yield f"\t__u32 address[{binding.envelope.address_size // 4}]; // of the client"
        yield "\t__u16 port;"
        yield "\t__u16 zeros;"
        yield f"\t__u32 id[{(binding.id_size + 3) // 4}];"
        yield "};"
        yield ""
        yield f"struct {self.name}_entry {{"
        yield "\t__u64 until; // ns: then it is forgotten"
        yield f"\t__u32 decision; // {FORWARDED} forwarded, {REFUSED} refused"
        yield "\t__u32 seen; // packets whose parts are there"
        if self.parts.size:
            yield f"\t__u8 parts[{self.parts.size}] __attribute__((aligned(8)));"
        yield "};"
        yield ""
        yield "struct {"
        yield "\t__uint(type, BPF_MAP_TYPE_LRU_HASH);"
        yield f"\t__type(key, struct {self.name}_key);"
        yield f"\t__type(value, struct {self.name}_entry);"
        yield f"\t__uint(max_entries, {self.packets.entries});"
        yield f'}} {self.name} SEC(".maps"); // what was decided of an RPC'
        yield ""

    def recall(self) -> Iterator[str]:
        """Follows what was decided of the packet's RPC; goes on with the packet that decides."""
        fresh, target = self.unpacking.fresh, self.unpacking.target
        rpc, now, entry = fresh("rpc"), fresh("rpc_now"), fresh("rpc_entry")
        yield from self._key()
        yield f"__u64 {now} = bpf_ktime_get_ns();"
        yield f"struct {self.name}_entry {rpc} = {{ .until = {now} + {self.packets.life_ns}ULL }};"
        yield f"struct {self.name}_entry *{entry} = bpf_map_lookup_elem(&{self.name}, &{fresh('rpc_key')});"
        follow = f"return {entry}->decision == {FORWARDED} ? {target.forward} : {target.abort};"
        if self.parts.several:
            yield f"if ({entry} && {now} < {entry}->until) {{"
            yield f"\tif ({entry}->decision)"
            yield f"\t\t{follow}"
            yield f"\t{rpc} = *{entry};"
            yield "}"
            yield from self._collect(rpc)
            return
        yield f"if ({entry} && {now} < {entry}->until && {entry}->decision)"
        yield f"\t{follow}"
        if self.packets.number:
            yield f"if ({self.unpacking.variable(self.packets.number)} != {self.packets.first}) // the first is missing"
            yield f"\treturn {self._early};"
        yield from self.unpacking.body_of_message()

    @property
    def _early(self) -> str:
        target = self.unpacking.target
        return target.forward if self.packets.early == "forward" else target.abort

    def _key(self) -> Iterator[str]:
        binding, fresh, data = self.unpacking.binding, self.unpacking.fresh, self.unpacking.data
        key, around = fresh("rpc_key"), binding.envelope
        address, port = around.client(self.unpacking.body)
        yield f"struct {self.name}_key {key} = {{ .port = *(__u16 *)({data} + {port}) }};"
        if around.address_size == 4:
            yield f"{key}.address[0] = *(__u32 *)({data} + {address});"
        else:
            yield f"__builtin_memcpy({key}.address, {data} + {address}, {around.address_size});"
        if around.slides:
            yield f"{key}.id[0] = *(__u32 *)({data} + {around.sequence}); // the sequence number"
            return
        id = self.unpacking.variable(self.packets.id)
        found = self._field(self.packets.id)
        if found.kind == "bytes":
            yield f"__builtin_memcpy({key}.id, {id}.bytes, {found.size});"
        else:
            yield f"{key}.id[0] = {id};"

    def _field(self, name: str) -> Field:
        found = self.unpacking.binding.field(self.unpacking.body, name)
        assert found is not None
        return found

    def _collect(self, rpc: str) -> Iterator[str]:
        """Keeps this packet's parts; goes on when all are there."""
        parts, unpacking, binding = self.parts, self.unpacking, self.unpacking.binding
        data, data_end, end = unpacking.data, unpacking.fresh("data_end"), unpacking.fresh("message_end")
        start = binding.envelope.payload + binding.header_size
        which = unpacking.variable(self.packets.number)
        head = "if"
        for index in sorted({piece.packet for piece in parts.pieces}):
            last = start + max(piece.at + piece.size for piece in parts.of(index))
            yield f"{head} ({which} == {self.packets.first + index}) {{"
            yield f"\tif ({data} + {last} > {data_end} || {end} < {last})"
            yield f"\t\treturn {unpacking.unreadable};"
            for piece in parts.of(index):
                yield f"\t__builtin_memcpy({rpc}.parts + {piece.slot}, {data} + {start + piece.at}, {piece.size});"
            yield f"\t{rpc}.seen |= {1 << index:#x};"
            head = "} else if"
        yield "} else {"
        yield f"\treturn {self._early};"
        yield "}"
        yield f"if (({rpc}.seen & {parts.wanted:#x}) != {parts.wanted:#x}) {{ // more is to come"
        yield f"\t{self._update()}"
        yield f"\treturn {unpacking.target.forward};"
        yield "}"
        for name, slot in parts.slots:
            item, variable = self._field(name), unpacking.variable(name)
            if item.kind == "bytes":
                yield f"{unpacking.c_type(item.type)} {variable} = {{ .size = {item.size} }};"
                yield f"__builtin_memcpy({variable}.bytes, {rpc}.parts + {slot}, {item.size});"
            else:
                raw = f"*(__u{8 * item.size} *)({rpc}.parts + {slot})"
                yield f"{unpacking.c_type(item.type)} {variable} = {number_of(item, raw)};"

    def _update(self) -> str:
        fresh = self.unpacking.fresh
        return f"bpf_map_update_elem(&{self.name}, &{fresh('rpc_key')}, &{fresh('rpc')}, BPF_ANY);"

    def remember(self) -> Iterator[str]:
        """Keeps what the body has decided, in `verdict`."""
        rpc = self.unpacking.fresh("rpc")
        yield f"{rpc}.decision = verdict == {self.unpacking.target.forward} ? {FORWARDED} : {REFUSED};"
        yield self._update()
