"""Changes to the C that may satisfy the verifier, by kind of rejection, the most faithful first. Whether they do is tried.

No candidate removes what the program does: checks are put in, values initialised, references given back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from bpfsmith.isa.progtype import for_section
from bpfsmith.repair import bounds, ctext, locals, locate
from bpfsmith.repair.diagnose import Diagnosis
from bpfsmith.repair.patch import Edit, Patch, substituted
from bpfsmith.repair.statement import Function
from bpfsmith.source import SourceText, Span


@dataclass(frozen=True)
class Site:
    """The refused insn's line in the file that can be changed."""

    found: Diagnosis
    text: str
    span: Span

    @cached_property
    def function(self) -> Function:
        return Function(self.text, self.span.line)

    @property
    def lines(self) -> list[str]:
        return self.function.lines

    @property
    def name(self) -> str:
        """The variable at the place of the access."""
        return re.split(r"->|\.|\[", self.found.case.expression(self.span))[0]

    @property
    def names(self) -> list[str]:
        """The variable at the place of the access, and the others of its line that are followed as pointers."""
        line = self.function.code[self.span.line - 1]
        found = re.findall(r"(?<![\w.>])([A-Za-z_]\w*)\s*(?:->|\[)", line) + re.findall(
            r"\*\s*(?:\([^()]*\)\s*)?([A-Za-z_]\w*)", line
        )
        called = re.search(r"\b(?:__builtin_)?mem\w+\s*\(([^;]*)\)", line)
        found += re.findall(r"(?<![\w.>&])([A-Za-z_]\w*)\b(?!\s*\()", called[1]) if called else []
        names = [self.name, *found]
        return [
            name
            for name in dict.fromkeys(names)
            if name and not name.startswith("__builtin") and self.function.is_pointer(name)
        ]

    def before(self, *text: str, number: int | None = None) -> Edit:
        """Lines put in before the statement around a line, with its indentation."""
        line = number or self.span.line
        if self.function.loop_body(line):
            indent = self.function.indent(line)
            outer = indent[:-1] if indent.endswith("\t") else indent[:-4]
            _, end = self.function.statement(line)
            body = (*(indent + item for item in text), *self.lines[line - 1 : end])
            return Edit(line, (f"{outer}{{", *body, f"{outer}}}"), end - line + 1)
        start, _ = self.function.statement(line)
        indent = self.function.indent(start)
        return Edit(start, tuple(indent + line for line in text))

    def after(self, number: int, *text: str) -> Edit:
        _, end = self.function.statement(number)
        return Edit(end + 1, tuple(self.function.indent(number) + line for line in text))

    def check(self, condition: str, number: int | None = None) -> Edit:
        """An early exit under a condition."""
        leave = self.function.leave(number or self.span.line)
        return self.before(f"if ({condition})", f"\t{leave}", number=number)


Proposer = Callable[[Site], Iterator[Patch]]


def proposals(found: Diagnosis, text: str) -> Iterator[Patch]:
    """The candidates for a rejection in the C file that `text` is."""
    span = locate.last_span(found.case)
    if found.kind is None or span is None:
        return
    site = Site(found, text, span)
    proposer = PROPOSERS.get(found.kind.id)
    if proposer is not None:
        yield from proposer(site)


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
        yield from _limited(site, head.line)
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


_ASSIGNMENT = re.compile(r"\b(?:[\w*\s]*[\s*])?([A-Za-z_]\w*)\s*=\s*([^=;,]+)(?:,\s*\*\s*(\w+)\s*=\s*([^=;]+))?;")
_STORES = re.compile(r"\+\+|--|[-+|&^]=|(?<![=!<>])=(?!=)|__sync_|__atomic_|bpf_map_update_elem|__builtin_mem")
_COUNTED_LOOP = re.compile(
    r"for\s*\(\s*(?:(?:__u32|__u64|int|unsigned|u32|size_t|u64|unsigned int|long)\s+)?(\w+)\s*=\s*([^;]+);"
    r"\s*\1\s*<\s*([^;&|]+);\s*(?:\1\+\+|\+\+\1|\1 \+= 1)\s*\)"
)
_LOCKS = re.compile(r"(bpf_(?:res_)?spin_lock|bpf_rcu_read_lock|bpf_preempt_disable)\s*(\(.*?\))\s*;")
_CALL = re.compile(r"\bbpf_\w+\s*\((?:[^()]|\([^()]*\))*\)")
_INLINED = re.compile(r"^static\s+(?:__always_inline\s+inline|inline\s+__always_inline|__always_inline|inline)")


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


