"""Candidates that bound a number: an index before it is added to a pointer, a size before a helper gets it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from bpfsmith.repair import ctext, locals
from bpfsmith.repair.case import history
from bpfsmith.repair.patch import Edit, Patch, substituted
from bpfsmith.repair.site import Site

_FARTHEST = 0x8000
"""An offset into a packet that every packet pointer may move by, and few packets have."""
_FAR = ("verifier-packet-offset-unbounded", "verifier-packet-offset-far", "verifier-pointer-range")
_BARRIER = 'asm volatile("" : "+r"({}));'


def index(site: Site) -> Iterator[Patch]:
    """A check of the index before the access, or a mask; where a check is there already, one less."""
    yield from _stricter(site)
    last = site.found.case.trace.last
    if last is not None and last.text.startswith("call "):
        yield from _shrunk(site, ctext.arguments(site.found.case, site.span))
    line = site.lines[site.span.line - 1]
    for array, subscript in _subscripts(line, site.span.column):
        length = _length(site, array)
        if length is None:
            continue
        yield from _in_condition(site, subscript, length)
        passed = _size_passed(site)
        yield from _narrower(site, array, subscript)
        for name, edits in _named(site, array, subscript):
            if passed:
                yield from _checks(site, name, f"{length} - ({passed}) + 1", edits)
            else:
                yield from _checks(site, name, length, edits)
    added = site.found.story.names.get("index", "")
    limit = _steps(site)
    if site.found.kind is not None and site.found.kind.id in _FAR:
        limit = _FARTHEST
    if re.fullmatch(r"[A-Za-z_]\w*", added) and limit is not None:
        primary = site.found.story.primary.span
        is_earlier = limit == _FARTHEST and primary is not None and primary.path == site.span.path
        yield from _checks(site, added, str(limit), (), primary.line if is_earlier and primary else None)


def _in_condition(site: Site, index: str, length: str) -> Iterator[Patch]:
    """The bound as a part of the condition of a loop that reads by the index."""
    line = site.lines[site.span.line - 1]
    loop = re.search(r"\bwhile\s*\((.*)\)(\s*;?\s*\{?\s*)$", line) or re.search(
        r"\bfor\s*\([^;]*;\s*([^;]+?)\s*(;[^;]*\)\s*;?\s*\{?\s*)$", line
    )
    if loop is None or not re.fullmatch(r"[A-Za-z_]\w*", index) or not re.search(rf"\[\s*{index}\s*\]", loop[1]):
        return
    text = line[: loop.start(1)] + f"{index} < {length} && ({loop[1]})" + line[loop.end(1) :]
    yield Patch(f"a bound on {index} in the loop's condition", (Edit(site.span.line, (text,), 1),))


def _narrower(site: Site, array: str, subscript: str) -> Iterator[Patch]:
    """An index that is masked with too much: a mask of the array's own length, where that is a power of two."""
    masked = re.fullmatch(r"(.*\S)\s*&\s*(0x[0-9a-fA-F]+|\d+)", subscript)
    declared = re.search(rf"\b{re.escape(re.split(r'->|[.]', array)[-1])}\s*\[([^\]]+)\]\s*[;=,]", site.text)
    length = locals.number(declared[1], site.text) if declared else 1
    if masked is None or length < 2 or length & (length - 1) or int(masked[2], 0) < length:
        return
    edit = substituted(site.lines, site.span.line, f"[{subscript}]", f"[{masked[1]} & {length - 1}]")
    if edit:
        yield Patch("the mask is that of the length", (edit,))


def _size_passed(site: Site) -> str | None:
    """The size that a helper is given behind the address of an element."""
    last = site.found.case.trace.last
    number = site.found.match.groupdict().get("reg") if site.found.match else None
    if last is None or not last.text.startswith("call ") or not number:
        return None
    arguments = ctext.arguments(site.found.case, site.span)
    return arguments[int(number)] if int(number) < len(arguments) else None


def _stricter(site: Site) -> Iterator[Patch]:
    primary = site.found.story.primary.span
    if primary is None or primary.line == site.span.line or primary.path != site.span.path:
        return
    line = site.lines[primary.line - 1]
    for old, new in ((r"(?<![<>=-])>(?!=|>)", ">="), (r"(?<![<>])<=", "<")):
        changed = re.sub(old, new, line, count=1)
        if changed != line and re.search(r"\b(?:if|for|while)\b", line):
            yield Patch("the check excludes the length itself", (Edit(primary.line, (changed,), 1),))


def _subscripts(line: str, column: int) -> Iterator[tuple[str, str]]:
    """The array accesses on a line, those at or after a column first."""
    found = [
        (m.start(), m[1], m[2]) for m in re.finditer(r"([A-Za-z_]\w*(?:(?:->|\.)\w+)*)\s*\[((?:[^\[\]]|\[[^\[\]]*\])+)\]", line)
    ]
    for _, array, subscript in sorted(found, key=lambda item: (item[0] + len(item[1]) < column - 1, item[0])):
        if not re.fullmatch(r"\s*\d+\s*", subscript):
            yield array, subscript.strip()


