"""How a guest attaches a program and makes it run: the way for each program type, and the name of what it attaches to.

The numbers are those of guest.h; guest_attach.c does it.
"""

from __future__ import annotations

import re
from enum import IntEnum

from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section


class Way(IntEnum):
    """How a program comes to run, and in which words a report says it."""

    NOT_AT_ALL, RAW_TRACEPOINT, TRACEPOINT, KPROBE, KRETPROBE, KPROBE_MULTI, KRETPROBE_MULTI, ITERATOR = range(8)
    CGROUP, SOCKET, DEVICE, NETNS, NETFILTER, CLOCK, TEST_RUN, TEST_RUN_BARE = range(8, 16)

    @property
    def words(self) -> str:
        return _WORDS.get(self, "attached")


_WORDS = {
    Way.TEST_RUN: "test run with a packet",
    Way.TEST_RUN_BARE: "test run",
    Way.CGROUP: "attached to the root cgroup",
    Way.SOCKET: "attached to a socket",
    Way.DEVICE: "attached to lo",
    Way.NETNS: "attached to the network namespace",
    Way.CLOCK: "attached to a software clock",
    Way.ITERATOR: "attached and read",
}
_BY_TYPE = {
    "TRACING": Way.RAW_TRACEPOINT, "LSM": Way.RAW_TRACEPOINT, "RAW_TRACEPOINT": Way.RAW_TRACEPOINT,
    "RAW_TRACEPOINT_WRITABLE": Way.RAW_TRACEPOINT, "TRACEPOINT": Way.TRACEPOINT, "PERF_EVENT": Way.CLOCK, "XDP": Way.DEVICE,
    "SOCKET_FILTER": Way.SOCKET, "CGROUP_SKB": Way.CGROUP, "CGROUP_SOCK": Way.CGROUP, "CGROUP_SOCK_ADDR": Way.CGROUP,
    "CGROUP_SYSCTL": Way.CGROUP, "CGROUP_SOCKOPT": Way.CGROUP, "CGROUP_DEVICE": Way.CGROUP, "SOCK_OPS": Way.CGROUP,
    "SK_LOOKUP": Way.NETNS, "FLOW_DISSECTOR": Way.NETNS, "NETFILTER": Way.NETFILTER, "SCHED_CLS": Way.TEST_RUN,
    "SCHED_ACT": Way.TEST_RUN, "LWT_IN": Way.TEST_RUN, "LWT_OUT": Way.TEST_RUN, "LWT_XMIT": Way.TEST_RUN,
    "SYSCALL": Way.TEST_RUN_BARE,
}  # fmt: skip
_KPROBES = {
    "kprobe": Way.KPROBE, "kretprobe": Way.KRETPROBE, "ksyscall": Way.KPROBE, "kretsyscall": Way.KRETPROBE,
    "kprobe.multi": Way.KPROBE_MULTI, "kretprobe.multi": Way.KRETPROBE_MULTI, "kprobe.session": Way.KPROBE_MULTI,
}  # fmt: skip


def attachment(program: Program) -> tuple[Way, str]:
    """The way for a program, and the name that goes with it (of a function, a tracepoint; empty where the kernel knows it from
    the load). `NOT_AT_ALL` for what a guest has no place for: sockmaps, uprobes, struct_ops, patterns of functions."""
    section = program.section.removeprefix("?")
    stem, _, target = section.partition("/")
    stem = stem.removesuffix(".s")
    kind = for_section(section)
    name = kind.name.removeprefix("BPF_PROG_TYPE_")
    if name == "KPROBE":
        way = _KPROBES.get(stem, Way.NOT_AT_ALL)
        function = re.fullmatch(r"[\w.]+", target)
        if function is None:
            return Way.NOT_AT_ALL, ""
        return way, f"__x64_sys_{target}" if stem in ("ksyscall", "kretsyscall") else target
    if name in ("TRACING", "LSM") and not target:
        return Way.NOT_AT_ALL, ""
    if stem == "iter":
        return Way.ITERATOR, ""
    if stem == "lsm_cgroup":
        return Way.CGROUP, ""
    if section.startswith("tcx/"):
        return Way.DEVICE, ""
    if name == "XDP" and "/" in section:
        return Way.TEST_RUN, ""
    named = target if name.startswith("RAW_TRACEPOINT") or name == "TRACEPOINT" else ""
    return _BY_TYPE.get(name, Way.NOT_AT_ALL), named
