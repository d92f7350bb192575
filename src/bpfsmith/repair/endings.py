"""Locators of what a path ends with: references and locks that are still held, and the result."""

from __future__ import annotations

import re

from bpfsmith.isa.progtype import PROGRAM_TYPES
from bpfsmith.repair import ctext
from bpfsmith.repair.case import Case, history
from bpfsmith.repair.kind import Place, Story
from bpfsmith.repair.locate import Match, callee, last_span, refused_at, releaser
from bpfsmith.source import Span


def reference(case: Case, match: Match) -> Story:
    """A reference that is still held at the end: the path's exit, and where it was taken."""
    taken = case.span(int(match["slot"])) if match.groupdict().get("slot") else None
    acquired = next((v for v in case.visits if v.slot == int(match["slot"])), None) if taken else None
    variable = ctext.assigned(case, taken) or "the reference"
    if callee(acquired).endswith("_dynptr"):  # it is the last argument that is filled
        variable = (ctext.arguments(case, taken) or [variable])[-1]
    if acquired is not None and re.match(r"call bpf_iter_\w+_new", acquired.text):
        variable = (ctext.arguments(case, taken) or [variable])[0]
    release = _RELEASES.get(callee(acquired), "its release function")
    names = {"name": variable, "call": callee(acquired), "release": release}
    lost = _given_away(case, int(match["slot"]), variable) if taken else None
    if lost is not None:
        again = "in the next round " if taken is not None and lost.line == taken.line else ""
        return Story(
            Place(lost, f"{again}`{variable}` gets another value here, and what it held before is lost"),
            (Place(taken, f"{callee(acquired)} takes a reference here"),),
            names=names,
            help=f"{'at the end of each round' if again else 'before that'}: `{release}({variable});`, where it is not NULL",
        )
    branch = _exit_branch(case)
    return Story(
        Place(branch or last_span(case), f"this path ends without giving `{variable}` back"),
        (Place(taken, f"{callee(acquired)} takes a reference here"),) if taken else (),
        names=names,
    )


def _given_away(case: Case, slot: int, variable: str) -> Span | None:
    """Where the only variable that holds a reference is assigned again, on the path, before the reference was given back."""
    first = next((index for index, visit in enumerate(case.visits) if visit.slot == slot), None)
    taken = case.span(slot)
    if first is None or taken is None or not re.fullmatch(r"[A-Za-z_]\w*", variable):
        return None
    assigns = re.compile(rf"(?<![\w.>]){variable}\s*=(?!=)")
    for visit in case.visits[first + 1 :]:
        span = case.span(visit)
        if visit.frame or not visit.text.startswith("call ") or span is None or span.path != taken.path:
            continue
        if (span.line != taken.line or visit.slot == slot) and assigns.search(case.line_text(span)):
            return span
    return None


def second_release(case: Case, match: Match) -> Story:
    """Something is given back that is not held: a part of it, or a second time."""
    at, last = last_span(case), case.trace.last
    register = match.groupdict().get("reg")
    given = ctext.arguments(case, at)
    text = given[int(register) - 1] if register and 1 <= int(register) <= len(given) else ""
    base = re.split(r"->|\.|\[|\s*\+", text.removeprefix("&"))[0]
    names = {"name": text, "base": base, "call": callee(last)}
    if re.search("zero offset|modified", match[0]) and base:
        hint = f"give back the pointer itself: `{callee(last)}({', '.join((base, *given[1:]))})`"
        return Story(Place(at, f"`{text}` is not where it begins"), (), (), names, hint)
    before = releaser(case, f"R{register}") if register else None
    if before is not None:
        first = Place(case.span(before), f"{callee(before)} has given it back")
        hint = f"leave after {callee(before)}, or give it back in one of the two places only"
        return Story(Place(at, "it is no longer held here"), (first,), (), names, hint)
    return Story(Place(at, "this is not held here"), names=names)


