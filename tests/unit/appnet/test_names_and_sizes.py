"""What the generated C and its candidates are called and how large they are: names of files and state, `@size`, literals."""

from __future__ import annotations

import re

import pytest

from bpfsmith.appnet import core
from bpfsmith.appnet.lower import lower
from bpfsmith.appnet.prove import prove
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import InputError
from bpfsmith.objfile.object import read_object
from bpfsmith.semantics.verdict import Equal, Unknown, Verdict
from bpfsmith.source import SourceText
from bpfsmith.workflow.compiling import compile_appnet
from bpfsmith.workflow.inputs import AppnetInput, Toolchain
from tests.unit.appnet.appnet_corpus import program


def element(req: str, state: str, init: str = "pass", path: str = "x.appnet") -> core.Element:
    return type_check(SourceText(path, program(req, state, init))).element


def compiled(made: core.Element) -> Verdict:
    return compile_appnet(AppnetInput(made.path, made, ()), Toolchain(), timed=False).verdict


# --- names ------------------------------------------------------------------------------------------------------------
NAMES = ("license", "xdp", "memcpy", "log", "index", "abs")


@pytest.mark.parametrize("kind", ["int", "float", "bool", "Map"])
def test_names_that_mean_something_in_c_are_names_of_state(kind: str) -> None:
    """Law: sections, builtins and functions of the C library are fine names, for each kind of state, all at once."""
    change = {"int": "{0} = {0} + 1", "float": "{0} = {0} * 0.5", "bool": "{0} = not {0}", "Map": "set({0}, 1, 2)"}[kind]
    state = "\n".join(f"{name}: {'Map<int, int>' if kind == 'Map' else kind}" for name in NAMES)
    assert isinstance(compiled(element("\n".join(change.format(name) for name in NAMES), state)), Equal)


@pytest.mark.parametrize("name", NAMES)
def test_such_a_name_alone_decides_as_any_other(name: str) -> None:
    """Law: state of that name is read, initialised and changed, and the program is proved."""
    lines = f"{name} = {name} + 1\nmatch {name} > 5:\n    true => send(err('x'), Drop)"
    made = element(lines, f"{name}: int", f"{name} = 2")
    assert isinstance(compiled(made), Equal)
    assert compiled(element(lines, f"{name}: int", f"{name} = 2", path=f"{name}.appnet")) == compiled(made)


@pytest.mark.parametrize(
    "path",
    ["two\nlines", 'quo"te', "back\\", "end*/of", "??/", "red\x1b[31m", "surrogate\udcff", "carriage\r", "%s%n", "\u2028"],
)
def test_no_name_of_a_file_changes_the_c(path: str) -> None:
    """Law: whatever the file is called, its name stays inside one comment and the strings of #line, and clang takes it."""
    named, plain = (lower(element("n = n + 1", "n: uint", path=name), {"n": 0}).c_text for name in (path, "p" * len(path)))
    assert len(named.encode().splitlines()) == len(plain.splitlines())
    assert named.startswith("// ")
    directives = [line for line in named.split("\n") if line.startswith("#line")]
    assert directives
    assert all(re.fullmatch(r'#line \d+ "[^"\\\x00-\x1f]*"', line) for line in directives)
    first, second = (read_object(Compiler.default().compile(text)).programs[0] for text in (named, plain))
    assert first.insns == second.insns


# --- sizes ------------------------------------------------------------------------------------------------------------
COUNTS = """\
#include <linux/bpf.h>
#include <bpfsmith/helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __s32);
    __type(value, __s32);
    __uint(max_entries, ENTRIES);
} hits SEC(".maps");
SEC("xdp") int step(struct xdp_md *ctx)
{
    __s32 key = 7, value = 1;
    bpf_map_update_elem(&hits, &key, &value, BPF_ANY);
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.mark.parametrize(("hint", "entries", "fits"), [
    ("@size(256)\n", 255, False),
    ("@size(256)\n", 1, False),
    ("@size(256)\n", 256, True),
    ("@size(256)\n", 4096, True),
    ("@size(1024)\n", 256, False),
    ("", 1, True),
])  # fmt: skip
def test_a_candidate_has_room_for_what_the_program_asks(hint: str, entries: int, fits: bool) -> None:
    """Law: `@size(N)` is asked of a candidate's map too: at least N entries, or Unknown; without it, any number will do."""
    made = element("set(hits, 7, 1)", f"{hint}hits: Map<int, int>")
    obj = read_object(Compiler.default().compile(COUNTS.replace("ENTRIES", str(entries))))
    verdict = prove(made, obj.program("step"), obj, replay=False)
    if fits:
        assert isinstance(verdict, Equal)
    else:
        assert isinstance(verdict, Unknown)
        assert verdict.gap == "state-correspondence"
        assert f"{entries} entries" in verdict.detail


# --- literals ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["5000000000.0", "5000000000", "1e10", "2147483648.5", "-5000000000.0", "2147483649"])
@pytest.mark.parametrize("where", ["f = {0}", "f = f + {0}", "match f > {0}:\n    true => send(rpc, Down)", "set(m, 1, {0})"])
def test_a_float_that_does_not_fit_is_out_of_range(text: str, where: str) -> None:
    """Law: a literal that no float holds is refused at its place, and not taken for the nearest one."""
    lines = where.format(text)
    with pytest.raises(InputError) as caught:
        element(lines, "f: float\nm: Map<int, float>")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.id == "literal-out-of-range"
    assert diagnostic.primary is not None
    span = diagnostic.primary.span
    shown = program(lines, "f: float\nm: Map<int, float>").splitlines()[span.line - 1]
    assert shown[span.column - 1 : span.end_column - 1] in (text, text.lstrip("-"))


@pytest.mark.parametrize("text", ["2147483647.5", "2147483648.0", "-2147483648.0", "2147483648"])
def test_the_largest_floats_are_in_range(text: str) -> None:
    """Law: what a float holds is taken, up to 2^31."""
    assert element(f"f = {text}", "f: float").req


def test_a_vec_that_is_walked_over_has_room_for_as_many_as_is_written_out() -> None:
    """Law: without `@size(N)` a Vec that a `foreach` walks over has 16 places, another one 1024."""
    state = "state:\n    a: Vec<int>\n    b: Vec<int>\n    n: int\n"
    text = f"{state}init():\n    pass\nreq(rpc):\n    foreach(a, lambda(x): n = n + x)\n"
    element = type_check(SourceText("case.appnet", text)).element
    assert [item.max_entries for item in element.state] == [16, 1024, 0]
