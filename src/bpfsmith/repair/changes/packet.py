"""Changes around packets: a comparison with the end before the access, pointers made anew after what moved them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.repair import ctext
from bpfsmith.repair.changes import bounds, loops
from bpfsmith.repair.patch import Edit, Patch, substituted
from bpfsmith.repair.site import Site


def packet(site: Site) -> Iterator[Patch]:
    """Compare with data_end right before the access."""
    match = site.found.match
    end = site.function.start_of_packet() if _is_metadata(site) else site.function.pointer_to_end()
    if end is None or match is None:
        return
    line = site.function.code[site.span.line - 1]
    need = _from_register(site) if match["id"] != "0" else int(match["off"]) + int(match["size"])
    in_loop = ctext.loop_head(site.found.case, site.span) is not None
    for name in site.names[:3]:
        bounds_of: list[str] = []
        accessed = re.search(rf"\b{re.escape(name)}\s*\[\s*([^\]]+)\]", line)
        if f"{name}->" in line:
            bounds_of.append(f"(void *)({name} + 1)")
        if accessed:
            bounds_of.append(f"(void *)(&{name}[{_farthest(site, name) or accessed[1]}] + 1)")
        if not bounds_of:
            bounds_of += [f"(void *)({name} + 1)", f"(void *){name} + {need}"]
        else:
            bounds_of.append(f"(void *){name} + {need}")
        for expression in bounds_of:
            if in_loop:
                check = site.before(f"if ({expression} > {end})", "\tbreak;")
                yield Patch("a check against data_end in each round", (check,), usual=True)
            yield Patch("a check against data_end before the access", (site.check(f"{expression} > {end}"),), usual=True)


def far(site: Site) -> Iterator[Patch]:
    """Fewer rounds for a loop over the packet, or a bound on the offset."""
    head = site.found.story.primary.span
    if head is not None and re.search(r"\b(?:while|for)\b", site.lines[head.line - 1]):
        yield from loops.limited(site)
    yield from bounds.index(site)


def _is_metadata(site: Site) -> bool:
    last = site.found.case.trace.last
    return last is not None and any(
        held.kind == "pkt_meta" for name, held in last.before.items() if re.search(rf"\br{name[1:]}\b", last.text)
    )


def _farthest(site: Site, name: str) -> int | None:
    """The largest constant index at which an array is read from here on."""
    rest = "\n".join(site.function.code[site.span.line - 1 : site.function.last])
    found = [int(number) for number in re.findall(rf"(?<![\w.>]){re.escape(name)}\s*\[\s*(\d+)\s*\]", rest)]
    varies = re.search(rf"(?<![\w.>]){re.escape(name)}\s*\[\s*(?!\d+\s*\])", site.function.code[site.span.line - 1])
    return max(found) if found and not varies else None


def _from_register(site: Site) -> int:
    """The bytes behind the pointer that is read, up to the end of the access: what lies before it varies."""
    last = site.found.case.trace.last
    read = re.search(r"\*\([us](\d+) \*\)\(r\d+ ([+-]\d+)\)", last.text) if last else None
    match = site.found.match
    assert match is not None
    return max(int(read[2]), 0) + int(read[1]) // 8 if read else int(match["off"]) + int(match["size"])


def packet_check(site: Site) -> Iterator[Patch]:
    """Widen the check, or add one for the access."""
    primary = site.found.story.primary.span
    match = site.found.match
    if primary is None or match is None:
        return
    missing = int(match["off"]) + int(match["size"]) - int(match["range"])
    line = site.lines[primary.line - 1]
    compared = re.search(r"\(((?:[^()&|]|\((?:[^()]|\([^()]*\))*\))+?)\s*(>=?)\s*([\w>()*\s.-]*end\w*)\s*(?=\)|\|\|)", line)
    for pointer in re.findall(r"\bsizeof\s*\(\s*(\w+)\s*\)", line):
        if site.function.is_pointer(pointer):
            whole = re.sub(rf"\bsizeof\s*\(\s*{pointer}\s*\)", f"sizeof(*{pointer})", line)
            yield Patch("the size of what the pointer points to", (Edit(primary.line, (whole,), 1),), usual=True)
    old = compared[0][1:].rstrip() if compared else ""
    for name in site.names[:3] if compared else ():
        made = site.function.declared(name, primary.line)
        is_made = made is not None and made < primary.line and re.search(rf"\b{name}\s*=", site.function.code[made - 1])
        wider = f"{old} || (void *)({name} + 1) > {compared[3].strip()}" if compared else ""
        edit = substituted(site.lines, primary.line, old, wider)
        if is_made and edit:
            yield Patch(f"the check covers all of {name}", (edit,), usual=True)
    yield from packet(site)
    wider = f"{compared[1]} + {missing} {compared[2]} {compared[3].strip()}" if compared else ""
    edit = substituted(site.lines, primary.line, old, wider) if compared else None
    if edit:
        yield Patch("the check covers the whole access", (edit,))


def stale(site: Site) -> Iterator[Patch]:
    """Make the packet pointers anew after the call that moved it, and check again."""
    yield from _new_end(site)
    for name in site.names[:2]:
        yield from _stale(site, name)


def _new_end(site: Site) -> Iterator[Patch]:
    """The packet's end loaded anew after the call that moved it."""
    check, context, name = site.found.story.primary.span, site.function.context, site.found.story.names.get("name", "")
    if check is not None and check.line != site.span.line and context and re.fullmatch(r"\w*end\w*", name):
        again = f"{name} = (void *)(long){context}->data_end;"
        yield Patch("the end of the packet anew after the call", (site.before(again, number=check.line),))


def _stale(site: Site, name: str) -> Iterator[Patch]:
    function, context = site.function, site.function.context
    if context is None:
        return
    needed = [name]
    lines: list[tuple[str, str]] = []
    for number in range(site.span.line, function.first - 1, -1):
        made = re.findall(r"(?<![\w.>])([A-Za-z_]\w*)\s*=\s*([^=;,]+)(?=[;,])", function.code[number - 1])
        for variable, value in reversed(made):
            if variable in needed and (variable, value) not in lines:
                needed += [word for word in re.findall(r"[A-Za-z_]\w*", value) if word not in needed]
                lines.insert(0, (variable, value))
    again = [f"{variable} = {value.strip()};" for variable, value in dict(lines).items() if "bpf_" not in value]
    end = function.pointer_to_end()
    if not again or end is None:
        return
    if re.fullmatch(r"\w+", end):
        again.append(f"{end} = (void *)(long){context}->data_end;")
    leave = function.leave(site.span.line)
    check = (f"if ((void *)({name} + 1) > {end})", f"\t{leave}")
    yield Patch("the packet pointers are made anew after the call", (site.before(*again, *check),))
