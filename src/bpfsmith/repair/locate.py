"""Locators: from the verifier's path and the file's text to the line where the change belongs, and the story that led there."""

from __future__ import annotations

import re
from dataclasses import replace

from bpfsmith.isa.progtype import PROGRAM_TYPES, for_section
from bpfsmith.kernel.verifier_trace import Register, Visit
from bpfsmith.repair import ctext
from bpfsmith.repair.case import Case, history, origin, written
from bpfsmith.repair.kind import Locator, Place, Story
from bpfsmith.source import Span

Match = re.Match[str]


def _last(case: Case) -> Visit | None:
    return case.trace.last


def before_refusal(case: Case, name: str) -> Register | None:
    """What the verifier knew of a register when it came to the refused insn."""
    last = _last(case)
    return last.before.get(name) if last is not None else None


def refused_at(case: Case) -> int:
    """The index of the refused insn among the visits."""
    return len(case.visits) - 1


def refused_register(match: Match) -> str:
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


def context_field(case: Case, match: Match) -> Story:
    """A place in the context that is not there; of an argument of a traced function, its first use."""
    at = last_span(case)
    told = f"{match['size']} bytes at offset {match['off']} of the context"
    missing = re.search(r"func '(\w+)' doesn't have (\d+)-th argument", " ".join(case.words))
    header = case.line_text(at)
    if missing is None or at is None or "BPF_PROG" not in header:
        field = _field_read(case, at, int(match["off"]))
        if field is None:
            return Story(Place(at, told), names={"name": case.expression(at) or "it"})
        hint = ""
        if field[0] in ("data", "data_end") and case.program.section.startswith("socket"):
            hint = "copy the bytes to a local variable: `bpf_skb_load_bytes(skb, offset, &header, sizeof(header))`"
        return Story(Place(field[1], f"programs in `{case.program.section}` have no `{field[0]}`"), (), (), {}, hint)
    parameters = [
        part.split()[-1].lstrip("*") for part in header[header.index("(") + 1 :].rstrip(") {").split(",")[1:] if part.split()
    ]
    number = int(match["off"]) // 8
    hint = f"`{missing[1]}` has no such argument on this kernel: leave it out, and take the value from another one"
    if number >= len(parameters):
        return Story(Place(at, told), help=hint)
    name = parameters[number]
    found, (start, end) = ctext.lines(case, at), ctext.function_range(case, at)
    for line in range(max(at.line + 1, start), end + 1):
        if used := re.search(rf"(?<![\w.>]){re.escape(name)}\b", found[line - 1]):
            where = Span(at.path, line, used.start() + 1, line, used.end() + 1)
            declared = Place(at, f"`{name}` is argument {number + 1} here")
            return Story(Place(where, f"`{name}` is not there on this kernel"), (declared,), (), {"name": name}, hint)
    return Story(Place(at, told), names={"name": name}, help=hint)


def _field_read(case: Case, at: Span | None, offset: int) -> tuple[str, Span] | None:
    """The field of the context at an offset, as other programs with the same context have it, and the line that reads it where
    that is not the insn's own: compilers move loads."""
    kind = for_section(case.program.section).context_type
    fields = (item for other in PROGRAM_TYPES if other.context_type == kind for item in other.context)
    name = next((item.name.partition("[")[0] for item in fields if item.offset == offset), None)
    if name is None or at is None:
        return None
    found, (start, end) = ctext.lines(case, at), ctext.function_range(case, at)
    lines = [number for number in range(start, end + 1) if re.search(rf"->\s*{name}\b", found[number - 1])]
    if not lines or at.line in lines:
        return (name, at) if lines else None
    match = re.search(rf"\w+\s*->\s*{name}\b", found[lines[0] - 1])
    begin, close = (match.start() + 1, match.end() + 1) if match else (1, 1)
    return name, Span(at.path, lines[0], begin, lines[0], close)


def base_of(expression: str) -> str:
    """The pointer of a member chain: `eth` of `eth->h_proto`, `a->b` of `a->b->c.d`."""
    return expression.rpartition("->")[0] or expression


NONE = Register("none")


