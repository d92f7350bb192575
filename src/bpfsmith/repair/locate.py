"""Locators: from the verifier's path and the file's text to the line where the change belongs, and the story that led there."""

from __future__ import annotations

import re
from dataclasses import replace

from bpfsmith.kernel.verifier_trace import Register, Visit
from bpfsmith.repair import ctext
from bpfsmith.repair.case import Case, history, origin, written
from bpfsmith.repair.kind import Locator, Place, Story
from bpfsmith.source import Span

Match = re.Match[str]


def _last(case: Case) -> Visit | None:
    return case.trace.last


def _before_refusal(case: Case, name: str) -> Register | None:
    """What the verifier knew of a register when it came to the refused insn."""
    last = _last(case)
    return last.before.get(name) if last is not None else None


def refused_at(case: Case) -> int:
    """The index of the refused insn among the visits."""
    return len(case.visits) - 1


def _register(match: Match) -> str:
    number = match.groupdict().get("reg")
    return f"R{number}" if number else ""


def access(text: str) -> Locator:
    """The refused insn's own line is where the change belongs."""

    def locate(case: Case, match: Match) -> Story:
        span = last_span(case)
        return Story(Place(span, text), names={"name": case.expression(span) or "it"})

    return locate


def last_span(case: Case) -> Span | None:
    """The line of the refused insn, or of the last one before it that has any."""
    for visit in reversed(case.visits):
        span = case.span(visit)
        if span is not None:
            return _of_access(case, visit, span) if visit is _last(case) else span
    return case.function_span


def _of_access(case: Case, visit: Visit, span: Span) -> Span:
    """The line that follows a pointer: the next one that does, where a load was moved up into a condition and has its line."""
    follows = re.compile(r"->|\[|\*\s*[A-Za-z_(]")
    found = ctext.lines(case, span)
    is_load = re.match(r"^[rw]\d+ = \*\(\w+ \*\)\(r[0-9] ", visit.text)
    if not is_load or span.line > len(found) or follows.search(found[span.line - 1]):
        return span
    if not re.search(r"\b(?:if|while|for|switch)\b", found[span.line - 1]):
        return span
    for number in range(span.line + 1, min(span.line + 9, len(found) + 1)):
        line = found[number - 1]
        if line.startswith("}"):
            break
        if (match := follows.search(line)) and not re.search(r"\bend\b|_end\b", line):
            return Span(span.path, number, match.start() + 1, number, match.end() + 1)
    return span


def packet(case: Case, match: Match) -> Story:
    """A read past what was compared with data_end: no check, one of too few bytes, or one of another pointer."""
    at = last_span(case)
    need = int(match["off"]) + int(match["size"])
    checks = _packet_checks(case)
    names = {"need": str(need), "name": _base(case.expression(at)) or "the pointer"}
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
    meant = ctext.packet_check(case, at, _base(case.expression(at))) if reached else None
    if meant is not None:
        return Story(
            Place(meant, f"this check proves {reached} bytes"),
            (Place(at, f"{need} bytes are read up to here"),),
            names={**names, "have": str(reached)},
            help=hint,
        )
    others = tuple(Place(span, f"this check proves {covers} bytes of another pointer") for span, covers in checks[-1:])
    if reached and readable:
        others = (Place(where, f"this check proves {reached} bytes"),)
    added = _variable_addition(case, _register(match)) if variable else None
    if added is not None:
        others = (*others, Place(added, "a variable offset is added here, after which nothing is proved"))
    told = f"only {reached} bytes are proved here, and {need} needed" if reached else "no check against data_end covers this"
    return Story(Place(at, told), others, names={"have": str(reached), **names})


def _is_check_of(case: Case, check: Span | None, at: Span | None) -> bool:
    """Was a check meant for this access: does it name the pointer that is read, was that made before it, or is it the check of
    the whole packet? A check of the header before is right as it is, and the access wants one of its own."""
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
    for index in range(refused_at(case) - 1, max(moved, refused_at(case) - _NEAR), -1):
        visit = case.visits[index]
        names = [f"R{number}" for number in re.findall(r"\br(\d+)\b", visit.text)] if visit.text.startswith("if ") else []
        kinds = {name: visit.before.get(name, _NONE).kind for name in names}
        if len(names) == 2 and "pkt" in kinds.values():
            # The verifier's log does not say that the call has made the end a number: it goes on as it was.
            other = next((name for name, kind in kinds.items() if kind in ("scalar", "pkt_end")), names[0])
            made, mover = origin(case, other, index), invalidator(case, other, index)
            if mover is not None and made is not None and made[0] < mover[0]:
                return visit, mover[1]
    return None