def null(site: Site) -> Iterator[Patch]:
    """Check what may be NULL: around a statement that only counts, else with an early exit."""
    name = site.found.story.names.get("name") or site.name
    if not re.fullmatch(r"[A-Za-z_]\w*(?:(?:->|\.)\w+)*", name):
        return
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
        cases = " ".join(
            f'case {n}: v_ = {element}[{n}]; asm volatile("" : "+r"(v_)); break;' for n in range(_CONTEXT_LENGTHS[found[2]])
        )
        value = f"({{ typeof({element}[0]) v_ = 0; switch ({found[3]}) {{ {cases} }} v_; }})"
        edit = substituted(site.lines, site.span.line, found[0], value)
        if edit:
            yield Patch("each field by a constant index", (edit,))


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


def release(site: Site) -> Iterator[Patch]:
    """Give the reference back before the return."""
    names, primary = site.found.story.names, site.found.story.primary.span
    held = names.get("name", "")
    function = names.get("release", "")
    call = f"{function}({held}, 0);" if function.startswith("bpf_ringbuf_discard") else f"{function}({held});"
    if primary is None or not re.fullmatch(r"&?[\w.>-]+", held) or " " in function:
        return
    if re.search(rf"\b{re.escape(held)}\s*=(?!=)", site.lines[primary.line - 1]):
        taken = next((place.span for place in site.found.story.others if place.span), None)
        if taken is None or taken.line == primary.line:  # in the next round
            end = Function(site.text, primary.line).block_end(primary.line)
            indent = site.function.indent(primary.line)
            for text in ((f"{indent}{call}",), (f"{indent}if ({held})", f"{indent}\t{call}")):
                yield Patch("the reference is given back at the end of each round", (Edit(end, text),))
            return
        edit = site.before(f"if ({held})", f"\t{call}", number=primary.line)
        yield Patch("the reference is given back before its variable gets another value", (edit,))
        return
    yield from _before_return(site, primary, call, "the reference is given back on this path")


def after_use(site: Site) -> Iterator[Patch]:
    """Give the reference back after its last use."""
    given = next((place.span for place in site.found.story.others if place.span), None)
    name = site.name
    if given is None or not name or given.line >= site.span.line:
        return
    start, end = site.function.statement(given.line)
    body = range(site.span.line, site.function.last)
    last = max((n for n in body if re.search(rf"\b{re.escape(name)}\b", site.function.code[n - 1])), default=site.span.line)
    if start == end and site.lines[start - 1].strip().endswith(";"):
        moved = (Edit(start, (), 1), site.after(last, site.lines[start - 1].strip()))
        yield Patch("it is given back after its last use", moved)


def given_once(site: Site) -> Iterator[Patch]:
    """What is given back is the pointer itself, and the function is left after the first time."""
    names = site.found.story.names
    text, base = names.get("name", ""), names.get("base", "")
    if base and text != base and site.function.is_pointer(base):
        edit = substituted(site.lines, site.span.line, text, base)
        if edit:
            yield Patch("the pointer itself is given back", (edit,))
    first = next((place.span for place in site.found.story.others if place.span), None)
    if first is not None and first.path == site.span.path and first.line < site.span.line:
        leave = site.function.leave(first.line)
        yield Patch("the function is left after the first time", (site.after(first.line, leave),))


