"""Elements at work: attached between a client and a server of our own, with real datagrams on two CPUs."""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.appnet import facts, interpreter
from bpfsmith.appnet.numbers import FixedNumbers
from bpfsmith.appnet.rpcs import Remembered, arrives
from bpfsmith.appnet.wire import Message, payload, read_message
from bpfsmith.semantics.verdict import Equal
from bpfsmith.workflow.attaching import Attached, attached
from bpfsmith.workflow.compiling import Compiled, compile_appnet, opened_appnet
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.stage import CLIENT, DEVICE, SERVER, Stage
from tests.corpus.stepping import decoded
from tests.support.messages import packet

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
EXAMPLES, CORPUS = ROOT / "examples" / "appnet", ROOT / "tests" / "corpus" / "appnet"
PORT = 9000


@cache
def compiled(path: Path, hook: str = "xdp", side: str = "server", bind: str | None = None) -> Compiled:
    toolchain = Toolchain(bind=bind, hook=hook, side=side)
    done = compile_appnet(opened_appnet(str(path), toolchain), toolchain, timed=False)
    assert isinstance(done.verdict, Equal), str(done.verdict)
    return done


def state_of(running: Attached) -> dict[str, Any]:
    assert running.words.layout is not None
    return decoded(running.compiled.element, running.words.layout, running.contents())


@pytest.mark.parametrize("hook", ["xdp", "tc"])
def test_fault_injection_drops_its_share(hook: str) -> None:
    """Law: of 40,000 requests one in twenty is dropped, within 4.5 standard deviations, and every one is counted."""
    element = compiled(EXAMPLES / "fault.appnet", hook, bind=f"udp:{PORT}")
    rounds, each = 200, 200
    with Stage(PORT) as stage, stage.on_server() as device:
        with attached(element, device) as running:
            answered = sum(len(stage.exchange([b"request"] * each)) for _ in range(rounds))
            state = state_of(running)
        assert len(stage.exchange([b"request"] * 50)) == 50, "nothing is dropped any more when it is detached"
    sent = rounds * each
    assert state["served"] == sent
    assert abs((sent - answered) - 0.05 * sent) < 4.5 * math.sqrt(sent * 0.05 * 0.95)


FLOOD = """
import os, socket, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for _ in range(10):
        sender.sendto(b"request", (sys.argv[3], int(sys.argv[4])))
    time.sleep(0.001)
"""


def test_rate_limit_holds_under_load_from_two_cpus() -> None:
    """Law: under some ten times its rate, from two CPUs at once, a limit of 1,000 requests a second lets that many pass,
    within 1 %."""
    element = compiled(EXAMPLES / "rate_limit.appnet", bind=f"udp:{PORT}")
    seconds = 2.5
    cpus = sorted(os.sched_getaffinity(0))
    with Stage(PORT) as stage, stage.on_server() as device, attached(element, device):
        stage.exchange([b"request"] * 500)  # the first burst, and more
        time.sleep(0.001)
        before, began = stage.arrived, time.monotonic()
        with stage.on_client():
            command = [sys.executable, "-c", FLOOD]
            senders = [subprocess.Popen([*command, str(cpu), str(seconds), SERVER, str(PORT)]) for cpu in (cpus[0], cpus[-1])]
        # Looked at while both still send, so that the bucket was empty all the time.
        time.sleep(seconds / 5)
        first, first_at = stage.arrived, time.monotonic()
        time.sleep(seconds * 3 / 5)
        last, last_at = stage.arrived, time.monotonic()
        for sender in senders:
            assert sender.wait(timeout=30) == 0
    assert before > 0 and began < first_at
    allowed = 1000 * (last_at - first_at)
    assert abs((last - first) - allowed) < 0.01 * allowed + 30, (last - first, allowed)


