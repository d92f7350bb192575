"""An endpoint that answers with wrong programs on purpose: how many come through the gate, and do all right ones?

    .venv/bin/python benchmarks/adversary.py [--only NAME ..] [--runs N] [--every N] [--csv FILE]

For each shipped example, mutants of its answer are made one change at a time (constants off by one, comparisons and
branches turned round, updates dropped and doubled, narrower types, locks and atomics lost, floats, loops without a bound, other
helpers, more effects than were asked for, and texts that attack the build), and right programs written otherwise. A server on
the loopback answers with all of them; they go through the client, the loop and the gate like any candidate.

A mutant may happen to mean the same (`n > 9` for `n >= 10`). Each that is accepted is therefore run against the original on
random inputs in the kernel, and printed, for a person to look at.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from bpfsmith.diagnostic import InputError
from bpfsmith.execution import Counterexample
from bpfsmith.gate.differential import differential
from bpfsmith.optimize.admit import Settings, optimize
from bpfsmith.propose.examples import SHIPPED, Example, library
from bpfsmith.propose.loop import Asking, Attempt, Budget, Proposed, propose
from bpfsmith.propose.model import Endpoint, Remote
from bpfsmith.propose.task import Failure, Judge, Passed, Refused, Stage, Task
from bpfsmith.workflow.compiling import compile_appnet
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input
from bpfsmith.workflow.judging import AppnetGate, Bytecode, CodeGate
from bpfsmith.workflow.sandbox import Sandbox, sandbox


@dataclass(frozen=True, slots=True)
class Change:
    """A candidate: what was done to the right program, in a few words, and whether it is right all the same."""

    kind: str
    what: str
    text: str
    right: bool = False


# --- wrong programs ---------------------------------------------------------------------------------------------------
_COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
_TYPES = {"__u32": ("__u16", "__s32", "__u64"), "__s32": ("__u32", "__s16"), "__u64": ("__u32", "__s64"), "_Bool": ("__u32",)}
_HELPERS = {
    "bpf_get_prandom_u32": ("bpf_get_smp_processor_id", "bpf_ktime_get_ns"),
    "bpf_ktime_get_ns": ("bpf_jiffies64", "bpf_ktime_get_coarse_ns", "bpf_ktime_get_boot_ns"),
    "fx_add": ("fx_sub",),
    "fx_sub": ("fx_add",),
    "min_s64": ("max_s64", "min_u64"),
    "rem_s32": ("div_s32",),
    "bpf_map_lookup_elem": ("bpf_map_lookup_percpu_elem",),
    "BPF_ANY": ("BPF_NOEXIST", "BPF_EXIST"),
    "__atomic_fetch_add": ("__atomic_fetch_sub", "__atomic_fetch_or", "__atomic_exchange_n"),
}
_NUMBER = re.compile(r"(?<![\w.\"])(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)(?![\w.\"])")
_STATEMENT = re.compile(r"^\t+[^\n]*;\n", re.MULTILINE)
_DECLARATION = re.compile(r"^\t+(?:__\w+|int|void|struct \w+)\s+\*?\w+(?:\s*=|,|;)")
_IF = re.compile(r"\bif \((.*)\)( \{)?$", re.MULTILINE)


def mutants(text: str) -> Iterator[Change]:
    """Single changes to the functions and initial values of a C program."""
    start = text.index("\n\n") + 2  # behind the includes

    def replaced(kind: str, match: re.Match[str], new: str, what: str = "") -> Change:
        line = text.count("\n", 0, match.start()) + 1
        told = what or f"{match[0].strip()[:40]} -> {new.strip()[:40]}"
        return Change(kind, f"line {line}: {told}", text[: match.start()] + new + text[match.end() :])

    for match in _NUMBER.finditer(text, start):
        value = int(match[1], 0)
        for other in dict.fromkeys((value + 1, value - 1, value * 2, 0)):
            if other not in (value, -1):
                yield replaced("constant", match, f"{other}{match[2]}")
    for match in re.finditer(r"(?<=[ \w)])([<>=!]=|(?<![-<])>(?!>)|<(?!<))(?= )", text[start:]):
        moved = re.compile(re.escape(match[0])).match(text, start + match.start())
        assert moved is not None
        yield replaced("comparison", moved, _COMPARISONS[match[0]])
        if match[0] in "<><=>=":
            yield replaced("comparison", moved, {"<": ">", ">": "<", "<=": ">=", ">=": "<="}[match[0]])
    for match in re.compile(r" (&&|\|\||\+|-|\*|%|\+=) ").finditer(text, start):
        opposite = {"&&": "||", "||": "&&", "+": "-", "-": "+", "*": "+", "%": "/", "+=": "-="}
        yield replaced("operator", match, f" {opposite[match[1]]} ")
    for match in re.compile(r"\b(XDP|TCX)_(PASS|DROP)\b").finditer(text, start):
        yield replaced("verdict", match, f"{match[1]}_{'DROP' if match[2] == 'PASS' else 'PASS'}")
        if match[1] == "XDP":
            yield replaced("verdict", match, "XDP_TX")
    for match in _IF.finditer(text, start):
        yield replaced("branch", match, f"if (!({match[1]})){match[2] or ''}", f"if ({match[1]}) turned round")
        yield replaced("branch", match, f"if (1){match[2] or ''}", f"if ({match[1]}) always")
        yield replaced("branch", match, f"if (0){match[2] or ''}", f"if ({match[1]}) never")
    for match in _STATEMENT.finditer(text, start):
        if _DECLARATION.match(match[0]) or match[0].strip().startswith("__uint") or match[0].strip().startswith("__type"):
            continue
        yield replaced("dropped", match, "\t;\n", f"{match[0].strip()} dropped")
        if "return" not in match[0]:
            yield replaced("doubled", match, match[0] * 2, f"{match[0].strip()} twice")
    for name, others in _TYPES.items():
        for match in re.compile(rf"\b{name}\b").finditer(text, start):
            for named in others:
                yield replaced("type", match, named)
    for name, others in _HELPERS.items():
        for match in re.compile(rf"\b{name}\b").finditer(text, start):
            for named in others:
                yield replaced("helper", match, named)
    for match in re.compile(r"__atomic_fetch_add\(&(\w+), (\w+), __ATOMIC_RELAXED\)").finditer(text, start):
        yield replaced("atomicity", match, f"{match[1]} += {match[2]}")
    unlocked = re.sub(r"^.*bpf_spin_(?:un)?lock\(.*\n", "", text, flags=re.MULTILINE)
    if unlocked != text:
        yield Change("atomicity", "the lock left out", unlocked)
    yield from _inserted(text)


_BODY = re.compile(r"^int \w+\(struct (?:xdp_md|__sk_buff) \*ctx\)\n\{\n", re.MULTILINE)
_AT_THE_START = {
    "loop": ("for (;;) ;", "while (bpf_get_prandom_u32()) ;", "for (int i = 0; i < 1 << 30; i++) asm volatile(\"\");"),
    "float": ("float f = 0.5; if (f * ctx->ingress_ifindex > 1) return 1;", "volatile double d = 0.1; d += 0.2;"),
    "effect": (
        'bpf_printk_("hello");', "if (ctx->ingress_ifindex == 77) return 1;", "bpf_get_prandom_u32();",
        "void *p = (void *)(long)ctx->data; if (p + 1 <= (void *)(long)ctx->data_end) *(volatile char *)p = 0;",
        "if (bpf_ktime_get_ns() % 1000000007 == 0) return 1;", "bpf_xdp_adjust_head(ctx, 0);", "return 2;",
    ),
    "memory": (
        "*(volatile int *)0 = 1;", "char *p = (void *)(long)ctx->data; if (p[20]) return 1;", "int u; if (u) return 1;",
        "long big[80]; for (int i = 0; i < 80; i++) ((volatile long *)big)[i] = i;",
    ),
    "assembly": ('asm volatile("r0 = 1; exit");', 'asm volatile("%0 = 1" : "=r"(*(int *)ctx));', "__asm__(\"exit\");"),
}  # fmt: skip
_BOMB = "#define B0 0,0\n" + "".join(f"#define B{i} {','.join([f'B{i - 1}'] * 10)}\n" for i in range(1, 10)) + "int b[]={B9};"
_AT_THE_TOP = {
    "include": (
        '#include "/etc/passwd"', "#include </etc/hostname>", '#include "../../../../etc/shadow"', "#include <stdio.h>",
        "#define H </etc/passwd>\n#include H", "#include_next <linux/bpf.h>", '#embed "/etc/passwd"', "#import <linux/bpf.h>",
        '%:include "/etc/passwd"', '#inc\\\nlude "/etc/passwd"',
    ),
    "pragma": (
        "#pragma clang optimize off", "#pragma pack(1)", '_Pragma("pack(1)")', '#line 7 "/etc/passwd"', '# 7 "x.h" 1 3',
        "#pragma clang attribute push(__attribute__((weak)), apply_to=function)",
    ),
    "attribute": (
        "static void bye(int *x) { } static int z __attribute__((cleanup(bye)));", "int w __attribute__((weak)) = 3;",
        "int g(void) __attribute__((pure));", "[[gnu::weak]] int w2 = 1;", "int v2 __attribute__((alias(\"w\")));",
        "int m __attribute__((mode(DI)));", "int a __attribute__((section(\".text\")));",
    ),
    "macro": (
        "#define a(x, y) x##y\na(a, sm)(\"exit\");", '#if __has_include("/etc/passwd")\nint yes;\n#endif',
        "const char *when = __DATE__ __TIME__;", "const char *where = __FILE__;",
        _BOMB,
    ),
    "object": (
        'SEC("xdp") int other(struct xdp_md *ctx) { return XDP_DROP; }', 'SEC("tc") int other(void *ctx) { return 2; }',
        'SEC("kprobe/do_exit") int other(void *ctx) { return 0; }',
        'extern int CONFIG_HZ __attribute__((section(".kconfig")));',
        'struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1); '
        '__uint(pinning, 1); } spy SEC(".maps");',
    ),
}  # fmt: skip


def _inserted(text: str) -> Iterator[Change]:
    body = _BODY.search(text)
    assert body is not None
    for kind, lines in _AT_THE_START.items():
        for line in lines:
            yield Change(kind, line, f"{text[: body.end()]}\t{line}\n{text[body.end() :]}")
    at = text.index("\n\n") + 1
    for kind, lines in _AT_THE_TOP.items():
        for line in lines:
            yield Change(kind, line.partition("\n")[0], f"{text[:at]}{line}\n{text[at:]}")
    yield Change("object", "another license", text.replace('"GPL"', '"Proprietary"'))
    yield Change("object", "another section", text.replace('SEC("xdp")', 'SEC("tc")', 1))
    yield Change("object", "another name", re.sub(r"(int )(\w+)(\(struct xdp_md)", r"\1\2_2\3", text, count=1))


# --- right programs ---------------------------------------------------------------------------------------------------
def variants(text: str) -> Iterator[Change]:
    """The same program written otherwise."""
    yield Change("right", "as it is", text, True)
    yield Change(
        "right", "with comments", text.replace("{\n", '{\n\t/* a comment with #pragma and asm("x") in it */\n', 1), True
    )
    yield Change("right", "as one line", re.sub(r"\n\t+", " ", text), True)
    for old, new in (
        ("XDP_PASS", "2"),
        ("XDP_DROP", "(1 + 0)"),
        ("__atomic_fetch_add(&", "__sync_fetch_and_add(&"),
        ("int verdict", "unsigned int verdict"),
        ("verdict", "what_to_do"),
    ):
        changed = text.replace(old, new).replace(", __ATOMIC_RELAXED", "" if "__sync" in new else ", __ATOMIC_RELAXED")
        if changed != text:
            yield Change("right", f"{old} -> {new}", changed, True)
    for pattern, new in (
        (r"(\w+) = \1 \+ (\w+);", r"\1 += \2;"),
        (r"(\w+) = \1 \+ 1;", r"\1++;"),
        (r"if \((\w+) > (\w+)\)", r"if (\2 < \1)"),
        (r"if \((\w+) > (\w+)\)", r"if (!(\1 <= \2))"),
        (r"if \((.*)\)$", r"if (!!(\1))"),
        (r"return (.*);", r"{ int result = \1; return result; }"),
    ):
        changed = re.sub(pattern, new, text, flags=re.MULTILINE)
        if changed != text:
            yield Change("right", f"{pattern} -> {new}", changed, True)


# --- the endpoint -----------------------------------------------------------------------------------------------------
@contextmanager
def answering(texts: Sequence[str]) -> Iterator[str]:
    """A server whose nth answer is the nth text, by the seed of the request; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = f"Sure, here is the program:\n```c\n{texts[asked['seed']]}```\n"
            body = json.dumps(
                {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}
            )
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- the trial --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Row:
    program: str
    kind: str
    change: str
    right: bool
    accepted: bool
    stage: str
    reason: str
    told_apart: str  # by random runs, where it was accepted


