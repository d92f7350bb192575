"""The proof of a kernel half: whatever request comes, it leaves reply and state as the server's own code does, or hands the
request over with packet and state untouched.

Both are BPF programs: the object that is loaded, with its arena, and the server's source as one flat function. Requests are
taken by their length, each length a case: loops over a request then have an end, and the prover follows them round by round.
"""

from __future__ import annotations

import multiprocessing
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bpfsmith.csource.tree import Shape
from bpfsmith.objfile.btf import Array, Btf, Struct
from bpfsmith.objfile.object import Object
from bpfsmith.offload.half import KernelHalf, State
from bpfsmith.offload.reference import ENTRY
from bpfsmith.semantics.apart import Exit
from bpfsmith.semantics.arena import BASE, Arena, ArenaExecutor, Place, fixed, unknown
from bpfsmith.semantics.memory import Bytes, Initial, Region
from bpfsmith.semantics.recorded import PacketView, packet_view
from bpfsmith.semantics.refinement import SMALL, Apart, End, Refinement, Variable
from bpfsmith.semantics.solver import QUICK, Unsatisfiable, satisfiable
from bpfsmith.semantics.state import CTX, PACKET, Unmodelled
from bpfsmith.semantics.state import State as RunState
from bpfsmith.semantics.terms import Term, Terms, postorder
from bpfsmith.semantics.verdict import Equal, Unknown

HEADERS, IP_AND_UDP = 42, 28
BUDGET = 600.0
"""Seconds of a whole proof."""

PATIENCE = 40.0

FIRST = (None, 5, 16, 1, 0)
"""Cases that are looked at first: other packets, and lengths of requests in bytes."""

TC_ACT_REDIRECT = 7
"""What bpf_redirect gives for flags that it knows (net/core/filter.c)."""

GAP = 256
"""Bytes between variables in the layout that is proved."""

ASSUMPTIONS = (
    "proved for one order in which the shared variables lie in memory, which the server does not look at",
    "proved for one run at a time: meanwhile neither the user half nor another CPU changes shared variables; the version word, "
    "which each takes before it does, sees to that",
    "proved for the run of CPU 0; each CPU has one of its own, and all are alike",
    "the server does nothing that C leaves undefined, such as to read and write outside its variables",
    "the kernel has memory for a reply (bpf_skb_change_tail, bpf_skb_pull_data); where it has not, the request is lost",
    "loops that `may_goto` ends in the end finish before",
)
"""What a proof rests on, beside the packets that the kernel half takes for requests."""


@dataclass(frozen=True, slots=True)
class Halves:
    """What is compared: the kernel half's object with the first bytes of its arena, and the reference's."""

    half: KernelHalf
    candidate: Object
    content: bytes
    reference: Object
    is_xdp: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """`verdict` for requests of up to `longest` bytes; longer ones, and other packets, are proved to be handed over."""

    verdict: Equal | Unknown
    longest: int
    cases: int
    seconds: float
    example: bytes = b""  # a request on which the prover sees a difference


def prove(
    halves: Halves,
    longest: int,
    *,
    sizes: Sequence[int | None] = (),
    workers: int = 1,
    budget: float = BUDGET,
    patience: float = PATIENCE,
    progress: Callable[[str], None] = lambda text: None,
) -> Proof:
    """Proves a kernel half that takes requests of up to `longest` bytes, on so many CPUs and in so many seconds. With `sizes`
    only these cases are looked at (None: all other packets): what cannot be proved at all is seen there. `patience` are the
    seconds of CPU time that a case may take, with paths joined and again path by path."""
    start = time.monotonic()
    program = halves.reference.program(ENTRY)
    names = [item.name for item in program.subprograms if item.name != "bs_ref_packet"]
    if names:
        what = f"a function is called that cannot be made a part of the handler: {names[0]}()"
        return Proof(Unknown("no-reference", what), longest, 0, 0)
    first = [size for size in FIRST if size is None or size <= longest]
    sizes = sizes or [*first, *(size for size in range(longest + 1) if size not in first)]
    done = 0
    with multiprocessing.get_context("fork").Pool(min(workers, len(sizes)), _in_worker, (halves, longest, patience)) as pool:
        for size, found in zip(sizes, pool.imap(_worker_case, sizes), strict=True):
            if found is not None:
                return Proof(_told(size, found), longest, done, time.monotonic() - start, _example(size, found))
            done += 1
            progress(f"proving: {done} of {len(sizes)} lengths of requests")
            if time.monotonic() - start > budget and done < len(sizes):
                late = Unknown("time-limit", f"{done} of {len(sizes)} lengths of requests were proved in {budget:.0f} s")
                return Proof(late, longest, done, time.monotonic() - start)
    return Proof(Equal(ASSUMPTIONS), longest, done, time.monotonic() - start)