def packet_far(case: Case, match: Match) -> Story:
    """A packet pointer that was moved so far, perhaps, that a comparison with data_end proves nothing of it."""
    at, name = last_span(case), _register(match)
    variable = _index_of(case, name)
    names = {"name": _base(case.expression(at)) or "the pointer", "index": "the offset", "limit": "65535"}
    checks = tuple(
        Place(span, "this check proves nothing: the pointer may be too far off") for span, _ in _packet_checks(case)[-1:]
    )
    register = _before_refusal(case, name)
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


def _base(expression: str) -> str:
    """The pointer of a member chain: `eth` of `eth->h_proto`, `a->b` of `a->b->c.d`."""
    return expression.rpartition("->")[0] or expression


def _packet_checks(case: Case) -> list[tuple[Span | None, int]]:
    """The comparisons with data_end on the path, each with the bytes that it proves."""
    found: list[tuple[Span | None, int]] = []
    for visit in case.visits:
        if not visit.text.startswith("if "):
            continue
        names = re.findall(r"\br(\d+)\b", visit.text)
        if any(visit.before.get(f"R{n}", _NONE).kind == "pkt_end" for n in names):
            ranges = [visit.after[f"R{n}"].number("r") or 0 for n in names if visit.after.get(f"R{n}", _NONE).kind == "pkt"]
            found.append((case.span(visit), max(ranges, default=0)))
    return found


_NONE = Register("none")


def _variable_addition(case: Case, name: str) -> Span | None:
    for _, visit, _ in history(case, name, refused_at(case)):
        if re.match(r"^r\d+ \+= r\d+$", visit.text):
            return case.span(visit)
    return None


def null(case: Case, match: Match) -> Story:
    """A pointer that a call gave and nobody compared with NULL."""
    at, name = last_span(case), _register(match) or "R0"
    made = origin(case, name, refused_at(case))
    call = made[1] if made else None
    what = callee(call)
    variable = ctext.assigned(case, case.span(call)) or _base(case.expression(at)) or "the pointer"
    others = (Place(case.span(call), f"{what} may give NULL here"),) if call else ()
    place = f"`{variable}` may still be NULL here"
    return Story(Place(at, place), others, names={"name": variable, "call": what, "return": ctext.early_return(case, at)})


def callee(visit: Visit | None) -> str:
    found = re.match(r"call (\w+)", visit.text) if visit else None
    return found[1] if found else "the call"


def index(case: Case, match: Match) -> Story:
    """A variable offset that may leave its object: the check of it, if there was one, else the access."""
    at, name = last_span(case), _register(match) or _pointer(case)
    variable = _index_of(case, name)
    names = {"name": case.expression(at) or "it", "index": "the index", "limit": "its size"}
    for key in ("value_size", "size", "off"):
        if key in match.groupdict():
            names[key] = match[key]
    if variable is None:
        return Story(Place(at, "the access goes past the end"), names=names)
    where, register_name, added = variable
    check = _last_check(case, register_name, where)
    loaded = origin(case, register_name, where)
    names["index"] = ctext.index_name(case, (at, case.span(added)), case.span(loaded[1]) if loaded else None) or "the index"
    others = [Place(case.span(loaded[1]), "its value comes from here")] if loaded else []
    if check is not None:
        visit, bound = check
        names["bound"] = str(bound)
        return Story(
            Place(case.span(visit), f"this check lets up to {bound} through"), (Place(at, "too far for here"),), names=names
        )
    held = (case.visits[where].before if where < len(case.visits) else {}).get(register_name)
    lost = _lost_check(case, at, names["index"]) if not _has_most(held) else None
    if lost is not None:
        return replace(lost, others=(*lost.others, *others), names=names)
    largest = held.largest if held is not None and not held.may_be_negative else None
    told = "nothing bounds the offset here" if largest is None or largest >= 1 << 31 else f"the offset may be {largest} here"
    return Story(Place(at, told), tuple(others), names=names)