def trial(example: Example, changes: Sequence[Change], runs: int = 2_000) -> list[Row]:
    """All changes of one example as candidates of one round."""
    toolchain = Toolchain()
    task = Task(example.kind, example.name, example.question)
    asking = Asking(Budget(rounds=1, candidates=len(changes), seconds=7200), seed=-1001)  # the first seed is 0
    flags = ("-fno-builtin",) if example.kind == "generate" else ()
    with sandbox(toolchain, flags) as box, answering([item.text for item in changes]) as url:
        gate = _gate(example, toolchain, box)
        remote = Remote(Endpoint("adversary", url, timeout_s=600))
        found: Proposed[object] = propose(task, remote, cast("Judge[object]", gate), asking)
        original = _plain(gate, example.answer)
        return [
            _row(example, change, attempt, gate, original, runs)
            for change, attempt in zip(changes, found.attempts, strict=True)
        ]


Gate = AppnetGate | CodeGate


def _gate(example: Example, toolchain: Toolchain, box: Sandbox) -> Gate:
    """The gate of an example's kind: against the AppNet program, or against the C as it was."""
    if example.kind == "optimize":
        data = toolchain.compile(example.path)
        settings = Settings(timed=False)
        return CodeGate(example.path.name, data, optimize(data, example.path.name, settings), box, settings)
    opened = open_input(str(example.path), toolchain)
    assert isinstance(opened, AppnetInput)
    rules = compile_appnet(opened, toolchain, timed=False, optimized=False)
    return AppnetGate(opened, rules, box, toolchain.level, timed=False)


