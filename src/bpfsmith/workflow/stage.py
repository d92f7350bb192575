"""Two hosts of our own, a client and a server, joined by a cable, on which elements are tried with real messages.

Both are network namespaces that vanish with this process. The server answers every datagram with its bytes.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bpfsmith.kernel.netns import Namespace

SERVER, CLIENT, DEVICE = "10.77.0.1", "10.77.0.2", "veth0"
_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it
_MARK_PORT = 9  # discard: no element is bound to it, and it tells that all before has arrived


@dataclass(slots=True)
class Stage:
    """The two hosts, as long as the `with` block is open. `port` is the one that the server listens on."""

    port: int
    _resources: ExitStack = field(default_factory=ExitStack)
    server: Namespace = field(init=False)
    client: Namespace = field(init=False)
    arrived: int = 0  # datagrams that the server's process saw
    _sockets: dict[str, socket.socket] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        try:
            self.server, self.client = (self._resources.enter_context(Namespace()) for _ in range(2))
            self.server.ip(f"link add {DEVICE} type veth peer name {DEVICE} netns {self.client.pid}")
            for host, address in ((self.server, SERVER), (self.client, CLIENT)):
                host.ip(f"addr add {address}/24 dev {DEVICE}", f"link set {DEVICE} up")
            self._listen()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._resources.close()

    def _listen(self) -> None:
        for name, port in (("server", self.port), ("mark", _MARK_PORT)):
            self._sockets[name] = self._open(self.server, SERVER, port)
        self._sockets["client"] = self._open(self.client, CLIENT, 0)
        answering = threading.Thread(target=self._answer, daemon=True)
        answering.start()
        self._resources.callback(answering.join)
        self._resources.callback(self._stop.set)

    def _open(self, host: Namespace, address: str, port: int) -> socket.socket:
        """A socket stays in the namespace that it was made in."""
        with host.entered():
            made = self._resources.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        made.bind((address, port))
        return made

    def _answer(self) -> None:
        sockets = [self._sockets["server"], self._sockets["mark"]]
        while not self._stop.is_set():
            ready, _, _ = select.select(sockets, [], [], 0.05)
            for one in sorted(ready, key=lambda item: item is self._sockets["mark"]):
                self._drain(one)

    def _drain(self, one: socket.socket) -> None:
        while True:
            try:
                data, sender = one.recvfrom(2048, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if one is self._sockets["server"]:
                self.arrived += 1
            else:
                self._drain(self._sockets["server"])
            one.sendto(data, sender)

    @contextmanager
    def on_server(self) -> Iterator[str]:
        """This thread is on the server's host; gives its device."""
        with self.server.entered():
            yield DEVICE

    @contextmanager
    def on_client(self) -> Iterator[str]:
        with self.client.entered():
            yield DEVICE

    def unsolicited(self, response: bytes) -> None:
        """The server sends a response that nobody asked for; it has arrived when this returns."""
        client = self._sockets["client"]
        self._sockets["server"].sendto(response, client.getsockname())
        client.settimeout(5.0)
        client.recvfrom(2048)

    def exchange(self, requests: Sequence[bytes], patience: float = 5.0) -> list[bytes]:
        """Sends requests one behind the other; the answers that came back. All have arrived or are lost when it returns."""
        client = self._sockets["client"]
        answers: list[bytes] = []
        for data in requests:
            client.sendto(data, (SERVER, self.port))
        client.sendto(b"mark", (SERVER, _MARK_PORT))
        client.settimeout(patience)
        while True:
            data, sender = client.recvfrom(2048)
            if sender[1] == _MARK_PORT:
                return answers
            answers.append(data)
