"""Original and split server side by side, each in network namespaces of its own: the same requests to both, replies compared.

Client and server of a side are joined by a veth pair. Nothing leaves the machine, and all of it goes when the trial ends.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.insn import BPF_ALU64, BPF_EXIT, BPF_JMP, BPF_MOV, Insn
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel import links, syscall
from bpfsmith.kernel.netns import Namespace, die_with_parent
from bpfsmith.packet.build import Route, internet_checksum, tcp_packet, udp_packet

SERVER, CLIENT = "10.203.0.2", "10.203.0.1"
CLIENTS = 3  # sockets that requests are sent from in turn
_STARTED = 10.0  # seconds until a server must have bound its port
_SILENT = 1.0  # seconds after which a server that still works on a request has not answered it
_ATTACHED = re.compile(r"shared memory at 0x([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that the two servers did not answer alike. None: no reply."""

    number: int
    request: bytes
    expected: object
    actual: object


@dataclass(slots=True)
class Side:
    """A running server and its client's sockets. `area` is where the shared memory of a split one starts, 0 if not attached."""

    process: subprocess.Popen[bytes]
    server: Namespace
    client: Namespace
    port: int
    sockets: list[socket.socket]
    area: int
    log: Path

    def idle(self) -> bool:
        """Is the server waiting, with nothing to read?"""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "S" and not _queued(self.process.pid, self.port)

    def alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, request: bytes, which: int = 0) -> bytes | None:
        """The reply to a request, or None when the server is done with it and has not sent one."""
        self.sockets[which].send(request)
        return self.reply(which)

    def reply(self, which: int = 0) -> bytes | None:
        sock = self.sockets[which]
        until = time.monotonic() + _SILENT
        while True:
            ready, _, _ = select.select([sock], [], [], 0.0002)
            if ready:
                return _received(sock)
            if not self.alive() or time.monotonic() > until:
                return None
            if self.idle():
                # What was sent before the server began to wait is here by now.
                ready, _, _ = select.select([sock], [], [], 0)
                return _received(sock) if ready else None

    def memory(self, address: int, size: int) -> bytes:
        """Memory of the server's process."""
        with Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as file:
            file.seek(address)
            return file.read(size) or b""


