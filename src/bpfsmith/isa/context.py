"""Program contexts as data: the fields behind r1, where each lies, what it holds and whether it may be written.

Layouts are those of include/uapi/linux/bpf.h. Which fields a program type may read and write is the kernel's decision in its
`*_is_valid_access` functions (net/core/filter.c, kernel/bpf/cgroup.c, 6.18); the tables below follow them. A field that is not
listed for a program type may not be touched by it. Narrower reads of scalar fields that the kernel also allows are not listed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class FieldKind(StrEnum):
    SCALAR = "scalar"
    PACKET = "packet"  # the packet's first byte
    PACKET_END = "packet_end"  # one past the last byte that may be accessed directly
    PACKET_META = "packet_meta"  # the metadata that ends where the packet starts
    POINTER = "pointer"  # any other pointer: a socket, flow keys, an option's value


@dataclass(frozen=True, slots=True)
class ContextField:
    """A field: `offset` and `size` in bytes are those of the load instruction. A load of 4 bytes of a packet pointer
    still gives the 64-bit pointer: the kernel rewrites it. Array elements stand one by one ("cb[0]").

    `network_order` scalars hold network byte order; the others are in the host's.
    """

    name: str
    offset: int
    size: int
    kind: FieldKind = FieldKind.SCALAR
    writable: bool = False
    network_order: bool = False


Layout = tuple[ContextField, ...]

_KINDS = {"data": FieldKind.PACKET, "data_end": FieldKind.PACKET_END, "data_meta": FieldKind.PACKET_META}
_KINDS |= {"skb_data": FieldKind.PACKET, "skb_data_end": FieldKind.PACKET_END}
_NETWORK_ORDER = frozenset(
    {
        "remote_ip4",
        "local_ip4",
        "remote_ip6",
        "local_ip6",
        "remote_port",
        "user_ip4",
        "user_ip6",
        "user_port",
        "msg_src_ip4",
        "msg_src_ip6",
    }
    | {"src_ip4", "src_ip6", "dst_ip4", "dst_ip6", "dst_port", "protocol", "vlan_proto", "eth_protocol"}
)


def _layout(declarations: str, host_order: frozenset[str] = frozenset()) -> Layout:
    """Fields at their natural alignment from `type name` pairs; `name[n]` is an array, `ptr` any pointer, `pad` nothing."""
    sizes = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "ptr": 8}
    fields: list[ContextField] = []
    at = 0
    for declaration in declarations.split(","):
        type_name, name = declaration.split()
        size = sizes[type_name]
        base, _, count = name.rstrip("]").partition("[")
        kind = _KINDS.get(base, FieldKind.POINTER if type_name == "ptr" else FieldKind.SCALAR)
        at = (at + size - 1) // size * size
        for index in range(int(count or 1)):
            if base != "pad":
                network = base in _NETWORK_ORDER - host_order
                fields.append(ContextField(f"{base}[{index}]" if count else base, at, size, kind, False, network))
            at += size
    return tuple(fields)


def _select(layout: Layout, hidden: str = "", writable: str = "") -> Layout:
    """The layout without the `hidden` fields, in which those named in `writable` can be stored to; names without index."""
    base = {item.name: item.name.partition("[")[0] for item in layout}
    unreadable, stores = set(hidden.split()), set(writable.split())
    unknown = (unreadable | stores) - set(base.values())
    if unknown:
        raise ValueError(f"no such context fields: {sorted(unknown)}")
    return tuple(replace(item, writable=base[item.name] in stores) for item in layout if base[item.name] not in unreadable)


_XDP_MD = _layout("u32 data, u32 data_end, u32 data_meta, u32 ingress_ifindex, u32 rx_queue_index, u32 egress_ifindex")
XDP = _select(_XDP_MD, hidden="egress_ifindex")
XDP_DEVMAP = _XDP_MD

SK_BUFF = _layout(
    "u32 len, u32 pkt_type, u32 mark, u32 queue_mapping, u32 protocol, u32 vlan_present, u32 vlan_tci, u32 vlan_proto,"
    "u32 priority, u32 ingress_ifindex, u32 ifindex, u32 tc_index, u32 cb[5], u32 hash, u32 tc_classid, u32 data, u32 data_end,"
    "u32 napi_id, u32 family, u32 remote_ip4, u32 local_ip4, u32 remote_ip6[4], u32 local_ip6[4], u32 remote_port,"
    "u32 local_port, u32 data_meta, ptr flow_keys, u64 tstamp, u32 wire_len, u32 gso_segs, ptr sk, u32 gso_size,"
    "u8 tstamp_type, u8 pad[3], u64 hwtstamp"
)
"""struct __sk_buff in full; each program type below sees a part of it."""

_TUPLE = "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port"
SOCKET_FILTER = _select(
    SK_BUFF, f"tc_classid data data_meta data_end {_TUPLE} tstamp wire_len hwtstamp flow_keys tstamp_type", "cb"
)
SCHED_CLS = _select(SK_BUFF, f"{_TUPLE} flow_keys", "mark tc_index priority tc_classid cb tstamp queue_mapping")
CGROUP_SKB = _select(SK_BUFF, "tc_classid data_meta wire_len flow_keys tstamp_type", "mark priority cb tstamp")
LWT = _select(SK_BUFF, f"tc_classid {_TUPLE} data_meta tstamp wire_len hwtstamp flow_keys tstamp_type", "mark priority cb")
SK_SKB = _select(SK_BUFF, "tc_classid data_meta tstamp wire_len hwtstamp mark flow_keys tstamp_type", "tc_index priority")
FLOW_DISSECTOR = tuple(item for item in SK_BUFF if item.name in ("data", "data_end", "flow_keys"))

SK_MSG = _layout(
    "ptr data, ptr data_end, u32 family, u32 remote_ip4, u32 local_ip4, u32 remote_ip6[4], u32 local_ip6[4], u32 remote_port,"
    "u32 local_port, u32 size, ptr sk"
)
SK_REUSEPORT = _layout(
    "ptr data, ptr data_end, u32 len, u32 eth_protocol, u32 ip_protocol, u32 bind_inany, u32 hash, ptr sk, ptr migrating_sk"
)
SK_LOOKUP = _layout(
    "ptr sk, u32 family, u32 protocol, u32 remote_ip4, u32 remote_ip6[4], u16 remote_port, u16 pad, u32 local_ip4,"
    "u32 local_ip6[4], u32 local_port, u32 ingress_ifindex",
    host_order=frozenset({"protocol"}),
)
SOCK_OPS = _select(
    _layout(
        "u32 op, u32 args[4], u32 family, u32 remote_ip4, u32 local_ip4, u32 remote_ip6[4], u32 local_ip6[4], u32 remote_port,"
        "u32 local_port, u32 is_fullsock, u32 snd_cwnd, u32 srtt_us, u32 bpf_sock_ops_cb_flags, u32 state, u32 rtt_min,"
        "u32 snd_ssthresh, u32 rcv_nxt, u32 snd_nxt, u32 snd_una, u32 mss_cache, u32 ecn_flags, u32 rate_delivered,"
        "u32 rate_interval_us, u32 packets_out, u32 retrans_out, u32 total_retrans, u32 segs_in, u32 data_segs_in,"
        "u32 segs_out, u32 data_segs_out, u32 lost_out, u32 sacked_out, u32 sk_txhash, u64 bytes_received, u64 bytes_acked,"
        "ptr sk, ptr skb_data, ptr skb_data_end, u32 skb_len, u32 skb_tcp_flags, u64 skb_hwtstamp"
    ),
    writable="sk_txhash",
)
# `reply` shares its place with args[0]: the one element of args that may be written.
SOCK_OPS = tuple(replace(item, writable=True) if item.name == "args[0]" else item for item in SOCK_OPS)
_SOCK_ADDR = _layout(
    "u32 user_family, u32 user_ip4, u32 user_ip6[4], u32 user_port, u32 family, u32 type, u32 protocol, u32 msg_src_ip4,"
    "u32 msg_src_ip6[4], ptr sk",
    host_order=frozenset({"protocol"}),
)
SOCK_ADDR4 = _select(_SOCK_ADDR, "user_ip6 msg_src_ip4 msg_src_ip6", "user_ip4 user_port")
SOCK_ADDR6 = _select(_SOCK_ADDR, "user_ip4 msg_src_ip4 msg_src_ip6", "user_ip6 user_port")
SENDMSG4 = _select(_SOCK_ADDR, "user_ip6 msg_src_ip6", "user_ip4 user_port msg_src_ip4")
SENDMSG6 = _select(_SOCK_ADDR, "user_ip4 msg_src_ip4", "user_ip6 user_port msg_src_ip6")
SOCK_ADDR_UNIX = _select(_SOCK_ADDR, "user_ip4 user_ip6 msg_src_ip4 msg_src_ip6", "user_port")
_SOCK = _layout(
    "u32 bound_dev_if, u32 family, u32 type, u32 protocol, u32 mark, u32 priority, u32 src_ip4, u32 src_ip6[4], u32 src_port,"
    "u16 dst_port, u16 pad, u32 dst_ip4, u32 dst_ip6[4], u32 state, u32 rx_queue_mapping",
    host_order=frozenset({"protocol"}),
)
SOCK = _select(_SOCK, "src_ip4 src_ip6 src_port", "bound_dev_if mark priority")
POST_BIND4 = _select(_SOCK, "bound_dev_if mark priority src_ip6")
POST_BIND6 = _select(_SOCK, "bound_dev_if mark priority src_ip4")
CGROUP_DEVICE = _layout("u32 access_type, u32 major, u32 minor")
CGROUP_SYSCTL = _select(_layout("u32 write, u32 file_pos"), writable="file_pos")
_SOCKOPT = _layout("ptr sk, ptr optval, ptr optval_end, u32 level, u32 optname, u32 optlen, u32 retval")
GETSOCKOPT = _select(_SOCKOPT, writable="optlen retval")
SETSOCKOPT = _select(_SOCKOPT, "retval", "level optname optlen")
NETFILTER = _layout("ptr state, ptr skb")
