"""The kernel half as a C header: its instructions and the start of the shared memory, for a user half that loads it itself."""

from __future__ import annotations

import struct

from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import slot_starts
from bpfsmith.isa.program import Program
from bpfsmith.objfile.object import Object
from bpfsmith.offload.half import FIRST_REASON, KernelHalf
from bpfsmith.offload.shared import Layout


def image(
    obj: Object, program: Program, area: bytes, half: KernelHalf, layout: Layout, *, is_xdp: bool, break_even: float, heap: int
) -> str:
    """The header's text. `area` is the initial content of the object's arena variables."""
    linked = program.linked()
    code = encode(linked)
    starts = slot_starts(linked)
    at = [start for insn, start in zip(linked, starts, strict=False) if insn.symbol is not None and insn.is_wide]
    btf = obj.loadable_btf or b""
    info = obj.info_for(program).func_info
    functions = struct.unpack(f"<{len(info) // 4}I", info)
    lines = []
    for place in range(0, len(code), 8):
        word = code[place : place + 8]
        offset = int.from_bytes(word[2:4], "little", signed=True)
        imm = int.from_bytes(word[4:8], "little", signed=True)
        lines.append(f"{{{word[0]:#04x},{word[1]:#04x},{offset},{imm}}},")
    listing = "\n".join("\t" + " ".join(lines[start : start + 6]) for start in range(0, len(lines), 6))
    meaningful = area.rstrip(b"\0")
    values = ",".join(str(byte) for byte in meaningful) or "0"
    return f"""\
/* The kernel half of {program.name}, as instructions. Made by bpfsmith; a change here is lost. */
#pragma once
#include <stdint.h>

#define BS_STATES {max(len(half.states), 1)}
#define BS_REGISTERED {len(half.states)}
#define BS_REASONS {FIRST_REASON + len(half.reasons)}
#define BS_IS_XDP {int(is_xdp)}
#define BS_CPUS {layout.cpus}
#define BS_COUNTERS_AT {layout.runs + layout.counters}
#define BS_COUNTERS_STEP {layout.run_bytes}
#define BS_HEAP_BYTES {heap}
#define BS_BREAK_EVEN {break_even}
#define BS_READS_CLIENT {int(half.reads_client)}
#define BS_AREA_BYTES {len(area)}
#define BS_AREA {{ {values} }}

struct bs_insn {{
	uint8_t opcode, registers;
	int16_t offset;
	int32_t imm;
}};

/* Types of its functions: the verifier checks those that are called by their types, once. */
static const unsigned char bs_btf[] = {{ {",".join(map(str, btf))} }};
static const unsigned bs_functions[] = {{ {", ".join(map(str, functions))} }};

/* Where an address in the shared memory stands, to be filled in. */
static const unsigned bs_arena_at[] = {{ {", ".join(map(str, at))} }};

static const struct bs_insn bs_insns[] = {{
{listing}
}};
"""
