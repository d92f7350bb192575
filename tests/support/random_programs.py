"""Random programs that the kernel's verifier accepts by construction, and random inputs for them.

A program is a list of steps, each a few instructions that keep these promises to the next, so that any step may go:

    r0 .. r5, r8   numbers                      r6   the data section: 128 bytes to work on, 128 for what is left at the end
    r7             the packet, 64 bytes checked r9   nobody's: pointers on their way
    stack          -8 .. -64 numbers, -72 the packet's end, -80 the packet, -88 a loop's counter, below: keys, values, spills
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from random import Random

from bpfsmith.execution import RunInput
from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import MapSpec, Program

NUMBERS = (0, 1, 2, 3, 4, 5, 8)
DATA = MapSpec(".data", "BPF_MAP_TYPE_ARRAY", 4, 256, 1, initial=bytes(256))
TABLE = MapSpec("table", "BPF_MAP_TYPE_ARRAY", 4, 12, 5)
FLOWS = MapSpec("flows", "BPF_MAP_TYPE_HASH", 4, 12, 64)
RECENT = MapSpec("recent", "BPF_MAP_TYPE_LRU_HASH", 8, 8, 1024)
MAPS = (DATA, TABLE, FLOWS, RECENT)

_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_SIGNS = ("+", "-", "*", "/", "s/", "%", "s%", "&", "|", "^", "<<", ">>", "s>>", "")
_CONDITIONS = ("==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&")
_ATOMICS = ("add", "or", "and", "xor")

_HEAD = """
.map .data array key=4 value=256 max=1 initial=00
.map table array key=4 value=12 max=5
.map flows hash key=4 value=12 max=64
.map recent lru_hash key=8 value=8 max=1024
.section xdp
.program random
        r7 = *(u32 *)(r1 +0)
        r2 = *(u32 *)(r1 +4)
        *(u64 *)(r10 -72) = r2
        *(u64 *)(r10 -80) = r7
        r3 = r7
        r3 += 64
        if r3 > r2 goto short
        r6 = map[.data][0]+0
"""
_FUNCTION = """
.function mix
        *(u64 *)(r10 -8) = r1
        *(u16 *)(r10 -6) = r2
        r0 = *(u64 *)(r10 -8)
        if w1 s> w2 goto more
        r0 ^= r2
        exit
more:   r3 = r1
        r3 *= r2
        r0 += r3
        exit
.function twice
        *(u64 *)(r10 -16) = r1
        r6 = r2
        call mix
        r7 = r0
        r1 = *(u64 *)(r10 -16)
        r2 = r6
        r2 ^= 0x55
        call mix
        r0 += r7
        exit
.function exchange
        r0 = *(u64 *)(r1 +0)
        *(u64 *)(r1 +0) = r2
        r0 ^= r3
        *(u16 *)(r1 +2) = r0
        exit
