"""CO-RE relocations: what we put into a program is what the kernel puts in when it loads it."""

from __future__ import annotations

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.execution import RunInput
from bpfsmith.gate.replay import run_in_kernel
from bpfsmith.isa.insn import BPF_CALL, BPF_JMP
from bpfsmith.kernel.vmlinux import running_btf
from bpfsmith.objfile.core_relo import POISON
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.semantics import concrete

PRELUDE = """
#define SEC(name) __attribute__((section(name), used))
#define index __attribute__((preserve_access_index))
struct nothing_here { int x; } index;
struct list_head { struct list_head *next, *prev; } index;
struct task_struct___mine {
    int pid; char comm[16]; struct task_struct___mine *group_leader; struct list_head tasks;
    unsigned in_execve : 1; int no_field;
} index;
struct sk_buff { unsigned len; unsigned char pkt_type : 3; } index;
enum bpf_map_type___mine { BPF_MAP_TYPE_HASH = 77, BPF_MAP_TYPE_NOT_ONE = 5 };
typedef struct task_struct___mine *T;
#define TASK ((T)0)
#define SKB ((struct sk_buff *)0)
#define FIELD(what, kind) __builtin_preserve_field_info(what, kind)
"""
EXPRESSIONS = {
    "offset": "FIELD(TASK->pid, 0)",
    "offset of an element": "FIELD(TASK->comm[3], 0)",
    "offset in an inner struct": "FIELD(TASK->tasks.prev, 0)",
    "size": "FIELD(TASK->comm, 1)",
    "size of a bitfield": "FIELD(TASK->in_execve, 1)",
    "a field that exists": "FIELD(TASK->group_leader, 2)",
    "a field that does not": "FIELD(TASK->no_field, 2)",
    "sign": "FIELD(TASK->pid, 3) * 2 + FIELD(SKB->len, 3)",
    "offset of a bitfield": "FIELD(TASK->in_execve, 0)",
    "left shift of a bitfield": "FIELD(TASK->in_execve, 4)",
    "right shift of a bitfield": "FIELD(SKB->pkt_type, 5)",
    "shifts of a number": "FIELD(SKB->len, 4) * 64 + FIELD(SKB->len, 5)",
    "a type that exists": "__builtin_preserve_type_info(*(struct sk_buff *)0, 0)",
    "a type that does not": "__builtin_preserve_type_info(*(struct nothing_here *)0, 0)",
    "size of a type": "__builtin_preserve_type_info(*(struct sk_buff *)0, 1)",
    "an enumerator": "__builtin_preserve_enum_value(*(enum bpf_map_type___mine *)BPF_MAP_TYPE_HASH, 1)",
    "an enumerator that does not exist": "__builtin_preserve_enum_value(*(enum bpf_map_type___mine *)BPF_MAP_TYPE_NOT_ONE, 0)",
}


def compiled(expression: str) -> Object:
    text = (
        f'{PRELUDE}\nSEC("raw_tp/sys_enter") int prog(void *ctx) {{ return {expression}; }}\nchar l[] SEC("license") = "GPL";\n'
    )
    return read_object(Compiler.default().compile(text, name="core.bpf.c"))


@pytest.mark.kernel
@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_the_kernel_and_we_put_in_the_same(expression: str) -> None:
    obj, types = compiled(expression), running_btf()
    assert types is not None
    program = obj.program("prog")
    assert obj.core_relos(program), "clang has left something to relocate"
    ours = concrete.run(obj.relocated(program, types), RunInput(b""))
    theirs = run_in_kernel(program, obj, RunInput(b""))
    assert theirs is not None
    assert ours.return_value == theirs.return_value


@pytest.mark.kernel
def test_a_field_that_is_not_there_becomes_a_call_that_nobody_accepts() -> None:
    obj, types = compiled("FIELD(TASK->no_field, 0)"), running_btf()
    assert types is not None
    insns = obj.relocated(obj.program("prog"), types).insns
    assert any(insn.opcode == BPF_JMP | BPF_CALL and insn.imm == POISON for insn in insns)
