"""Packets into processes: by socket and AF_XDP, whole and cut; and neighbours of a program that works long."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from bpfsmith.cost.bench import Bench, Driver
from bpfsmith.cost.experiment import THROUGH_THE_KERNEL, Action, Case, Experiment, Missing, Opened, Ordering
from bpfsmith.cost.experiments.wiring import (
    PING_BYTES,
    PING_COUNT,
    PORT,
    PUMP,
    network,
    pumped,
)
from bpfsmith.kernel import links

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
        actions += [pumped(receiver, f"{case}@{size}", sender, to, size) for size in _REDUCED]
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
    actions += [pumped(receiver, f"socket@{size}", sender, to, size) for size in _PACKETS]
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
        ns, received = driver.ask(f"pump-xsk {index} {PUMP} {size}")
        return {case: ns} if received >= 0.99 * PUMP else {}  # a round in which frames were lost says nothing

    return sample


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
                _, tail, mean, *_ = net.client.ask(f"ping {index} {PING_COUNT} {PING_BYTES} 0")
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
        "channels.packets", "channels", "Figs. 7-9, 13", "a datagram sent and taken by a process, on one CPU, by bytes", "ns",
        tuple(
            Case(f"{way}@{size}", f"{title}, {size} bytes")
            for way, title in (("socket", "UDP socket"), ("af_xdp", "AF_XDP, copy mode")) for size in _PACKETS
        ),
        _packets,
        (Ordering("af_xdp@64", "socket@64", "AF_XDP is faster than a socket, even when it copies", "channel"),),
        width_power=THROUGH_THE_KERNEL,
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
        width_power=THROUGH_THE_KERNEL,
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
        width_power=THROUGH_THE_KERNEL,
    ),
)  # fmt: skip