def null(case: Case, match: Match) -> Story:
    """A pointer that a call gave and nobody compared with NULL: its first use, or the check that is of another pointer."""
    at, name = last_span(case), refused_register(match) or "R0"
    made = origin(case, name, refused_at(case))
    call = made[1] if made else None
    what = callee(call) if call and call.text.startswith("call ") else _maker(case, call)
    variable = ctext.assigned(case, case.span(call)) or base_of(case.expression(at)) or "the pointer"
    others = (Place(case.span(call), f"{what} may give NULL here"),) if call else ()
    names = {"name": variable, "call": what, "return": ctext.early_return(case, at)}
    other = _check_of_another(case, case.span(call), at, variable)
    if other is not None:
        checked, where = other
        told = f"this checks `{checked}` once more, and `{variable}` may be NULL"
        hint = f"check `{variable}` here, which {what} has just given"
        return Story(Place(where, told), (*others, Place(at, "it is used here")), (), {**names, "checked": checked}, hint)
    first = _first_use(case, case.span(call), at, variable) or _use_behind(case, at, variable)
    return Story(Place(first or at, f"`{variable}` may still be NULL here"), others, names=names)


def _maker(case: Case, made: Visit | None) -> str:
    """What gave a pointer that no call gave: the right side of the assignment; a caller, where it is an argument."""
    found = re.search(r"=\s*([\w>.-]+)\s*;", case.line_text(case.span(made))) if made else None
    return f"`{found[1]}`" if found else "a caller"


def _use_behind(case: Case, at: Span | None, name: str) -> Span | None:
    """The next line that follows a pointer, where the refused access has the line that made it."""
    found = ctext.lines(case, at)
    if at is None or not re.fullmatch(r"[A-Za-z_]\w*", name):
        return None
    follows = re.compile(rf"(?<![\w.>]){name}\s*(?:->|\[)")
    line = found[at.line - 1]
    if follows.search(line) or not re.search(rf"(?<![\w.>]){name}\s*=(?!=)", line):
        return None
    for number in range(at.line + 1, min(at.line + 5, len(found) + 1)):
        if match := follows.search(found[number - 1]):
            return Span(at.path, number, match.start() + 1, number, match.end() + 1)
    return None


_NULL_CHECK = r"\bif\s*\(\s*(?:!\s*(\w+)\s*\)|(\w+)\s*==\s*(?:NULL|0)\s*\))"


def _check_of_another(case: Case, call: Span | None, at: Span | None, name: str) -> tuple[str, Span] | None:
    """A comparison with NULL right behind a call that is of a pointer which was compared before: the name and the place."""
    if call is None or at is None or call.path != at.path or at.line <= call.line:
        return None
    found = ctext.lines(case, at)
    start, _ = ctext.function_range(case, at)
    for number in range(call.line + 1, min(call.line + 4, at.line)):
        match = re.search(_NULL_CHECK, found[number - 1])
        if match is None:
            continue
        checked = match[1] or match[2]
        again = rf"\bif\s*\(\s*(?:!\s*{checked}\s*\)|{checked}\s*==)"
        if checked != name and any(re.search(again, found[n - 1]) for n in range(start, call.line)):
            return checked, Span(at.path, number, match.start() + 1, number, match.end() + 1)
        return None
    return None


def _first_use(case: Case, call: Span | None, at: Span | None, name: str) -> Span | None:
    """The first line behind a call, before the refused access, at which its result is followed: compilers move accesses."""
    if call is None or at is None or call.path != at.path or not re.fullmatch(r"[A-Za-z_]\w*", name):
        return None
    found = ctext.lines(case, at)
    follows = re.compile(rf"(?<![\w.>]){name}\s*(?:->|\[)|\*\s*{name}\b(?!\s*[=,;]\s*bpf)")
    if at.line <= call.line or ctext.function_range(case, call) != ctext.function_range(case, at):
        return None
    between = range(call.line + 1, at.line)
    if any(re.search(r"\b(?:if|else|while|for|case|goto)\b|\?|:\s*$", found[number - 1]) for number in between):
        return None
    for number in between:
        if match := follows.search(found[number - 1]):
            return Span(at.path, number, match.start() + 1, number, match.end() + 1)
    return None