def _told(size: int | None, found: Apart | Unknown) -> Unknown:
    what = f"requests of {size} bytes" if size is not None else "other packets"
    if isinstance(found, Unknown):
        return replace(found, detail=f"{what}: {found.detail}")
    return Unknown("not-proved", f"{what}: {found.observable} may differ")


def _example(size: int | None, found: Apart | Unknown) -> bytes:
    """The request of the packet on which the prover sees a difference."""
    return found.packet[HEADERS : HEADERS + size] if isinstance(found, Apart) and size is not None else b""


_IN_WORKER: list[tuple[Halves, int, float]] = []


def _in_worker(halves: Halves, longest: int, patience: float) -> None:
    _IN_WORKER[:] = [(halves, longest, patience)]


def _worker_case(size: int | None) -> Apart | Unknown | None:
    try:
        return _case(*_IN_WORKER[0], size)
    except Unmodelled as error:
        return Unknown(error.gap, error.detail)
    except RecursionError:
        return Unknown("size-limit", "the meaning of the program is too deep")


# --- one case ---------------------------------------------------------------------------------------------------------
def _case(halves: Halves, longest: int, patience: float, size: int | None) -> Apart | Unknown | None:
    """Requests of `size` bytes; None: all other packets. First with paths joined where they meet, which is quick, and where
    that does not decide it, path by path."""
    found: Apart | Unknown | None
    try:
        found = _decided(halves, longest, size, time.process_time() + patience, joins=True)
    except (Unmodelled, RecursionError):
        return _decided(halves, longest, size, time.process_time() + patience, joins=False)
    return _decided(halves, longest, size, time.process_time() + patience, joins=False) if isinstance(found, Unknown) else found


def _decided(halves: Halves, longest: int, size: int | None, deadline: float, *, joins: bool) -> Apart | Unknown | None:
    t = Terms()
    packet, given = _packet(t, longest, size)
    given += [t.negate(t.app("skb.out_of_memory", 0, t.const(16, number))) for number in range(4)]
    given += [t.eq(64, t.app("bpf_skb_change_tail", 64, t.const(16, 0)), t.const(64, 0))]
    given += [t.eq(64, t.app("bpf_redirect", 64, t.const(16, 0)), t.const(64, TC_ACT_REDIRECT))]

    def feasible(conditions: list[Term]) -> bool:
        small = [item for item in conditions if len(postorder(item)) <= SMALL]
        ways = ([*given, *small], [*given, *conditions])
        return not any(isinstance(satisfiable(asked, QUICK), Unsatisfiable) for asked in ways)

    arena, shared = _arena(t, halves)
    executor = ArenaExecutor(
        t, halves.candidate.program("offload"), "candidate", arena=arena, packet=packet, feasible=feasible,
        constants={"bpf_get_smp_processor_id": 0}, asked_from=0 if size is None else 17, joins=joins, deadline=deadline,
        steering=tuple((Region("arena", f"runs[0].{name}"), 0, length) for name, length in _STEERING.items()),
    )  # fmt: skip
    names = {item.name: item.type.size for item in halves.half.states if item.name in shared}
    ends = []
    for exit_ in executor.ends():
        if exit_.state.memory(Region("arena", "runs[0].zero")).written():
            raise Unmodelled("arena-address", "the run's zero is written")
        variables = tuple(
            Variable(name, length, Bytes(shared[name][0].initial), exit_.state.memory(shared[name][0].region))
            for name, length in names.items()
        )
        ends.append(_end(executor, exit_, (*variables, *_kept(t, arena, exit_))))
    reference = None
    if size is not None:
        reference = []
        flat = _Flat(
            t, halves.reference.program(ENTRY), "reference", packet=packet, feasible=feasible,
            asked_from=17, steering=_steering(halves.reference), joins=joins, deadline=deadline,
        )  # fmt: skip
        for exit_ in flat.ends():
            variables = tuple(
                Variable(
                    name, length, before := Bytes(shared[name][0].initial), _after(t, exit_, length, before, *shared[name][1:])
                )
                for name, length in names.items()
            )
            untouched_ones = tuple(replace(item, after=item.before) for item in ends[0].variables[len(variables) :])
            reference.append(_end(flat, exit_, (*variables, *untouched_ones)))
        given += flat.facts
    length = t.zext(t.app("packet_length", 16), 16, 64)
    if not halves.is_xdp:
        length = t.add(64, length, t.zext(t.app("packet_beyond", 24), 24, 64))
    given += executor.facts
    if isinstance(satisfiable(given, QUICK), Unsatisfiable):
        raise Unmodelled("contradictory-state", "no packet satisfies what is taken for granted of this case")
    untouched = PacketView(((t.true, Bytes(packet), t.const(64, 0)),), length, (PACKET,))
    passes = t.const(32, 2 if halves.is_xdp else 0xFFFFFFFF)  # XDP_PASS, TC_ACT_UNSPEC
    return Refinement(t, given, passes, untouched, longest + HEADERS, deadline=deadline).check(
        reference, ends, executor.obligations
    )