_EQUIVALENTS = {  # what a helper of another program type is called here
    "xdp": (("bpf_skb_load_bytes", "bpf_xdp_load_bytes"), ("bpf_skb_output", "bpf_xdp_output")),
    "": (("bpf_xdp_load_bytes", "bpf_skb_load_bytes"), ("bpf_probe_read_str", "bpf_probe_read_kernel_str"),
         ("bpf_probe_read", "bpf_probe_read_kernel"), ("bpf_get_current_task_btf", "bpf_get_current_task"),
         ("bpf_xdp_output", "bpf_perf_event_output"), ("bpf_skb_output", "bpf_perf_event_output")),
}  # fmt: skip


def equivalent(site: Site) -> Iterator[Patch]:
    """The helper that does the same in programs of this type."""
    line = site.lines[site.span.line - 1]
    own = site.found.case.program.section.split("/")[0].split(".")[0]
    for old, new in (*_EQUIVALENTS.get(own, ()), *_EQUIVALENTS[""]):
        if re.search(rf"\b{old}\b", line):
            yield Patch(f"{new} takes its place", (Edit(site.span.line, (re.sub(rf"\b{old}\b", new, line),), 1),))


def unlock(site: Site) -> Iterator[Patch]:
    """Unlock before the return."""
    primary = site.found.story.primary.span
    taken = next((place.span for place in site.found.story.others), None)
    match = _LOCKS.search(site.lines[taken.line - 1]) if taken else None
    if primary is None or match is None:
        return
    other = match[1].replace("spin_lock", "spin_unlock").replace("read_lock", "read_unlock").replace("disable", "enable")
    yield from _before_return(site, primary, f"{other}{match[2]};", "the lock is given back on this path")


def _before_return(site: Site, primary: Span, call: str, title: str) -> Iterator[Patch]:
    """A call before the return at a place, and before each other return of the function, one by one."""
    function = Function(site.text, primary.line)
    returns = [n for n in range(function.first, function.last + 1) if re.search(r"\breturn\b", function.code[n - 1])]
    for number in sorted(returns, key=lambda n: (n != primary.line, abs(n - primary.line))):
        line = function.lines[number - 1]
        at = function.code[number - 1].index("return")
        before = function.code[number - 1][:at].strip() or function.code[number - 2].strip()
        governed = before.endswith((")", "else"))
        if governed:
            end = line.index(";", at) + 1 if ";" in line[at:] else len(line)
            yield Patch(title, (Edit(number, (f"{line[:at]}{{ {call} {line[at:end]} }}{line[end:]}",), 1),))
        else:
            yield Patch(title, (Edit(number, (function.indent(number) + call,)),))


def hoist(site: Site) -> Iterator[Patch]:
    """Make a call before the lock is taken, or after it is given back."""
    taken = next((place.span for place in site.found.story.others), None)
    line = site.lines[site.span.line - 1]
    call = _CALL.search(line, max(site.span.column - 1, 0)) or _CALL.search(line)
    if taken is None or call is None:
        return
    if line.strip().startswith(call[0]):
        after = next((n for n in range(site.span.line, site.function.last) if "unlock" in site.function.code[n - 1]), None)
        if after is not None:
            yield Patch("the call after the lock is given back", (Edit(site.span.line, (), 1), Edit(after + 1, (line,))))
        yield Patch("the call before the lock is taken", (Edit(site.span.line, (), 1), Edit(taken.line, (line,))))
        return
    edit = substituted(site.lines, site.span.line, call[0], "before_lock")
    if edit:
        made = f"{site.function.indent(taken.line)}__u64 before_lock = {call[0]};"
        yield Patch("the call before the lock is taken", (Edit(taken.line, (made,)), edit))


def gpl(site: Site) -> Iterator[Patch]:
    """State a license that is compatible with the GPL."""
    primary = site.found.story.primary.span
    if primary is not None and "license" in site.lines[primary.line - 1].lower():
        line = re.sub(r'=\s*"[^"]*"', '= "GPL"', site.lines[primary.line - 1])
        yield Patch("a license compatible with the GPL", (Edit(primary.line, (line,), 1),))
    elif not re.search(r'"license"', site.text):
        text = 'char LICENSE[] __attribute__((section("license"), used)) = "GPL";'
        yield Patch("a license compatible with the GPL", (Edit(len(site.lines) + 1, (text,)),))


