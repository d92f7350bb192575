"""Replays counterexamples with nothing but bpf(2): no module of ours is imported, so that a fault in our loader cannot hide.

    python3 benchmarks/replay_independently.py CASE.json..

A case holds two programs as raw instructions with their map definitions, and the counterexample as `bpfsmith check
--output-format json` prints it; `mutants.py --cases DIR` writes them. Both programs are loaded, given the maps and the packet,
and run once with BPF_PROG_TEST_RUN. It reproduces when each does what the counterexample says, and the two differ.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_NEXT_KEY, PROG_LOAD, TEST_RUN, MAP_FREEZE = 0, 1, 2, 4, 5, 10, 22
HASHES = (1, 5, 9, 10)  # BPF_MAP_TYPE_HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH
READABLE = (*HASHES, 2, 6, 11)  # and ARRAY, PERCPU_ARRAY, LPM_TRIE
DRAWS = {5: "bpf_ktime_get_ns", 7: "bpf_get_prandom_u32", 125: "bpf_ktime_get_boot_ns", 160: "bpf_ktime_get_coarse_ns"}


def bpf(command: int, attr: bytes) -> tuple[int, bytes]:
    """The system call: its result, and attr as the kernel leaves it."""
    memory = ctypes.create_string_buffer(attr.ljust(160, b"\0"), 160)
    result = _libc.syscall(ctypes.c_long(321), ctypes.c_long(command), memory, ctypes.c_long(160))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"bpf command {command}")
    return result, memory.raw


def buffer(data: bytes) -> tuple[ctypes.Array[ctypes.c_char], int]:
    memory = ctypes.create_string_buffer(data, max(len(data), 1))
    return memory, ctypes.addressof(memory)


def cpus() -> int:
    return int(Path("/sys/devices/system/cpu/possible").read_text().strip().split("-")[-1]) + 1


class Map:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        entries = spec["max_entries"] or cpus()
        attr = struct.pack("<5I", spec["type"], spec["key_size"], spec["value_size"], entries, spec["flags"])
        self.fd, _ = bpf(MAP_CREATE, attr)
        self.value_bytes = (spec["value_size"] + 7) // 8 * 8 * cpus() if spec["per_cpu"] else spec["value_size"]
        if spec["initial"] is not None:
            self.put(bytes(spec["key_size"]), bytes.fromhex(spec["initial"]))
            if spec["frozen"]:
                bpf(MAP_FREEZE, struct.pack("<I", self.fd))

    def put(self, key: bytes, value: bytes) -> None:
        _k, key_at = buffer(key)
        _v, value_at = buffer(value.ljust(self.value_bytes, b"\0"))
        bpf(MAP_UPDATE, struct.pack("<IIQQQ", self.fd, 0, key_at, value_at, 0))

    def contents(self) -> dict[str, str]:
        out: dict[str, str] = {}
        k, key_at = buffer(bytes(self.spec["key_size"]))
        v, value_at = buffer(bytes(self.value_bytes))
        where = 0
        while True:
            try:
                bpf(MAP_NEXT_KEY, struct.pack("<IIQQ", self.fd, 0, where, key_at))
            except FileNotFoundError:
                return out
            where = key_at
            bpf(MAP_LOOKUP, struct.pack("<IIQQQ", self.fd, 0, key_at, value_at, 0))
            out[k.raw[: self.spec["key_size"]].hex()] = v.raw[: self.spec["value_size"]].hex()


def scripted(program: dict[str, Any], results: list[dict[str, Any]]) -> tuple[bytes, list[tuple[int, Map]]]:
    """The instructions with each call of a nondeterministic helper turned into a call of a function that takes the next value
    out of an array map: r1 = value; r0 = value[0]; value[0] += 8; r1 += r0; r0 = *(u64 *)(r1 + 8); exit."""
    code = bytearray.fromhex(program["insns"])
    calls: dict[int, list[int]] = {}
    at, slots = 0, len(code) // 8
    while at < slots:
        opcode, registers, _, number = struct.unpack_from("<BBhi", code, 8 * at)
        if opcode == 0x85 and registers >> 4 == 0 and number in DRAWS:
            calls.setdefault(number, []).append(at)
        at += 2 if opcode == 0x18 else 1
    maps = []
    for number, places in calls.items():
        values = [item["value"] for item in results if item["helper"] == DRAWS[number]][:64]
        table = Map({
            "type": 2, "key_size": 4, "value_size": 8 * 160, "max_entries": 1, "flags": 0, "per_cpu": False, "frozen": False,
            "initial": struct.pack("<160Q", 0, *values, *[0] * (159 - len(values))).hex(),
        })  # fmt: skip
        start = len(code) // 8
        for place in places:
            struct.pack_into("<BBhi", code, 8 * place, 0x85, 0x10, 0, start - place - 1)
        maps.append((start, table))
        for insn in (
            (0x18, 0x21, 0, 0), (0, 0, 0, 0),  # r1 = the map's value
            (0x79, 0x10, 0, 0),  # r0 = *(u64 *)(r1 + 0)
            (0x57, 0x00, 0, 0x3F8),  # r0 &= 0x3f8, for the verifier
            (0xBF, 0x02, 0, 0), (0x07, 0x02, 0, 8), (0x7B, 0x21, 0, 0),  # *(u64 *)(r1 + 0) = r0 + 8
            (0x0F, 0x01, 0, 0), (0x79, 0x10, 8, 0), (0x95, 0, 0, 0),  # r0 = *(u64 *)(r1 + r0 + 8); exit
        ):  # fmt: skip
            code += struct.pack("<BBhi", *insn)
    return bytes(code), maps


def run(program: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """One run: return value, packet and maps."""
    opened: list[int] = []
    try:
        maps = {spec["name"]: Map(spec) for spec in program["maps"]}
        opened += [item.fd for item in maps.values()]
        code, tables = scripted(program, example["helper_results"])
        opened += [table.fd for _, table in tables]
        patched = bytearray(code)
        for slot, symbol in program["references"]:
            if symbol in maps:
                struct.pack_into("<i", patched, 8 * slot + 4, maps[symbol].fd)
        for start, table in tables:
            struct.pack_into("<i", patched, 8 * start + 4, table.fd)
        for name, contents in example["maps"].items():
            if name in maps and maps[name].spec["type"] in READABLE and not maps[name].spec["frozen"]:
                for key, value in contents.items():
                    maps[name].put(bytes.fromhex(key), bytes.fromhex(value))
        _insns, insns_at = buffer(bytes(patched))
        _license_text, license_at = buffer(program["license"].encode() + b"\0")
        log, log_at = buffer(bytes(1 << 16))
        attr = struct.pack(
            "<IIQQIIQII", program["prog_type"], len(patched) // 8, insns_at, license_at, 1, 1 << 16, log_at, 0, 0
        )
        attr += bytes(16) + struct.pack("<II", 0, program["expected_attach_type"])
        try:
            fd, _ = bpf(PROG_LOAD, attr)
        except OSError as error:
            return {"refused": f"{error.strerror}: {log.value.decode(errors='replace').strip().splitlines()[-2:]}"}
        opened.append(fd)
        frame = bytes.fromhex(example["packet"])
        header = (
            b"" if program["has_ethernet"] else bytes(12) + (b"\x86\xdd" if frame[:1] and frame[0] >> 4 == 6 else b"\x08\x00")
        )
        _data, data_at = buffer(header + frame)
        out, out_at = buffer(bytes(8192))
        ctx = bytes(0)
        fields = {"mark": (8, 4), "priority": (32, 4), "tstamp": (152, 8), **{f"cb[{i}]": (48 + 4 * i, 4) for i in range(5)}}
        if example["ctx"] and program["prog_type"] != 6:
            raw = bytearray(160)
            for name, value in example["ctx"].items():
                if name in fields:
                    offset, size = fields[name]
                    raw[offset : offset + size] = value.to_bytes(size, "little")
            ctx = bytes(raw)
        _ctx_in, ctx_at = buffer(ctx)
        attr = struct.pack(
            "<IIIIQQIIIIQQ", fd, 0, len(header + frame), 8192, data_at, out_at, 1, 0, len(ctx), 0, ctx_at if ctx else 0, 0
        )
        _, reply = bpf(TEST_RUN, attr)
        value, size = struct.unpack_from("<4xI4xI", reply)
        after = {name: item.contents() for name, item in maps.items() if item.spec["type"] in READABLE}
        calls = {DRAWS[number]: 0 for number in DRAWS}
        return {"return_value": value, "packet": out.raw[len(header) : size].hex(), "maps": after, "calls": calls}
    finally:
        for fd in opened:
            os.close(fd)


def replays(case: dict[str, Any]) -> str:
    """ "yes", or what does not happen as the counterexample says."""
    example = case["counterexample"]
    os.sched_setaffinity(0, {0})
    seen = {}
    for side, told in (("reference", "expected"), ("candidate", "actual")):
        try:
            seen[side] = run(case[side], example)
        except OSError as error:
            return f"{side}: {error}"
        if "refused" in seen[side]:
            return f"{side}: {seen[side]['refused']}"
        wanted = example[told]
        for part in ("return_value", "packet"):
            if seen[side][part] != wanted[part]:
                return f"{side}: {part} is {seen[side][part]}, not {wanted[part]}"
        for name, contents in wanted["maps"].items():
            if name in seen[side]["maps"] and seen[side]["maps"][name] != contents:
                return f"{side}: map {name} is {seen[side]['maps'][name]}, not {contents}"
    if seen["reference"] == seen["candidate"]:
        counted = example["observable"].startswith("number of calls")
        return "yes" if counted and example["expected"]["calls"] != example["actual"]["calls"] else "the two do the same"
    return "yes"


def main() -> int:
    failed = 0
    for path in sys.argv[1:]:
        said = replays(json.loads(Path(path).read_text()))
        failed += said != "yes"
        print(f"{path}: {'reproduces' if said == 'yes' else said}")
    print(f"{len(sys.argv) - 1 - failed} of {len(sys.argv) - 1} reproduce")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