def _kept(t: Terms, arena: Arena, end: Exit) -> Iterator[Variable]:
    """What both halves rely on: the process's part of the memory is as it was, the version word odd only if it was before."""
    for place in arena.places:
        if not place.name.startswith(("config.", "literals.")):
            continue
        before, after = Bytes(place.initial), end.state.memory(place.region)
        if place.name == "config.version":
            low, zero = (_byte(t, side, t.const(64, 0)) for side in (before, after)), t.const(64, 0)
            before, after = (Bytes(lambda at: t.const(8, 0)).store(t, zero, 1, t.and_(8, one, t.const(8, 1))) for one in low)
            yield Variable("whether the version word is odd", 1, before, after)
        else:
            yield Variable(place.name, place.size, before, after)


_STEERING = {"over": 4, "locked": 4, "changes": 4, "received": 4, "replied": 4, "reply_bytes": 4, "unfinished": 2}
"""Members of struct bs_run that say how far a request got."""


def _steering(reference: Object) -> tuple[tuple[Region, int, int], ...]:
    """received, replied and reply_bytes of runtime/offload_reference.h."""
    run = next(item for item in reference.variables if item.name == "bs_ref")
    return tuple((Region("data", run.section), run.offset + at, 4) for at in (0, 4, 8))


class _Flat(ArenaExecutor):
    """The reference's run: it asks for its packet."""

    def _called_function(self, name: str, state: RunState) -> list[RunState]:
        if name != "bs_ref_packet":
            return ArenaExecutor._called_function(self, name, state)
        state.registers[:6] = [self.pointer(CTX), *[None] * 5]
        return [state]


def _end(executor: ArenaExecutor, end: Exit, variables: tuple[Variable, ...]) -> End:
    t, state = executor.t, end.state
    packet = replace(packet_view(t, state), length=executor.whole_length(state)) if state.packet_touched else None
    return End(
        tuple(state.path),
        t.extract(end.value, 64, 31, 0),
        packet,
        {region.name: memory for region, memory in state.regions.items() if region.kind == "calls"},
        variables,
    )


def _packet(t: Terms, longest: int, size: int | None) -> tuple[Initial, list[Term]]:
    """The packet before the run, and what is known of it: the two lengths in its headers."""
    plain = unknown(t, "packet")
    length = t.app("packet_length", 16)
    given = [t.negate(t.ult(16, length, t.const(16, 14)))]
    if size is not None:
        known = {16: size + IP_AND_UDP, 38: size + 8}
        content = {at + i: byte for at, value in known.items() for i, byte in enumerate(struct.pack(">H", value))}
        return lambda at: t.const(8, content[at.number]) if at.is_const and at.number in content else plain(at), given
    high, low = (t.app("packet", 8, t.const(64, at)) for at in (16, 17))
    total = t.concat(high, 8, low, 8)
    udp_high, udp_low = (t.app("packet", 8, t.const(64, at)) for at in (38, 39))
    udp = t.concat(udp_high, 8, udp_low, 8)
    beyond = t.ult(16, t.const(16, longest), t.sub(16, total, t.const(16, IP_AND_UDP)))
    given.append(t.any_of(beyond, t.negate(t.eq(16, udp, t.sub(16, total, t.const(16, 20))))))
    return plain, given


