"""`demo appnet`: shipped elements at work between a client and a server of our own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bpfsmith.appnet.wire import payload
from bpfsmith.diagnostic import Diagnostic, InternalError
from bpfsmith.report import Outcome
from bpfsmith.workflow.attaching import attached, state_lines
from bpfsmith.workflow.compiling import Compiled, compile_appnet, opened_appnet
from bpfsmith.workflow.demo import example_path
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.stage import Stage

PORT = 9000
_BURST = 200
"""Requests that are sent before the client looks which were answered."""


@dataclass(frozen=True, slots=True)
class Scene:
    """An element and the requests that it gets: so many of each kind, by its fields, one kind after the other."""

    example: str
    requests: tuple[tuple[Mapping[str, int | bytes], int], ...]
    expect: str


SCENES = (
    Scene("fault", (({}, 20_000),), "one in twenty is dropped"),
    Scene("rate_limit", (({}, 3_000),), "a burst of 50 passes, then 1,000 a second"),
    Scene(
        "acl",
        (({"user": b"alice"}, 100), ({"user": b"bob"}, 100), ({"user": b"mallory"}, 100)),
        "alice passes, bob may not, mallory is nobody",
    ),
    Scene("access_log", (({"id": 1, "user": b"alice"}, 1), ({"id": 2, "user": b"bob"}, 2)), "every request is in the log"),
    Scene(
        "chunked_acl",
        (
            ({"id": 1, "index": 0, "user": b"alice"}, 1),
            ({"id": 1, "index": 1}, 2),
            ({"id": 2, "index": 0, "user": b"mallory"}, 1),
            ({"id": 2, "index": 1}, 2),
        ),
        "an RPC of three packets passes or does not, as its first packet decides",
    ),
    Scene("outcomes", (({"id": 7, "status": 0}, 90), ({"id": 8, "status": 1}, 10)), "responses are counted by their status"),
)


def live_lines() -> Iterator[str]:
    """Every scene: compiled, proved, attached to the server's device, and what became of the requests."""
    with Stage(PORT) as stage:
        for scene in SCENES:
            yield from _played(scene, stage)
    yield "the two hosts are gone, and everything that was attached with them"


def _played(scene: Scene, stage: Stage) -> Iterator[str]:
    compiled = _compiled(scene.example)
    element = compiled.element
    yield f"--- {scene.example}: {scene.expect}"
    yield f"{'proved':<11} {element.line_count} lines of AppNet, {sum(item.insns for item in compiled.programs)} insns, equal"
    with stage.on_server() as device, attached(compiled, device) as running:
        for body, place in running.places.items():
            yield f"{'attached':<11} {body} at {place}"
        for fields, count in scene.requests:
            data = payload(element.binding, "req", fields) if element.binding is not None else b""
            began, answered = time.monotonic(), 0
            for sent in range(0, count, _BURST):
                answered += len(stage.exchange([data or b"request"] * min(_BURST, count - sent)))
            named = ", ".join(
                f"{name} {value.decode() if isinstance(value, bytes) else value}" for name, value in fields.items()
            )
            took = f"in {time.monotonic() - began:.2f} s"
            yield f"{'sent':<11} {count} requests{f' ({named})' if named else ''} {took}: {answered} answered"
        yield from (f"{'state':<11} {line}" for line in state_lines(running))
    yield ""


def _compiled(example: str) -> Compiled:
    path = str(example_path(example))
    toolchain = Toolchain()
    opened = opened_appnet(path, toolchain)
    if opened.element.binding is None:
        toolchain = Toolchain(bind=f"udp:{PORT}")
        opened = opened_appnet(path, toolchain)
    compiled = compile_appnet(opened, toolchain, timed=False)
    if compiled.outcome is not Outcome.EQUAL:
        raise InternalError(
            Diagnostic(
                "generator-mismatch",
                f"the shipped example {example} is not proved: {compiled.verdict}",
                help="please report it",
            )
        )
    return compiled