def _has_most(register: Register | None) -> bool:
    """Does the verifier know an upper bound, if perhaps no lower one?"""
    most = register.number("smax") if register is not None else None
    return most is not None and most < 1 << 29


def _lost_check(case: Case, at: Span | None, name: str) -> Story | None:
    """A check that the source has, and that the verifier saw nothing of where the value is used."""
    check = ctext.upper_check(case, at, name)
    if check is None:
        return None
    part = re.search(rf"\(\s*(?:__)?[us](?:8|16|int\w*)\s*\)\s*{re.escape(name)}\b", case.line_text(check))
    told = f"only a part of `{name}` is checked here" if part else f"this check does not bound `{name}` where it is used"
    hint = (
        f"check all of it: `{name}`, without the cast"
        if part
        else f'keep both on one value: `asm volatile("" : "+r"({name}));` before the check, or a mask right before the use'
    )
    fact = f"the compiler may check a copy of `{name}`, or what it computed from it: to the verifier that is another value"
    return Story(Place(check, told), (Place(at, "the verifier knows no bound here"),), () if part else (fact,), {}, hint)


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
    place = ctext.addition_line(case, at, story.names.get("index", "")) or _variable_addition(case, _register(match))
    if place is None or at is None or place.line == at.line:
        return story
    return replace(story, primary=replace(story.primary, span=place), others=(*story.others, Place(at, "it is read here")))


def _pointer(case: Case) -> str:
    """The register of the refused access: as the verifier's words have it, else the insn's base."""
    told = re.search(r"\bR(\d+) (?:min|max|unbounded)", " ".join(case.words))
    last = case.trace.last
    found = told or (re.search(r"\(r(\d+) ", last.text) if last else None)
    return f"R{found[1]}" if found else ""


def _index_of(case: Case, pointer: str) -> tuple[int, str, Visit] | None:
    """Where a register was added to a pointer: the visit's index, the register, the insn. It may be the refused insn."""
    last = case.trace.last
    if last is not None and (adds := re.match(r"^r(\d+) [+-]= r(\d+)$", last.text)):
        scalar = adds[1] if last.before.get(f"R{adds[1]}", _NONE).kind == "scalar" else adds[2]
        return refused_at(case), f"R{scalar}", last
    for where, visit, _ in history(case, pointer, refused_at(case)):
        added = re.match(r"^r\d+ [+-]= r(\d+)$", visit.text)
        if added is None:
            continue
        other, own = f"R{added[1]}", written(visit) or ""
        # In `r1 += r2` either may be the pointer.
        scalar = own if visit.before.get(own, _NONE).kind == "scalar" else other
        return where, scalar, visit
    return None


def is_indexed(case: Case, pointer: str) -> bool:
    """Was a register added to this pointer on its way?"""
    return _index_of(case, pointer) is not None


def _last_check(case: Case, name: str, before: int) -> tuple[Visit, int] | None:
    """The last comparison of a value, or of what it was computed from, that bounded it from above."""
    aliases = {name} | {source for _, _, source in history(case, name, before)}
    steps = list(history(case, name, before))
    first = steps[-1][0] if steps else 0
    for where in range(before - 1, first, -1):
        visit = case.visits[where]
        compared = re.match(r"^if [rw](\d+) (?:s?[<>]=?|==|!=) (0x[0-9a-f]+|-?\d+|[rw]\d+) goto", visit.text)
        if compared is None or f"R{compared[1]}" not in aliases:
            continue
        bound = visit.after.get(f"R{compared[1]}", _NONE).largest
        limit = None if compared[2][0] in "rw" else int(compared[2], 0)
        if bound is not None and bound < 1 << 31 and (limit is None or abs(limit - bound) <= 1):
            return visit, bound
    return None


