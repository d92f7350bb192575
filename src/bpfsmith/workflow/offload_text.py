"""What `offload` says of a proof and of a trial: lines for a terminal, and the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from bpfsmith.cost.advice import Verdict
from bpfsmith.offload.half import FIRST_REASON
from bpfsmith.offload.hazards import ASSUMPTIONS
from bpfsmith.offload.paths import ways
from bpfsmith.offload.prove import Proof
from bpfsmith.offload.shared import Counters
from bpfsmith.report import Outcome, Report
from bpfsmith.semantics.verdict import Equal, Unknown
from bpfsmith.workflow.offload_trial import WINDOW, Trialled
from bpfsmith.workflow.offloading import Split


def proof_lines(proof: Proof) -> Iterator[str]:
    """What was proved, and what that rests on."""
    match proof.verdict:
        case Equal(assumptions=assumptions):
            yield (
                f"proof       equal: requests of up to {proof.longest} bytes are answered as the server's own code does, byte "
                "for byte, or handed over;"
            )
            yield f"            longer ones and all other packets are handed over; {proof.cases} cases in {proof.seconds:.0f} s"
        case Unknown(gap=gap, detail=detail):
            assumptions = ()
            yield f"proof       unknown ({gap}: {detail})"
            if proof.example:
                yield f"            a request to look at: {proof.example[:60]!r}"
    for number, text in enumerate((*assumptions, *ASSUMPTIONS)):
        yield f"{'assuming' if not number else '':11} {text}"


def trial_lines(found: Trialled, done: Split) -> Iterator[str]:
    """What was compared, what was predicted and what was measured, a line each."""
    if found.differences:
        first = found.differences[0]
        yield f"compared    {found.sent} requests: {len(found.differences)} replies differ"
        yield f"            request {first.number}: {first.request[:60]!r}"
        yield f"            original: {_shown(first.expected)}"
        yield f"            split:    {_shown(first.actual)}"
        return
    yield f"compared    {found.sent} requests, {found.answered} answered: every reply is the same; the user half alone too"
    yield f"            {found.odd} odd packets (fragments, options, checksums, other ports and addresses): all the same"
    wrong = [name for name, same in found.states.items() if not same]
    if wrong:
        yield f"state       differs at the end: {', '.join(wrong)}"
    elif found.states:
        yield "state       every variable of both halves is the same at the end"
    counters = found.counters
    yield (
        f"in kernel   {counters.answered} answered, {counters.consumed} consumed, {counters.handed_over} handed over "
        f"({counters.conflicts} because the other half was at work)"
    )
    yield from _reasons(counters, done)
    if found.advice is not None:
        yield f"advice      {found.advice.headline}"
        costs = found.advice.costs
        fast = f"{costs.fast_ns:.0f}" if costs.fast_ns is not None else "-"
        yield (
            f"predicted   ns a request: {costs.baseline_ns:.0f} without, {fast} in the kernel "
            f"(x{found.advice.rho_fast:.2f}), +{costs.slow_ns:.0f} when handed over ({found.advice.rho_slow:+.1%})"
        )
    for timing in found.timings:
        yield (
            f"measured    {timing.kind}: p50 {timing.original:.0f} -> {timing.split:.0f} ns "
            f"(x{timing.ratio:.2f}, spread {timing.spread:.2f}), {timing.requests} requests in turn"
        )
    if found.throughput is not None:
        it = found.throughput
        per = "a second of the server's CPU" if it.of_server else f"a CPU second, {WINDOW} at a time, client included"
        limit = "; the sender is the limit: at least" if it.sender_is_limit else ""
        how = f"x{it.ratio:.1f}, spread {it.spread:.2f}{limit}"
        yield f"            throughput {it.original:,} -> {it.split:,} replies {per} ({how})"


_OWN_REASONS = {
    1: "the other half was at work", 2: "an odd packet", 3: "too long", 4: "a pointer out of the shared memory",
    5: "an index out of its array", 6: "a loop of too many rounds", 7: "too many changes", 8: "a second request or reply",
    9: "a number that the library refuses", 10: "a reply to somebody else",
}  # fmt: skip


def _reasons(counters: Counters, done: Split) -> Iterator[str]:
    """Why requests were handed over, the most frequent first."""
    order = sorted(range(len(counters.reasons)), key=lambda at: -counters.reasons[at])
    for at in order[:4]:
        if counters.reasons[at]:
            reason = done.half.reasons[at - FIRST_REASON] if at >= FIRST_REASON else None
            words = f"{reason.span.path}:{reason.span.line}: {reason.why}" if reason else _OWN_REASONS.get(at, "")
            yield f"            {counters.reasons[at]:6} {words}"


def _shown(reply: object) -> str:
    return "no reply" if reply is None else repr(reply)[:100]


def offload_report(done: Split, found: Trialled | None, proof: Proof | None, *, advises: bool) -> Report:
    """The envelope. `do-not-offload` where the advice says so, `different` where a reply or a variable differs; `pays` to
    somebody who asks for advice alone. Else what the proof says: trials are none."""
    proved = proof is not None and isinstance(proof.verdict, Equal)
    outcome = Outcome.EQUAL if proved else Outcome.UNKNOWN
    details: dict[str, object] = {
        "states": [{"name": item.name, "bytes": item.type.size, "written": item.written, "line": item.span.line}
                   for item in done.half.states],
    }  # fmt: skip
    details["ways"] = [
        {"conditions": list(way.conditions), "end": str(way.end), "line": way.span.line}
        for way in ways(done.read.server, done.read.findings, done.half.reasons)
    ]
    if found is not None:
        verdict = found.advice.verdict if found.advice is not None else None
        if not found.same:
            outcome = Outcome.DIFFERENT
        elif verdict is Verdict.DOES_NOT_PAY:
            outcome = Outcome.DOES_NOT_PAY
        elif verdict is Verdict.PAYS and advises:
            outcome = Outcome.PAYS
        details |= {
            "requests": found.sent, "answered": found.answered, "odd_packets": found.odd, "states_same": dict(found.states),
            "counters": asdict(found.counters), "advice": asdict(found.advice) if found.advice is not None else None,
            "timings": [asdict(item) for item in found.timings],
            "throughput": asdict(found.throughput) if found.throughput is not None else None,
            "differences": [
                {"request": item.request.hex(), "expected": _shown(item.expected), "actual": _shown(item.actual)}
                for item in found.differences
            ],
        }  # fmt: skip
    unknown: str | None = None
    evidence: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ASSUMPTIONS
    if proof is not None:
        details["proof"] = {"longest": proof.longest, "cases": proof.cases, "seconds": round(proof.seconds, 1)}
        match proof.verdict:
            case Equal() as equal:
                assumptions = (*equal.assumptions, *ASSUMPTIONS)
                evidence = (f"{proof.cases} lengths of requests, each proved",)
            case Unknown(gap=gap, detail=detail):
                unknown = f"{gap}: {detail}"
    return Report(
        "offload",
        outcome,
        assumptions=assumptions,
        evidence=evidence,
        unknown=unknown,
        programs=(done.program,),
        diagnostics=done.diagnostics,
        details=details,
    )
