"""Locators around packets: checks against data_end that are missing, too small, of another pointer or out of date."""

from __future__ import annotations

import re
from dataclasses import replace

from bpfsmith.kernel.verifier_trace import Visit
from bpfsmith.repair import ctext
from bpfsmith.repair.case import Case, history, origin
from bpfsmith.repair.kind import Place, Story
from bpfsmith.repair.locate import (
    NONE,
    Match,
    base_of,
    before_refusal,
    callee,
    index,
    index_of,
    last_span,
    refused_at,
    refused_register,
)
from bpfsmith.source import Span


def packet(case: Case, match: Match) -> Story:
    """A read past what was compared with data_end: no check, one of too few bytes, or one of another pointer."""
    at = last_span(case)
    need = int(match["off"]) + int(match["size"])
    checks = _packet_checks(case)
    names = {"need": str(need), "name": base_of(case.expression(at)) or "the pointer"}
    reached = int(match["range"])
    variable = match["id"] != "0"
    hint = f"let the check prove {need - reached} bytes more behind `{names['name']}`" if variable and reached else ""
    where = next((span for span, covers in reversed(checks) if covers == reached), checks[-1][0] if checks else None)
    # Where the compiler has merged branches the line of the comparison is that of another.
    readable = where is not None and re.search(r"end", case.line_text(where))
    if reached and readable and _is_check_of(case, where, at):
        return Story(
            Place(where, f"this check proves {reached} bytes"),
            (Place(at, f"{need} bytes are read up to here"),),
            names={**names, "have": str(reached)},
            help=hint,
        )
    meant = ctext.packet_check(case, at, base_of(case.expression(at))) if reached else None
    if meant is not None and at is not None and not _is_used_up(case, meant, at):
        return Story(
            Place(meant, f"this check proves {reached} bytes"),
            (Place(at, f"{need} bytes are read up to here"),),
            names={**names, "have": str(reached)},
            help=hint,
        )
    others = tuple(Place(span, f"this check proves {covers} bytes of another pointer") for span, covers in checks[-1:])
    if reached and readable:
        others = (Place(where, f"this check proves {reached} bytes"),)
    added = _variable_addition(case, refused_register(match)) if variable else None
    if added is not None:
        others = (*others, Place(added, "a variable offset is added here, after which nothing is proved"))
    told = f"only {reached} bytes are proved here, and {need} needed" if reached else "no check against data_end covers this"
    if reached and re.fullmatch(r"[A-Za-z_]\w*", names["name"]):
        hint = (
            f"compare here, before it is read: `if ((void *)({names['name']} + 1) > data_end) {ctext.early_return(case, at)}`"
        )
    return Story(Place(at, told), others, (), {"have": str(reached), **names}, hint)


def _is_check_of(case: Case, check: Span | None, at: Span | None) -> bool:
    """Was a check meant for this access: does it name the pointer that is read, was that made before it, or is it the check of
    the whole packet? A check of the header before is right as it is, and the access wants one of its own."""
    if check and at and check.path == at.path and _is_used_up(case, check, at):
        return False
    text = case.line_text(check)
    base = re.split(r"->|\.|\[", case.expression(at))[0]
    if base and re.search(rf"\b{re.escape(base)}\b", text):
        return True
    declared = ctext.declaration(case, at, base)
    made = declared is not None and re.search(rf"\b{re.escape(base)}\s*=", case.line_text(declared))
    if declared and made and check and ctext.function_range(case, check)[0] <= declared.line < check.line:
        return True
    words = re.findall(r"(?<![\w.>])[A-Za-z_]\w*", text)
    names = [name for name in words if not re.search(r"end|^(?:if|void|sizeof|struct)$", name)]
    assigned = "\n".join(ctext.lines(case, check))
    return any(re.search(rf"\b{name}\s*=\s*(?:\([^()]*\)\s*)*\w+->data\b", assigned) for name in names)


