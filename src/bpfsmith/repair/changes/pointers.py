"""Changes around pointers: a check for NULL, a read through a helper, an address where a value was passed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.repair import ctext
from bpfsmith.repair.patch import Edit, Patch, substituted
from bpfsmith.repair.site import Site
from bpfsmith.repair.statement import Function

_STORES = re.compile(r"\+\+|--|[-+|&^]=|(?<![=!<>])=(?!=)|__sync_|__atomic_|bpf_map_update_elem|__builtin_mem")


def null(site: Site) -> Iterator[Patch]:
    """Check what may be NULL: around a statement that only counts, else with an early exit."""
    name = site.found.story.names.get("name") or site.name
    if not re.fullmatch(r"[A-Za-z_]\w*(?:(?:->|\.)\w+)*", name):
        return
    checked, primary = site.found.story.names.get("checked"), site.found.story.primary.span
    if checked and primary is not None:
        line = site.lines[primary.line - 1]
        other = re.sub(rf"(?<![\w.>]){re.escape(checked)}\b", name, line, count=1)
        yield Patch(f"{name} is compared, not {checked} again", (Edit(primary.line, (other,), 1),))
    start, end = site.function.statement(site.span.line)
    first = site.function.code[start - 1]
    uses = [n for n in range(start, site.function.last) if re.search(rf"\b{re.escape(name)}\b", site.function.code[n - 1])]
    counts = _STORES.search(site.function.code[start - 1])
    declares = site.function.declared(name) == start or re.match(r"\s*(?:struct\s+)?\w+\s+\**\w+\s*=", first)
    alone = counts and not declares and "return" not in first and all(start <= n <= end for n in uses)
    if alone:
        body = ("\t" + line for line in site.lines[start - 1 : end])
        guarded = (f"{site.function.indent(start)}if ({name})", *body)
        yield Patch("the statement runs only if it is not NULL", (Edit(start, guarded, end - start + 1),))
    yield Patch("a NULL check before the use", (site.check(f"!{name}"),))
    origin = next((place.span for place in site.found.story.others if place.span), None)
    if origin is not None and origin.path == site.span.path:
        inner = Function(site.text, origin.line)
        if inner.first <= origin.line <= inner.last:
            yield Patch(
                "a NULL check after the call", (site.after(origin.line, f"if (!{name})", f"\t{inner.leave(origin.line)}"),)
            )


def null_side(site: Site) -> Iterator[Patch]:
    """Turn the comparison round, or leave in its branch."""
    for number in range(site.span.line, site.function.first - 1, -1):
        line = site.lines[number - 1]
        for old, new in (
            (rf"if\s*\(\s*!\s*({site.name})\b", r"if (\1"),
            (rf"if\s*\(\s*({site.name})\s*==\s*(?:NULL|0)", r"if (\1"),
        ):
            turned = re.sub(old, new, line) if site.name else line
            if turned != line:
                yield Patch("the comparison the other way round", (Edit(number, (turned,), 1),))
                return
    yield from null(site)


def number_pointer(site: Site) -> Iterator[Patch]:
    """Read through bpf_probe_read_kernel (or _user), one member at a time."""
    line = site.lines[site.span.line - 1]
    at = site.span.column - 1
    chains = re.finditer(r"(?:[A-Za-z_]\w*|\([^()]*\))(?:->\w+(?:\.\w+)*)+", line)
    chain = next((found for found in chains if found.end() > at), None)
    rest = line[at:]
    dereference = re.match(r"\*\s*\(([\w\s]+?)\s*\*\s*\)\s*(\((?:[^()]|\([^()]*\))*\)|\w+)", rest)
    plain = re.match(r"\*\s*([A-Za-z_]\w*)\b", rest)
    element = re.search(r"\b([A-Za-z_]\w*)\s*\[[^\[\]]*\]", line)
    helpers = ("bpf_probe_read_kernel", "bpf_probe_read_user")
    if re.match(r"(?:tracepoint|tp)/syscalls|uprobe|uretprobe|ksyscall", site.found.case.program.section):
        helpers = helpers[::-1]  # what is pointed to is the process's, more often than not
    for helper in helpers:
        if dereference:
            value = f"{dereference[1]} v_ = 0; {helper}(&v_, sizeof(v_), (void *)({dereference[2]}));"
            yield from _replaced(site, dereference[0], f"({{ {value} v_; }})", helper)
        elif chain is not None and chain.start() <= max(at, chain.start()):
            for hops in range(1, chain[0].count("->") + 1):
                yield from _probed(site, chain[0], hops, helper)
        for found in (plain, element):
            if found:
                value = f"typeof({found[0]}) v_ = 0; {helper}(&v_, sizeof(v_), &{found[0]});"
                yield from _replaced(site, found[0], f"({{ {value} v_; }})", helper)


def _stored_field(site: Site, element: str, index: str, operator: str, value: str, length: int) -> Iterator[Patch]:
    """A store to an array of the context as a switch over constants."""
    indent = site.function.indent(site.span.line)
    barrier = 'asm volatile("" ::: "memory");'
    cases = (f"{indent}case {n}: {element}[{n}] {operator} {value}; {barrier} break;" for n in range(length))
    yield Patch(
        "each field by a constant index", (Edit(site.span.line, (f"{indent}switch ({index}) {{", *cases, f"{indent}}}"), 1),)
    )


def _replaced(site: Site, old: str, new: str, helper: str) -> Iterator[Patch]:
    edit = substituted(site.lines, site.span.line, old, new)
    if edit:
        yield Patch(f"read with {helper}", (edit,))


def _probed(site: Site, chain: str, hops: int, helper: str) -> Iterator[Patch]:
    """`a->b->c` with its last `hops` arrows read by a helper."""
    parts = chain.split("->")
    base = "->".join(parts[: len(parts) - hops])
    text, plain = base, base
    for depth, part in enumerate(parts[len(parts) - hops :]):
        plain = f"{plain}->{part}"
        value = f"v{depth}_"
        text = f"({{ typeof({plain}) {value}; {helper}(&{value}, sizeof({value}), &({text})->{part}); {value}; }})"
    yield from _replaced(site, chain, text, helper)


def by_address(site: Site) -> Iterator[Patch]:
    """The address of a local variable where its value is passed, or of a copy where it lies in the context."""
    number = site.found.match.groupdict().get("reg") if site.found.match else None
    arguments = ctext.arguments(site.found.case, site.span)
    if not number or not 1 <= int(number) <= len(arguments):
        return
    given = arguments[int(number) - 1]
    field = re.fullmatch(r"(?:\([^()]*\)\s*)?&\s*((\w+)(?:->\w+)+)", given)
    if field and field[2] == site.function.context:
        edit = substituted(site.lines, site.span.line, given, "&field_")
        if edit:
            yield Patch("a copy of the field", (site.before(f"typeof({field[1]}) field_ = {field[1]};"), edit))
    name = re.sub(r"^\s*\((?:[^()]|\([^()]*\))*\)\s*", "", given).strip()
    if re.fullmatch(r"[A-Za-z_]\w*", name) and site.function.declared(name):
        edit = substituted(site.lines, site.span.line, given, f"&{name}")
        if edit:
            yield Patch(f"the address of {name}", (edit,))


def typed(site: Site) -> Iterator[Patch]:
    """A field of a typed pointer read as C does, where it was probed and so has lost its type."""
    primary = site.found.story.primary.span
    if primary is None or primary.path != site.span.path:
        return
    line = site.lines[primary.line - 1]
    probed = re.search(r"\bBPF_CORE_READ\s*\(\s*([A-Za-z_]\w*)\s*,\s*([\w\s,.]+?)\s*\)", line)
    if probed:
        chain = "->".join((probed[1], *(part.strip() for part in probed[2].split(","))))
        yield Patch("the typed pointer is followed", (Edit(primary.line, (line.replace(probed[0], chain, 1),), 1),))


_CONTEXT_LENGTHS = {
    "args": 6,
    "cb": 5,
    "user_ip6": 4,
    "msg_src_ip6": 4,
    "remote_ip6": 4,
    "local_ip6": 4,
    "src_ip6": 4,
    "dst_ip6": 4,
}


def each_field(site: Site) -> Iterator[Patch]:
    """An array of the context read by a switch over constants."""
    line = site.lines[site.span.line - 1]
    for found in re.finditer(r"\b([A-Za-z_]\w*)->(\w+)\s*\[\s*([^\[\]]+?)\s*\]", line):
        if found[1] != site.function.context or found[3].isdecimal() or found[2] not in _CONTEXT_LENGTHS:
            continue
        element = f"{found[1]}->{found[2]}"
        stored = re.fullmatch(rf"\s*{re.escape(found[0])}\s*([-+|&^]?=)\s*([^=;]+);\s*", line)
        if stored:
            yield from _stored_field(site, element, found[3], stored[1], stored[2], _CONTEXT_LENGTHS[found[2]])
            continue
        cases = " ".join(
            f'case {n}: v_ = {element}[{n}]; asm volatile("" : "+r"(v_)); break;' for n in range(_CONTEXT_LENGTHS[found[2]])
        )
        value = f"({{ typeof({element}[0]) v_ = 0; switch ({found[3]}) {{ {cases} }} v_; }})"
        edit = substituted(site.lines, site.span.line, found[0], value)
        if edit:
            yield Patch("each field by a constant index", (edit,))