def scalar_pointer(case: Case, match: Match) -> Story:
    """A number where a pointer is needed: what made it."""
    at, name = last_span(case), _register(match)
    made = origin(case, name, refused_at(case))
    variable = case.expression(at) or "it"
    if made is None:
        return Story(Place(at, "this is no pointer for the verifier"), names={"name": variable})
    said = "its value was made here, as a number"
    if made[1].text.startswith("call "):
        said = f"{callee(made[1])} gives a number here"
    elif "*(" in made[1].text:
        said = "it was read from memory here: the verifier knows no type for it"
    return Story(Place(at, "this is no pointer for the verifier"), (Place(case.span(made[1]), said),), names={"name": variable})


def wrong_argument(case: Case, match: Match) -> Story:
    """An argument of another type than the call takes."""
    story = scalar_pointer(case, match)
    what = match.groupdict().get("what") or "scalar"
    if what in ("scalar", "inv"):
        return story
    others = tuple(replace(place, text="it comes from here") for place in story.others)
    return replace(story, primary=replace(story.primary, text=f"this argument is a {what}"), others=others)


def stale_packet(case: Case, match: Match) -> Story:
    """A packet pointer from before a call that moves the packet."""
    old = stale_end(case) if "access to packet" in match[0] else None
    if old is not None:
        name = ctext.end_name(case.line_text(case.span(old[0])))
        names = {"name": name, "call": callee(old[1])}
        hint = f"load it anew after {callee(old[1])}: `{name} = (void *)(long)ctx->data_end;`"
        moved = Place(case.span(old[1]), f"{callee(old[1])} may move the packet: its old end is void from here on")
        check = Place(case.span(old[0]), f"`{name}` is from before that call, and proves nothing")
        return Story(check, (moved, Place(last_span(case), "this read is not covered")), (), names, hint)
    at, name = last_span(case), _register(match)
    mover = invalidator(case, name)
    variable = _base(case.expression(at)) or "the pointer"
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
        if _MOVES.match(visit.text) and any(visit.before.get(n, _NONE).kind in ("pkt", "pkt_meta", "pkt_end") for n in names):
            return where, visit
    return None


def released(case: Case, match: Match) -> Story:
    """A pointer that is used after what it points to was given back."""
    at = last_span(case)
    call = releaser(case, f"R{match['reg']}")
    what = callee(call)
    names = {"name": _base(case.expression(at)) or "it", "call": what}
    return Story(
        Place(at, "it is used here"),
        (Place(case.span(call), f"{what} gives it back: the pointer is void from here on"),),
        names=names,
    )


def releaser(case: Case, name: str) -> Visit | None:
    """The call that gave back what a register pointed to."""
    gives = re.compile(r"call (?:bpf_ringbuf_(?:submit|discard)|bpf_\w*(?:release|destroy|drop|put))")
    names = {name} | {source for _, _, source in history(case, name, refused_at(case))}
    for visit in reversed(case.visits[:-1]):
        held = (visit.before.get(n, _NONE) for n in names)
        if gives.match(visit.text) and any(item.is_pointer and item.kind not in ("none", "fp", "ctx") for item in held):
            return visit
    return None


def stack_argument(case: Case, match: Match) -> Story:
    """Bytes of a local variable that nobody wrote: its declaration is where they can be."""
    at = last_span(case)
    variable = ctext.pointed_argument(case, at, match.groupdict().get("reg"))
    declared = ctext.declaration(case, at, variable) if variable else None
    names = {"name": variable or "the variable"}
    where = Place(at, f"{match.groupdict().get('size', 'all')} bytes of it are read here")
    if declared is None:
        return Story(replace(where, text="bytes that were never written are read here"), names=names)
    return Story(Place(declared, f"`{variable}` is not wholly initialised here"), (where,), names=names)