def test_counts_in_map_entries_are_exact_across_cpus() -> None:
    """Law: counts in the entries of a Map, made from two CPUs at once, lose nothing: they add up to what arrived."""
    element = compiled(EXAMPLES / "calls_by_user.appnet")
    assert element.generated.counted == {"calls", "bytes"}
    data = payload(element.element.binding, "req", {"user": b"alice"}) if element.element.binding else b""
    cpus = sorted(os.sched_getaffinity(0))
    with Stage(PORT) as stage, stage.on_server() as device, attached(element, device) as running:
        with stage.on_client():
            command = [sys.executable, "-c", FLOOD.replace('b"request"', repr(data))]
            senders = [subprocess.Popen([*command, str(cpu), "1.0", SERVER, str(PORT)]) for cpu in (cpus[0], cpus[-1])]
        for sender in senders:
            assert sender.wait(timeout=30) == 0
        stage.exchange([])
        state = state_of(running)
    assert state["total"] == stage.arrived > 1000
    assert state["calls"] == {b"alice": stage.arrived}
    assert state["bytes"] == {b"alice": stage.arrived * len(data)}


def trace(stage: Stage, running: Attached, plan: random.Random, rounds: int) -> dict[str, Any]:
    """Requests and unsolicited responses in a random order; what the interpreter makes of the same packets."""
    element = running.compiled.element
    binding = element.binding
    assert binding is not None
    numbers = FixedNumbers()
    meant = interpreter.run(element, "init", interpreter.initial_state(element, numbers), iter(()), iter(()), numbers).state
    for number in range(rounds):
        fields: dict[str, int | bytes] = {
            item.name: plan.randrange(4) if item.kind == "number" else plan.choice([b"alice", b"bob", b"eve", b""])
            for item in binding.fields["req"]
        }
        data = payload(binding, "req", fields)
        steps = [("req", data)]
        answers = stage.exchange([data])
        if plan.random() < 0.3:
            stage.unsolicited(data)
            answers.append(data)
        steps += [("resp", answer) for answer in answers]
        for body, seen in steps:
            statements = element.body(body)
            names = facts.fields_read(statements) | facts.fields_set(statements)
            message = read_message(binding, body, packet(binding, body, seen), names)
            assert isinstance(message, Message)
            done = interpreter.run(element, body, meant, iter(()), iter(()), numbers, message)
            meant = done.state
            if body == "req":
                assert done.forwarded == bool(answers[: len(steps) - 1]) or not done.forwarded, number
    return meant


@pytest.mark.parametrize("name", ["circuit_breaker", "outcomes", "acl_counts"])
@pytest.mark.parametrize("hook", ["xdp", "tc"])
def test_state_is_the_interpreters_after_a_trace(name: str, hook: str) -> None:
    """Law: after a trace of requests and responses, unsolicited ones included, the maps hold what the interpreter says."""
    element = compiled(EXAMPLES / f"{name}.appnet", hook)
    with Stage(PORT) as stage, stage.on_server() as device, attached(element, device) as running:
        meant = trace(stage, running, random.Random(name), 60)
        found = state_of(running)
        assert found == {variable: meant[variable] for variable in found}


def test_a_refused_request_is_answered() -> None:
    """Law: where the binding defines a reply, who is refused gets the request back, marked, and the server never sees it."""
    element = compiled(EXAMPLES / "deny_reply.appnet")
    binding = element.element.binding
    assert binding is not None
    asked = [payload(binding, "req", {"id": number, "user": user}) for number, user in enumerate([b"mallory", b"alice"] * 20)]
    with Stage(PORT) as stage, stage.on_server() as device, attached(element, device, generic=True) as running:
        answers = stage.exchange(asked)
        assert state_of(running) == {"denied": 20}
        assert stage.arrived == 20
    read = [read_message(binding, "resp", packet(binding, "resp", answer)) for answer in answers]
    failed = {item.fields["id"]: item.fields["status"] for item in read if isinstance(item, Message)}
    assert failed == {number: 1 - number % 2 for number in range(40)}


