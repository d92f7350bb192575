"""Probe programs: what is no program is said at its place, and what is compiled means the text."""

from __future__ import annotations

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import InputError
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.semantics.verdict import Equal, Verdict
from bpfsmith.trace.language import reading
from bpfsmith.trace.language.lower import Lowered, lower
from bpfsmith.trace.language.meaning import proved
from bpfsmith.trace.language.parse import parse
from bpfsmith.trace.language.syntax import Kind
from bpfsmith.trace.language.tables import Column, Record, Table


def lowered(text: str) -> Lowered:
    return lower(parse(text, "test.probe"))


def compiled(c_text: str) -> Object:
    return read_object(Compiler.default().compile(c_text, flags=("-fno-builtin",)))


def uprobe(body: str) -> str:
    return f"probe uprobe:f(a, b) {{ {body} }}"


@pytest.mark.parametrize(
    ("text", "ident", "column", "words"),
    [
        ("", "probe-syntax", 1, "no probe"),
        ("probe", "probe-syntax", 6, "names no place"),
        ("probe xdp:eth0 { count; }", "probe-syntax", 7, "names no place"),
        ("probe uprobe:f { count }  }", "probe-syntax", 27, "`probe` was expected"),
        ("probe uprobe:f { let = 1; }", "probe-syntax", 22, "a name was expected"),
        ("probe uprobe:f { hist x; }", "probe-syntax", 24, "`=` was expected"),
        ("probe uprobe:f { lhist x = 1 in 0..7 step 2; }", "probe-syntax", 18, "slots of 2"),
        ("probe uprobe:f { on return { } on return { } }", "probe-syntax", 32, "one `on return`"),
        ("probe uprobe:f { count by 'x'; }", "probe-syntax", 27, "means nothing here"),
        ("probe uprobe:f { let x = unknown; }", "probe-name", 26, "nothing is called unknown"),
        ("probe uprobe:f { let us = 1; }", "probe-name", 22, "has a meaning already"),
        ("probe uprobe:f { let x = ret; }", "probe-name", 26, "no result on the way in"),
        ("probe uprobe:f { let x = comm; }", "probe-type", 22, "string"),
        ("probe uprobe:f { filter comm == 1; }", "probe-type", 25, "a number is needed"),
        ("probe uprobe:f(a) { count by a->b; }", "probe-field", 30, "type of what the pointer leads to"),
        ("probe uprobe:f { if (1) { on return { count; } } }", "probe-return", 27, "stands in a probe itself"),
        ("probe uprobe:f { if (1) { let x = 2; } on return { sum y = x; } }", "probe-name", 31, "not set on every way"),
        ("probe uprobe:f { count x; sum x = 1; }", "probe-name", 27, "is a count"),
        ('probe uprobe:f(a) { filter a == "x"; }', "probe-type", 28, "a string is needed"),
        ('probe uprobe:f { filter comm == "longer than sixteen"; }', "probe-type", 33, "16 bytes"),
        ("probe uprobe:f { on uprobe:g { } }", "probe-syntax", 30, "`by` was expected"),
        ("probe uprobe:f(a) { on uprobe:g(b) by b = a { on return { } } }", "probe-return", 47, "stands in a probe itself"),
        ("probe uprobe:f(a) { on uprobe:g(b) by b = a { sum x = ret; } }", "probe-name", 55, "no result of another event"),
    ],
)
def test_what_is_no_program_is_said_at_its_place(text: str, ident: str, column: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        lowered(text)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.id, diagnostic.primary and diagnostic.primary.span.column) == (ident, column)
    assert words in diagnostic.message


def verdicts(text: str, change: tuple[str, str] = ("", "")) -> dict[str, Verdict]:
    program = lowered(text)
    assert change[0] in program.c_text
    return proved(program, compiled(program.c_text.replace(*change)), budget=5 if change[0] else 20)


@pytest.mark.parametrize(
    "body",
    [
        "count;",
        "filter a > 3 && b != a; sum x = a * b - 7;",
        "filter pid == $target; let t = now(); on return { sum took = (now() - t) / us by ret; }",
        "let t = now(); on return { hist took = now() - t; }",
        "on return { lhist x = ret in 0..100 step 10; min least = ret; max most = ret by tid; }",
        "if (a % 4 == 1) { let t = now(); count odd by t >> 3; } else { count even by cpu, uid; } sum x = -a ^ ~b;",
        "if (a > 3) { emit x(a = a, who = comm, at = now()); } emit y(name = str(b), b = b);",
        'filter comm == "nginx"; count by ustack, kstack;',
        "let t = nsecs; on return { if (int32(ret) < 0) { emit bad(name = str(a), us = (nsecs - t) / us); } count by retval; }",
        "count by str(a), comm, (uint8)arg1;",
        "if (a > 3) { count many; } else { count few; } count;",
    ],
)
def test_programs_mean_the_text(body: str) -> None:
    found = verdicts(uprobe(body))
    assert found
    assert all(isinstance(verdict, Equal) for verdict in found.values()), found


