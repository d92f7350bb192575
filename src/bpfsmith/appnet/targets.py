"""Where a step runs, as far as generated code differs: section, context, return values, how packets are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Where the program runs: its section, context type, and the values that forward and abort an RPC there."""

    section: str
    context: str
    forward: str
    abort: str
    load_bytes: str = "bpf_skb_load_bytes"
    reply: str = ""  # sends a packet back; none where the hook cannot
    whole: bool = True  # `len` of the context says how long a packet is of which data .. data_end is the linear part


XDP = Target("xdp", "struct xdp_md", "XDP_PASS", "XDP_DROP", "bpf_xdp_load_bytes", "XDP_TX", whole=False)
TC_INGRESS = Target("tcx/ingress", "struct __sk_buff", "TCX_PASS", "TCX_DROP")
TC_EGRESS = Target("tcx/egress", "struct __sk_buff", "TCX_PASS", "TCX_DROP")


SERVER = {"req": XDP, "resp": TC_EGRESS}
"""Requests arrive and responses leave: what a server's host sees."""
