"""Proves a program against an AppNet element: does the bytecode do what the element means?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bpfsmith.appnet import core, facts, meaning, sequences
from bpfsmith.appnet.correspond import Place, layout_of, with_state
from bpfsmith.appnet.evaluation import CLOCK, RANDOM, Actions, Plan, Watch
from bpfsmith.appnet.initial import initial_values
from bpfsmith.appnet.layout import Layout, state_bytes
from bpfsmith.gate.replay import interpreter_replayer, kernel_replayer
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.objfile.object import Object
from bpfsmith.packet.build import udp_packet
from bpfsmith.semantics.atomicity import lost_atomicity, only_counted
from bpfsmith.semantics.behaviour import Behaviour, of_program
from bpfsmith.semantics.cut import light
from bpfsmith.semantics.equiv import Setting, equiv
from bpfsmith.semantics.naming import Names
from bpfsmith.semantics.solver import Limits, Unsatisfiable, satisfiable
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.terms import Terms
from bpfsmith.semantics.verdict import Equal, Unknown, Verdict

ACTIONS = {
    "BPF_PROG_TYPE_XDP": Actions(forward=2, abort=1, reply=3),  # XDP_PASS, XDP_DROP, XDP_TX
    "BPF_PROG_TYPE_SCHED_CLS": Actions(forward=0, abort=2, whole=True),  # TC_ACT_OK, TC_ACT_SHOT
    "BPF_PROG_TYPE_SYSCALL": Actions(forward=0, abort=0),  # init: its result says nothing
}


def prove(
    element: core.Element,
    program: Program,
    obj: Object | None = None,
    *,
    body: str = "req",
    places: Mapping[str, Place] | None = None,
    limits: Limits | None = None,
    replay: bool = True,
    counted: frozenset[str] = frozenset(),
) -> Verdict:
    """Is one run of `program` one step of the element's `body`, from every state that the invariant admits?

    `obj` is the object that the program came from: its variables say where the state is. `places` overrides that.
    `counted` names Maps in whose entries the generator only counts, with what it takes that no CPU overwrites another's count;
    that the program does nothing else to them is seen to here.
    """
    actions = ACTIONS.get(for_section(program.section).name)
    if actions is None:
        return Unknown("unmodelled-hook", f"what forwards and what aborts an RPC in section {program.section} is not defined")
    program = with_state(program, obj, element)
    layout = layout_of(element, program, obj, places or {}, body)
    if isinstance(layout, str):
        return Unknown("state-correspondence", f"{layout}; name it with --state NAME=MAP[:OFFSET]")
    started = ""
    if body != "init" and actions is not ACTIONS["BPF_PROG_TYPE_SYSCALL"]:
        values = initial_values(element)
        wrong = _wrong_start(element, values, layout)
        if wrong:
            return Unknown("initial-state", wrong)
        if values is None:
            started = (
                "the initial state is what init() leaves: its own program is proved apart, and has run before the first packet"
            )
    t = Terms()
    changed = facts.written(element.body(body))
    never_full = frozenset(spec.name for name, spec in layout.maps.items() if name in changed)
    if layout.rpcs is not None:
        never_full |= {layout.rpcs.name}
    try:
        candidate = of_program(t, program, "candidate", never_full)
    except Unmodelled as gap:
        return Unknown(gap.gap, gap.detail)
    watch = Watch()
    reference = meaning.behaviour(t, element, layout, Plan(), actions, body, watch=watch)
    told = [started] if started else []
    if reference.elsewhere:
        told.append("the other step, proved apart, guards what both touch in the same way: by the lock, or by atomic additions")
    if element.binding is not None and for_section(program.section).name == "BPF_PROG_TYPE_SCHED_CLS":
        what = "the headers of messages" if element.binding.envelope.slides else "messages"
        told.append(f"{what} lie in the linear part of their skb; one that does not is not read")
    candidate = replace(candidate, assumptions=(*candidate.assumptions, *told))
    ahead = _drawn_ahead(t, element, body, reference, candidate, watch)
    if ahead:
        reference = meaning.behaviour(t, element, layout, Plan(ahead), actions, body)
        candidate = replace(candidate, calls={name: count for name, count in candidate.calls.items() if name not in ahead})
    kept = {name for name in counted if name in layout.maps and only_counted(candidate, layout.maps[name].name)}
    kept = kept if body != "init" else set()
    reference = replace(
        reference, concedes_atomicity=_conceded(element, reference.concedes_atomicity, kept, _added(candidate, layout))
    )
    if layout.rpcs is not None:
        reference = _conceding_rpcs(t, reference, candidate, layout.rpcs.name)
    replayer = kernel_replayer(program, obj) if replay else None
    usual = _usual_state(program, layout)

    def over_names() -> tuple[Behaviour, Behaviour]:
        names = Names.under(t, reference.preconditions, usual)
        # Twice, so that what gets its name late has it everywhere.
        for _ in range(2):
            first = meaning.behaviour(t, element, layout, Plan(ahead), actions, body, names)
        second = of_program(t, program, "candidate", never_full, names.settle)
        return first, replace(second, calls=candidate.calls)

    named = over_names if facts.long_arithmetic(element.body(body)) else None
    interpreted = interpreter_replayer(None, program) if replay else None
    verdict = equiv(t, reference, candidate, Setting(limits, replayer, interpreted, udp_packet(b"request"), usual, named))
    if layout.rpcs is None or not isinstance(verdict, Equal):
        return verdict
    missing = sequences.gap(t, reference, layout, actions, watch)
    if missing is not None:
        return Unknown("packet-sequence", f"not shown of RPCs that take several packets: {missing}")
    return replace(verdict, evidence=(*verdict.evidence, sequences.EVIDENCE))


def _conceding_rpcs(t: Terms, reference: Behaviour, candidate: Behaviour, rpcs: str) -> Behaviour:
    """What is remembered of an RPC is read before the step and written behind it, and the step is one whole beside that."""
    rest = replace(candidate, accesses=tuple(item for item in candidate.accesses if item.place != rpcs))
    if not reference.concedes_atomicity and lost_atomicity(t, rest, reference.elsewhere) is not None:
        return reference
    words = (
        f"the packets of one RPC come one at a time: two that meet on two CPUs may both find nothing in {rpcs}, and both decide"
    )
    return replace(reference, concedes_atomicity="; ".join(filter(None, (reference.concedes_atomicity, words))))


def _added(candidate: Behaviour, layout: Layout) -> set[str]:
    """The scalars that a program touches by indivisible additions only."""
    out = set()
    for name, (section, offset) in layout.scalars.items():
        near = [item for item in candidate.accesses if item.place == section and item.offset in (None, offset)]
        if all(item.kind == "add" and item.offset is not None for item in near):
            out.add(name)
    return out


def _conceded(element: core.Element, words: str, kept: set[str], added: set[str]) -> str:
    """What a step with Maps gives up, less the Maps in whose entries it counts without loss."""
    body = (*element.req, *element.resp)
    changed = facts.written(body)
    if not words or not kept & changed:
        return words
    lost = sorted(name for name in changed - kept if not (facts.only_added(body, name) and name in added))
    whole = ", ".join(sorted(changed - set(lost)))
    if not lost:
        return f"across CPUs each update of {whole} is indivisible and none is lost; a step that makes several is not one whole"
    return (
        "not atomic across CPUs: two CPUs that run a step at once may interleave between map helper calls, and an update of "
        f"{', '.join(lost)} can be lost; none of {whole} is, where entries are counted in by atomic adds"
    )


def _wrong_start(element: core.Element, values: Mapping[str, int] | None, layout: Layout) -> str:
    """A scalar that the object does not start as init() leaves it, in a sentence; "" when there is none."""
    specs = {spec.name: spec for spec in layout.specs}
    for item in element.state:
        if values is None or item.name not in layout.scalars:
            continue
        section, offset = layout.scalars[item.name]
        image = specs[section].initial
        if image is None:
            return f"{section} has no initial bytes to hold what init() sets {item.name} to"
        size = 4 if item.type.name == "Vec" else state_bytes(item)
        found = int.from_bytes(image[offset : offset + size], "little")
        wanted = values.get(item.name, 0)
        if found != wanted:
            return f"state {item.name} starts as {found:#x} in the object, and init() sets it to {wanted:#x}"
    return ""


def _drawn_ahead(
    t: Terms, element: core.Element, body: str, reference: Behaviour, candidate: Behaviour, watch: Watch
) -> frozenset[str]:
    """The helpers that the candidate calls once for each place in the text for every message, where the meaning calls them as
    the path has it. What it draws for packets for which the body does not run is never used."""
    begins = t.true if watch.begins is None else watch.begins
    expressions = list(facts.expressions(element.body(body)))
    out = set()
    for helper, kind in ((RANDOM, core.Draw), (CLOCK, core.Clock)):
        places = sum(isinstance(expr, kind) for expr in expressions)
        if places and helper == CLOCK and watch.rpc is not None:
            places += 1  # what is remembered of RPCs has an end
        count = candidate.calls.get(helper)
        if count is None or not places or reference.calls.get(helper) is count:
            continue
        other = t.negate(t.eq(16, count, t.const(16, places)))
        if isinstance(satisfiable(light(t, [begins, other]), _QUICK), Unsatisfiable):
            out.add(helper)
    return frozenset(out)


_QUICK = Limits(bitwuzla_steps=5_000, solver="bitwuzla")


def _usual_state(program: Program, layout: Layout) -> dict[tuple[str, tuple[int, ...]], int]:
    """The state as a fresh load makes it: what a believable counterexample starts from."""
    out: dict[tuple[str, tuple[int, ...]], int] = {}
    for section in {section for section, _ in layout.scalars.values()}:
        for offset, byte in enumerate(program.map(section).initial or b""):
            out[f"map:{section}", (offset,)] = byte
    return out