@pytest.mark.parametrize(
    ("body", "change"),
    [
        ("filter a > 3; count;", ("> (3LL)", ">= (3LL)")),
        ("count by a;", ("&v->slots[0], x)", "&v->slots[0], x + x)")),
        ("sum x = a;", ("ctx[14]", "ctx[13]")),
        ("hist x = a;", ("slot += 32", "slot += 31")),
        ("min x = a;", ("x < v->slots[1]", "x > v->slots[1]")),
        ("lhist x = a in 0..10 step 2;", ("x >= 10LL", "x >= 9LL")),
        ("let t = now(); on return { sum x = now() - t; }", ("bpf_map_delete_elem(&starts0, &tid);", "")),
        ("let t = now(); on return { sum x = now() - t; }", ("state.t_ = t_", "state.t_ = t_ + 1")),
        ("emit x(a = a);", (".number = 0", ".number = 1")),
        ("if (a) { emit x(a = a); }", ("f0 = v", "f0 = 1 + v")),
        ("if (a) { emit x(a = a); }", ("bpf_ringbuf_output(&events", "if (v1 != 7) bpf_ringbuf_output(&events")),
        ("emit x(name = str(a));", ("_user_str", "_kernel_str")),
        ("count by comm;", ("(v1.k0, sizeof(v1.k0))", "(v1.k0, 8)")),
        ("count by ustack;", ("BPF_F_USER_STACK", "0")),
        ('filter comm == "ab"; count;', ("== 97", "== 98")),
        ("count by int32(a);", ("__s32", "__u32")),
    ],
)
def test_a_program_that_means_something_else_is_never_equal(body: str, change: tuple[str, str]) -> None:
    assert not all(isinstance(verdict, Equal) for verdict in verdicts(uprobe(body), change).values())


FIELDS = "probe tp_btf:sched_switch(preempt, prev, next) { filter prev->mm != 0; count by preempt, next->comm, prev->prio; }"
SWITCHES = """
probe tp_btf:sched_wakeup(p) {
    let t = now();
    on tp_btf:sched_switch(preempt, prev, next) by next = p { filter preempt == 0; sum ns = now() - t by p->pid; }
}
"""


@pytest.mark.kernel
@pytest.mark.parametrize("text", [FIELDS, SWITCHES])
def test_programs_that_read_the_kernels_structs_mean_the_text(text: str) -> None:
    found = verdicts(text)
    assert all(isinstance(verdict, Equal) for verdict in found.values()), found


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("text", "change"),
    [
        (FIELDS, ("(__s64)v6r", "(__s64)v6r + 1")),
        (FIELDS, ("(__s64)(__u8)(ctx[0])", "ctx[0]")),
        (SWITCHES, ("__u64 object = v2", "__u64 object = v1")),
        (SWITCHES, ("if (!state)\n\t\treturn 0;", "if (!state || !object)\n\t\treturn 0;")),
        (SWITCHES, ("bpf_map_delete_elem(&starts0, &object);", "")),
    ],
)
def test_another_field_or_object_is_never_equal(text: str, change: tuple[str, str]) -> None:
    assert not all(isinstance(verdict, Equal) for verdict in verdicts(text, change).values())


def test_copies_of_all_cpus_are_taken_together() -> None:
    def packed(*words: int) -> bytes:
        return b"".join(word.to_bytes(8, "little", signed=True) for word in words)

    count = Table("n", Kind.COUNT, (Column("ret", "number"),))
    assert reading.rows(count, {packed(-2): packed(3, 4), packed(1): packed(0, 0)}, 2) == [reading.Row((-2,), 7)]
    least = Table("n", Kind.MIN, ())
    assert reading.rows(least, {b"\0" * 4: packed(1, 5, 0, 0, 1, -5)}, 3) == [reading.Row((), -5)]
    linear = Table("n", Kind.LHIST, (), 0, 10, 5)
    (row,) = reading.rows(linear, {b"\0" * 4: packed(1, 0, 2, 0)}, 1)
    assert row.value == (reading.Slot(None, 0, 1), reading.Slot(0, 5, 0), reading.Slot(5, 10, 2))


def test_records_are_read_as_c_lays_them_out() -> None:
    record = Record("r", 0, (Column("a", "number"), Column("name", "string", 12), Column("b", "number")))
    raw = bytes(8) + (7).to_bytes(8, "little") + b"hello\0......" + bytes(4) + (9).to_bytes(8, "little")
    assert reading.fields(record, raw) == {"a": 7, "name": "hello", "b": 9}