_NEEDED_MAP = {
    "bpf_tail_call": "PROG_ARRAY", "bpf_perf_event_output": "PERF_EVENT_ARRAY", "bpf_perf_event_read": "PERF_EVENT_ARRAY",
    "bpf_skb_output": "PERF_EVENT_ARRAY", "bpf_xdp_output": "PERF_EVENT_ARRAY", "bpf_ringbuf_output": "RINGBUF",
    "bpf_ringbuf_reserve": "RINGBUF", "bpf_redirect_map": "DEVMAP", "bpf_get_stackid": "STACK_TRACE",
    "bpf_sk_storage_get": "SK_STORAGE", "bpf_task_storage_get": "TASK_STORAGE", "bpf_sk_redirect_map": "SOCKMAP",
    "bpf_msg_redirect_map": "SOCKMAP", "bpf_sock_map_update": "SOCKMAP", "bpf_sk_redirect_hash": "SOCKHASH",
    "bpf_map_push_elem": "QUEUE", "bpf_map_pop_elem": "QUEUE", "bpf_for_each_map_elem": "HASH",
}  # fmt: skip


def map_type(site: Site) -> Iterator[Patch]:
    """The map type that the call needs."""
    primary = site.found.story.primary.span
    needed = _NEEDED_MAP.get(site.found.story.names.get("call", ""))
    if primary is None or needed is None:
        return
    line = site.lines[primary.line - 1]
    changed = re.sub(r"BPF_MAP_TYPE_\w+", f"BPF_MAP_TYPE_{needed}", line)
    if changed == line:
        return
    edits = [Edit(primary.line, (changed,), 1)]
    if needed == "RINGBUF":
        for number in range(primary.line + 1, min(primary.line + 8, len(site.lines))):
            if re.search(r"__type\(|__uint\(\s*(?:key|value)_size", site.lines[number - 1]):
                edits.append(Edit(number, (), 1))
            elif "max_entries" in site.lines[number - 1]:
                edits.append(
                    Edit(number, (re.sub(r"max_entries\s*,[^)]*", "max_entries, 256 * 1024", site.lines[number - 1]),), 1)
                )
            elif "}" in site.lines[number - 1]:
                break
    if needed == "PERF_EVENT_ARRAY" and not _has_key(site, primary.line):
        indent = site.function.indent(primary.line)
        edits.append(
            Edit(primary.line + 1, tuple(f"{indent}__uint({which}_size, sizeof(__u32));" for which in ("key", "value")))
        )
    yield Patch(f"the map is a {needed}", tuple(edits))


def _has_key(site: Site, number: int) -> bool:
    """Does the map whose type stands on a line say what its keys are?"""
    following = "\n".join(site.lines[number - 1 : number + 8]).split("}")[0]
    return re.search(r"\bkey(?:_size)?\s*,", following) is not None


def writable(site: Site) -> Iterator[Patch]:
    """A variable without const, a map without BPF_F_RDONLY_PROG."""
    for number, line in enumerate(site.lines, 1):
        bare = re.sub(r"\s*\|\s*BPF_F_RDONLY_PROG\b|\bBPF_F_RDONLY_PROG\s*\|\s*", "", line)
        if bare != line:
            yield Patch("programs may write the map", (Edit(number, (bare,), 1),))
        elif re.search(r"__uint\(\s*map_flags\s*,\s*BPF_F_RDONLY_PROG\s*\)", line):
            yield Patch("programs may write the map", (Edit(number, (), 1),))
    for word in re.findall(r"[A-Za-z_]\w*", site.lines[site.span.line - 1]):
        for number, line in enumerate(site.lines, 1):
            if re.match(rf"\s*(?:static\s+|volatile\s+)*const\b.*\b{word}\b\s*(?:=|;|\[)", line):
                yield Patch(f"{word} is no constant", (Edit(number, (re.sub(r"\bconst\s+", "", line, count=1),), 1),))
                return


