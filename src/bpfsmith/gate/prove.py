"""Two bytecode programs: equal, different with a replayed counterexample, or unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bpfsmith.diagnostic import ToolError
from bpfsmith.execution import Counterexample
from bpfsmith.gate.differential import differential
from bpfsmith.gate.replay import interpreter_replayer, kernel_replayer
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.probe import kernel_release
from bpfsmith.kernel.testrun import header_bytes
from bpfsmith.kernel.vmlinux import running_btf
from bpfsmith.objfile.core_relo import Ambiguous
from bpfsmith.objfile.object import Object
from bpfsmith.packet.build import udp_packet
from bpfsmith.semantics.behaviour import of_program
from bpfsmith.semantics.equiv import Setting, equiv
from bpfsmith.semantics.solver import Limits
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Terms
from bpfsmith.semantics.verdict import Different, Equal, Unknown, Verdict

UNMODELLED_KINDS = frozenset({"BPF_PROG_TYPE_EXT", "BPF_PROG_TYPE_STRUCT_OPS"})
"""Program types whose context and width of result are those of what they replace."""


def _hook(program: Program) -> tuple[object, ...]:
    """What decides about a program's inputs: type, attach type, fragments, entry or return."""
    kind = for_section(program.section)
    return kind.name, kind.expected_attach_type, kind.frags, program.section.startswith(("kret", "uret"))


def prove_equal(
    reference: Program,
    reference_object: Object | None,
    candidate: Program,
    candidate_object: Object | None,
    *,
    limits: Limits | None = None,
    replay: bool = True,
    random_runs: int = 0,
    ignored: frozenset[str] = frozenset(),
    accepted: bool = True,
    ask_verifier: bool = False,
) -> Verdict:
    """Is the candidate equal to the reference on every input? Maps correspond by name; what is left in those that are
    `ignored` makes no difference. Of a reference that the verifier has not `accepted` the inputs count on which it stays inside
    its memory and follows no NULL.

    Where that is not decided, both are run on `random_runs` random inputs: a difference that shows makes it Different, and else
    the Unknown says what was run. A proof is of programs that the verifier accepts: with `ask_verifier` it is asked here,
    and where it cannot be, the Equal says that it was not.
    """
    reference, candidate = with_maps_of(reference, candidate), with_maps_of(candidate, reference)
    sides = (reference, reference_object, candidate, candidate_object)

    def try_runs() -> Counterexample | None:
        found = differential(*sides, runs=EARLY_RUNS)
        return found if isinstance(found, Counterexample) else None

    try:
        verdict = _proved(*sides, limits, replay, try_runs if replay else None, ignored, accepted)
    except RecursionError:  # a memory that is written at varying offsets again and again is looked through store by store
        verdict = Unknown("size-limit", "memory is written at varying offsets too often for its contents to be followed")
    if ask_verifier and isinstance(verdict, Equal):
        verdict = _of_accepted(verdict, (("reference", *sides[:2]), ("candidate", *sides[2:])))
    if not (random_runs and isinstance(verdict, Unknown)) or verdict.gap in NOT_COMPARABLE:
        return verdict
    found = differential(*sides, runs=random_runs)
    if isinstance(found, Counterexample):
        return Different(replace(found, notes=(*found.notes, f"found by running both, not by proof ({verdict.gap})")))
    return replace(verdict, evidence=(*verdict.evidence, found.words()))


def _of_accepted(verdict: Equal, sides: Sequence[tuple[str, Program, Object | None]]) -> Verdict:
    """The proof, if the kernel takes both programs; where that could not be asked, it is one more assumption."""
    for side, program, obj in sides:
        try:
            with open_maps(program, obj=obj) as maps, load(program, maps) as outcome:
                if isinstance(outcome, Accepted):
                    continue
                detail = f"a proof is of accepted programs, and kernel {kernel_release()} rejects the {side}: {outcome.reason}"
                return Unknown("not-accepted", detail, verdict.evidence)
        except ToolError as error:
            taken = f"a verifier accepts both programs ({error.diagnostics[0].message})"
            return replace(verdict, assumptions=(*verdict.assumptions, taken))
    return verdict


