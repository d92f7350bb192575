"""Program types: what a section name means to libbpf and the kernel, the context it brings, and what the return value says.

    for_section("tcx/ingress")  ->  BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, struct __sk_buff, TCX_NEXT .. TCX_REDIRECT

Sections are libbpf's (tools/lib/bpf/libbpf.c: section_defs, 7.3), numbers the uapi's (`tables`), contexts `isa.context`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa import context as ctx
from bpfsmith.isa.context import ContextField, Layout
from bpfsmith.isa.tables import ATTACH_TYPES, PROG_TYPES

Actions = Mapping[str, int]


@dataclass(frozen=True)
class ProgramType:
    """What one libbpf section name stands for. `name` is the uapi name, `section` the name without what follows its `/`.

    `expected_attach_type` is the uapi name that libbpf passes at load time, None where there is none. `context_type` is the C
    type of what r1 points to. `context` lists its fields; it is empty where the layout depends on the attach target or the
    architecture (tracing). `actions` names the return values that have a name (r0, as a signed 32-bit number).
    `takes_target`: more may follow the section name after a `/` ("kprobe/do_unlinkat").
    """

    name: str
    section: str
    expected_attach_type: str | None = None
    context_type: str = "void"
    context: Layout = ()
    actions: Actions = field(default_factory=dict, hash=False)
    takes_target: bool = False
    sleepable: bool = False
    frags: bool = False

    @property
    def number(self) -> int:
        """The value of prog_type in bpf_attr."""
        return PROG_TYPES[self.name]

    @property
    def attach_number(self) -> int:
        """The value of expected_attach_type in bpf_attr, 0 where there is none."""
        return ATTACH_TYPES[self.expected_attach_type] if self.expected_attach_type else 0

    @cached_property
    def fields(self) -> Mapping[str, ContextField]:
        """The context's fields by name."""
        return {item.name: item for item in self.context}

    def action_name(self, value: int) -> str | None:
        """The name of return value `value` ("XDP_DROP"), given as r0's low 32 bits, signed or unsigned."""
        signed = (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        return next((name for name, number in self.actions.items() if number == signed), None)


_XDP = {"XDP_ABORTED": 0, "XDP_DROP": 1, "XDP_PASS": 2, "XDP_TX": 3, "XDP_REDIRECT": 4}  # enum xdp_action
_TC = {  # include/uapi/linux/pkt_cls.h
    "TC_ACT_UNSPEC": -1, "TC_ACT_OK": 0, "TC_ACT_RECLASSIFY": 1, "TC_ACT_SHOT": 2, "TC_ACT_PIPE": 3, "TC_ACT_STOLEN": 4,
    "TC_ACT_QUEUED": 5, "TC_ACT_REPEAT": 6, "TC_ACT_REDIRECT": 7, "TC_ACT_TRAP": 8,
}  # fmt: skip
_TCX = {"TCX_NEXT": -1, "TCX_PASS": 0, "TCX_DROP": 2, "TCX_REDIRECT": 7}  # enum tcx_action_base
_NETKIT = {"NETKIT_NEXT": -1, "NETKIT_PASS": 0, "NETKIT_DROP": 2, "NETKIT_REDIRECT": 7}  # linux/if_link.h
_SK = {"SK_DROP": 0, "SK_PASS": 1}  # enum sk_action
_LWT = {"BPF_OK": 0, "BPF_DROP": 2, "BPF_REDIRECT": 7, "BPF_LWT_REROUTE": 128}  # enum bpf_ret_code
_DISSECT = {"BPF_OK": 0, "BPF_DROP": 2, "BPF_FLOW_DISSECTOR_CONTINUE": 129}
_NETFILTER = {"NF_DROP": 0, "NF_ACCEPT": 1}  # linux/netfilter.h; the verifier accepts these two

_SKB, _PT_REGS, _RAW_TP = "struct __sk_buff", "struct pt_regs", "struct bpf_raw_tracepoint_args"
_BTF_ARGS = "unsigned long long"  # an array of the target's arguments, one u64 each


def _types(kind: str, context_type: str, context: Layout, actions: Actions, sections: str) -> Iterator[ProgramType]:
    """The sections of one program type, one a word: `name[=ATTACH_TYPE]`, with libbpf's `+` where a target may follow."""
    for word in sections.split():
        section, _, attach = word.partition("=")
        name = section.rstrip("+")
        base = name.partition("/")[0]
        yield ProgramType(
            f"BPF_PROG_TYPE_{kind}",
            name,
            f"BPF_{attach}" if attach else None,
            context_type,
            context,
            MappingProxyType(dict(actions)),
            takes_target=section.endswith("+"),
            sleepable=base.endswith(".s") or kind == "SYSCALL",
            frags=base.endswith(".frags"),
        )


PROGRAM_TYPES: tuple[ProgramType, ...] = (
    *_types("XDP", "struct xdp_md", ctx.XDP, _XDP, "xdp=XDP xdp.frags=XDP xdp/cpumap=XDP_CPUMAP xdp.frags/cpumap=XDP_CPUMAP"),
    *_types("XDP", "struct xdp_md", ctx.XDP_DEVMAP, _XDP, "xdp/devmap=XDP_DEVMAP xdp.frags/devmap=XDP_DEVMAP"),
    *_types("SCHED_CLS", _SKB, ctx.SCHED_CLS, _TC, "tc classifier"),
    *_types("SCHED_CLS", _SKB, ctx.SCHED_CLS, _TCX, "tcx/ingress=TCX_INGRESS tcx/egress=TCX_EGRESS"),
    *_types("SCHED_CLS", _SKB, ctx.SCHED_CLS, _TCX, "tc/ingress=TCX_INGRESS tc/egress=TCX_EGRESS"),
    *_types("SCHED_CLS", _SKB, ctx.SCHED_CLS, _NETKIT, "netkit/primary=NETKIT_PRIMARY netkit/peer=NETKIT_PEER"),
    *_types("SCHED_ACT", _SKB, ctx.SCHED_CLS, _TC, "action"),
    *_types("SOCKET_FILTER", _SKB, ctx.SOCKET_FILTER, {}, "socket"),
    *_types("CGROUP_SKB", _SKB, ctx.CGROUP_SKB, {}, "cgroup_skb/ingress=CGROUP_INET_INGRESS"),
    *_types("CGROUP_SKB", _SKB, ctx.CGROUP_SKB, {}, "cgroup_skb/egress=CGROUP_INET_EGRESS cgroup/skb"),
    *_types("SK_SKB", _SKB, ctx.SK_SKB, {}, "sk_skb/stream_parser=SK_SKB_STREAM_PARSER"),
    *_types("SK_SKB", _SKB, ctx.SK_SKB, _SK, "sk_skb/stream_verdict=SK_SKB_STREAM_VERDICT sk_skb/verdict=SK_SKB_VERDICT"),
    *_types("SK_SKB", _SKB, ctx.SK_SKB, _SK, "sk_skb"),
    *_types("SK_MSG", "struct sk_msg_md", ctx.SK_MSG, _SK, "sk_msg=SK_MSG_VERDICT"),
    *_types("SK_REUSEPORT", "struct sk_reuseport_md", ctx.SK_REUSEPORT, _SK, "sk_reuseport=SK_REUSEPORT_SELECT"),
    *_types(
        "SK_REUSEPORT", "struct sk_reuseport_md", ctx.SK_REUSEPORT, _SK, "sk_reuseport/migrate=SK_REUSEPORT_SELECT_OR_MIGRATE"
    ),
    *_types("SK_LOOKUP", "struct bpf_sk_lookup", ctx.SK_LOOKUP, _SK, "sk_lookup=SK_LOOKUP"),
    *_types("SOCK_OPS", "struct bpf_sock_ops", ctx.SOCK_OPS, {}, "sockops=CGROUP_SOCK_OPS"),
    *_types("FLOW_DISSECTOR", _SKB, ctx.FLOW_DISSECTOR, _DISSECT, "flow_dissector=FLOW_DISSECTOR"),
    *_types("NETFILTER", "struct bpf_nf_ctx", ctx.NETFILTER, _NETFILTER, "netfilter=NETFILTER"),
    *_types("LWT_IN", _SKB, ctx.LWT, _LWT, "lwt_in"),
    *_types("LWT_OUT", _SKB, ctx.LWT, _LWT, "lwt_out"),
    *_types("LWT_XMIT", _SKB, ctx.LWT, _LWT, "lwt_xmit"),
    *_types("LWT_SEG6LOCAL", _SKB, ctx.LWT, _LWT, "lwt_seg6local"),
    *_types("LIRC_MODE2", "unsigned int", (), {}, "lirc_mode2=LIRC_MODE2"),
    *_types("CGROUP_SOCK", "struct bpf_sock", ctx.SOCK, {}, "cgroup/sock=CGROUP_INET_SOCK_CREATE"),
    *_types("CGROUP_SOCK", "struct bpf_sock", ctx.SOCK, {}, "cgroup/sock_create=CGROUP_INET_SOCK_CREATE"),
    *_types("CGROUP_SOCK", "struct bpf_sock", ctx.SOCK, {}, "cgroup/sock_release=CGROUP_INET_SOCK_RELEASE"),
    *_types("CGROUP_SOCK", "struct bpf_sock", ctx.POST_BIND4, {}, "cgroup/post_bind4=CGROUP_INET4_POST_BIND"),
    *_types("CGROUP_SOCK", "struct bpf_sock", ctx.POST_BIND6, {}, "cgroup/post_bind6=CGROUP_INET6_POST_BIND"),
    *_types(
        "CGROUP_SOCK_ADDR", "struct bpf_sock_addr", ctx.SOCK_ADDR4, {},
        "cgroup/bind4=CGROUP_INET4_BIND cgroup/connect4=CGROUP_INET4_CONNECT cgroup/recvmsg4=CGROUP_UDP4_RECVMSG"
        " cgroup/getpeername4=CGROUP_INET4_GETPEERNAME cgroup/getsockname4=CGROUP_INET4_GETSOCKNAME",
    ),
    *_types(
        "CGROUP_SOCK_ADDR", "struct bpf_sock_addr", ctx.SOCK_ADDR6, {},
        "cgroup/bind6=CGROUP_INET6_BIND cgroup/connect6=CGROUP_INET6_CONNECT cgroup/recvmsg6=CGROUP_UDP6_RECVMSG"
        " cgroup/getpeername6=CGROUP_INET6_GETPEERNAME cgroup/getsockname6=CGROUP_INET6_GETSOCKNAME",
    ),
    *_types(
        "CGROUP_SOCK_ADDR", "struct bpf_sock_addr", ctx.SOCK_ADDR_UNIX, {},
        "cgroup/connect_unix=CGROUP_UNIX_CONNECT cgroup/sendmsg_unix=CGROUP_UNIX_SENDMSG"
        " cgroup/recvmsg_unix=CGROUP_UNIX_RECVMSG"
        " cgroup/getpeername_unix=CGROUP_UNIX_GETPEERNAME cgroup/getsockname_unix=CGROUP_UNIX_GETSOCKNAME",
    ),
    *_types("CGROUP_SOCK_ADDR", "struct bpf_sock_addr", ctx.SENDMSG4, {}, "cgroup/sendmsg4=CGROUP_UDP4_SENDMSG"),
    *_types("CGROUP_SOCK_ADDR", "struct bpf_sock_addr", ctx.SENDMSG6, {}, "cgroup/sendmsg6=CGROUP_UDP6_SENDMSG"),
    *_types("CGROUP_SYSCTL", "struct bpf_sysctl", ctx.CGROUP_SYSCTL, {}, "cgroup/sysctl=CGROUP_SYSCTL"),
    *_types("CGROUP_SOCKOPT", "struct bpf_sockopt", ctx.GETSOCKOPT, {}, "cgroup/getsockopt=CGROUP_GETSOCKOPT"),
    *_types("CGROUP_SOCKOPT", "struct bpf_sockopt", ctx.SETSOCKOPT, {}, "cgroup/setsockopt=CGROUP_SETSOCKOPT"),
    *_types("CGROUP_DEVICE", "struct bpf_cgroup_dev_ctx", ctx.CGROUP_DEVICE, {}, "cgroup/dev=CGROUP_DEVICE"),
    *_types("KPROBE", _PT_REGS, (), {}, "kprobe+ kretprobe+ ksyscall+ kretsyscall+ uprobe+ uprobe.s+ uretprobe+ uretprobe.s+"),
    *_types("KPROBE", _PT_REGS, (), {}, "usdt+ usdt.s+ kprobe.multi+=TRACE_KPROBE_MULTI kretprobe.multi+=TRACE_KPROBE_MULTI"),
    *_types("KPROBE", _PT_REGS, (), {}, "kprobe.session+=TRACE_KPROBE_SESSION uprobe.session+=TRACE_UPROBE_SESSION"),
    *_types("KPROBE", _PT_REGS, (), {}, "uprobe.session.s+=TRACE_UPROBE_SESSION"),
    *_types("KPROBE", _PT_REGS, (), {}, "uprobe.multi+=TRACE_UPROBE_MULTI uretprobe.multi+=TRACE_UPROBE_MULTI"),
    *_types("KPROBE", _PT_REGS, (), {}, "uprobe.multi.s+=TRACE_UPROBE_MULTI uretprobe.multi.s+=TRACE_UPROBE_MULTI"),
    *_types("TRACEPOINT", "void", (), {}, "tracepoint+ tp+"),
    *_types("RAW_TRACEPOINT", _RAW_TP, (), {}, "raw_tracepoint+ raw_tp+ raw_tracepoint.s+ raw_tp.s+"),
    *_types("RAW_TRACEPOINT_WRITABLE", _RAW_TP, (), {}, "raw_tracepoint.w+ raw_tp.w+"),
    *_types("TRACING", _BTF_ARGS, (), {}, "tp_btf+=TRACE_RAW_TP tp_btf.s+=TRACE_RAW_TP"),
    *_types("TRACING", _BTF_ARGS, (), {}, "fentry+=TRACE_FENTRY fentry.s+=TRACE_FENTRY"),
    *_types("TRACING", _BTF_ARGS, (), {}, "fexit+=TRACE_FEXIT fexit.s+=TRACE_FEXIT"),
    *_types("TRACING", _BTF_ARGS, (), {}, "fmod_ret+=MODIFY_RETURN fmod_ret.s+=MODIFY_RETURN"),
    *_types("TRACING", _BTF_ARGS, (), {}, "fsession+=TRACE_FSESSION fsession.s+=TRACE_FSESSION"),
    *_types("TRACING", _BTF_ARGS, (), {}, "fentry.multi+=TRACE_FENTRY_MULTI fentry.multi.s+=TRACE_FENTRY_MULTI"),
    *_types("TRACING", _BTF_ARGS, (), {}, "fexit.multi+=TRACE_FEXIT_MULTI fexit.multi.s+=TRACE_FEXIT_MULTI"),
    *_types("TRACING", _BTF_ARGS, (), {}, "fsession.multi+=TRACE_FSESSION_MULTI fsession.multi.s+=TRACE_FSESSION_MULTI"),
    *_types("TRACING", "struct bpf_iter", (), {}, "iter+=TRACE_ITER iter.s+=TRACE_ITER"),
    *_types("LSM", _BTF_ARGS, (), {}, "lsm+=LSM_MAC lsm.s+=LSM_MAC lsm_cgroup+=LSM_CGROUP"),
    *_types("STRUCT_OPS", _BTF_ARGS, (), {}, "struct_ops+ struct_ops.s+"),
    *_types("EXT", _BTF_ARGS, (), {}, "freplace+"),
    *_types("PERF_EVENT", "struct bpf_perf_event_data", (), {}, "perf_event"),
    *_types("SYSCALL", "void", (), {}, "syscall"),
)  # fmt: skip

_BY_SECTION = {item.section: item for item in PROGRAM_TYPES}


def for_section(section: str) -> ProgramType:
    """The program type that libbpf gives to a program in `section` ("xdp", "kprobe/do_unlinkat").

    A leading `?` (do not load by default) is dropped as libbpf does. Raises InputError `unknown-section`.
    """
    name = section.removeprefix("?")
    exact = _BY_SECTION.get(name)
    if exact is not None:
        return exact
    prefixed = _BY_SECTION.get(name.partition("/")[0])
    if prefixed is not None and prefixed.takes_target:
        return prefixed
    raise InputError(
        Diagnostic(
            "unknown-section",
            f"`{section}` is not a section name that libbpf knows",
            notes=(f"libbpf derives the program type from it: {_prefix_note(prefixed)}",),
            help=_suggestion(name),
        )
    )


_OLD_PREFIXES = (
    "socket", "classifier", "action", "xdp", "perf_event", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sockops",
    "sk_skb", "sk_msg", "flow_dissector",
)  # fmt: skip


def section_before_libbpf_1(section: str) -> str:
    """The section that libbpf before 1.0 took this one for: it looked at the beginning of the name only ("xdp_redirect" was
    "xdp"; SEC_SLOPPY_PFX in tools/lib/bpf/libbpf.c of Linux 5.19). Sections that are known today come back as they are."""
    name = section.removeprefix("?")
    prefixed = _BY_SECTION.get(name.partition("/")[0])
    if name in _BY_SECTION or (prefixed is not None and prefixed.takes_target):
        return section
    return next((prefix for prefix in _OLD_PREFIXES if name.startswith(prefix) and prefix in _BY_SECTION), section)


def _prefix_note(prefixed: ProgramType | None) -> str:
    if prefixed is None:
        return "a section is a word such as xdp, tc or socket, or one with a target, as in kprobe/do_unlinkat"
    return f"`{prefixed.section}` stands alone, nothing may follow it"


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, _BY_SECTION, n=3, cutoff=0.5) or ["xdp", "tcx/ingress", "socket"]
    return "write " + " or ".join(f"`{item}`" for item in close)