def sleepable(site: Site) -> Iterator[Patch]:
    """A section whose programs may sleep."""
    at = ctext.section_line(site.found.case)
    if at is None:
        return
    changed = re.sub(r'SEC\("(\w+)(/|")', r'SEC("\1.s\2', site.lines[at.line - 1], count=1)
    yield Patch("a sleepable program", (Edit(at.line, (changed,), 1),))


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
    for words, name, number in ((r"DROP|SHOT|REJECT|DENY|ABORTED|^-", "DROP", 0), (r"PASS|OK|ACCEPT|ALLOW", "PASS", 1)):
        if re.search(words, text) and re.fullmatch(r"-?\w+", text) and len(limits) > 1:
            actions = for_section(site.found.case.program.section).actions
            named = [action for action in actions if action.endswith(name) and limits[0] <= actions[action] <= limits[-1]]
            return named or ([str(number)] if limits == [0, 1] else [])
    return []


def loops(site: Site) -> Iterator[Patch]:
    """Other instruction sets, no unrolling, a body that is checked once."""
    for number, line in enumerate(site.lines, 1):
        if re.search(r"#pragma\s+(?:clang\s+loop\s+)?unroll", line):
            yield Patch("the loop is not unrolled", (Edit(number, (), 1),))
    head = site.found.story.primary.span
    if head is not None:
        yield from _limited(site, head.line)
    match = _COUNTED_LOOP.search(site.lines[head.line - 1]) if head else None
    if head is not None and match is not None:
        yield from _open_coded(site, head.line, match)
    for number, line in enumerate(site.lines, 1):
        if re.match(r"static\s+(?:__always_inline|inline)\b", line) and "{" in "".join(site.lines[number - 1 : number + 3]):
            changed = _INLINED.sub("static __attribute__((noinline))", line)
            yield Patch("a function of its own", (Edit(number, (changed,), 1),))
    for cpu in ("v1", "v2", "v4"):
        yield Patch(f"compiled with -mcpu={cpu}", (), cpu)


def _limited(site: Site, number: int) -> Iterator[Patch]:
    """A loop that ends by what it reads, with an end of its own as well."""
    line = site.lines[number - 1]
    endless = re.search(r"\bfor\s*\(\s*;\s*;\s*\)", line)
    if endless:
        for rounds in (1024, 256, 64, 32):
            text = line.replace(endless[0], f"for (int rounds_ = 0; rounds_ < {rounds}; rounds_++)")
            yield Patch(f"the loop ends after {rounds} rounds", (Edit(number, (text,), 1),))
        return
    loop = re.search(r"\bwhile\s*\((.*)\)(\s*\{?\s*)$", line)
    if loop is None or re.search(r"\}\s*while", line):
        return
    for rounds in (1024, 256, 64, 16):
        text = f"for (int rounds_ = 0; rounds_ < {rounds} && ({loop[1]}); rounds_++){loop[2]}"
        yield Patch(f"the loop ends after {rounds} rounds", (Edit(number, (line.replace(loop[0], text),), 1),))


_ITERATOR = """\
struct bpf_iter_num;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __attribute__((weak, section(".ksyms")));
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __attribute__((weak, section(".ksyms")));
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __attribute__((weak, section(".ksyms")));
#ifndef bpf_for
#define bpf_for(i, start, end) for ( \\
	struct bpf_iter_num it_ __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))), \\
	*p_ __attribute__((unused)) = (bpf_iter_num_new(&it_, (start), (end)), (void)bpf_iter_num_destroy, (void *)0); \\
	({ int *t_ = bpf_iter_num_next(&it_); (t_ && ((i) = *t_, (i) >= (start) && (i) < (end))); }); )
#endif"""