def with_maps_of(program: Program, other: Program) -> Program:
    """The program with the other's maps beside its own: what it leaves alone is an outcome too."""
    own = {spec.name for spec in program.maps}
    return replace(program, maps=(*program.maps, *(_untyped(spec) for spec in other.maps if spec.name not in own)))


def _untyped(spec: MapSpec) -> MapSpec:
    """The map without the C types, which are numbered in another object."""
    return replace(spec, key_btf_id=0, value_btf_id=0, inner=_untyped(spec.inner) if spec.inner else None)


def _shape(spec: MapSpec) -> tuple[object, ...]:
    """What has to be the same of two maps that are taken for one."""
    inside = _shape(spec.inner) if spec.inner is not None else ()
    return spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, *inside


EARLY_RUNS = 400
"""Random runs before the solvers are asked something long."""

NOT_COMPARABLE = frozenset({"program-type", "map-correspondence", "unmodelled-hook"})
"""Gaps of programs that no input suits both of."""


def _for_this_kernel(program: Program, obj: Object | None) -> Program:
    """The program as this machine's kernel would load it: CO-RE relocations applied."""
    if obj is None or not obj.core_relos(program):
        return program
    types = running_btf()
    if types is None:
        raise Unmodelled("no-kernel-types", "the program is relocated by a kernel's types (CO-RE), and there are none here")
    return obj.relocated(program, types)


def _proved(
    reference: Program,
    reference_object: Object | None,
    candidate: Program,
    candidate_object: Object | None,
    limits: Limits | None,
    replay: bool,
    try_runs: Callable[[], Counterexample | None] | None,
    ignored: frozenset[str] = frozenset(),
    accepted: bool = True,
) -> Verdict:
    kinds = for_section(reference.section).name, for_section(candidate.section).name
    if kinds[0] in UNMODELLED_KINDS or reference.section.startswith("fmod_ret"):
        what = f"what a {kinds[0]} program in {reference.section} is given and may return is not modelled"
        return Unknown("unmodelled-hook", what)
    if _hook(reference) != _hook(candidate):
        return Unknown(
            "program-type", f"{reference.name} is a {kinds[0]} and {candidate.name} a {kinds[1]}: their inputs differ"
        )
    for spec in candidate.maps:
        for other in reference.maps:
            shapes = [_shape(item) for item in (spec, other)]
            if spec.name == other.name and shapes[0] != shapes[1]:
                return Unknown("map-correspondence", f"the map {spec.name} is not of one shape: {shapes[1]} and {shapes[0]}")
    for spec in candidate.maps:
        for other in reference.maps:
            if spec.name == other.name and not spec.frozen and spec.initial != other.initial:
                return Unknown("initial-state", f"{spec.name} does not hold the same initial bytes in both objects")
    t = Terms()
    try:
        ours, theirs = _for_this_kernel(reference, reference_object), _for_this_kernel(candidate, candidate_object)
        first = replace(of_program(t, ours, "reference", accepted=accepted), ignored=ignored)
        second = of_program(t, theirs, "candidate")
    except Ambiguous as reason:
        return Unknown("ambiguous-core-relocation", str(reason))
    except Unmodelled as gap:
        return Unknown(gap.gap, gap.detail)
    if ours is not reference or theirs is not candidate:
        first = replace(first, assumptions=(*first.assumptions, f"types laid out as in kernel {kernel_release()}"))
    packet = udp_packet(b"request")[header_bytes(for_section(candidate.section)) :]
    usual: dict[tuple[str, tuple[int, ...]], int] = {("packet", (at,)): byte for at, byte in enumerate(packet)}
    usual |= {
        (f"map:{spec.name}", (offset,)): byte
        for spec in (*reference.maps, *candidate.maps)
        for offset, byte in enumerate(spec.initial or b"")
    }
    in_kernel = kernel_replayer(candidate, candidate_object, (reference, reference_object)) if replay and accepted else None
    interpreted = interpreter_replayer(ours, theirs) if replay else None
    return equiv(t, first, second, Setting(limits, in_kernel, interpreted, packet, usual, try_runs=try_runs))
