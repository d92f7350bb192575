"""What the oracles exchange: the inputs of one run, what came out, and the counterexample that two runs make.

The interpreter, the prover and the kernel all speak these types, so that each can be held against the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MapContents = Mapping[bytes, bytes]
"""One map: key bytes to value bytes, as userspace would read them. A data section has the single key b"\\0\\0\\0\\0"."""


@dataclass(frozen=True, slots=True)
class HelperResult:
    """What the nth call of a nondeterministic helper returned, as an unsigned number of its return width."""

    helper: str  # "bpf_get_prandom_u32"
    value: int


World = Mapping[tuple[str, tuple[int, ...]], int]
"""What a run is given beside packet, fields and maps: results of calls, memory that they fill, uninitialised stack. By the
names and arguments that `semantics` gives its inputs: ("bpf_fib_lookup", (0,)) is the result of the first call."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call whose work is out of sight: what it was given, and the packet and the changes to the context that it could see
    (None: it does not look there). `arguments` are the same bytes argument by argument, with the kind that a signature gives
    them ("u32", "in"), empty for those that say nothing."""

    call: str  # with the map: "bpf_perf_event_output:events"
    given: bytes
    packet: bytes | None = None
    context: Mapping[int, int] | None = None
    arguments: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class RunInput:
    """Everything that a run of a program depends on.

    `ctx` holds the context fields that matter, by uapi name ("ingress_ifindex"), in host order.
    `maps` holds the contents before the run by map name; a map left out is as a fresh load makes it.
    `helper_results` has each helper's results in the order of its calls; a run that asks for more gets zeros.
    """

    packet: bytes = b""
    ctx: Mapping[str, int] = field(default_factory=dict)
    maps: Mapping[str, MapContents] = field(default_factory=dict)
    helper_results: tuple[HelperResult, ...] = ()
    world: World = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOutput:
    """What a run left behind. `return_value` is r0's low 32 bits; `calls` counts each nondeterministic helper's calls.

    Only an interpreter knows `records`, in the order of the calls, `context`, the bytes there that are not what they were, and
    `metadata`, what lies in front of the packet.
    """

    return_value: int
    packet: bytes = b""
    maps: Mapping[str, MapContents] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    records: tuple[CallRecord, ...] = ()
    context: Mapping[int, int] = field(default_factory=dict)
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """An input on which reference and candidate part, and what each did.

    `observable` names the first difference ("return value", "map count", "packet"); `replayed_on` lists the oracles that
    were seen to reproduce `actual` ("kernel 6.18.44", "interpreter"), in the order they were asked.
    """

    input: RunInput
    observable: str
    expected: RunOutput
    actual: RunOutput
    replayed_on: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