def _open_coded(site: Site, number: int, match: re.Match[str]) -> Iterator[Patch]:
    """The loop as an iterator, whose rounds the verifier does not count one by one (kernel 6.4)."""
    at = next((n for n in range(len(site.lines), 0, -1) if site.lines[n - 1].startswith("#include")), 0) + 1
    line = site.lines[number - 1]
    name = match[1]
    declared = f"int {name};" if re.search(r"\(\s*\w[\w ]*\s" + name + r"\s*=", match[0]) else ""
    changed = line.replace(match[0], f"bpf_for({name}, {match[2].strip()}, {match[3].strip()})", 1)
    before = (site.function.indent(number) + declared,) if declared else ()
    edits = [Edit(at, tuple(_ITERATOR.split("\n"))), Edit(number, (*before, changed), 1)]
    yield Patch("the loop as an open-coded iterator", tuple(edits))


def large(site: Site) -> Iterator[Patch]:
    """The largest local variable in a per-CPU map."""
    found = locals.largest(SourceText("", site.text))
    if found is None:
        return
    function = Function(site.text, found.line)
    _, end = function.statement(found.line)
    indent, name, kind = function.indent(found.line), found.name, found.type.replace("volatile ", "")
    top = function.first
    while top > 1 and function.lines[top - 2].strip() and not function.code[top - 2].rstrip().endswith((";", "}")):
        top -= 1
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
    edits = [Edit(top, scratch), Edit(found.line, local, end - found.line + 1)]
    for number in range(end + 1, function.last):
        changed = re.sub(rf"(?<![\w.>]){name}\b", held, function.lines[number - 1])
        if changed != function.lines[number - 1]:
            edits.append(Edit(number, (changed,), 1))
    yield Patch(f"{name} in a per-CPU map", tuple(edits))


PROPOSERS: Mapping[str, Proposer] = {
    "verifier-packet-unchecked": packet,
    "verifier-packet-check-elsewhere": packet,
    "verifier-packet-check-too-small": packet_check,
    "verifier-packet-stale-pointer": stale,
    "verifier-packet-offset-unbounded": bounds.index,
    "verifier-packet-offset-far": far,
    "verifier-null-unchecked": null,
    "verifier-null-arithmetic": null,
    "verifier-null-argument": null,
    "verifier-null-dereference": null_side,
    "verifier-argument-type": by_address,
    "verifier-helper-constant": constant_size,
    "verifier-context-variable": each_field,
    "verifier-context-modified": each_field,
    "verifier-number-as-pointer": number_pointer,
    "verifier-map-value-negative": bounds.index,
    "verifier-map-value-unbounded": bounds.index,
    "verifier-map-value-index": bounds.index,
    "verifier-memory-bounds": bounds.index,
    "verifier-stack-variable-offset": bounds.index,
    "verifier-pointer-range": bounds.index,
    "verifier-map-read-only": writable,
    "verifier-stack-argument-uninitialised": initialise,
    "verifier-stack-uninitialised": initialise,
    "verifier-stack-out-of-bounds": bounds.size,
    "verifier-map-value-too-small": bounds.size,
    "verifier-stack-too-large": large,
    "verifier-tail-call-stack": large,
    "verifier-reference-released": given_once,
    "verifier-helper-program-type": equivalent,
    "verifier-uninitialised": result,
    "verifier-return-range": in_range,
    "verifier-gpl": gpl,
    "verifier-map-type": map_type,
    "verifier-helper-size-negative": bounds.size,
    "verifier-helper-size-unbounded": bounds.size,
    "verifier-helper-size-zero": bounds.size,
    "verifier-sleepable": sleepable,
    "verifier-reference-leak": release,
    "verifier-use-after-release": after_use,
    "verifier-lock-missing-unlock": unlock,
    "verifier-lock-call": hoist,
    "verifier-too-many-insns": loops,
    "verifier-too-many-jumps": loops,
    "verifier-loop-infinite": loops,
    "verifier-loop": loops,
    "verifier-atomic-target": plain,
    "verifier-instruction": loops,
}