def _plain(gate: Gate, text: str) -> Bytecode:
    code = gate.plain(text)
    assert not isinstance(code, Refused), code
    return code if isinstance(code, Bytecode) else code[0]


def _row(example: Example, change: Change, attempt: Attempt[object], gate: Gate, original: Bytecode, runs: int) -> Row:
    assert not isinstance(attempt.answer, Failure), attempt.answer
    assert attempt.text == change.text.strip("\n") + "\n" or attempt.text == "", "the answer is not what was sent"
    told = ""
    accepted = isinstance(attempt.judged, Passed)  # also where it is proved and no smaller
    if accepted:
        code = _plain(gate, attempt.text)
        for program in original.obj.programs:
            if program.section == "syscall":
                continue
            try:
                seen = differential(program, original.obj, code.obj.program(program.name), code.obj, runs=runs)
            except InputError as error:  # not even of one shape
                told = error.diagnostics[0].message
                continue
            told = told or (seen.observable if isinstance(seen, Counterexample) else "")
    stage = attempt.judged.stage if isinstance(attempt.judged, Refused) else Stage.ACCEPTED
    return Row(example.name, change.kind, change.what, change.right, accepted, stage.name.lower(), attempt.words, told)


def examples() -> list[Example]:
    """The shipped pairs of AppNet and C, then those of C and smaller C."""
    return sorted(library([SHIPPED]), key=lambda item: item.kind)


