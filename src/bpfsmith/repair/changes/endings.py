"""Changes to what is held: references and locks are given back once, on every path, and not used after that."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.repair.patch import Edit, Patch, substituted
from bpfsmith.repair.site import Site
from bpfsmith.repair.statement import Function
from bpfsmith.source import Span

_LOCKS = re.compile(r"(bpf_(?:res_)?spin_lock|bpf_rcu_read_lock|bpf_preempt_disable)\s*(\(.*?\))\s*;")

_CALL = re.compile(r"\bbpf_\w+\s*\((?:[^()]|\([^()]*\))*\)")


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
