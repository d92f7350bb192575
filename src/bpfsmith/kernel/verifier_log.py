"""What the verifier's log says: statistics, steps, and the lines that state the error.

0: R1=ctx() R10=fp0                                 the state at entry
; int f(struct xdp_md *ctx) @ f.c:3                 the source line of what follows
0: (61) r2 = *(u32 *)(r1 +4)      ; R1=ctx() R2_w=pkt_end()
invalid bpf_context access off=400 size=4           the error
verification time 82 usec                           statistics, log level 4
stack depth 8+0
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# print_verification_stats() and verbose_insn(), kernel/bpf/verifier.c.
_PROCESSED = re.compile(
    r"^processed (?P<insns>\d+) insns \(limit \d+\) max_states_per_insn (?P<per_insn>\d+) "
    r"total_states (?P<total>\d+) peak_states (?P<peak>\d+) mark_read (?P<mark>\d+)",
    re.MULTILINE,
)
_TIME = re.compile(r"^verification time (\d+) usec", re.MULTILINE)
_STACK = re.compile(r"^stack depth ([\d+]+)", re.MULTILINE)
_STEP = re.compile(r"^(?P<idx>\d+): \([0-9a-f]{2}\) (?P<text>.*?)(?:\s*; (?P<state>.*))?$")
_NARRATION = re.compile(
    r"^(\d+: |; |last_idx \d+ |regs=\S+ stack=|parent (?:didn't|already) |"
    r"from \d+ to \d+|mark_precise: |func#\d+ |propagating |processed |verification time |stack depth |"
    r"Validating |Func#\d+ |caller:|callee:|returning from callee|to caller at |frame\d+: |Live regs|\s|$)"
)


@dataclass(frozen=True, slots=True)
class Stats:
    """What the verifier counted. `stack_depth` is bytes of each function; `verification_us` and it need log level 4."""

    processed_insns: int
    total_states: int
    peak_states: int
    max_states_per_insn: int
    mark_read: int
    verification_us: int = 0
    stack_depth: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One visit of one insn: its slot in the linked program, its text, and the registers that changed (log level 2)."""

    slot: int
    text: str
    state: str = ""


def parse_stats(log: str) -> Stats | None:
    """The statistics at the end of a log, None when it has none (a refused insn ends some logs before them)."""
    processed = _PROCESSED.search(log)
    if processed is None:
        return None
    time, stack = _TIME.search(log), _STACK.search(log)
    return Stats(
        processed_insns=int(processed["insns"]),
        total_states=int(processed["total"]),
        peak_states=int(processed["peak"]),
        max_states_per_insn=int(processed["per_insn"]),
        mark_read=int(processed["mark"]),
        verification_us=int(time[1]) if time else 0,
        stack_depth=tuple(int(depth) for depth in stack[1].split("+")) if stack else (),
    )


def steps(log: str) -> Iterator[Step]:
    """The insns in the order in which the verifier visited them."""
    for line in log.splitlines():
        match = _STEP.match(line)
        if match:
            yield Step(int(match["idx"]), match["text"].rstrip(), match["state"] or "")


def error_lines(log: str) -> tuple[str, ...]:
    """The lines in which the verifier says why it refused the program, unaltered: the last ones that narrate no step."""
    # Some complaints of the kernel's lack their newline.
    lines = re.sub(r"(?<=\S)(?=verification time \d+ usec$)", "\n", log, flags=re.MULTILINE).splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith(("processed ", "verification time "))), len(lines))
    start = end
    while start > 0 and not _NARRATION.match(lines[start - 1]):
        start -= 1
    return tuple(lines[start:end])