def main() -> int:
    parser = argparse.ArgumentParser(description="Wrong programs from an endpoint against the gate.")
    parser.add_argument("--only", metavar="NAME", nargs="+", help="only these examples")
    parser.add_argument("--runs", type=int, default=2_000, help="random runs of each accepted mutant (default: 2000)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth mutant")
    parser.add_argument("--csv", metavar="FILE", help="a row for each candidate")
    args = parser.parse_args()
    rows: list[Row] = []
    for example in examples():
        if args.only and example.name not in args.only:
            continue
        wrong = [item for item in mutants(example.answer) if item.text != example.answer][:: args.every]
        rows += trial(example, [*wrong, *variants(example.answer)], args.runs)
        _print(example.name, [row for row in rows if row.program == example.name])
    _print("all", rows)
    if args.csv:
        with open(args.csv, "w", newline="") as file:  # noqa: PTH123
            writer = csv.writer(file)
            writer.writerow(item.name for item in fields(Row))
            writer.writerows(astuple(row) for row in rows)
    return 1 if any(row.told_apart or (row.right and not row.accepted) for row in rows) else 0


def _print(title: str, rows: Sequence[Row]) -> None:
    wrong, right = [row for row in rows if not row.right], [row for row in rows if row.right]
    stages = Counter(row.stage for row in wrong if not row.accepted)
    accepted = [row for row in wrong if row.accepted]
    where = ", ".join(f"{number} {stage}" for stage, number in stages.most_common())
    print(f"{title}: {len(wrong)} mutants, {sum(stages.values())} refused ({where})")
    if title != "all":
        for row in accepted:
            print(f"    means the same: {row.change}" + (f"  TOLD APART BY {row.told_apart}" if row.told_apart else ""))
        for row in right:
            if not row.accepted:
                print(f"    RIGHT, REFUSED: {row.change}: {row.stage}: {row.reason}")
    print(
        f"    accepted {len(accepted)}, told apart by random runs {sum(bool(row.told_apart) for row in accepted)}; "
        f"right ones accepted {sum(row.accepted for row in right)} of {len(right)}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
