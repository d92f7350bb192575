"""Changes to the C that may satisfy the verifier, by kind of rejection, the most faithful first. Whether they do is tried.

No candidate removes what the program does: checks are put in, values initialised, references given back. A rule is a function
of `changes`, and a word in the row of each kind that it may answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bpfsmith.repair import locate
from bpfsmith.repair.changes import bounds, endings, loops, packet, pointers, program, variables
from bpfsmith.repair.diagnose import Diagnosis
from bpfsmith.repair.patch import Patch
from bpfsmith.repair.site import Proposer, Site

LOOPS = (loops.not_unrolled, loops.limited, loops.open_coded, loops.by_helper, loops.own_functions, loops.other_cpu)

PROPOSERS: Mapping[str, tuple[Proposer, ...]] = {
    "verifier-packet-unchecked": (packet.packet,),
    "verifier-packet-check-elsewhere": (packet.packet,),
    "verifier-packet-check-too-small": (packet.packet_check,),
    "verifier-packet-stale-pointer": (packet.stale,),
    "verifier-packet-offset-unbounded": (bounds.index,),
    "verifier-packet-offset-far": (packet.far,),
    "verifier-null-unchecked": (pointers.null,),
    "verifier-null-arithmetic": (pointers.null,),
    "verifier-null-argument": (pointers.null,),
    "verifier-null-dereference": (pointers.null_side,),
    "verifier-argument-type": (pointers.typed, pointers.by_address),
    "verifier-helper-constant": (variables.constant_size,),
    "verifier-context-variable": (pointers.each_field,),
    "verifier-context-modified": (pointers.each_field,),
    "verifier-number-as-pointer": (pointers.number_pointer,),
    "verifier-map-value-negative": (bounds.index,),
    "verifier-map-value-unbounded": (bounds.index,),
    "verifier-map-value-index": (bounds.index,),
    "verifier-memory-bounds": (bounds.index,),
    "verifier-stack-variable-offset": (bounds.index,),
    "verifier-pointer-range": (bounds.index,),
    "verifier-map-read-only": (program.writable,),
    "verifier-stack-argument-uninitialised": (variables.initialise,),
    "verifier-stack-uninitialised": (variables.initialise,),
    "verifier-stack-out-of-bounds": (bounds.size,),
    "verifier-map-value-too-small": (bounds.size,),
    "verifier-stack-too-large": (variables.large,),
    "verifier-tail-call-stack": (variables.large,),
    "verifier-reference-released": (endings.given_once,),
    "verifier-helper-program-type": (program.equivalent,),
    "verifier-uninitialised": (variables.result,),
    "verifier-return-range": (variables.in_range,),
    "verifier-gpl": (program.gpl,),
    "verifier-global-function": (program.own,),
    "verifier-timer-map": (program.own_map,),
    "verifier-map-type": (program.map_type,),
    "verifier-helper-size-negative": (bounds.size,),
    "verifier-helper-size-unbounded": (bounds.size,),
    "verifier-helper-size-zero": (bounds.size,),
    "verifier-sleepable": (program.sleepable,),
    "verifier-reference-leak": (endings.release,),
    "verifier-use-after-release": (endings.after_use,),
    "verifier-lock-missing-unlock": (endings.unlock,),
    "verifier-lock-call": (endings.hoist,),
    "verifier-too-many-insns": LOOPS,
    "verifier-too-many-jumps": LOOPS,
    "verifier-loop-infinite": LOOPS,
    "verifier-loop": LOOPS,
    "verifier-atomic-target": (variables.plain,),
    "verifier-instruction": (loops.other_cpu, *LOOPS),
}


def proposals(found: Diagnosis, text: str) -> Iterator[Patch]:
    """The candidates for a rejection in the C file that `text` is."""
    span = locate.last_span(found.case)
    if found.kind is None or span is None:
        return
    site = Site(found, text, span)
    for proposer in PROPOSERS.get(found.kind.id, ()):
        yield from proposer(site)