"""


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.labels = 0

    def put(self, *lines: str) -> None:
        self.lines += lines

    def label(self) -> str:
        self.labels += 1
        return f"l{self.labels}"


def number(random: Random, bits: int = 64) -> int:
    """An unsigned number, often one near an edge."""
    match random.randrange(4):
        case 0:
            return random.getrandbits(bits)
        case 1:
            return random.randrange(256) % (1 << bits)
        case _:
            return (random.choice(_EDGES) + random.choice((0, 0, 0, 1, -1))) % (1 << bits)


def _imm(random: Random) -> int:
    return number(random, 32) - (1 << 31)


def _register(random: Random, *others: int) -> int:
    return random.choice([register for register in NUMBERS if register not in others])


def _alu(out: _Writer, random: Random) -> None:
    half, sign, dst = random.choice("rrw"), random.choice(_SIGNS), _register(random)
    if random.random() < 0.6:
        out.put(f"{half}{dst} {sign}= {half}{_register(random)}")
        return
    imm = _imm(random)
    if "<<" in sign or ">>" in sign:
        imm = random.randrange(32 if half == "w" else 64)
    elif "/" in sign or "%" in sign:
        imm = imm or 7
    out.put(f"{half}{dst} {sign}= {imm}")


def _unary(out: _Writer, random: Random) -> None:
    dst, src = _register(random), _register(random)
    half, bits = random.choice((("w", 8), ("w", 16), ("r", 8), ("r", 16), ("r", 32)))
    swap = random.choice(("be", "le", "bswap")) + random.choice(("16", "32", "64"))
    choices = (f"r{dst} = -r{dst}", f"w{dst} = -w{dst}", f"{half}{dst} = (s{bits}){half}{src}", f"r{dst} = {swap} r{dst}")
    out.put(random.choice(choices))


def _wide(out: _Writer, random: Random) -> None:
    out.put(f"r{_register(random)} = {number(random):#x} ll")


def _access(out: _Writer, random: Random, base: str, offset: int, size: int) -> None:
    """A load or a store of `size` bytes."""
    bits, value = 8 * size, _register(random)
    place = f"({base} {offset:+d})"
    match random.randrange(4):
        case 0:
            out.put(f"*(u{bits} *){place} = r{value}")
        case 1:
            out.put(f"*(u{bits} *){place} = {_imm(random)}")
        case 2 if size < 8:
            out.put(f"r{value} = *(s{bits} *){place}")
        case _:
            out.put(f"r{value} = *(u{bits} *){place}")


def _atomic(out: _Writer, random: Random, base: str, offset: int) -> None:
    """An atomic operation on 4 or 8 bytes."""
    bits, wide = random.choice(((32, ""), (64, "64")))
    src, place = _register(random), f"(u{bits} *)({base} {offset:+d})"
    name = random.choice(_ATOMICS)
    sign = {"add": "+", "or": "|", "and": "&", "xor": "^"}[name]
    choices = (
        f"lock *{place} {sign}= r{src}",
        f"r{src} = atomic{wide}_fetch_{name}({place}, r{src})",
        f"r{src} = atomic{wide}_xchg({place}, r{src})",
        f"r0 = atomic{wide}_cmpxchg({place}, r0, r{src})",
    )
    out.put(random.choice(choices))


def _stack(out: _Writer, random: Random) -> None:
    size = random.choice((1, 2, 4, 8))
    if random.random() < 0.2:
        _atomic(out, random, "r10", -8 * random.randint(1, 8))
    else:
        _access(out, random, "r10", -size * random.randint(1, 64 // size), size)


def _data(out: _Writer, random: Random) -> None:
    if random.random() < 0.3:
        _atomic(out, random, "r6", 8 * random.randrange(15))
    else:
        _access(out, random, "r6", random.randrange(120), random.choice((1, 2, 4, 8)))


def _data_at(out: _Writer, random: Random) -> None:
    """The data section at an offset that is computed."""
    index, aligned = _register(random), random.random() < 0.4
    out.put(f"r{index} &= {0x78 if aligned else 0x7F}", "r9 = r6", f"r9 += r{index}")
    if aligned:
        _atomic(out, random, "r9", 0)
    else:
        _access(out, random, "r9", random.randrange(8), random.choice((1, 2, 4, 8)))


def _packet(out: _Writer, random: Random) -> None:
    _access(out, random, "r7", random.randrange(56), random.choice((1, 2, 4, 8)))


def _packet_at(out: _Writer, random: Random) -> None:
    """The packet at an offset that is computed, behind a bounds check of its own."""
    index = _register(random)
    after = _register(random, index)
    end, skip = _register(random, index, after), out.label()
    out.put(
        f"r{index} &= {random.choice((31, 127))}", "r9 = *(u64 *)(r10 -80)", f"r9 += r{index}", f"r{after} = r9",
        f"r{after} += 8", f"r{end} = *(u64 *)(r10 -72)",
        random.choice((f"if r{after} > r{end} goto {skip}", f"if r{end} < r{after} goto {skip}")),
        f"r{after} = {_imm(random)}", f"r{end} = {_imm(random)}",
    )  # fmt: skip
    _access(out, random, "r9", random.randrange(8), 1)
    out.put(f"{skip}:", f"r{after} = 3", f"r{end} = *(u64 *)(r6 +{8 * random.randrange(15)})")


def _length(out: _Writer, random: Random) -> None:
    dst, half = _register(random), random.choice("rw")
    out.put(f"r{dst} = *(u64 *)(r10 -72)", f"{half}{dst} -= {half}7")


def _branch(out: _Writer, random: Random) -> None:
    other, end, half = out.label(), out.label(), random.choice("rw")
    right = random.choice((f"{half}{_register(random)}", f"{_imm(random)}"))
    out.put(f"if {half}{_register(random)} {random.choice(_CONDITIONS)} {right} goto {other}")
    _some(out, random)
    if random.random() < 0.5:
        out.put(f"goto {end}", f"{other}:")
        _some(out, random)
        out.put(f"{end}:")
    else:
        out.put(f"{other}:")


def _loop(out: _Writer, random: Random) -> None:
    again = out.label()
    out.put(f"*(u64 *)(r10 -88) = {random.randint(1, 4)}", f"{again}:")
    _some(out, random)
    out.put("r9 = *(u64 *)(r10 -88)", "r9 += -1", "*(u64 *)(r10 -88) = r9", f"if r9 != 0 goto {again}")


def _some(out: _Writer, random: Random) -> None:
    for _ in range(random.randint(1, 3)):
        random.choice(_PLAIN if random.random() < 0.7 else _CALLS)(out, random)


def _refill(out: _Writer, random: Random) -> None:
    """Calls leave nothing in r1 .. r5."""
    out.put(*(f"r{register} = *(u64 *)(r6 +{8 * random.randrange(16)})" for register in range(1, 6)))


def _call(out: _Writer, random: Random) -> None:
    out.put(f"r1 = r{_register(random)}", f"r2 = r{_register(random, 1)}", "call mix")
    _refill(out, random)


def _deep_call(out: _Writer, random: Random) -> None:
    """A function that calls another, and keeps what it needs in saved registers and on its own stack."""
    out.put(f"r1 = r{_register(random)}", f"r2 = r{_register(random, 1)}", "call twice")
    _refill(out, random)


def _call_with_pointer(out: _Writer, random: Random) -> None:
    """A function that works on the caller's stack, or on the data section."""
    place = random.choice((("r10", -8 * random.randint(1, 8)), ("r6", 8 * random.randrange(15))))
    values = [_register(random, 1), _register(random, 1, 2)]
    out.put(f"r2 = r{values[0]}", f"r3 = r{values[1]}", f"r1 = {place[0]}", f"r1 += {place[1]}", "call exchange")
    _refill(out, random)