def callee(visit: Visit | None) -> str:
    found = re.match(r"call (\w+)", visit.text) if visit else None
    return found[1] if found else "the call"


def index(case: Case, match: Match) -> Story:
    """A variable offset that may leave its object: the check of it, if there was one, else the access."""
    at, name = last_span(case), refused_register(match) or _pointer(case)
    variable = index_of(case, name)
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


def _pointer(case: Case) -> str:
    """The register of the refused access: as the verifier's words have it, else the insn's base."""
    told = re.search(r"\bR(\d+) (?:min|max|unbounded)", " ".join(case.words))
    last = case.trace.last
    found = told or (re.search(r"\(r(\d+) ", last.text) if last else None)
    return f"R{found[1]}" if found else ""


def index_of(case: Case, pointer: str) -> tuple[int, str, Visit] | None:
    """Where a register was added to a pointer: the visit's index, the register, the insn. It may be the refused insn."""
    last = case.trace.last
    if last is not None and (adds := re.match(r"^r(\d+) [+-]= r(\d+)$", last.text)):
        scalar = adds[1] if last.before.get(f"R{adds[1]}", NONE).kind == "scalar" else adds[2]
        return refused_at(case), f"R{scalar}", last
    for where, visit, _ in history(case, pointer, refused_at(case)):
        added = re.match(r"^r\d+ [+-]= r(\d+)$", visit.text)
        if added is None:
            continue
        other, own = f"R{added[1]}", written(visit) or ""
        # In `r1 += r2` either may be the pointer.
        scalar = own if visit.before.get(own, NONE).kind == "scalar" else other
        return where, scalar, visit
    return None


def is_indexed(case: Case, pointer: str) -> bool:
    """Was a register added to this pointer on its way?"""
    return index_of(case, pointer) is not None


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
        bound = visit.after.get(f"R{compared[1]}", NONE).largest
        limit = None if compared[2][0] in "rw" else int(compared[2], 0)
        if bound is not None and bound < 1 << 31 and (limit is None or abs(limit - bound) <= 1):
            return visit, bound
    return None


def scalar_pointer(case: Case, match: Match) -> Story:
    """A number where a pointer is needed: what made it."""
    at, name = last_span(case), refused_register(match)
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
    made = next((place for place in story.others if place.span), None)
    if (
        what in ("scalar", "inv")
        and re.search(r"\bptr_|trusted_ptr|rcu_ptr", match[0])
        and made
        and _is_probed(case, made.span)
    ):
        name = ctext.assigned(case, made.span) or "it"
        here = replace(made, text=f"`{name}` is a number from here on: what was probed has no type for the verifier")
        hint = "read the field of the typed pointer itself, as in `task->real_parent`, or take the object with a kfunc"
        return Story(here, (replace(story.primary, text="a pointer of the kernel's is needed here"),), (), story.names, hint)
    if what in ("scalar", "inv"):
        return story
    others = tuple(replace(place, text="it comes from here") for place in story.others)
    return replace(story, primary=replace(story.primary, text=f"this argument is a {what}"), others=others)


def _is_probed(case: Case, span: Span | None) -> bool:
    return re.search(r"BPF_CORE_READ|BPF_PROBE_READ|bpf_core_read|bpf_probe_read", case.line_text(span)) is not None


def released(case: Case, match: Match) -> Story:
    """A pointer that is used after what it points to was given back."""
    at = last_span(case)
    call = releaser(case, f"R{match['reg']}")
    what = callee(call)
    names = {"name": base_of(case.expression(at)) or "it", "call": what}
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
        held = (visit.before.get(n, NONE) for n in names)
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
    bound = _size_bound(case, match)
    if bound is not None and story.others:
        where, most = bound
        name = story.names.get("name", "it")
        declared, used = story.primary, story.others[0]
        both = (
            replace(used, text=f"up to {most} bytes are accessed here"),
            replace(declared, text=f"`{name}` has fewer bytes"),
        )
        return Story(
            Place(where, f"this lets up to {most} bytes through"), both, (), story.names, f"allow no more than sizeof({name})"
        )
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