def _is_used_up(case: Case, check: Span, at: Span) -> bool:
    """Does a check do what it was meant for: is the pointer moved between it and the access, or is the last byte that it proves
    read at a line in between?"""
    name = re.split(r"->|\.|\[", case.expression(at))[0]
    lines = ctext.lines(case, at)
    if name and (name in case.line_text(check) or ctext.declaration(case, at, name)):
        moved = re.compile(rf"(?<![\w.>]){re.escape(name)}\s*\+?=(?!=)")
        if any(moved.search(lines[number - 1]) for number in range(check.line + 1, at.line)):
            return True
    last = case.trace.last
    base = re.search(r"\(r(\d+) [+-]\d+\)", last.text) if last else None
    held = last.before.get(f"R{base[1]}", NONE) if last and base else NONE
    reached = held.number("r") or 0
    for visit in reversed(case.visits[max(refused_at(case) - _NEAR, 0) : -1]):
        read = re.search(r"\*\([us](\d+) \*\)\(r(\d+) ([+-]\d+)\)", visit.text)
        pointer = visit.before.get(f"R{read[2]}", NONE) if read else NONE
        if read is None or pointer.kind != "pkt" or pointer.facts.get("id") != held.facts.get("id"):
            continue
        span = case.span(visit)
        end = (pointer.number("off") or 0) + int(read[3]) + int(read[1]) // 8
        by_name = bool(name) and span is not None and re.search(rf"(?<![\w.>]){re.escape(name)}\b", lines[span.line - 1])
        if reached and end == reached and span and check.line < span.line < at.line and (held.facts.get("id") or by_name):
            return True
    return False


_MOVES = re.compile(
    r"call bpf_(?:xdp_adjust_|skb_(?:change_|pull_data|vlan_|adjust_|store_bytes|set_tunnel|ecn)|l[34]_csum_replace|"
    r"clone_redirect|lwt_push|lwt_seg6|msg_p|msg_apply|skb_cgroup_classid|sk_release|csum_update)"
)
"""Calls after which pointers into the packet are void."""


_NEAR = 500
"""Visits before the refused insn among which the check of it is looked for."""


def stale_end(case: Case) -> tuple[Visit, Visit] | None:
    """A comparison of a packet pointer with an end from before the packet was moved, and the call that moved it."""
    moved = next((index for index, visit in enumerate(case.visits) if _MOVES.match(visit.text)), None)
    if moved is None:
        return None
    for at in range(refused_at(case) - 1, max(moved, refused_at(case) - _NEAR), -1):
        visit = case.visits[at]
        names = [f"R{number}" for number in re.findall(r"\br(\d+)\b", visit.text)] if visit.text.startswith("if ") else []
        kinds = {name: visit.before.get(name, NONE).kind for name in names}
        if len(names) == 2 and "pkt" in kinds.values():
            # The verifier's log does not say that the call has made the end a number: it goes on as it was.
            other = next((name for name, kind in kinds.items() if kind in ("scalar", "pkt_end")), names[0])
            made, mover = origin(case, other, at), invalidator(case, other, at)
            if mover is not None and made is not None and made[0] < mover[0]:
                return visit, mover[1]
    return None


def packet_far(case: Case, match: Match) -> Story:
    """A packet pointer that was moved so far, perhaps, that a comparison with data_end proves nothing of it."""
    at, name = last_span(case), refused_register(match)
    variable = index_of(case, name)
    names = {"name": base_of(case.expression(at)) or "the pointer", "index": "the offset", "limit": "65535"}
    checks = tuple(
        Place(span, "this check proves nothing: the pointer may be too far off") for span, _ in _packet_checks(case)[-1:]
    )
    register = before_refusal(case, name)
    if register is not None and register.largest is not None:
        names["limit"] = str(register.largest + int(match["off"]))
    if variable is None:
        head = ctext.loop_head(case, at)
        if head is None:
            return Story(Place(at, "its offset may be too large"), checks, names=names)
        hint = "bound the rounds: `for (int i = 0; i < 375; i++)`, with the check against data_end inside"
        told = "nothing but the end of the packet ends this loop"
        return Story(Place(head, told), (Place(at, "up to 65535 bytes from the start can be checked"),), (), names, hint)
    where, register_name, added = variable
    loaded = origin(case, register_name, where)
    names["index"] = ctext.index_name(case, (case.span(added), at), case.span(loaded[1]) if loaded else None) or "the offset"
    come_from = (Place(case.span(loaded[1]), "it comes from here"),) if loaded else ()
    # Compilers add constants to the start of the packet first: the line of the addition may be another.
    place = ctext.addition_line(case, at, names["index"]) or at
    return Story(Place(place, f"up to {names['limit']} bytes from the start, with this"), (*checks, *come_from), names=names)