def _length(site: Site, array: str) -> str | None:
    """The number of elements: by sizeof where the array is one, else what the verifier's sizes allow."""
    last = re.split(r"->|\.", array)[-1]
    is_member = array != last and re.search(rf"\b{last}\s*\[", site.text.replace(array, ""))
    declared = site.function.declared(array) if array == last else None
    is_global = array == last and re.search(rf"^(?!\s|#).*\b{array}\s*\[[^\]]*\][^()]*[;=]", site.text, re.MULTILINE)
    if is_member or is_global or (declared and re.search(rf"\b{array}\s*\[", site.lines[declared - 1])):
        return f"sizeof({array}) / sizeof({array}[0])"
    limit = _steps(site)
    return str(limit) if limit is not None else None


def _steps(site: Site) -> int | None:
    """How many strides of the index fit into the object, from the verifier's words and the shifts on the path."""
    words = " ".join(site.found.case.words)
    stated = re.search(r"(?:value_size|mem_size)=(\d+)", words)
    last = site.found.case.trace.last
    base = re.search(r"\(r(\d+) ([+-]\d+)\)", last.text) if last else None
    total = int(stated[1]) if stated else None
    if total is None and last is not None and base is not None:
        held = last.before.get(f"R{base[1]}")
        for fact in ("vs", "sz"):
            total = total or (held.number(fact) if held else None)
        if held is not None and held.kind == "fp" and held.number("off") is not None:
            total = -(held.number("off") or 0)
    if total is None or base is None or last is None:
        return None
    width = re.search(r"\*\((?:u|s)(\d+) \*\)", last.text)
    size = int(width[1]) // 8 if width else 1
    stride = 1
    for where, visit, _ in history(site.found.case, f"R{base[1]}", len(site.found.case.visits) - 1):
        added = re.match(r"^r\d+ \+= r(\d+)$", visit.text)
        for _, earlier, _ in history(site.found.case, f"R{added[1]}", where) if added else ():
            if shift := re.match(r"^[rw]\d+ <<= (\d+)$", earlier.text):
                stride <<= min(int(shift[1]), 16)
            elif times := re.match(r"^[rw]\d+ \*= (\d+)$", earlier.text):
                stride *= int(times[1])
    fits = (total - max(int(base[2]), 0) - size) // stride + 1
    return fits if fits > 0 else None


def _named(site: Site, array: str, subscript: str) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    """The index as a variable: itself, or a new one that takes the expression's place."""
    if re.fullmatch(r"[A-Za-z_]\w*", subscript):
        yield subscript, ()
        return
    edit = substituted(site.lines, site.span.line, f"[{subscript}]", "[bounded]")
    if edit:
        yield "bounded", (site.before(f"__u32 bounded = {subscript};"), edit)


def _checks(site: Site, name: str, length: str, edits: tuple[Edit, ...], number: int | None = None) -> Iterator[Patch]:
    """Checks and masks of a variable, after what makes it, before the access or line `number`."""
    title = f"a bound on {name} before the access"
    leave = site.function.leave(number or site.span.line)
    if ctext.loop_head(site.found.case, site.span) is not None:
        leave = "break;"
    check = (f"if ((__u64){name} >= {length})", f"\t{leave}")
    signed = (f"if ({name} < 0 || {name} >= (int)({length}))", f"\t{leave}")
    barrier = _BARRIER.format(name)
    made = tuple(edit for edit in edits if not edit.removed)
    rest = tuple(edit for edit in edits if edit.removed)
    prefix = tuple(line.strip() for edit in made for line in edit.text)
    for text in (check, (barrier, *check), signed, (barrier, *signed)):
        yield Patch(title, (site.before(*prefix, *text, number=number), *rest))
    if length.isdecimal() and int(length) & (int(length) - 1) == 0:
        yield Patch(f"{name} masked", (site.before(*prefix, f"{name} &= {int(length) - 1};", number=number), *rest))


