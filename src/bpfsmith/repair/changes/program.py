"""Changes to what a program is: its license, section and maps, and helpers that its type lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.repair import ctext
from bpfsmith.repair.patch import Edit, Patch, substituted
from bpfsmith.repair.site import Site


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


def own(site: Site) -> Iterator[Patch]:
    """A global function as one of this file: it is checked with each of its callers then."""
    primary, name = site.found.story.primary.span, site.found.story.names.get("name", "")
    if primary is None or not name or not re.search(rf"\b{name}\s*\(", site.lines[primary.line - 1]):
        return
    yield Patch(f"{name} is static", (Edit(primary.line, (f"static {site.lines[primary.line - 1]}",), 1),))


def own_map(site: Site) -> Iterator[Patch]:
    """The map that the value of a timer was looked up in."""
    last = site.found.case.trace.last
    held = last.before.get("R1") if last is not None else None
    given = ctext.arguments(site.found.case, site.span)
    name = held.facts.get("map", "") if held is not None else ""
    if len(given) < 2 or not name:
        return
    edit = substituted(site.lines, site.span.line, given[1], f"&{name}")
    if edit:
        yield Patch(f"the map is {name}", (edit,))
