"""Split servers beside their originals, in namespaces: no reply and no variable differs, whatever comes in."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from bpfsmith.objfile.object import read_object
from bpfsmith.offload.requests import read_workload, requests, texts
from bpfsmith.offload.shared import Layout
from bpfsmith.offload.trial import SERVER, Trial, compare
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.offload_trial import trial
from bpfsmith.workflow.offloading import Request, Split, build, read_server, split, write_halves
from tests.support.servers import EXAMPLES, with_handler

pytestmark = pytest.mark.kernel


def _split(path: Path, directory: Path, hook: str = "tc") -> Split:
    request = Request((str(path),), hook=hook, cpus=8)
    done = split(read_server(request), request, Toolchain())
    write_halves(done, directory)
    build(done, directory)
    return done


@pytest.mark.parametrize("name", ["kv", "names", "telemetry", "gateway"])
def test_every_reply_and_the_final_state_of_an_example_are_those_of_the_original(name: str, tmp_path: Path) -> None:
    done = _split(EXAMPLES / f"{name}.c", tmp_path / "split")
    workload = EXAMPLES / f"{name}.requests"
    found = trial(
        done, Request((str(EXAMPLES / f"{name}.c"),)), tmp_path / "split", count=100,
        workload=str(workload) if workload.exists() else None, arguments=(), profile=None, timed=False,
        progress=lambda text: None,
    )  # fmt: skip
    assert found.differences == ()
    assert found.sent == 100
    assert found.odd > 100
    assert all(found.states.values())
    assert found.counters.done > 0, "the kernel half did nothing"


class _Pair:
    """A server of one handler, original and split, running."""

    def __init__(self, rig: Trial, tmp_path: Path, text: str, hook: str = "tc") -> None:
        source = tmp_path / "server.c"
        source.write_text(text)
        self.done = _split(source, tmp_path / "split", hook)
        self.sides = [rig.start(build(self.done, rig.scratch, offload=False)), rig.start(tmp_path / "split" / "server")]
        for side in self.sides:
            side.ask(b"first")  # attaches
        log = self.sides[1].log.read_text()
        assert "offload: attached" in log, log
        self.sides[1].area = int(log.rpartition("0x")[2], 16)
        self.layout = Layout.of(read_object(self.done.object))

    def in_kernel(self, request: bytes) -> bool:
        before = self.layout.read_counters(self.sides[1]).done
        replies = [side.ask(request) for side in self.sides]
        assert replies[0] == replies[1]
        return self.layout.read_counters(self.sides[1]).done > before


_UPPER = """\
static unsigned seen, logged;
int handle(char *in, int n, char *out)
{
	seen++;
	if (in[0] == '!') {
		logged++;
		fprintf(stderr, "%s", in);
	}
	switch (in[0]) {
	case '?':
		return sprintf(out, "%u %u", seen, logged);
	case '-':
		return -1;
	default:
		for (int i = 0; i < n; i++)
			out[i] = in[i] >= 'a' && in[i] <= 'z' ? in[i] - 32 : in[i];
		return n;
	}
}
"""


def test_a_request_that_is_handed_over_after_a_change_is_counted_once(tmp_path: Path) -> None:
    with Trial() as rig:
        pair = _Pair(rig, tmp_path, with_handler(_UPPER))
        assert pair.in_kernel(b"abc")
        assert not pair.in_kernel(b"!log")
        assert pair.in_kernel(b"-drop")
        assert pair.in_kernel(b"?")


def test_a_request_longer_than_the_buffer_is_cut_off_as_the_socket_does(tmp_path: Path) -> None:
    with Trial() as rig:
        pair = _Pair(rig, tmp_path, with_handler(_UPPER))
        for size in (254, 255, 256, 257, 300, 1472):
            assert pair.in_kernel(b"x" * size)
            assert len(pair.sides[1].ask(b"y" * size) or b"") == min(size, 255)


def test_the_reply_goes_to_the_client_from_the_servers_address(tmp_path: Path) -> None:
    with Trial() as rig:
        pair = _Pair(rig, tmp_path, with_handler(_UPPER))
        side = pair.sides[1]
        with side.client.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(2)
            sock.sendto(b"from where", (SERVER, side.port))
            assert sock.recvfrom(100) == (b"FROM WHERE", (SERVER, side.port))


def test_both_hooks_answer_alike(tmp_path: Path) -> None:
    with Trial(xdp=True) as rig:
        pair = _Pair(rig, tmp_path, with_handler(_UPPER), hook="xdp")
        assert "(xdp)" in pair.sides[1].log.read_text()
        assert pair.in_kernel(b"abc")
        assert pair.sides[1].ask(b"abc") == b"ABC"


def test_a_variable_that_the_user_half_changes_is_seen_by_the_kernel_half_and_back(tmp_path: Path) -> None:
    text = with_handler(
        "static int value;\nint handle(char *in, int n, char *out)\n{\n\tif (in[0] == 's') {\n\t\tvalue = atoi(in + 1);\n"
        '\t\tfprintf(stderr, "set\\n");\n\t}\n\tif (in[0] == \'+\')\n\t\tvalue++;\n\treturn sprintf(out, "%d", value);\n}\n'
    )
    with Trial() as rig:
        pair = _Pair(rig, tmp_path, text)
        for number in range(3):
            assert not pair.in_kernel(b"s%d" % (100 * number))
            assert pair.in_kernel(b"g")
            assert pair.in_kernel(b"+")
            assert pair.sides[1].ask(b"g") == b"%d" % (100 * number + 1)
        layout = pair.layout.read_states(pair.sides[1], pair.done.half.states, pair.done.read.server)
        assert struct.unpack("<i", layout["value"]) == (201,)


_VALUE = """\
static char value[200];
static unsigned long reads, twice;
int handle(char *in, int n, char *out)
{
	if (in[0] == 'r') {
		reads++;
		twice += 2;
		memcpy(out, value, 200);
		out[200] = twice == 2 * reads;
		return 201;
	}
	for (int i = 0; i < 200; i++)
		value[i] = in[1];
	if (in[0] == 'u')
		fprintf(stderr, "%c", in[1]);
	return 2;
}
"""


def test_no_request_sees_half_of_what_another_changes(tmp_path: Path) -> None:
    with Trial() as rig:
        pair = _Pair(rig, tmp_path, with_handler(_VALUE))
        side = pair.sides[1]
        seen: dict[bytes, list[bytes]] = {b"r": [], b"k": [], b"u": []}
        until = time.monotonic() + 1.5

        def keep_asking(kind: bytes, sock: socket.socket) -> None:
            sock.settimeout(0.5)
            letter = 0
            while time.monotonic() < until:
                letter = (letter + 1) % 26
                sock.send(kind + bytes([97 + letter]))
                with contextlib.suppress(TimeoutError):
                    seen[kind].append(sock.recv(400))

        threads = [threading.Thread(target=keep_asking, args=item) for item in zip(seen, side.sockets, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(len(replies) > 100 for replies in seen.values())
        assert all(len(set(reply[:200])) == 1 and reply[200] for reply in seen[b"r"])
        assert pair.layout.read_counters(side).done > 100


def test_without_the_kernel_half_the_user_half_is_the_server(tmp_path: Path) -> None:
    with Trial() as rig:
        done = _split(EXAMPLES / "kv.c", tmp_path / "split")
        sides = [
            rig.start(build(done, rig.scratch, offload=False)),
            rig.start(tmp_path / "split" / "server", offload=False),
        ]
        sent, _, differences = compare(sides, requests(60, (b"SET a b", b"GET a"), texts(done.read.server)))
        assert (sent, differences) == (60, [])


def test_a_pcap_and_lines_of_hex_and_text_are_workloads(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(b"# comment\nGET a\\r\\n\nSET \\x41 b\n")
    assert read_workload(str(lines)) == (b"GET a\r\n", b"SET A b")
    lines.write_bytes(b"00ff\n414243\n")
    assert read_workload(str(lines)) == (b"\x00\xff", b"ABC")