def size(site: Site) -> Iterator[Patch]:
    """The size of a helper's buffer as its upper bound, and 0 or 1 as its lower."""
    case = site.found.case
    arguments = ctext.arguments(case, site.span)
    number = site.found.match.groupdict().get("reg") if site.found.match else None
    at = int(number) if number else 0
    kind = site.found.kind.id if site.found.kind else ""
    varying = _varying_size(site)
    is_too_small = kind in ("verifier-stack-out-of-bounds", "verifier-map-value-too-small")
    if varying is not None and is_too_small:
        at = varying
    elif is_too_small:
        yield from _shrunk(site, arguments)
        yield from _whole(site, arguments)
        return
    if not 2 <= at <= len(arguments):
        return
    given = arguments[at - 1]
    buffer = re.sub(r"^\s*&\s*", "", arguments[at - 2])
    pointer = site.function.declared(buffer) if re.fullmatch(r"\w+", buffer) else None
    is_pointer = pointer is not None and re.search(rf"\*\s*{buffer}\b", site.lines[pointer - 1])
    most = f"sizeof({'*' if is_pointer else ''}{buffer})"
    name = given
    prefix: tuple[str, ...] = ()
    rest: tuple[Edit, ...] = ()
    if not re.fullmatch(r"[A-Za-z_]\w*", given):
        lines = range(site.span.line, min(site.span.line + 6, len(site.lines) + 1))
        edit = next((edit for n in lines if (edit := substituted(site.lines, n, given, "bounded"))), None)
        if edit is None:
            return
        name, prefix, rest = "bounded", (f"__u64 bounded = {given};",), (edit,)
    leave = site.function.leave(site.span.line)
    barrier = _BARRIER.format(name)
    is_empty = "zero-sized" in " ".join(case.words)
    low = "== 0" if is_empty else "< 0"
    if is_empty:
        filled = (f"if ({name} == 0)", f"\t{leave}")
        yield Patch("no empty buffer", (site.before(*prefix, *filled), *rest))
        # Two checks apart, or the compiler makes one of them, of `n - 1`.
        fits = (f"if ((__u64){name} > {most})", f"\t{leave}")
        for first, second in ((filled, fits), (fits, filled)):
            apart = (barrier, *first, barrier, *second)
            yield Patch(f"bounds on {name} before the call", (site.before(*prefix, *apart), *rest))
    both = f"if ({name} {low} || {name} > (long){most})"
    clamp = (f"if ((__u64){name} > {most})", f"\t{name} = {most};")
    check = (f"if ((__u64){name} > {most})", f"\t{leave}")
    exits: list[tuple[str, ...]] = [(both, f"\t{leave}"), (barrier, both, f"\t{leave}")]
    clamps: list[tuple[str, ...]] = [clamp, (barrier, *clamp), check, (barrier, *check)]
    # A negative size is an error that was not looked at: there is nothing to go on with.
    for text in (*exits, *clamps) if kind == "verifier-helper-size-negative" or is_too_small else (*clamps, *exits):
        yield Patch(f"a bound on {name} before the call", (site.before(*prefix, *text), *rest))
    yield Patch(f"{name} masked", (site.before(*prefix, f"{name} &= {most} - 1;"), *rest))


def _varying_size(site: Site) -> int | None:
    """The argument of the refused call that is a size which varies, from the verifier's words about the buffer before it."""
    case = site.found.case
    told = re.search(r"\bR(\d) (?:min|max) value is outside", " ".join(case.words))
    last = case.trace.last
    buffer = told[1] if told else (site.found.match.groupdict().get("reg") if site.found.match else None)
    if not buffer or last is None or not last.text.startswith("call "):
        return None
    size = last.before.get(f"R{int(buffer) + 1}")
    return int(buffer) + 1 if size is not None and size.kind == "scalar" and size.value is None else None


_GIVEN = re.compile(r"call bpf_map_(?:(?:lookup|update|delete)_elem|push_elem)#")


def _whole(site: Site, arguments: list[str]) -> Iterator[Patch]:
    """The whole variable where a member was given to a map; a longer key or value, zero behind what there is."""
    match, last = site.found.match, site.found.case.trace.last
    number, size = (match.groupdict().get(name) or "" for name in ("reg", "size")) if match else ("", "")
    if last is None or not _GIVEN.match(last.text) or number not in ("2", "3") or int(number) > len(arguments):
        return
    given = arguments[int(number) - 1]
    member = re.fullmatch(r"&\s*(\w+)\.\w[\w.]*", given)
    if member:
        edit = substituted(site.lines, site.span.line, given, f"&{member[1]}")
        if edit:
            yield Patch(f"all of {member[1]}", (edit,))
    name = re.sub(r"^&\s*", "", given)
    if not size.isdecimal() or not re.fullmatch(r"[A-Za-z_]\w*", name) or not site.function.declared(name):
        return
    edit = substituted(site.lines, site.span.line, given, f"{name}_whole")
    if edit:
        made = f"char {name}_whole[{size}] __attribute__((aligned(8))) = {{}};"
        filled = f"__builtin_memcpy({name}_whole, {given}, sizeof({name}));"
        yield Patch(f"{size} bytes, zero behind {name}", (site.before(made, filled), edit))


def _shrunk(site: Site, arguments: list[str]) -> Iterator[Patch]:
    """A constant size that is too large for the variable before it: the variable's own."""
    for buffer, given in pairwise(arguments):
        name = re.sub(r"^\s*&\s*", "", buffer)
        base = re.split(r"->|\.|\[", name)[0]
        is_place = re.fullmatch(r"[A-Za-z_]\w*(?:(?:->|\.)\w+)*", name) and (site.function.declared(base) or base != name)
        if is_place and re.fullmatch(r"\w+|sizeof\s*\(.*\)", given):
            edit = substituted(site.lines, site.span.line, given, f"sizeof({name})")
            if edit and given != f"sizeof({name})":
                yield Patch("no more bytes than the variable has", (edit,))
