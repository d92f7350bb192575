"""Small pairs for tests, as C after the prelude of `tests.support.bpfc`."""

from __future__ import annotations

from bpfsmith.objfile.object import Object, read_object
from tests.support.bpfc import compile_c

HELPERS = """
static long (*bpf_map_delete_elem)(void *, const void *) = (void *)3;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
#define HASH(name, k, v) struct { __uint(type, 1); __uint(max_entries, 1024); __type(key, k); __type(value, v); } \\
    name SEC(".maps")
#define NOW bpf_ktime_get_ns()
u64 total;
"""


def pair(
    entry: str, exit_: str, maps: str = "HASH(start, u32, u64);", hooks: tuple[str, str] = ("uprobe", "uretprobe")
) -> bytes:
    """An object with a program `way_in` in the first hook and `way_out` in the second, `tid` the thread's id in both."""
    halves = (("way_in", hooks[0], entry), ("way_out", hooks[1], exit_))
    programs = (
        f'SEC("{hook}") int {name}(u64 *ctx) {{ u32 tid = bpf_get_current_pid_tgid(); {body} return 0; }}'
        for name, hook, body in halves
    )
    return compile_c("\n".join((HELPERS, maps, *programs)))


STORE = "u64 now = NOW; bpf_map_update_elem(&start, &tid, &now, 0);"
TAKE = "u64 *at = bpf_map_lookup_elem(&start, &tid); if (!at) return 0; total += NOW - *at; bpf_map_delete_elem(&start, &tid);"


def latency(hooks: tuple[str, str] = ("uprobe", "uretprobe")) -> Object:
    return read_object(pair(STORE, TAKE, hooks=hooks))
