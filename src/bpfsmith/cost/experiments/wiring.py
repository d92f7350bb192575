"""Namespaces, veth pairs, clients and servers of the network experiments.

Client, server and the kernel's work for both run on one CPU: that is the CPU time of a round trip, and the least noisy.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from bpfsmith.cost.bench import Bench, Driver, Loaded, Wire
from bpfsmith.cost.experiment import Action
from bpfsmith.kernel import links

PORT = 7
ECHO, SWALLOW, HOLD = range(3)
"""What the TCP server of programs/driver.c does with what it receives."""
PING_COUNT, PING_BYTES = 200, 32


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
        return self.server(wire, f"serve-tcp {wire.server_ip} {PORT} -1 {ECHO}")

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


def ping(net: Net, case: str, index: int, share: int = 0, which: int = 0) -> Action:
    return lambda: {case: net.client.ask(f"ping {index} {PING_COUNT} {PING_BYTES} {share}")[which]}


PUMP, PUMP_BYTES = 1_024, 64


def pumped(driver: Driver, case: str, sender: int, receiver: int, size: int) -> Action:
    return lambda: {case: driver.ask(f"pump {sender} {receiver} {PUMP} {size}")[0]}