def _received(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(65536)
    except ConnectionRefusedError:
        return None


def _queued(pid: int, port: int) -> bool:
    """Are there datagrams in the receive queue of the port? /proc/net/udp: sl, local_address, rem_address, st, tx:rx_queue."""
    for name in ("udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if int(words[1].rpartition(":")[2], 16) == port and int(words[4].partition(":")[2], 16):
                return True
    return False


def _bound_port(pid: int) -> int | None:
    for name in ("udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            port = int(line.split()[1].rpartition(":")[2], 16)
            if port:
                return port
    return None


class Trial:
    """Servers started in namespaces. A context manager. With `xdp` clients have an XDP program that passes everything: a veth
    sends what XDP answers to a peer with one only (drivers/net/veth.c: veth_xdp_xmit)."""

    def __init__(self, *, xdp: bool = False) -> None:
        self._stack = ExitStack()
        self._passes: int | None = None
        if xdp:
            self._passes = _pass_program()
            self._stack.callback(os.close, self._passes)
        self.scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bpfsmith-")))

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, executable: Path, arguments: Sequence[str] = (), *, offload: bool = True, cpu: int | None = None) -> Side:
        """Start a server; its port is the one that it binds. InputError `server-does-not-start`."""
        server, client = (self._stack.enter_context(Namespace()) for _ in range(2))
        client.ip(
            f"link add near type veth peer name far netns {server.pid}", f"addr add {CLIENT}/24 dev near", "link set near up"
        )
        server.ip(f"addr add {SERVER}/24 dev far", "link set far up")
        if self._passes is not None:
            with client.entered():
                self._stack.enter_context(links.xdp(self._passes, "near"))
        for namespace in (server, client):
            with namespace.entered():
                Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        where = self.scratch / f"server{len(list(self.scratch.iterdir()))}"
        where.mkdir()
        log = where / "log"
        environment = {**os.environ, "BPFSMITH_OFFLOAD": "on" if offload else "off"}
        with server.entered(), log.open("wb") as output:
            process = subprocess.Popen(
                [str(executable.resolve()), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output,
                preexec_fn=die_with_parent, cwd=where, env=environment,
            )  # fmt: skip
        self._stack.callback(_end, process)
        if cpu is not None:
            os.sched_setaffinity(process.pid, {cpu})
        side = Side(process, server, client, 0, [], 0, log)
        side.port = _wait_for_port(side)
        for number in range(CLIENTS):
            with client.entered():
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._stack.callback(sock.close)
            sock.bind((CLIENT, 40001 + number))  # the same on every side: a reply may tell
            sock.connect((SERVER, side.port))
            side.sockets.append(sock)
        found = _ATTACHED.search(log.read_text(errors="replace"))
        side.area = int(found[1], 16) if found else 0
        return side


def _pass_program() -> int:
    """r0 = XDP_PASS; exit."""
    kind = for_section("xdp")
    reply = syscall.prog_load(
        syscall.ProgLoad(
            prog_type=kind.number,
            insns=encode((Insn(BPF_ALU64 | BPF_MOV, imm=2), Insn(BPF_JMP | BPF_EXIT))),
            name="pass",
            expected_attach_type=kind.attach_number,
        ),
        0,
        0,
    )
    if reply.fd < 0:
        raise KernelError(
            Diagnostic("bpf-not-permitted", f"a program that passes packets cannot be loaded: {os.strerror(reply.errno)}",
                       help="run as root")
        )  # fmt: skip
    return reply.fd


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _wait_for_port(side: Side) -> int:
    """Until the server waits for a request."""
    until = time.monotonic() + _STARTED
    while time.monotonic() < until and side.alive():
        port = _bound_port(side.process.pid)
        if port is not None and side.idle():
            time.sleep(0.02)
            if side.idle():
                return port
        time.sleep(0.01)
    said = side.log.read_text(errors="replace").strip().splitlines()[:4]
    raise InputError(
        Diagnostic("server-does-not-start", "the server binds no UDP port" if side.alive() else "the server ends at once",
                   notes=tuple(said), help="give its arguments with --args")
    )  # fmt: skip


def compare(sides: Sequence[Side], requests: Iterable[bytes]) -> tuple[int, int, list[Difference]]:
    """Sends every request to all sides; the first one is right. Gives how many were sent and answered, and the differences (the
    first eight)."""
    sent = answered = 0
    differences: list[Difference] = []
    for request in requests:
        which = sent % CLIENTS
        for side in sides:
            side.sockets[which].send(request)
        expected, *others = (side.reply(which) for side in sides)
        differences += [Difference(sent, request, expected, actual) for actual in others if actual != expected]
        sent += 1
        answered += expected is not None
        living = [side.alive() for side in sides]
        if not all(living):
            if any(living):
                differences.append(Difference(sent, request, *(("runs" if item else "has ended") for item in living[:2])))
            break
        if len(differences) >= 8:
            break
    return sent, answered, differences


# --- odd packets ------------------------------------------------------------------------------------------------------
def odd_frames(port: int, payloads: Sequence[bytes], to: str, own: str) -> list[tuple[str, list[bytes]]]:
    """Frames that are no plain request to the server, by what is odd about them."""
    route = Route(saddr=CLIENT, daddr=SERVER, smac=own, dmac=to)
    out: list[tuple[str, list[bytes]]] = []
    for payload in payloads:
        plain = udp_packet(payload, 4000, port, route)
        ip, udp = plain[14:34], plain[34:]
        eth = plain[:14]

        def frame(header: bytes, body: bytes, eth: bytes = eth) -> bytes:
            head = header[:10] + b"\0\0" + header[12:]
            return eth + head[:10] + internet_checksum(head).to_bytes(2, "big") + head[12:] + body

        def sized(header: bytes, body: bytes) -> bytes:
            return header[:2] + (len(header) + len(body)).to_bytes(2, "big") + header[4:]

        options = bytes([0x46]) + ip[1:] + b"\x01\x01\x01\x00"
        half = (len(udp) // 2 + 7) // 8 * 8
        first = ip[:6] + b"\x20\x00" + ip[8:]
        second = ip[:6] + (half // 8).to_bytes(2, "big") + ip[8:]
        wrong = udp[:6] + bytes([udp[6] ^ 0x55]) + udp[7:]
        out += [
            ("plain", [plain]),
            ("no UDP checksum", [frame(ip, udp[:6] + b"\0\0" + udp[8:])]),
            ("wrong UDP checksum", [frame(ip, wrong)]),
            ("wrong IP checksum", [eth + ip[:10] + bytes([ip[10] ^ 1]) + ip[11:] + udp]),
            ("IP options", [frame(sized(options, udp), udp)]),
            ("fragments", [frame(sized(first, udp[:half]), udp[:half]), frame(sized(second, udp[half:]), udp[half:])]),
            ("one fragment only", [frame(sized(first, udp[:half]), udp[:half])]),
            ("another port", [udp_packet(payload, 4000, port ^ 1, route)]),
            ("TCP to the port", [_tcp_syn(route, port)]),
            ("padded", [plain + bytes(max(4, 60 - len(plain)))]),
            ("UDP length too long", [frame(ip, udp[:4] + (len(udp) + 8).to_bytes(2, "big") + b"\0\0" + udp[8:])]),
            ("UDP length too short", [frame(ip, udp[:4] + (7).to_bytes(2, "big") + b"\0\0" + udp[8:])]),
            ("UDP shorter than IP", [frame(ip, udp[:4] + max(8, len(udp) - 1).to_bytes(2, "big") + b"\0\0" + udp[8:])]),
            ("IP longer than the frame", [frame(ip[:2] + (len(ip) + len(udp) + 9).to_bytes(2, "big") + ip[4:], udp)]),
            ("cut short", [plain[: 14 + 20 + 6]]),
            ("from port 0", [udp_packet(payload, 0, port, route)]),
            ("to another address", [udp_packet(payload, 4000, port, Route(CLIENT, "10.203.0.9", smac=own, dmac=to))]),
            ("to all", [udp_packet(payload, 4000, port, Route(CLIENT, "255.255.255.255", smac=own, dmac="ff:ff:ff:ff:ff:ff"))]),
            ("from all", [udp_packet(payload, 4000, port, Route("255.255.255.255", SERVER, smac=own, dmac=to))]),
            ("from itself", [udp_packet(payload, 4000, port, Route(SERVER, SERVER, smac=own, dmac=to))]),
            ("from 127.0.0.1", [udp_packet(payload, 4000, port, Route("127.0.0.1", SERVER, smac=own, dmac=to))]),
            ("for another host", [udp_packet(payload, 4000, port, Route(CLIENT, SERVER, smac=own, dmac="02:00:00:00:00:77"))]),
            ("IP version 5", [frame(bytes([0x55]) + ip[1:], udp)]),
        ]  # fmt: skip
    return out


def _tcp_syn(route: Route, port: int) -> bytes:
    return tcp_packet(b"", 4000, port, "syn", route=route)


class Wire:
    """The client's end of a side's veth pair, frame by frame."""

    def __init__(self, side: Side) -> None:
        self.side = side
        with side.client.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            self.socket.bind(("near", 0))
            self.own = _mac(self.socket)
        self.socket.setblocking(False)
        side.sockets[0].send(b"")  # so that both ends know each other's addresses
        side.reply(0)
        self.peer = _neighbour(side)
        self.drain()

    def close(self) -> None:
        self.socket.close()

    def drain(self) -> list[tuple[object, ...]]:
        """What the server has sent since, as far as it matters."""
        out: list[tuple[object, ...]] = []
        while True:
            try:
                data, address = self.socket.recvfrom(65536)
            except BlockingIOError:
                return sorted(out, key=repr)
            if address[2] != socket.PACKET_OUTGOING and (seen := _seen(data)) is not None:
                out.append(seen)

    def send(self, frames: Sequence[bytes]) -> list[tuple[object, ...]]:
        for frame in frames:
            self.socket.send(frame)
        until = time.monotonic() + _SILENT
        time.sleep(0.0005)
        while not self.side.idle() and time.monotonic() < until:
            time.sleep(0.0002)
        time.sleep(0.0005)
        return self.drain()


def _mac(sock: socket.socket) -> str:
    return ":".join(f"{byte:02x}" for byte in sock.getsockname()[4])


def _neighbour(side: Side) -> str:
    with side.client.entered():
        said = subprocess.run(["ip", "neigh", "show", SERVER], capture_output=True, text=True, check=False).stdout.split()
    if "lladdr" not in said:
        raise KernelError(Diagnostic("no-network-namespace", "the two ends of a veth pair do not see each other",
                                     notes=(" ".join(said),), help="try again"))  # fmt: skip
    return said[said.index("lladdr") + 1]


def _seen(frame: bytes) -> tuple[object, ...] | None:
    """A frame without what differs from one sending to the next: MAC and IP addresses are checked, ids and such are not."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34:
        return None
    protocol, ihl = frame[23], 4 * (frame[14] & 15)
    total = int.from_bytes(frame[16:18], "big")
    body = frame[14 + ihl : 14 + total]
    route = (frame[26:30], frame[30:34])
    if protocol == 17:
        sport, dport, length, check = struct.unpack_from(">HHHH", body)
        pseudo = frame[26:34] + b"\0\x11" + length.to_bytes(2, "big")
        unfinished = internet_checksum(pseudo) ^ 0xFFFF
        good = not check or internet_checksum(pseudo + body[:length]) == 0 or check == unfinished
        return ("udp", *route, sport, dport, body[8:length], good, internet_checksum(frame[14 : 14 + ihl]) == 0)
    if protocol == 1:
        return ("icmp", *route, body[0], body[1])
    return (protocol, *route, body[:4])


def compare_odd(original: Side, split: Side, payloads: Sequence[bytes]) -> tuple[int, list[Difference]]:
    """Sends frames that are no plain requests to both sides, and compares what comes back."""
    wires = Wire(original), Wire(split)
    try:
        lists = [
            odd_frames(side.port, payloads, wire.peer, wire.own) for side, wire in zip((original, split), wires, strict=True)
        ]
        differences = []
        for number, ((what, ours), (_, theirs)) in enumerate(zip(*lists, strict=True)):
            expected, actual = wires[0].send(ours), wires[1].send(theirs)
            if expected != actual:
                differences.append(Difference(number, f"({what}) ".encode() + ours[0][42:], expected, actual))
        return len(lists[0]), differences
    finally:
        for wire in wires:
            wire.close()