def _spill(out: _Writer, random: Random) -> None:
    """A pointer on the stack and back; or a number over a part of where it was."""
    base, offset, size = random.choice((("r6", random.randrange(100), 120), ("r7", random.randrange(40), 56)))
    out.put(f"r9 = {base}", f"r9 += {offset}", "*(u64 *)(r10 -120) = r9", "r9 = 0", "r9 = *(u64 *)(r10 -120)")
    _access(out, random, "r9", random.randrange(size - offset - 8), random.choice((1, 2, 4, 8)))
    if random.random() < 0.5:
        bits = random.choice((8, 16, 32, 64))
        value, dst = _register(random), _register(random)
        out.put("r9 = 0", "*(u64 *)(r10 -120) = r9", f"*(u{bits} *)(r10 -{random.choice((120, 116))}) = r{value}" if bits < 64
                else f"*(u64 *)(r10 -120) = r{value}", f"r{dst} = *(u64 *)(r10 -120)")  # fmt: skip


def _one_of_two(out: _Writer, random: Random) -> None:
    """A pointer to one of two places in the data section or on the stack, by a number that is not known."""
    other, end = out.label(), out.label()
    places = [random.choice((("r6", 8 * random.randrange(13)), ("r10", -8 * random.randint(2, 8)))) for _ in range(2)]
    out.put(
        f"if {random.choice('rw')}{_register(random)} {random.choice(_CONDITIONS)} {_imm(random)} goto {other}",
        f"r9 = {places[0][0]}", f"r9 += {places[0][1]}", f"goto {end}",
        f"{other}:", f"r9 = {places[1][0]}", f"r9 += {places[1][1]}", f"{end}:",
    )  # fmt: skip
    size = random.choice((1, 2, 4, 8))  # the verifier wants the stack's accesses aligned
    _access(out, random, "r9", size * random.randrange(8 // size), size)


def _distance(out: _Writer, random: Random) -> None:
    """Pointers into one region, subtracted and compared."""
    index, dst, skip = _register(random), _register(random), out.label()
    sign = random.choice(("==", "!=", ">", "<="))
    out.put(
        f"r{index} &= 31", "r9 = *(u64 *)(r10 -80)", f"r9 += r{index}", f"if r9 {sign} r7 goto {skip}",
        f"r{dst} = {_imm(random)}", f"{skip}:", f"r{dst} ^= r{index}", "r9 -= r7", f"r{dst} += r9",
    )  # fmt: skip


def _recent(out: _Writer, random: Random) -> None:
    """An LRU map: looked up with a key of two words, and written where that finds nothing."""
    key, value = _register(random), _register(random)
    absent, end = out.label(), out.label()
    out.put(
        f"r{key} &= 3", f"*(u32 *)(r10 -128) = r{key}", "*(u32 *)(r10 -124) = 7", f"*(u64 *)(r10 -136) = r{value}",
        "r2 = r10", "r2 += -128", "r1 = map[recent]", "call bpf_map_lookup_elem", f"if r0 == 0 goto {absent}",
        "r1 = *(u64 *)(r0 +0)", f"r1 += {_imm(random)}", "*(u64 *)(r0 +0) = r1", f"goto {end}", f"{absent}:",
        "r2 = r10", "r2 += -128", "r3 = r10", "r3 += -136", "r4 = 0", "r1 = map[recent]", "call bpf_map_update_elem", f"{end}:",
        f"r0 = {_imm(random)}",
    )  # fmt: skip
    _refill(out, random)


def _key(out: _Writer, random: Random) -> str:
    """A key at -96 and r1 the map; returns its name."""
    name, key = random.choice(("table", "flows")), _register(random)
    out.put(f"r{key} &= 7", f"*(u32 *)(r10 -96) = r{key}", "r2 = r10", "r2 += -96", f"r1 = map[{name}]")
    return name


def _lookup(out: _Writer, random: Random) -> None:
    _key(out, random)
    absent, end = out.label(), out.label()
    out.put("call bpf_map_lookup_elem", f"if r0 == 0 goto {absent}", "r9 = r0", f"r0 = {_imm(random)}")
    _refill(out, random)
    if random.random() < 0.4:
        out.put(f"lock *(u32 *)(r9 +{4 * random.randrange(3)}) += r{_register(random)}")
    else:
        _access(out, random, "r9", random.randrange(5), random.choice((1, 2, 4, 8)))
    out.put(f"goto {end}", f"{absent}:", f"r0 = {_imm(random)}")
    _refill(out, random)
    out.put(f"{end}:")


def _update(out: _Writer, random: Random) -> None:
    out.put(f"*(u64 *)(r10 -112) = r{_register(random)}", f"*(u32 *)(r10 -104) = {_imm(random)}")
    _key(out, random)
    out.put("r3 = r10", "r3 += -112", f"r4 = {random.choice((0, 0, 1, 2))}", "call bpf_map_update_elem")
    _refill(out, random)


def _delete(out: _Writer, random: Random) -> None:
    out.put(f"r0 = r{_register(random)}", "r0 &= 7", "*(u32 *)(r10 -96) = r0", "r2 = r10", "r2 += -96", "r1 = map[flows]")
    out.put("call bpf_map_delete_elem")
    _refill(out, random)


Step = Callable[[_Writer, Random], None]
_PLAIN: tuple[Step, ...] = (
    _alu, _alu, _alu, _unary, _wide, _stack, _data, _data_at, _packet, _packet_at, _length, _spill, _one_of_two, _distance,
)  # fmt: skip
_CALLS: tuple[Step, ...] = (_call, _lookup, _update, _delete, _deep_call, _call_with_pointer, _recent)
STEPS: Mapping[str, Step] = {step.__name__.lstrip("_"): step for step in (*_PLAIN, *_CALLS, _branch, _loop)}


def program(steps: Sequence[tuple[str, int]]) -> Program:
    """The program of these steps, each named with the seed of its details."""
    out = _Writer()
    out.put(*(f"r{register} = *(u64 *)(r6 +{8 * at})" for at, register in enumerate(NUMBERS)))
    out.put(*(f"*(u64 *)(r10 -{8 * at}) = r{register}" for at, register in enumerate((*NUMBERS, 0), 1)))
    for name, seed in steps:
        STEPS[name](out, Random(seed))
    out.put(*(f"*(u64 *)(r6 +{128 + 8 * at}) = r{register}" for at, register in enumerate(NUMBERS)))
    for at in range(1, 9):
        out.put(f"r1 = *(u64 *)(r10 -{8 * at})", f"*(u64 *)(r6 +{184 + 8 * at}) = r1")
    out.put("exit", "short:", "r0 = 1", "exit")
    return assemble(_HEAD.replace("initial=00", "initial=" + "00" * 256) + "\n".join(out.lines) + _FUNCTION, "random.s")[0]


def run_input(random: Random) -> RunInput:
    """A packet and contents for every map, of random and of edge values."""
    data = struct.pack("<32Q", *(number(random) for _ in range(32)))
    table = {index.to_bytes(4, "little"): random.randbytes(12) for index in range(5)}
    recent = {struct.pack("<II", random.randrange(4), 7): random.randbytes(8) for _ in range(2)}
    flows = {random.randrange(8).to_bytes(4, "little"): random.randbytes(12) for _ in range(4)}
    packet = random.randbytes(random.choice((64, 65, 71, 100)))
    return RunInput(packet, maps={".data": {bytes(4): data}, "table": table, "flows": flows, "recent": recent})
