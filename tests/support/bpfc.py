"""Compile BPF C for tests, with just enough of bpf_helpers.h to be self-contained."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import ziglang

PRELUDE = """
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
#define SEC(n) __attribute__((section(n), used))
#define __uint(n, v) int (*n)[v]
#define __type(n, v) typeof(v) *n
#define __array(n, v) typeof(v) *n[]
#define noinline __attribute__((noinline))
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct bpf_spin_lock { u32 val; };
static void *(*bpf_map_lookup_elem)(void *, const void *) = (void *)1;
static long (*bpf_map_update_elem)(void *, const void *, const void *, u64) = (void *)2;
static long (*bpf_tail_call)(void *, void *, u32) = (void *)12;
static long (*bpf_spin_lock)(struct bpf_spin_lock *) = (void *)93;
static long (*bpf_spin_unlock)(struct bpf_spin_lock *) = (void *)94;
char _license[] SEC("license") = "GPL";
"""


@cache
def compile_c(source: str, *flags: str) -> bytes:
    """The object that clang makes of `source`, file "test.c", after PRELUDE, which takes no lines of it."""
    zig = Path(ziglang.__file__).parent / "zig"
    target = () if "-target" in flags else ("-target", "bpf")
    with tempfile.TemporaryDirectory() as directory:
        h, c, o = Path(directory) / "prelude.h", Path(directory) / "test.c", Path(directory) / "test.o"
        h.write_text(PRELUDE)
        c.write_text(source)
        command = [zig, "clang", *target, "-mcpu=v3", "-O2", "-g", "-include", h, "-c", c, "-o", o, *flags]
        subprocess.run(command, check=True, cwd=directory)
        return o.read_bytes()