_RELEASES = {
    "bpf_sk_lookup_tcp": "bpf_sk_release", "bpf_sk_lookup_udp": "bpf_sk_release", "bpf_skc_lookup_tcp": "bpf_sk_release",
    "bpf_ringbuf_reserve": "bpf_ringbuf_discard", "bpf_ringbuf_reserve_dynptr": "bpf_ringbuf_discard_dynptr",
    "bpf_task_acquire": "bpf_task_release", "bpf_task_from_pid": "bpf_task_release", "bpf_cgroup_acquire": "bpf_cgroup_release",
    "bpf_cgroup_from_id": "bpf_cgroup_release", "bpf_obj_new_impl": "bpf_obj_drop", "bpf_cpumask_create": "bpf_cpumask_release",
    "bpf_get_task_exe_file": "bpf_put_file", "bpf_kptr_xchg": "the release function of its type",
    "bpf_xdp_ct_lookup": "bpf_ct_release", "bpf_skb_ct_lookup": "bpf_ct_release", "bpf_iter_num_new": "bpf_iter_num_destroy",
    "bpf_iter_task_new": "bpf_iter_task_destroy", "bpf_preempt_disable": "bpf_preempt_enable",
}  # fmt: skip


def _exit_branch(case: Case) -> Span | None:
    """The line that returns on this path: where the result was set, or what the last branch before the common exit leads to."""
    tail = [visit for visit in case.visits if visit.frame == 0]
    for visit in reversed(tail):
        span = case.span(visit)
        if re.match(r"^[rw]\d+ = -?(?:0x[0-9a-f]+|\d+)$", visit.text) and "return" in case.line_text(span):
            return span
        if visit.text.startswith("if ") and span is not None:
            return ctext.returning(case, span) or span
    return None


def lock(case: Case, match: Match) -> Story:
    """What happens between taking a lock and giving it back."""
    taken = next(
        (v for v in reversed(case.visits) if re.match(r"call (?:bpf_spin_lock|bpf_res_spin_lock|bpf_rcu_read_lock)", v.text)),
        None,
    )
    others = (Place(case.span(taken), "the lock is taken here"),) if taken else ()
    at_end = case.trace.last is not None and case.trace.last.text == "exit"
    return Story(Place(_exit_branch(case) if at_end else last_span(case), "here"), others)


def return_value(case: Case, match: Match) -> Story:
    """A result outside what the hook understands: where it was made."""
    found = next(((v, case.span(v)) for _, v, _ in history(case, "R0", refused_at(case)) if case.span(v)), None)
    at = found[1] if found else last_span(case)
    if "return" not in case.line_text(at) and "return" in case.line_text(last_span(case)):
        at = last_span(case)
    wanted = match.groupdict().get("want") or ""
    if "return" not in case.line_text(at) or _is_fine(case.line_text(at), wanted):
        at = _return_outside(case, wanted) or at
    who, to = ("the callback", "its caller") if "callback" in match[0] or "async" in match[0] else ("the program", "its hook")
    return Story(Place(at, "this value is returned"), names={"name": case.expression(at), "who": who, "to": to})


def _is_fine(line: str, wanted: str) -> bool:
    """Does a line return a constant that the hook takes?"""
    found = re.search(r"\breturn\s+(.+?)\s*;", line)
    value = _constant(found[1]) if found else None
    limits = [int(number, 0) for number in re.findall(r"-?(?:0x[0-9a-f]+|\d+)", wanted)]
    return value is not None and len(limits) >= 2 and limits[0] <= value <= limits[-1]


def _return_outside(case: Case, wanted: str) -> Span | None:
    """The return statement that gives something else than wanted: a number outside of the range `[0, 1]`, else no number.
    Compilers join the returns of a function, and their lines are lost."""
    begin = last_span(case)
    text = case.text(begin.path) if begin else None
    limits = [int(number, 0) for number in re.findall(r"-?(?:0x[0-9a-f]+|\d+)", wanted)]
    if text is None or begin is None or len(limits) < 2:
        return None
    first, last = ctext.function_range(case, begin)
    unknown: list[Span] = []
    for number in range(first, last + 1):
        found = re.search(r"\breturn\s+(.+?)\s*;", ctext.lines(case, begin)[number - 1])
        if found is None:
            continue
        span = Span(begin.path, number, found.start() + 1, number, found.end() + 1)
        value = _constant(found[1])
        if value is not None and not limits[0] <= value <= limits[-1]:
            return span
        if value is None:
            unknown.append(span)
    return unknown[0] if unknown else None


_ACTIONS = {name: value for kind in PROGRAM_TYPES for name, value in kind.actions.items()}
"""What the return values of all hooks are called: one hook's are another's mistakes."""


def _constant(text: str) -> int | None:
    """A number, or the name of a return value."""
    if re.fullmatch(r"-?(?:0x[0-9a-fA-F]+|[1-9]\d*|0)", text):
        return int(text, 0)
    return _ACTIONS.get(text)