# --- memory -----------------------------------------------------------------------------------------------------------
def _arena(t: Terms, halves: Halves) -> tuple[Arena, Mapping[str, tuple[Place, Region | None, int]]]:
    """The arena's places, and for each state its place and where the reference has it."""
    btf = halves.candidate.btf
    assert btf is not None
    size = len(halves.content)
    places: list[Place] = []
    at = -(-size // 4096) * 4096
    shared: dict[str, tuple[Place, Region | None, int]] = {}
    addresses: dict[int, int] = {}
    for state in halves.half.states:
        addresses[state.index] = BASE + at
        if state.type.shape is Shape.FUNCTION:
            at += GAP
            continue
        region, offset, initial = _in_reference(t, halves.reference, state)
        place = Place(f"state {state.name}", at, state.type.size, initial)
        shared[state.name] = place, region, offset
        places.append(place)
        at += -(-state.type.size // GAP) * GAP + GAP
    known = {
        "config.base": struct.pack("<Q", BASE),
        "config.size": struct.pack("<Q", at),
        "config.state": b"".join(struct.pack("<Q", addresses.get(index, 0)) for index in range(len(addresses))),
        "runs[0].zero": bytes(8),
    }
    own: list[Place] = []
    for name, start, length in _parts(btf, "bs_area"):
        end = own[-1].at + own[-1].size if own else 0
        if start > end:
            own.append(Place(f"room before {name}", end, start - end, unknown(t, f"arena:before {name}")))
        if name.startswith("literals."):
            known[name] = halves.content[start : start + length]
        initial = fixed(t, known[name]) if name in known else unknown(t, f"arena:{name}")
        own.append(Place(name, start, length, initial))
    return Arena((*own, *places)), shared


def _parts(btf: Btf, name: str) -> Iterator[tuple[str, int, int]]:
    """The pieces of a struct: members of structs, arrays whole; of the array of runs the first in pieces, the others whole."""
    found = btf.get(Struct, name)
    assert found is not None
    yield from _members(btf, found, "", 0)


def _members(btf: Btf, of: Struct, prefix: str, start: int) -> Iterator[tuple[str, int, int]]:
    for member in of.members:
        name, at = f"{prefix}{member.name}", start + member.bit_offset // 8
        kind = btf.resolved(member.type_id)
        if name == "runs":
            assert isinstance(kind, Array)
            first = btf.resolved(kind.element)
            assert isinstance(first, Struct)
            yield from _members(btf, first, "runs[0].", at)
            if kind.length > 1:
                yield "runs[1..]", at + first.size, first.size * (kind.length - 1)
        elif isinstance(kind, Struct) and not kind.is_union and name.count(".") < 2:
            yield from _members(btf, kind, f"{name}.", at)
        elif (size := btf.sizeof(member.type_id)) > 0:
            yield name, at, size


def _in_reference(t: Terms, reference: Object, state: State) -> tuple[Region | None, int, Initial]:
    """Where the reference has a variable, and what it holds before a run: any bytes, or those of a constant. Clang calls what
    is static in a function "function.name"."""
    plain = re.split(r"[:@]", state.ref)[-1]
    name = f"{state.function}.{plain}" if state.function else plain
    found = [item for item in reference.variables if item.name == name and item.size == state.type.size]
    if len(found) != 1:
        raise Unmodelled("no-reference", f"the variable {state.name} is not found in the server's code as a BPF object")
    item = found[0]
    spec = next(spec for spec in reference.maps if spec.name == item.section)
    if spec.frozen and spec.initial is not None:
        return None, item.offset, fixed(t, spec.initial[item.offset : item.offset + item.size])
    return Region("data", spec.name), item.offset, unknown(t, f"map:{spec.name}", item.offset)


def _after(t: Terms, end: Exit, size: int, before: Bytes, region: Region | None, offset: int) -> Bytes:
    """A variable after the reference's run."""
    if region is None:
        return before
    memory = end.state.memory(region)
    written = memory.written()
    if written is None:  # anywhere
        return Bytes(lambda at: _byte(t, memory, t.add(64, at, t.const(64, offset)))).zeroed(
            t.false, t.const(64, 0), t.const(64, 0)
        )
    result = before
    for at in sorted(at for at in written if offset <= at < offset + size):
        result = result.store(t, t.const(64, at - offset), 1, _byte(t, memory, t.const(64, at)))
    return result


def _byte(t: Terms, memory: Bytes, at: Term) -> Term:
    value = memory.load(t, at, 1)
    assert isinstance(value, Term)
    return value