def stack_size(case: Case, match: Match) -> Story:
    """A local variable that is smaller than what is done with it."""
    story = stack_argument(case, match)
    part = {"2": "key", "3": "value"}.get(match.groupdict().get("reg") or "")
    if part and story.others and re.match(r"call bpf_map_\w+_elem", case.trace.last.text if case.trace.last else ""):
        name, size = story.names.get("name", "it"), match.groupdict().get("size") or "more"
        given = ctext.size_argument(case, last_span(case), f"R{match['reg']}") or ""
        if re.match(r"&\s*\w+\.", given):
            hint = f"pass all of it, from its start: `&{name}`"
            inside = Place(last_span(case), f"the map's {part} has {size} bytes, and `{given}` lies inside of `{name}`")
            return Story(inside, (replace(story.primary, text="this is what it lies in"),), (), story.names, hint)
        hint = f"the map's {part} has {size} bytes: declare `{name}` with the type of the map's {part}, and set all of it"
        told = tuple(replace(place, text=f"the map's {part} has {size} bytes") for place in story.others)
        return replace(story, primary=replace(story.primary, text=f"`{name}` is smaller"), others=told, help=hint)
    name = story.names.get("name", "it")
    if not story.others:
        return replace(story, primary=replace(story.primary, text="this leaves the stack"))
    size = match.groupdict().get("size")
    reached = tuple(
        replace(place, text=f"{size} bytes are accessed here" if size else "more is accessed") for place in story.others
    )
    return replace(story, primary=replace(story.primary, text=f"`{name}` has fewer bytes"), others=reached)


def uninitialised(case: Case, match: Match) -> Story:
    """A register that no insn on this path wrote: the variable's declaration, or a function without a return value."""
    at, name = last_span(case), _register(match)
    last = _last(case)
    if last is not None and last.text == "exit":
        return Story(Place(at, "the function ends here without a value"), names={"name": "the return value"})
    variable = case.expression(at)
    clobber = next((v for v in reversed(case.visits[:-1]) if v.text.startswith("call ")), None)
    if clobber is not None and name in ("R1", "R2", "R3", "R4", "R5") and name in clobber.before:
        told = Place(case.span(clobber), f"{callee(clobber)} leaves nothing in r1 to r5")
        return Story(Place(at, f"{name.lower()} holds nothing here"), (told,), names={"name": name.lower()})
    declared = ctext.declaration(case, at, variable.split("->")[0].split(".")[0]) if variable else None
    if declared is not None and "=" not in case.line_text(declared):
        return Story(
            Place(declared, f"`{variable}` is not set on every path"), (Place(at, "it is used here"),), names={"name": variable}
        )
    return Story(Place(at, "nothing was written to it on this path"), names={"name": variable or name.lower()})


def is_varying_size(case: Case, match: Match) -> bool:
    """Is a helper given a packet pointer and, behind it, a size that is no constant?"""
    last = _last(case)
    if last is None or not last.text.startswith("call "):
        return False
    size = last.before.get(f"R{int(match.groupdict().get('buffer') or match['reg']) + 1}")
    return size is not None and size.kind == "scalar" and size.value is None


def size_argument(case: Case, match: Match) -> Story:
    """The length that a helper is given: where its bound was made or lost."""
    at, name = last_span(case), _register(match)
    if match.groupdict().get("buffer"):
        name = f"R{int(match['buffer']) + 1}"
    elif not name and (buffer := re.search(r"\bR(\d) (?:min|max) value is outside", " ".join(case.words))):
        name = f"R{int(buffer[1]) + 1}"
    variable = ctext.size_argument(case, at, name) or "the size"
    made = origin(case, name, refused_at(case))
    check = _last_check(case, name, refused_at(case))
    others = [Place(case.span(made[1]), "its value comes from here")] if made else []
    constant = re.search(r"known constant|must be constant", match[0])
    primary = Place(at, f"`{variable}` {'is no constant' if constant else 'has no bounds here that the verifier knows'}")
    if check is not None and case.span(check[0]) != at:
        others = [Place(case.span(check[0]), f"this check leaves it {_range(check[0], name)}"), *others]
    register = _before_refusal(case, name)
    facts = (f"{name} is {register.text}",) if register else ()
    empty = f"{variable} == 0 || " if "zero-sized" in " ".join(case.words) else ""
    names = {"name": variable, "empty": empty, "return": ctext.early_return(case, at)}
    lost = _lost_check(case, at, variable) if empty or (check is None and not _has_most(register)) else None
    if lost is not None and (not empty or "0" in re.findall(r"\d+", case.line_text(lost.primary.span))):
        return replace(lost, others=(*lost.others, *others), facts=(*lost.facts, *facts), names=names)
    return Story(primary, tuple(others), facts, names)


def _range(visit: Visit, name: str) -> str:
    register = visit.after.get(name, _NONE)
    largest = register.largest
    return f"at most {largest}" if largest is not None else "without an upper bound"
