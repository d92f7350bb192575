"""C compiles against the headers that BPF programs usually include, whatever is installed on the machine."""

from __future__ import annotations

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.objfile.object import read_object

HEADERS = (
    "stddef.h", "stdbool.h", "stdint.h", "linux/if.h", "linux/icmp.h", "linux/icmpv6.h", "linux/if_vlan.h", "linux/if_packet.h",
    "linux/if_tunnel.h", "linux/tcp.h", "linux/udp.h", "linux/pkt_cls.h", "linux/ptrace.h", "linux/perf_event.h",
)  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_a_program_may_include(header: str) -> None:
    source = (
        f'#include <linux/bpf.h>\n#include <{header}>\n__attribute__((section("xdp"), used)) int f(void *c) {{ return 2; }}'
    )
    assert read_object(Compiler.default().compile(source)).program("f").insns