def _packet_checks(case: Case) -> list[tuple[Span | None, int]]:
    """The comparisons with data_end on the path, each with the bytes that it proves."""
    found: list[tuple[Span | None, int]] = []
    for visit in case.visits:
        if not visit.text.startswith("if "):
            continue
        names = re.findall(r"\br(\d+)\b", visit.text)
        if any(visit.before.get(f"R{n}", NONE).kind == "pkt_end" for n in names):
            ranges = [visit.after[f"R{n}"].number("r") or 0 for n in names if visit.after.get(f"R{n}", NONE).kind == "pkt"]
            found.append((case.span(visit), max(ranges, default=0)))
    return found


def _variable_addition(case: Case, name: str) -> Span | None:
    for _, visit, _ in history(case, name, refused_at(case)):
        if re.match(r"^r\d+ \+= r\d+$", visit.text):
            return case.span(visit)
    return None


def packet_offset(case: Case, match: Match) -> Story:
    """A number without bounds that is added to a packet pointer: where it is added, or the check that was not enough."""
    story, at = index(case, match), last_span(case)
    if story.primary.span != at:
        return story
    name = story.names.get("index", "")
    if at is not None and re.fullmatch(r"\w+", name) and not re.search(rf"\b{name}\b", case.line_text(at)):
        # Compilers add the variable to the start of the packet where that is loaded, and the constants later.
        end = ctext.function_range(case, at)[1]
        place = ctext.addition_line(case, replace(at, line=end, end_line=end), name)
        return replace(story, primary=replace(story.primary, span=place or at))
    place = ctext.addition_line(case, at, story.names.get("index", "")) or _variable_addition(case, refused_register(match))
    if place is None or at is None or place.line == at.line:
        return story
    return replace(story, primary=replace(story.primary, span=place), others=(*story.others, Place(at, "it is read here")))


def _loaded_anew(case: Case, call: Span | None, check: Span | None) -> Span | None:
    """Where the start of the packet is read again between a call that moved it and a check."""
    found = ctext.lines(case, check)
    if call is None or check is None or call.path != check.path:
        return None
    for number in range(call.line + 1, check.line):
        if match := re.search(r"(\w+)\s*=\s*(?:\([^()]*\)\s*)*\(?\w+->data\b", found[number - 1]):
            return Span(check.path, number, match.start() + 1, number, match.end() + 1)
    return None


def stale_packet(case: Case, match: Match) -> Story:
    """A packet pointer from before a call that moves the packet."""
    old = stale_end(case) if "access to packet" in match[0] else None
    if old is not None:
        name = ctext.end_name(case.line_text(case.span(old[0])))
        names = {"name": name, "call": callee(old[1])}
        hint = f"load it anew after {callee(old[1])}: `{name} = (void *)(long)ctx->data_end;`"
        moved = Place(case.span(old[1]), f"{callee(old[1])} may move the packet: its old end is void from here on")
        check = Place(case.span(old[0]), f"`{name}` is from before that call, and proves nothing")
        again = _loaded_anew(case, moved.span, check.span)
        if again is not None:
            begin = Place(again, f"the start of the packet is loaded anew here, and `{name}` is not")
            return Story(begin, (moved, check), (), names, hint)
        return Story(check, (moved, Place(last_span(case), "this read is not covered")), (), names, hint)
    at, name = last_span(case), refused_register(match)
    mover = invalidator(case, name)
    variable = base_of(case.expression(at)) or "the pointer"
    where = case.span(mover[1]) if mover else None
    return Story(
        Place(at, f"`{variable}` was made before that call"),
        (Place(where, f"{callee(mover[1] if mover else None)} may move the packet: pointers into it are void from here on"),),
        names={"name": variable, "call": callee(mover[1] if mover else None)},
    )


def invalidator(case: Case, name: str, before: int | None = None) -> tuple[int, Visit] | None:
    """The call before which a register, or what it was copied from, was a packet pointer, and after which it is none."""
    end = refused_at(case) if before is None else before
    names = {name} | {source for _, _, source in history(case, name, end)}
    for where in range(end - 1, -1, -1):
        visit = case.visits[where]
        if _MOVES.match(visit.text) and any(visit.before.get(n, NONE).kind in ("pkt", "pkt_meta", "pkt_end") for n in names):
            return where, visit
    return None
