"""Texts that attack the build are refused before they are compiled, and plain programs are not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bpfsmith.propose.examples import SHIPPED, library
from bpfsmith.propose.screen import screened
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.sandbox import Sandbox, sandbox

PLAIN = next(item.answer for item in library([SHIPPED]) if item.name == "count")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with sandbox(Toolchain()) as made:
        yield made


REFUSED = {
    "another file": ('#include "/etc/passwd"', "#include"),
    "another header": ("#include <stdio.h>", "#include <stdio.h>"),
    "a header by macro": ("#define H <linux/bpf.h>\n#include H", "this #include"),
    "a header with a comment in it": ("#include <linux/bpf.h/*x*/>", "this #include"),
    "a directive as a digraph": ('%:include "/etc/passwd"', "#include"),
    "a directive over two lines": ('#inc\\\nlude "/etc/passwd"', "`#`"),
    "embed": ('#embed "/etc/passwd"', "`#embed`"),
    "import": ("#import <linux/bpf.h>", "`#import`"),
    "line": ('#line 3 "x.c"', "`#line`"),
    "a line marker": ('# 3 "x.c" 1', "`#3`"),
    "pragma": ("#pragma clang optimize off", "`#pragma`"),
    "_Pragma": ('_Pragma("pack(1)")', "`_Pragma`"),
    "_Pragma by splicing": ('_Prag\\\nma("pack(1)")', "two lines"),
    "pasting": ("#define a(x, y) x##y", "`##`"),
    "asking for files": ('#if __has_include("/etc/passwd")\n#endif', "`__has_include`"),
    "the time": ("const char *when = __DATE__;", "`__DATE__`"),
    "assembly": ('int f(void) { asm("exit"); return 0; }', "inline assembly"),
    "assembly by another name": ('int f(void) { __asm__ volatile("" "exit"); return 0; }', "inline assembly"),
    "assembly by a macro": ('#define a __asm__\nint f(void) { a("exit"); return 0; }', "inline assembly"),
    "an attribute": ("int weak __attribute__((weak));", "attribute `weak`"),
    "a second attribute": ('int z __attribute__((unused, alias("y")));', "attribute `alias`"),
    "an attribute in brackets": ("[[gnu::weak]] int w;", "`[[`"),
    "a section": ('SEC("struct_ops/x") int y;', "struct_ops/x"),
    "a section in pieces": ('SEC("x" "dp") int y;', "this section"),
    "a raw string": ('const char *s = R"(\nx)";', "two lines"),
    "the compiler's own words": ("/*'\tLoc=<candidate.bpf.c:1:1>\n*/", "Loc=<"),
    "the compiler's own words, spliced": ("/* Lo\\\nc=<x:1:1> */", "Loc=<"),
    "a character that cannot be seen": ("int a\u200b;", "U+200B"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_attacks_the_build_is_refused(name: str, box: Sandbox) -> None:
    text, what = REFUSED[name]
    found = screened(f"{PLAIN}{text}\n", box.compiler, {"xdp"})
    assert found and what in str(found[0]), found


@pytest.mark.parametrize(
    "text",
    [
        '/* #pragma, asm("x") and __attribute__((weak)) in a comment */',
        'const char *s = "#pragma asm __attribute__((weak))";',
        "#define MORE(x) \\\n\t((x) + 1)",
        'static __always_inline int f(int x) { asm volatile("" : "+r"(x)); return x; }',
        "struct p { char a; int b; } __attribute__((packed));",
        'struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); } m SEC(".maps");',
        "// schöne Grüße",
    ],
)
def test_what_is_only_written_otherwise_is_not_refused(text: str, box: Sandbox) -> None:
    assert screened(f"{PLAIN}{text}\n", box.compiler, {"xdp"}) == []


def test_macros_that_stand_for_more_than_a_compiler_should_be_given_are_refused(box: Sandbox) -> None:
    bomb = "#define B0 0,0\n" + "".join(f"#define B{i} {','.join([f'B{i - 1}'] * 10)}\n" for i in range(1, 10))
    found = screened(f"{PLAIN}{bomb}int b[] = {{B9}};\n", box.compiler, {"xdp"})
    assert [item.what for item in found] == ["this text"]