def test_nothing_is_left_when_it_is_killed() -> None:
    """Law: `attach` that is killed leaves no program on the device."""
    with Stage(PORT) as stage:
        path = str(stage.server.path)
        command = ["attach", str(EXAMPLES / "fault.appnet"), "--netns", path, "--dev", DEVICE, "--bind", f"udp:{PORT}"]
        running = subprocess.Popen([sys.executable, "-m", "bpfsmith", *command], stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("attached"):
                break
        dropped = 400 - len(stage.exchange([b"request"] * 400))
        running.send_signal(signal.SIGKILL)
        running.wait(timeout=30)
        running.stdout.close()
        deadline = time.monotonic() + 5
        while _xdp_on(stage) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert dropped > 0
        assert not _xdp_on(stage)
        assert len(stage.exchange([b"request"] * 400)) == 400


def _xdp_on(stage: Stage) -> bool:
    with stage.on_server():
        shown = subprocess.run(["ip", "link", "show", DEVICE], capture_output=True, text=True, check=True).stdout
    return "xdp" in shown


def test_ctrl_c_detaches_and_says_so() -> None:
    """Law: Ctrl-C shows the last state, detaches, and is no failure; so does SIGTERM."""
    with Stage(PORT) as stage:
        command = ["attach", str(EXAMPLES / "fault.appnet"), "--netns", str(stage.server.path), "--dev", DEVICE]
        running = subprocess.Popen(
            [sys.executable, "-m", "bpfsmith", *command, "--bind", f"udp:{PORT}"], stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("served"):
                break
        running.send_signal(signal.SIGTERM)
        rest = running.stdout.read()
        assert running.wait(timeout=30) == 0
        running.stdout.close()
        assert rest.endswith("detached\n")
        assert not _xdp_on(stage)


def test_client_side_sees_both_directions() -> None:
    """Law: on the client's host requests leave through TC and responses arrive at the hook, with the same counts."""
    element = compiled(EXAMPLES / "outcomes.appnet", "tc", "client")
    with Stage(PORT) as stage, stage.on_client() as device, attached(element, device) as running:
        assert running.places == {"req": f"tcx/egress of {device}", "resp": f"tcx/ingress of {device}"}
        assert CLIENT
        meant = trace(stage, running, random.Random(7), 20)
        found = state_of(running)
        assert found == {variable: meant[variable] for variable in found}


def test_the_packets_of_an_rpc_share_its_fate() -> None:
    """Law: of RPCs whose packets come in any order, twice or not at all, those arrive that the reference lets through."""
    element = compiled(EXAMPLES / "chunked_acl.appnet")
    binding, source = element.element.binding, random.Random(3)
    assert binding is not None
    sent = []
    for number in range(40):
        user = source.choice([b"alice", b"bob", b"mallory"])
        for index in range(3):
            fields: dict[str, int | bytes] = {"id": number, "index": index, "count": 3, "user": user}
            sent += [payload(binding, "req", fields)] * source.choice([0, 1, 1, 2])
    source.shuffle(sent)
    memory: dict[bytes, Remembered] = {}
    through, refused = [], 0
    for data in sent:
        fate = arrives(
            binding,
            "req",
            packet(binding, "req", data),
            ["user"],
            memory,
            lambda: 0,
            lambda said: said.fields["user"] == b"alice",
        )
        assert fate is not None
        memory = fate.memory
        through += [data] * fate.forwarded
        refused += fate.ran and not fate.forwarded
    with Stage(PORT) as stage, stage.on_server() as device, attached(element, device) as running:
        answers = stage.exchange(sent)
        assert state_of(running)["refused"] == refused > 0
    assert sorted(answers) == sorted(through)
    assert 0 < len(through) < len(sent)


def test_a_tcp_segment_that_is_sent_again_is_refused_again() -> None:
    """Law: what TCP sends again because it was dropped is dropped again, and decided once."""
    element = compiled(EXAMPLES / "tcp_methods.appnet", "tc")
    binding = element.element.binding
    assert binding is not None
    read, delete = (payload(binding, "req", {"id": 1, "method": method}) for method in (1, 3))
    with Stage(PORT) as stage, stage.on_server() as device, attached(element, device) as running:
        listening = socket.create_server((SERVER, PORT))
        with listening, stage.on_client(), socket.create_connection((SERVER, PORT), timeout=5) as client:
            served, _ = listening.accept()
            with served:
                served.settimeout(5)
                client.sendall(read)
                assert served.recv(100) == read
                client.sendall(delete)
                served.settimeout(0.9)  # long enough for TCP to send it again, and again
                with pytest.raises(TimeoutError):
                    served.recv(100)
        assert state_of(running) == {"refused": 1}
        assert len(running.contents()["rpcs_req"]) == 2
