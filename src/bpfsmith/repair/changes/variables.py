"""Changes to what variables hold: a value from the start, a place beside the stack, a result that the hook knows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.isa.progtype import for_section
from bpfsmith.repair import locals
from bpfsmith.repair.patch import Edit, Patch, substituted
from bpfsmith.repair.site import Site
from bpfsmith.repair.statement import Function
from bpfsmith.source import SourceText


def initialise(site: Site) -> Iterator[Patch]:
    """Give a local variable a value where it is declared."""
    name = site.found.story.names.get("name", "")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        return
    number = site.function.declared(name, site.span.line)
    if number is None:
        return
    line = site.lines[number - 1]
    bare = re.search(rf"\b{name}\s*(\[[^\]]*\])?\s*;", line)
    if bare:
        value = "= {}" if bare[1] or re.search(r"\b(?:struct|union)\b", line) else "= 0"
        is_aggregate = value == "= {}"
        if is_aggregate:
            yield Patch(f"{name} is zeroed first", (site.after(number, f"__builtin_memset(&{name}, 0, sizeof({name}));"),))
        yield Patch(
            f"{name} has a value from the start",
            (Edit(number, (line.replace(bare[0], f"{bare[0][:-1].rstrip()} {value};", 1),), 1),),
        )
    filled = re.search(rf"\b((?:struct|union)\s+\w+|\w+_t)\s+{name}\s*=\s*(\{{.*)$", line)
    if filled:
        _, end = site.function.statement(number)
        indent = site.function.indent(number)
        body = (filled[2], *site.lines[number:end])
        fields = re.findall(r"\.(\w+)\s*=\s*([^,{}]+?)\s*(?=,|\}|$)", " ".join(body))
        sets = tuple(f"{indent}{name}.{field} = {value};" for field, value in fields)
        zeroed = (f"{indent}{filled[1]} {name};", f"{indent}__builtin_memset(&{name}, 0, sizeof({name}));", *sets)
        yield Patch(f"{name} is zeroed first, padding too", (Edit(number, zeroed, end - number + 1),))


def result(site: Site) -> Iterator[Patch]:
    """A value for a variable that may have none, or for a function that ends without a return."""
    yield from initialise(site)
    function = site.function
    if not re.search(r"\breturn\b", "\n".join(function.code[function.last - 2 : function.last])):
        yield Patch("a result at the end", (Edit(function.last, ("\treturn 0;",)),))
    name = site.name
    number = function.declared(name, site.span.line) if name else None
    if number is not None and (bare := re.search(rf"\b{name}\s*([,;])", site.lines[number - 1])):
        text = site.lines[number - 1].replace(bare[0], f"{name} = 0{bare[1]}", 1)
        yield Patch(f"{name} has a value from the start", (Edit(number, (text,), 1),))


def in_range(site: Site) -> Iterator[Patch]:
    """A result that the hook knows."""
    primary = site.found.story.primary.span
    wanted = site.found.story.names.get("want") or (site.found.match.groupdict().get("want") if site.found.match else "") or ""
    match = re.search(r"return\s+(.+?);", site.lines[primary.line - 1]) if primary else None
    if primary is None or match is None:
        return
    low_high = re.findall(r"-?(?:0x[0-9a-f]+|\d+)", wanted)
    values = _meant(site, match[1], [int(number, 0) for number in low_high])
    values += [f"!!({match[1]})"] if "1" in low_high[-1:] or "0x1" in low_high[-1:] else []
    values += ["0"] if low_high and int(low_high[0], 0) <= 0 else low_high[:1]
    for value in values:
        edit = substituted(site.lines, primary.line, match[0], f"return {value};")
        if edit:
            yield Patch("a result that the hook knows", (edit,))


def _meant(site: Site, text: str, limits: list[int]) -> list[str]:
    """What a constant of another hook stands for in this one: its name here, or 0 and 1."""
    if "callback" in site.found.match[0] if site.found.match else False:
        return ["1"] if re.match(r"-", text) else []  # an error ends the loop
    for words, name, number in ((r"DROP|SHOT|REJECT|DENY|ABORTED|^-", "DROP", 0), (r"PASS|OK|ACCEPT|ALLOW", "PASS", 1)):
        if re.search(words, text) and re.fullmatch(r"-?\w+", text) and len(limits) > 1:
            actions = for_section(site.found.case.program.section).actions
            named = [action for action in actions if action.endswith(name) and limits[0] <= actions[action] <= limits[-1]]
            return named or ([str(number)] if limits == [0, 1] else [])
    return []


def constant_size(site: Site) -> Iterator[Patch]:
    """A record of the size of its type, where less was wanted."""
    line = site.lines[site.span.line - 1]
    reserve = re.search(r"(\w+)\s*=\s*(?:\([^()]*\)\s*)?bpf_ringbuf_reserve\s*\(\s*[^,]+,\s*(.+?)\s*,\s*[^,]+\)\s*;", line)
    if reserve is None:
        return
    edit = substituted(site.lines, site.span.line, reserve[2], f"sizeof(*{reserve[1]})")
    if edit:
        yield Patch("a record of constant size", (edit,))


def plain(site: Site) -> Iterator[Patch]:
    """An atomic operation, where memory takes none, as an ordinary one."""
    line = site.lines[site.span.line - 1]
    atomic = re.search(r"__sync_(?:fetch_and_)?(add|sub|or|and|xor)(?:_and_fetch)?\s*\(\s*&\s*(.+?)\s*,\s*(.+)\)\s*;", line)
    operators = {"add": "+", "sub": "-", "or": "|", "and": "&", "xor": "^"}
    if atomic:
        edit = substituted(site.lines, site.span.line, atomic[0], f"{atomic[2]} {operators[atomic[1]]}= {atomic[3]};")
        if edit:
            yield Patch("an ordinary operation: no other CPU has this memory", (edit,))


def large(site: Site) -> Iterator[Patch]:
    """The largest local variable in a per-CPU map."""
    found = locals.largest(SourceText("", site.text))
    if found is None:
        return
    function = Function(site.text, found.line)
    _, end = function.statement(found.line)
    indent, name, kind = function.indent(found.line), found.name, found.type.replace("volatile ", "")
    scratch = (
        f"struct {name}_scratch {{ {kind} {name}{found.dimensions}; }};", "struct {",
        "\t__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);", "\t__uint(max_entries, 1);", "\t__type(key, __u32);",
        f"\t__type(value, struct {name}_scratch);", f'}} {name}_map SEC(".maps");', "",
    )  # fmt: skip
    declared = " ".join(function.lines[found.line - 1 : end])
    fields = re.findall(r"\.(\w+)\s*=\s*([^,{}]+?)\s*(?=,|\})", declared)
    held = f"{name}_held->{name}"
    local = (
        f"{indent}__u32 {name}_key = 0;",
        f"{indent}struct {name}_scratch *{name}_held = bpf_map_lookup_elem(&{name}_map, &{name}_key);",
        f"{indent}if (!{name}_held)", f"{indent}\t{function.leave(found.line)}",
        *((f"{indent}__builtin_memset({name}_held, 0, sizeof(*{name}_held));",) if "=" in declared else ()),
        *(f"{indent}{held}.{field} = {value};" for field, value in fields),
    )  # fmt: skip
    edits = [Edit(function.top, scratch), Edit(found.line, local, end - found.line + 1)]
    for number in range(end + 1, function.last):
        changed = re.sub(rf"(?<![\w.>]){name}\b", held, function.lines[number - 1])
        if changed != function.lines[number - 1]:
            edits.append(Edit(number, (changed,), 1))
    yield Patch(f"{name} in a per-CPU map", tuple(edits))
