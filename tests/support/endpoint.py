"""An OpenAI-compatible endpoint on this machine that answers what a test wants, rightly or not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server sends: `body` as it is, or a completion with `text` in it."""

    text: str = ""
    status: int = 200
    body: bytes | None = None
    delay_s: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()


Answering = Callable[[dict[str, Any]], Answer]
"""The request's JSON to what is sent."""


@dataclass
class Server:
    """`requests` are the bodies that came, `keys` the Authorization headers."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@contextmanager
def endpoint(answering: Answering) -> Iterator[Server]:
    """Runs the server on a free port of the loopback."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            asked = json.loads(self.rfile.read(length))
            served.requests.append(asked)
            served.keys.append(self.headers.get("authorization", ""))
            answer = answering(asked) if self.path == "/v1/chat/completions" else Answer(status=404)
            stop.wait(answer.delay_s)
            body = answer.body if answer.body is not None else _completion(answer, asked)
            try:
                self.send_response(answer.status)
                for name, value in (("content-type", "application/json"), *answer.headers):
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # the client went away
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Server(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(answer: Answer, asked: dict[str, Any]) -> bytes:
    if answer.status != 200:
        return json.dumps({"error": {"message": answer.text or "no", "type": "test"}}).encode()
    words = sum(len(item["content"].split()) for item in asked["messages"])
    return json.dumps(
        {
            "id": "1", "object": "chat.completion", "created": 0, "model": asked["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer.text}}],
            "usage": {"prompt_tokens": words, "completion_tokens": len(answer.text.split()), "total_tokens": 0},
        }
    ).encode()  # fmt: skip


def fenced(code: str, language: str = "c") -> str:
    """Code as models send it."""
    return f"Here it is:\n\n```{language}\n{code}```\n"