def value_too_small(case: Case, match: Match) -> Story:
    """Bytes behind the end of a map's value: a size that varies, and the check that was meant to bound it, else the access."""
    at, last = last_span(case), _last(case)
    told = re.search(r"\bR(\d) (?:min|max) value is outside", " ".join(case.words))
    number = int(told[1]) if told else 0
    size = last.before.get(f"R{number + 1}", NONE) if last and number and last.text.startswith("call ") else NONE
    if size.kind != "scalar" or size.value is not None:
        return Story(Place(at, "this goes past the end of the value"), names={"name": case.expression(at) or "it"})
    given = ctext.size_argument(case, at, f"R{number + 1}") or "the size"
    names = {
        "name": (
            re.findall(r"(?<![\w.>])[a-z_]\w*\b(?!\s*\()", re.sub(r"sizeof\s*\([^)]*\)|offsetof\s*\([^)]*\)", "", given))
            or [given]
        )[-1]
    }
    most = f"`{given}` may be {size.largest} here" if size.largest is not None else f"nothing bounds `{given}` here"
    lost = _lost_check(case, at, names["name"])
    if lost is not None:
        return replace(lost, others=(Place(at, most),), names=names)
    hint = f"bound it before the call: `if ({names['name']} > SIZE) {ctext.early_return(case, at)}`"
    return Story(Place(at, most), names=names, help=hint)


def _size_bound(case: Case, match: Match) -> tuple[Span, int] | None:
    """Where the size behind a stack buffer, which varies, got the upper bound that is too large: a mask, a comparison, or the
    call itself."""
    last, number = _last(case), match.groupdict().get("reg")
    if last is None or not last.text.startswith("call ") or not number:
        return None
    name = f"R{int(number) + 1}"
    size = last.before.get(name, NONE)
    if size.kind != "scalar" or size.value is not None or size.largest is None:
        return None
    check = _last_check(case, name, refused_at(case))
    masks = [visit for _, visit, _ in history(case, name, refused_at(case)) if re.match(r"^[rw]\d+ &= ", visit.text)]
    visit = check[0] if check else (masks[0] if masks else None)
    span = case.span(visit) or last_span(case)
    return (span, size.largest) if span is not None else None


def uninitialised(case: Case, match: Match) -> Story:
    """A register that no insn on this path wrote: the variable's declaration, or a function without a return value."""
    at, name = last_span(case), refused_register(match)
    last = _last(case)
    inner = _exit_of_callee(case) if last is not None and last.text == "exit" else None
    if inner is not None:
        told = Place(at, "its result is returned here")
        return Story(Place(inner, "this function may end without a value"), (told,), names={"name": "its result"})
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


def _exit_of_callee(case: Case) -> Span | None:
    """Where the function ended whose result the program returns as it is."""
    for visit in reversed(case.visits[:-1]):
        if visit.frame:
            return case.span(visit) if visit.text == "exit" else None
        if written(visit) == "R0":
            return None
    return None


def is_varying_size(case: Case, match: Match) -> bool:
    """Is a helper given a packet pointer and, behind it, a size that is no constant?"""
    last = _last(case)
    if last is None or not last.text.startswith("call "):
        return False
    size = last.before.get(f"R{int(match.groupdict().get('buffer') or match['reg']) + 1}")
    return size is not None and size.kind == "scalar" and size.value is None


def size_argument(case: Case, match: Match) -> Story:
    """The length that a helper is given: where its bound was made or lost."""
    at, name = last_span(case), refused_register(match)
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
    register = before_refusal(case, name)
    facts = (f"{name} is {register.text}",) if register else ()
    empty = f"{variable} == 0 || " if "zero-sized" in " ".join(case.words) else ""
    names = {"name": variable, "empty": empty, "return": ctext.early_return(case, at)}
    lost = _lost_check(case, at, variable) if empty or (check is None and not _has_most(register)) else None
    if lost is not None and (not empty or "0" in re.findall(r"\d+", case.line_text(lost.primary.span))):
        return replace(lost, others=(*lost.others, *others), facts=(*lost.facts, *facts), names=names)
    return Story(primary, tuple(others), facts, names)


def _range(visit: Visit, name: str) -> str:
    register = visit.after.get(name, NONE)
    largest = register.largest
    return f"at most {largest}" if largest is not None else "without an upper bound"
