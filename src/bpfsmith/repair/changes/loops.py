"""Changes to loops and inlined functions of which the verifier walks too much."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfsmith.repair.changes import callback
from bpfsmith.repair.patch import Edit, Patch
from bpfsmith.repair.site import Site

_COUNTED_LOOP = re.compile(
    r"for\s*\(\s*(?:(?:__u32|__u64|int|unsigned|u32|size_t|u64|unsigned int|long)\s+)?(\w+)\s*=\s*([^;]+);"
    r"\s*\1\s*<\s*([^;&|]+);\s*(?:\1\+\+|\+\+\1|\1 \+= 1)\s*\)"
)
_INLINED = re.compile(r"^static\s+(?:__always_inline\s+inline|inline\s+__always_inline|__always_inline|inline)")


def not_unrolled(site: Site) -> Iterator[Patch]:
    """The loop as the verifier can walk it, without the pragma that copies its body."""
    for number, line in enumerate(site.lines, 1):
        if re.search(r"#pragma\s+(?:clang\s+loop\s+|GCC\s+)?unroll", line):
            yield Patch("the loop is not unrolled", (Edit(number, (), 1),))


def limited(site: Site) -> Iterator[Patch]:
    """A loop that ends by what it reads, with an end of its own as well."""
    head = site.found.story.primary.span
    if head is None:
        return
    line = site.lines[head.line - 1]
    endless = re.search(r"\bfor\s*\(\s*;\s*;\s*\)", line)
    if endless:
        for rounds in (1024, 256, 64, 32):
            text = line.replace(endless[0], f"for (int rounds_ = 0; rounds_ < {rounds}; rounds_++)")
            yield Patch(f"the loop ends after {rounds} rounds", (Edit(head.line, (text,), 1),))
        return
    loop = re.search(r"\bwhile\s*\((.*)\)(\s*\{?\s*)$", line)
    if loop is None or re.search(r"\}\s*while", line):
        return
    for rounds in (1024, 256, 64, 16):
        text = f"for (int rounds_ = 0; rounds_ < {rounds} && ({loop[1]}); rounds_++){loop[2]}"
        yield Patch(f"the loop ends after {rounds} rounds", (Edit(head.line, (line.replace(loop[0], text),), 1),))


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


def open_coded(site: Site) -> Iterator[Patch]:
    """The loop as an iterator, whose rounds the verifier does not count one by one (kernel 6.4)."""
    head = site.found.story.primary.span
    match = _COUNTED_LOOP.search(site.lines[head.line - 1]) if head else None
    if head is None or match is None:
        return
    at = next((n for n in range(len(site.lines), 0, -1) if site.lines[n - 1].startswith("#include")), 0) + 1
    line = site.lines[head.line - 1]
    name = match[1]
    declared = f"int {name};" if re.search(r"\(\s*\w[\w ]*\s" + name + r"\s*=", match[0]) else ""
    changed = line.replace(match[0], f"bpf_for({name}, {match[2].strip()}, {match[3].strip()})", 1)
    before = (site.function.indent(head.line) + declared,) if declared else ()
    declares = () if "bpf_iter_num_new" in site.text else (Edit(at, tuple(_ITERATOR.split("\n"))),)
    yield Patch("the loop as an open-coded iterator", (*declares, Edit(head.line, (*before, changed), 1)))


def by_helper(site: Site) -> Iterator[Patch]:
    """The loop's body as a function that bpf_loop() calls: the verifier walks it once (kernel 5.17)."""
    head = site.found.story.primary.span
    if head is None or head.path != site.span.path:
        return
    edits = callback.as_callback(site.text, head.line)
    if edits is None:
        return
    unrolled = [n for n in (head.line - 1, head.line - 2) if n > 0 and re.search(r"#pragma.*unroll", site.lines[n - 1])]
    yield Patch("the loop as a call of bpf_loop()", (*edits, *(Edit(number, (), 1) for number in unrolled)))


def own_functions(site: Site) -> Iterator[Patch]:
    """Inlined functions as functions of their own, one by one."""
    for number, line in enumerate(site.lines, 1):
        if re.match(r"static\s+(?:__always_inline|inline)\b", line) and "{" in "".join(site.lines[number - 1 : number + 3]):
            changed = _INLINED.sub("static __attribute__((noinline))", line)
            yield Patch("a function of its own", (Edit(number, (changed,), 1),))


def other_cpu(site: Site) -> Iterator[Patch]:
    """Other instruction sets: what a kernel does not know, or shapes of code that its verifier walks in fewer steps."""
    for cpu in ("v3", "v2", "v1", "v4"):
        yield Patch(f"compiled with -mcpu={cpu}", (), cpu)
