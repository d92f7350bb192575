"""The network: reaching hooks, answering from them, bandwidth through them, neighbours. Everything in namespaces of our own.

Client, server and the kernel's work for both run on one CPU: that is the CPU time of a round trip, and the least noisy.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from bpfsmith.cost.bench import Bench, Driver, Loaded, Wire
from bpfsmith.cost.experiment import Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.kernel import links

PORT = 7
_ECHO, _SWALLOW, _HOLD = range(3)
"""What the TCP server of programs/driver.c does with what it receives."""
_PING_COUNT, _PING_BYTES = 200, 32
_STAGES = ("xdp", "tcx", "socket_filter", "sk_skb", "unused", "server", "unused")
"""What the medians behind the first four numbers of a ping are: stamps 1 to 7 of programs/net.bpf.c."""


@dataclass(frozen=True, slots=True)
class Net:
    """Wires with a driver in each of the two namespaces; servers have drivers of their own."""

    bench: Bench
    stack: ExitStack
    loaded: Loaded
    wires: list[Wire]
    client: Driver

    def attach_xdp(self, program: str, wire: Wire, *, generic: bool = False) -> None:
        with wire.server.entered():
            self.stack.enter_context(links.xdp(self.loaded.fd(program), wire.server_device, generic=generic))

    def attach_tcx(self, program: str, wire: Wire) -> None:
        with wire.server.entered():
            self.stack.enter_context(links.tcx(self.loaded.fd(program), wire.server_device))

    def open_client_xdp(self, wire: Wire) -> None:
        """A veth takes what XDP_TX sends it only when it has a program itself."""
        with wire.client.entered():
            self.stack.enter_context(links.xdp(self.loaded.fd("pass_xdp"), wire.client_device))

    def server(self, wire: Wire, command: str, *, stamped: bool = False) -> Driver:
        """A process that serves on the wire for ever."""
        driver = self.bench.driver(
            self.stack, [item.fd for item in self.loaded.programs.values()] + self._map_fds(), inside=wire.server
        )
        if stamped:
            driver.ask(f"stamps {self.loaded.maps.fd('stamps')}")
        driver.ask(command)
        return driver

    def serve_udp(self, wire: Wire, *, stamped: bool = False, filter_fd: int = -1, work: int = 0) -> Driver:
        return self.server(wire, f"serve-udp {wire.server_ip} {PORT} {filter_fd} {work}", stamped=stamped)

    def serve_tcp(self, wire: Wire) -> Driver:
        return self.server(wire, f"serve-tcp {wire.server_ip} {PORT} -1 {_ECHO}")

    def connect(self, kind: str, wire: Wire) -> int:
        return int(self.client.ask(f"connect {kind} {wire.server_ip} {PORT}")[0])

    def _map_fds(self) -> list[int]:
        return [self.loaded.maps.fd(name) for name in self.loaded.maps.names]


def network(bench: Bench, stack: ExitStack, wires: int, programs: tuple[str, ...], *, stamped: bool = False) -> Net:
    """So many wires, programs of net.bpf.c loaded, checksums finished in software (XDP sees them unfinished otherwise)."""
    loaded = bench.load(stack, "net.bpf.c", programs)
    made = bench.wires(stack, wires)
    fds = [loaded.maps.fd(name) for name in loaded.maps.names] + [item.fd for item in loaded.programs.values()]
    client = bench.driver(stack, fds, inside=made[0].client)
    helper = bench.driver(stack, inside=made[0].server)
    for wire in made:
        client.ask(f"software-checksums {wire.client_device}")
        helper.ask(f"software-checksums {wire.server_device}")
    if stamped:
        client.ask(f"stamps {loaded.maps.fd('stamps')}")
    return Net(bench, stack, loaded, made, client)


def _ping(net: Net, case: str, index: int, share: int = 0, which: int = 0) -> Action:
    return lambda: {case: net.client.ask(f"ping {index} {_PING_COUNT} {_PING_BYTES} {share}")[which]}


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
    driver.ask(f"serve-tcp {tcp.server_ip} {PORT} {streams} {_ECHO}")
    stream = net.connect("tcp", tcp)

    def staged(index: int, stages: Mapping[str, str]) -> Action:
        def sample() -> Mapping[str, float]:
            answer = net.client.ask(f"ping {index} {_PING_COUNT} {_PING_BYTES} 0")
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
    actions.append(_ping(net, "socket", net.connect("udp", udp)))
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
        actions.append(_ping(net, case, net.connect("udp", wire), 100))
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
        actions.append(_ping(net, case, net.connect("udp", wire)))
    net.serve_tcp(tcp)
    actions.append(_ping(net, "socket_tcp", net.connect("tcp", tcp)))

    echo = bench.load(stack, "net.bpf.c", ["echo_sk_skb"])
    sockmap = echo.maps.fd("streams")
    if "echo_sk_skb" in echo.programs:
        links.attach_to_sockmap(echo.fd("echo_sk_skb"), sockmap, "BPF_SK_SKB_STREAM_VERDICT")
        driver = bench.driver(stack, [sockmap], inside=streamed.server)
        driver.ask(f"serve-tcp {streamed.server_ip} {PORT} {sockmap} {_HOLD}")
        actions.append(_ping(net, "sk_skb", net.connect("tcp", streamed)))
    else:
        missing.append(Missing("sk_skb", echo.refused["echo_sk_skb"]))
    try:
        net.attach_xdp("to_xsk", xsk)
        net.open_client_xdp(xsk)
        net.server(xsk, f"serve-xsk {xsk.server_device} {net.loaded.maps.fd('xsks')}")
        actions.append(_ping(net, "af_xdp", net.connect("udp", xsk)))
    except OSError as error:
        missing.append(Missing("af_xdp", f"the kernel has no such AF_XDP socket: {error.strerror or error}"))
    return Opened(tuple(actions), tuple(missing))


# --- dropping at hooks: what it takes to get there, and what a program there adds -------------------------------------
_PUMP, _PUMP_BYTES = 1_024, 64


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
        actions.append(_pumped(receiver, case, sender, -1 if case.startswith("drop") else to, _PUMP_BYTES))
    return Opened(tuple(actions), tuple(missing))


def _pumped(driver: Driver, case: str, sender: int, receiver: int, size: int) -> Action:
    return lambda: {case: driver.ask(f"pump {sender} {receiver} {_PUMP} {size}")[0]}


# --- data reduction ---------------------------------------------------------------------------------------------------
_REDUCED = (256, 1400, 8000)


def _reduction(bench: Bench, stack: ExitStack) -> Opened:
    net = network(bench, stack, 2, ("pass_socket", "truncate_socket"))
    actions: list[Action] = []
    for wire, case, program in zip(net.wires, ("whole", "cut"), ("pass_socket", "truncate_socket"), strict=True):
        for side in (wire.client, wire.server):
            device = wire.client_device if side is wire.client else wire.server_device
            side.ip(f"link set {device} mtu 9000")
        receiver = bench.driver(stack, [net.loaded.fd(program)], inside=wire.server)
        to = int(receiver.ask(f"bind {wire.server_ip} {PORT}")[0])
        receiver.ask(f"filter {to} {net.loaded.fd(program)}")
        receiver.ask(f"enter {wire.client.path}")
        sender = int(receiver.ask(f"connect udp {wire.server_ip} {PORT}")[0])
        actions += [_pumped(receiver, f"{case}@{size}", sender, to, size) for size in _REDUCED]
    return Opened(tuple(actions))


_PACKETS = (64, 1400)


def _packets(bench: Bench, stack: ExitStack) -> Opened:
    """Datagrams into a process by a socket and by AF_XDP."""
    net = network(bench, stack, 2, ("to_xsk",))
    by_socket, by_xsk = net.wires
    actions: list[Action] = []
    missing: list[Missing] = []
    receiver = bench.driver(stack, inside=by_socket.server)
    to = int(receiver.ask(f"bind {by_socket.server_ip} {PORT}")[0])
    receiver.ask(f"enter {by_socket.client.path}")
    sender = int(receiver.ask(f"connect udp {by_socket.server_ip} {PORT}")[0])
    actions += [_pumped(receiver, f"socket@{size}", sender, to, size) for size in _PACKETS]
    xskmap = net.loaded.maps.fd("xsks")
    try:
        net.attach_xdp("to_xsk", by_xsk)
        taker = bench.driver(stack, [xskmap], inside=by_xsk.server)
        taker.ask(f"open-xsk {by_xsk.server_device} {xskmap}")
        taker.ask(f"enter {by_xsk.client.path}")
        index = int(taker.ask(f"connect udp {by_xsk.server_ip} {PORT}")[0])
    except OSError as error:
        reason = f"the kernel has no such AF_XDP socket: {error.strerror or error}"
        return Opened(tuple(actions), tuple(Missing(f"af_xdp@{size}", reason) for size in _PACKETS))
    actions += [_taken(taker, f"af_xdp@{size}", index, size) for size in _PACKETS]
    return Opened(tuple(actions), tuple(missing))


def _taken(driver: Driver, case: str, index: int, size: int) -> Action:
    def sample() -> Mapping[str, float]:
        ns, received = driver.ask(f"pump-xsk {index} {_PUMP} {size}")
        return {case: ns} if received >= 0.99 * _PUMP else {}  # a round in which frames were lost says nothing

    return sample


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
        actions.append(_pumped(receiver, case, sender, to, _PUMP_BYTES))
    plain, streamed = net.wires[4:]
    net.serve_tcp(plain)
    actions.append(_ping(net, "tcp", net.connect("tcp", plain)))
    verdict = bench.load(stack, "net.bpf.c", ["pass_sk_skb"])
    sockmap = _sockmap(bench, stack)
    links.attach_to_sockmap(verdict.fd("pass_sk_skb"), sockmap, "BPF_SK_SKB_STREAM_VERDICT")
    driver = bench.driver(stack, [sockmap], inside=streamed.server)
    driver.ask(f"serve-tcp {streamed.server_ip} {PORT} {sockmap} {_ECHO}")
    actions.append(_ping(net, "sk_skb", net.connect("tcp", streamed)))
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
        driver.ask(f"serve-tcp {wire.server_ip} {PORT} {sockmap} {_SWALLOW}")
        actions.append(_streamed(net, case, net.connect("tcp", wire)))
    return Opened(tuple(actions))


def _streamed(net: Net, case: str, index: int) -> Action:
    return lambda: {case: net.client.ask(f"stream {index} 40 16384")[0]}


# --- interference -----------------------------------------------------------------------------------------------------
_RATES = {"light": 20_000, "heavy": 60_000}


def _interference(bench: Bench, stack: ExitStack) -> Opened:
    """A slow path behind a cache in the kernel, and a neighbour, while packets flood in at an even rate."""
    net = network(bench, stack, 3, ("echo_xdp", "pass_xdp", "busy_xdp", "drop_xdp"))
    plain, cached, flooded = net.wires
    net.serve_udp(plain)
    neighbour = net.connect("udp", plain)
    net.attach_xdp("echo_xdp", cached)
    net.open_client_xdp(cached)
    net.serve_udp(cached)
    slow = net.connect("udp", cached)

    def sample(case: str, index: int, flood: tuple[str, int] | None) -> Action:
        def run() -> Mapping[str, float]:
            with ExitStack() as during:
                if flood is not None:
                    program, rate = flood
                    with flooded.server.entered():
                        during.enter_context(links.xdp(net.loaded.fd(program), flooded.server_device))
                    sender = bench.driver(during, inside=flooded.client)
                    sender.ask(f"connect udp {flooded.server_ip} {PORT}")
                    sender.ask(f"flood 0 {rate} 64")
                _, tail, mean, *_ = net.client.ask(f"ping {index} {_PING_COUNT} {_PING_BYTES} 0")
            return {case: mean, f"{case}_p99": tail}

        return run

    return Opened((
        sample("neighbour_alone", neighbour, None),
        sample("neighbour_drop", neighbour, ("drop_xdp", _RATES["heavy"])),
        sample("neighbour_busy_light", neighbour, ("busy_xdp", _RATES["light"])),
        sample("neighbour_busy", neighbour, ("busy_xdp", _RATES["heavy"])),
        sample("slow_alone", slow, None),
        sample("slow_busy", slow, ("busy_xdp", _RATES["heavy"])),
    ))  # fmt: skip


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
    ),
    Experiment(
        "channels.packets", "channels", "Figs. 7-9, 13", "a datagram sent and taken by a process, on one CPU, by bytes", "ns",
        tuple(
            Case(f"{way}@{size}", f"{title}, {size} bytes")
            for way, title in (("socket", "UDP socket"), ("af_xdp", "AF_XDP, copy mode")) for size in _PACKETS
        ),
        _packets,
        (Ordering("af_xdp@64", "socket@64", "AF_XDP is faster than a socket, even when it copies", "channel"),),
    ),
    Experiment(
        "channels.reduction", "channels", "Fig. 10", "a datagram received whole, or cut to 64 bytes in the kernel", "ns",
        tuple(
            Case(f"{case}@{size}", f"{size} bytes, {words}")
            for size in _REDUCED for case, words in (("whole", "whole"), ("cut", "cut by a socket filter"))
        ),
        _reduction,
        (Ordering("cut@1400", "whole@1400", "cutting packets before userspace gains little", "copies", similar=True),),
        "the study: truncating packets gains at most 2.8 %",
    ),
    Experiment(
        "isolation", "isolation", "Figs. 4-6, 16", "round trip of a process while packets flood in on its CPU", "ns",
        tuple(
            Case(f"{name}{tail}", f"{title}, {'p99' if tail else 'mean'}")
            for name, title in (
                ("neighbour_alone", "neighbour, no flood"),
                ("neighbour_drop", f"neighbour, {_RATES['heavy']} packets/s that XDP drops at once"),
                ("neighbour_busy_light", f"neighbour, {_RATES['light']} packets/s that XDP works on for 5 us"),
                ("neighbour_busy", f"neighbour, {_RATES['heavy']} packets/s that XDP works on for 5 us"),
                ("slow_alone", "slow path behind an XDP program, no flood"),
                ("slow_busy", "slow path behind an XDP program, the same flood"),
            )
            for tail in ("", "_p99")
        ),
        _interference,
        (
            Ordering("neighbour_alone", "neighbour_busy", "work in XDP slows its neighbours", "isolation"),
            Ordering("neighbour_drop_p99", "neighbour_busy_p99", "it is the work, not only the packets", "isolation"),
            Ordering("neighbour_alone", "slow_alone", "a slow path behind a program in the kernel is slower", "interference"),
        ),
        "means leave out the slowest twentieth; the study: a slow path behind a cache in the kernel takes +51 % in the "
        "median, a neighbour +45 %",
        20,
    ),
)  # fmt: skip
