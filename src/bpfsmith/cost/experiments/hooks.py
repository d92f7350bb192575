"""Hooks of the network: reaching them, answering and dropping there, bandwidth through them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from bpfsmith.cost.bench import Bench
from bpfsmith.cost.experiment import THROUGH_THE_KERNEL, Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.cost.experiments.wiring import (
    ECHO,
    HOLD,
    PING_BYTES,
    PING_COUNT,
    PORT,
    PUMP_BYTES,
    SWALLOW,
    Net,
    network,
    ping,
    pumped,
)
from bpfsmith.kernel import links

_STAGES = ("xdp", "tcx", "socket_filter", "sk_skb", "unused", "server", "unused")
"""What the medians behind the first four numbers of a ping are: stamps 1 to 7 of programs/net.bpf.c."""


# --- reaching hooks ---------------------------------------------------------------------------------------------------
def _reach(bench: Bench, stack: ExitStack) -> Opened:
    names = ("stamp_egress", "stamp_xdp", "stamp_tcx", "stamp_socket", "stamp_sk_skb")
    net = network(bench, stack, 2, names, stamped=True)
    udp, tcp = net.wires
    for wire in (udp, tcp):
        with wire.client.entered():
            stack.enter_context(links.tcx(net.loaded.fd("stamp_egress"), wire.client_device, egress=True))
        net.attach_xdp("stamp_xdp", wire)
        net.attach_tcx("stamp_tcx", wire)
    net.serve_udp(udp, stamped=True, filter_fd=net.loaded.fd("stamp_socket"))
    datagrams = net.connect("udp", udp)
    streams = _sockmap(bench, stack)
    links.attach_to_sockmap(net.loaded.fd("stamp_sk_skb"), streams, "BPF_SK_SKB_STREAM_VERDICT")
    driver = bench.driver(stack, [streams, net.loaded.maps.fd("stamps")], inside=tcp.server)
    driver.ask(f"stamps {net.loaded.maps.fd('stamps')}")
    driver.ask(f"serve-tcp {tcp.server_ip} {PORT} {streams} {ECHO}")
    stream = net.connect("tcp", tcp)

    def staged(index: int, stages: Mapping[str, str]) -> Action:
        def sample() -> Mapping[str, float]:
            answer = net.client.ask(f"ping {index} {PING_COUNT} {PING_BYTES} 0")
            since = dict(zip(_STAGES, answer[4:], strict=True))
            base = since["xdp"]
            return {case: since[stage] - base for stage, case in stages.items() if since[stage] >= 0 and base >= 0}

        return sample

    udp_stages = {"xdp": "xdp", "tcx": "tcx", "socket_filter": "socket_filter", "server": "socket"}
    tcp_stages = {"sk_skb": "sk_skb", "server": "socket_tcp"}
    return Opened((staged(datagrams, udp_stages), staged(stream, tcp_stages)))


def _sockmap(bench: Bench, stack: ExitStack) -> int:
    """A fresh sockmap: programs hang on the map, so that each use has its own."""
    return bench.load(stack, "net.bpf.c", ["echo_sk_skb"]).maps.fd("streams")


# --- answering from hooks ---------------------------------------------------------------------------------------------
def _echo(bench: Bench, stack: ExitStack) -> Opened:
    net = network(bench, stack, 9, ("echo_xdp", "echo_tcx", "pass_xdp", "pass_tcx", "to_xsk"))
    native, generic, tcx, udp, tcp, streamed, xsk, past_xdp, past_tcx = net.wires
    missing: list[Missing] = []
    actions: list[Action] = []

    net.serve_udp(udp)
    actions.append(ping(net, "socket", net.connect("udp", udp)))
    for case, wire in (("xdp", native), ("xdp_generic", generic), ("tcx", tcx)):
        try:
            if case == "tcx":
                net.attach_tcx("echo_tcx", wire)
            else:
                net.attach_xdp("echo_xdp", wire, generic=case == "xdp_generic")
            if case == "xdp":
                net.open_client_xdp(wire)
        except OSError as error:
            missing.append(Missing(case, f"the kernel does not attach it: {error.strerror}"))
            continue
        net.serve_udp(wire)
        actions.append(ping(net, case, net.connect("udp", wire), 100))
    for case, wire in (("past_xdp", past_xdp), ("past_tcx", past_tcx)):
        try:
            if case == "past_tcx":
                net.attach_tcx("pass_tcx", wire)
            else:
                net.attach_xdp("pass_xdp", wire)
                net.open_client_xdp(wire)
        except OSError as error:
            missing.append(Missing(case, f"the kernel does not attach it: {error.strerror}"))
            continue
        net.serve_udp(wire)
        actions.append(ping(net, case, net.connect("udp", wire)))
    net.serve_tcp(tcp)
    actions.append(ping(net, "socket_tcp", net.connect("tcp", tcp)))

    echo = bench.load(stack, "net.bpf.c", ["echo_sk_skb"])
    sockmap = echo.maps.fd("streams")
    if "echo_sk_skb" in echo.programs:
        links.attach_to_sockmap(echo.fd("echo_sk_skb"), sockmap, "BPF_SK_SKB_STREAM_VERDICT")
        driver = bench.driver(stack, [sockmap], inside=streamed.server)
        driver.ask(f"serve-tcp {streamed.server_ip} {PORT} {sockmap} {HOLD}")
        actions.append(ping(net, "sk_skb", net.connect("tcp", streamed)))
    else:
        missing.append(Missing("sk_skb", echo.refused["echo_sk_skb"]))
    try:
        net.attach_xdp("to_xsk", xsk)
        net.open_client_xdp(xsk)
        net.server(xsk, f"serve-xsk {xsk.server_device} {net.loaded.maps.fd('xsks')}")
        actions.append(ping(net, "af_xdp", net.connect("udp", xsk)))
    except OSError as error:
        missing.append(Missing("af_xdp", f"the kernel has no such AF_XDP socket: {error.strerror or error}"))
    return Opened(tuple(actions), tuple(missing))


# --- dropping at hooks: what it takes to get there, and what a program there adds -------------------------------------


def _drop(bench: Bench, stack: ExitStack) -> Opened:
    net = network(bench, stack, 8, ("drop_xdp", "drop_tcx", "drop_socket", "pass_xdp", "pass_tcx", "pass_socket"))
    actions: list[Action] = []
    missing: list[Missing] = []
    plans = {
        "drop_xdp": (("drop_xdp", "xdp"),), "drop_xdp_generic": (("drop_xdp", "generic"),), "drop_tcx": (("drop_tcx", "tcx"),),
        "drop_socket": (("drop_socket", "filter"),), "receive": (), "receive_xdp": (("pass_xdp", "xdp"),),
        "receive_tcx": (("pass_tcx", "tcx"),), "receive_filter": (("pass_socket", "filter"),),
    }  # fmt: skip
    for wire, (case, attachments) in zip(net.wires, plans.items(), strict=True):
        receiver = bench.driver(stack, [item.fd for item in net.loaded.programs.values()], inside=wire.server)
        to = int(receiver.ask(f"bind {wire.server_ip} {PORT}")[0])
        try:
            for program, where in attachments:
                if where == "filter":
                    receiver.ask(f"filter {to} {net.loaded.fd(program)}")
                elif where == "tcx":
                    net.attach_tcx(program, wire)
                else:
                    net.attach_xdp(program, wire, generic=where == "generic")
        except OSError as error:
            missing.append(Missing(case, f"the kernel does not attach it: {error.strerror or error}"))
            continue
        receiver.ask(f"enter {wire.client.path}")
        sender = int(receiver.ask(f"connect udp {wire.server_ip} {PORT}")[0])
        actions.append(pumped(receiver, case, sender, -1 if case.startswith("drop") else to, PUMP_BYTES))
    return Opened(tuple(actions), tuple(missing))


# --- preparing hooks: what an empty program adds ------------------------------------------------------------------------
def _prepare(bench: Bench, stack: ExitStack) -> Opened:
    net = network(bench, stack, 6, ("pass_xdp", "pass_tcx", "pass_socket"))
    actions: list[Action] = []
    for wire, case in zip(net.wires, ("received", "xdp", "tcx", "socket_filter"), strict=False):
        receiver = bench.driver(stack, [item.fd for item in net.loaded.programs.values()], inside=wire.server)
        to = int(receiver.ask(f"bind {wire.server_ip} {PORT}")[0])
        match case:
            case "xdp":
                net.attach_xdp("pass_xdp", wire)
            case "tcx":
                net.attach_tcx("pass_tcx", wire)
            case "socket_filter":
                receiver.ask(f"filter {to} {net.loaded.fd('pass_socket')}")
            case _:
                pass
        receiver.ask(f"enter {wire.client.path}")
        sender = int(receiver.ask(f"connect udp {wire.server_ip} {PORT}")[0])
        actions.append(pumped(receiver, case, sender, to, PUMP_BYTES))
    plain, streamed = net.wires[4:]
    net.serve_tcp(plain)
    actions.append(ping(net, "tcp", net.connect("tcp", plain)))
    verdict = bench.load(stack, "net.bpf.c", ["pass_sk_skb"])
    sockmap = _sockmap(bench, stack)
    links.attach_to_sockmap(verdict.fd("pass_sk_skb"), sockmap, "BPF_SK_SKB_STREAM_VERDICT")
    driver = bench.driver(stack, [sockmap], inside=streamed.server)
    driver.ask(f"serve-tcp {streamed.server_ip} {PORT} {sockmap} {ECHO}")
    actions.append(ping(net, "sk_skb", net.connect("tcp", streamed)))
    return Opened(tuple(actions))


# --- bandwidth --------------------------------------------------------------------------------------------------------
def _bandwidth(bench: Bench, stack: ExitStack) -> Opened:
    net = network(bench, stack, 5, ("pass_xdp", "pass_tcx"))
    actions: list[Action] = []
    for wire, case in zip(net.wires, ("none", "xdp", "xdp_generic", "tcx", "sk_skb"), strict=True):
        sockmap = -1
        if case.startswith("xdp"):
            net.attach_xdp("pass_xdp", wire, generic=case == "xdp_generic")
        elif case == "tcx":
            net.attach_tcx("pass_tcx", wire)
        elif case == "sk_skb":
            loaded = bench.load(stack, "net.bpf.c", ["pass_sk_skb"])
            sockmap = _sockmap(bench, stack)
            links.attach_to_sockmap(loaded.fd("pass_sk_skb"), sockmap, "BPF_SK_SKB_STREAM_VERDICT")
        driver = bench.driver(stack, [sockmap] if sockmap >= 0 else [], inside=wire.server)
        driver.ask(f"serve-tcp {wire.server_ip} {PORT} {sockmap} {SWALLOW}")
        actions.append(_streamed(net, case, net.connect("tcp", wire)))
    return Opened(tuple(actions))


def _streamed(net: Net, case: str, index: int) -> Action:
    return lambda: {case: net.client.ask(f"stream {index} 40 16384")[0]}


EXPERIMENTS = (
    Experiment(
        "hooks.reach", "hooks", "Table 1", "from XDP on, until a request reaches a hook or a process", "ns",
        (
            Case("xdp", "XDP, native", 0), Case("tcx", "TC (tcx ingress)", 273), Case("socket_filter", "socket filter"),
            Case("sk_skb", "sk_skb, stream verdict", 1072), Case("socket", "server process, UDP", 5738),
            Case("socket_tcp", "server process, TCP behind sk_skb"),
        ),
        _reach,
        (
            Ordering("tcx", "socket", "TC is reached long before a process", "hook"),
            Ordering("tcx", "sk_skb", "TC is reached before sk_skb", "hook"),
            Ordering("sk_skb", "socket_tcp", "sk_skb is reached before its process", "hook"),
        ),
        "stamps of CLOCK_MONOTONIC in the programs and in the process; a stamp costs what bpf_ktime_get_ns does",
        width_power=THROUGH_THE_KERNEL,
    ),
    Experiment(
        "hooks.prepare", "hooks", "Table 1", "what an empty program at a hook adds to a request", "ns",
        (
            Case("received", "a datagram received, no program", is_floor=True),
            Case("tcp", "a round trip over TCP, no program", is_floor=True),
            Case("xdp", "XDP, native", 38, "received"), Case("tcx", "TC (tcx ingress)", 35, "received"),
            Case("socket_filter", "socket filter", None, "received"), Case("sk_skb", "sk_skb, stream verdict", 1350, "tcp"),
        ),
        _prepare,
        (
            Ordering("tcx", "sk_skb", "TC is prepared for faster than sk_skb", "hook"),
            Ordering("tcx", "xdp", "on veth TC is prepared for faster than native XDP", "driver"),
        ),
        "native XDP on veth copies each skb to a page of its own, which the study's network card does not",
        width_power=THROUGH_THE_KERNEL,
    ),
    Experiment(
        "hooks.echo", "hooks", "Fig. 3", "round trip of 32 bytes, median, by who answers", "ns",
        (
            Case("xdp", "XDP, native"), Case("xdp_generic", "XDP, generic"), Case("tcx", "TC (tcx ingress)"),
            Case("socket", "process, UDP socket"), Case("past_xdp", "process, behind an empty XDP program, native"),
            Case("past_tcx", "process, behind an empty TC program"), Case("af_xdp", "process, AF_XDP in copy mode"),
            Case("sk_skb", "sk_skb, stream verdict"), Case("socket_tcp", "process, TCP socket"),
        ),
        _echo,
        (
            Ordering("xdp", "socket", "XDP answers well before a process", "hook"),
            Ordering("tcx", "socket", "TC answers well before a process", "hook"),
            Ordering("sk_skb", "socket_tcp", "sk_skb brings no gain for TCP", "hook", similar=True),
        ),
        seconds=5,
        width_power=THROUGH_THE_KERNEL,
    ),
    Experiment(
        "hooks.drop", "hooks", "Table 1", "a datagram sent and dropped at a hook, or received; all on one CPU", "ns",
        (
            Case("drop_xdp", "dropped by XDP, native"), Case("drop_xdp_generic", "dropped by XDP, generic"),
            Case("drop_tcx", "dropped by TC"), Case("drop_socket", "dropped by a socket filter"),
            Case("receive", "received, no program"), Case("receive_xdp", "received past an empty XDP program, native"),
            Case("receive_tcx", "received past an empty TC program"),
            Case("receive_filter", "received past an empty socket filter"),
        ),
        _drop,
        (
            Ordering("drop_tcx", "drop_socket", "dropping in TC is cheaper than at the socket", "hook"),
            Ordering("drop_xdp_generic", "drop_socket", "dropping in generic XDP is cheaper than at the socket", "hook"),
            Ordering("drop_tcx", "receive", "dropping in TC is cheaper than receiving", "hook"),
        ),
        "native XDP on veth copies each skb to a page of its own: its price here is not that of a network card",
        width_power=THROUGH_THE_KERNEL,
    ),
    Experiment(
        "hooks.bandwidth", "hooks", "Table 2", "a TCP stream past an empty program, sender and receiver on one CPU", "Gbit/s",
        (
            Case("none", "no program", 7.24), Case("xdp", "XDP, native", 7.14), Case("xdp_generic", "XDP, generic"),
            Case("tcx", "TC (tcx ingress)", 7.02), Case("sk_skb", "sk_skb, stream verdict", 6.22),
        ),
        _bandwidth,
        (
            Ordering("tcx", "sk_skb", "TC leaves more bandwidth than sk_skb", "hook"),
            Ordering("none", "sk_skb", "sk_skb costs bandwidth", "hook"),
            Ordering("none", "tcx", "an empty TC program costs next to nothing", "hook", similar=True),
        ),
        seconds=15,
        higher_is_better=True,
        width_power=THROUGH_THE_KERNEL,
    ),
)  # fmt: skip
