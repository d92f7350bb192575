"""The language server as an editor meets it: over its pipes, in its protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("editor")  # one server

RATE = (Path(__file__).parents[3] / "examples" / "appnet" / "rate_limit.appnet").read_text()
PROBE = "probe syscall:read(fd, buf, bytes) {\n  let t = now();\n      on return {\n hist us_ = (now() - t) / us;\n }\n}\n"


class Editor:
    """A client with a server of its own: sends messages, and reads until the one it waits for comes."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bpfsmith", "lsp"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.number = 0

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        size = 0
        while line := self.process.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        assert size, "the server has ended"
        found = json.loads(self.process.stdout.read(size))
        assert isinstance(found, dict)
        assert found.get("method") != "window/showMessage", found
        return found

    def ask(self, method: str, **params: Any) -> Any:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while (answer := self.read()).get("id") != self.number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def diagnostics(self, uri: str, text: str, version: int = 1) -> list[dict[str, Any]]:
        """What the server says of a text: opened, or changed to it."""
        if version == 1:
            document = {"uri": uri, "languageId": "appnet", "version": 1, "text": text}
            self.send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        else:
            params = {"textDocument": {"uri": uri, "version": version}, "contentChanges": [{"text": text}]}
            self.send({"method": "textDocument/didChange", "params": params})
        while (answer := self.read()).get("method") != "textDocument/publishDiagnostics":
            pass
        found = answer["params"]["diagnostics"]
        assert isinstance(found, list)
        return found

    def at(self, method: str, uri: str, line: int, character: int) -> Any:
        return self.ask(method, textDocument={"uri": uri}, position={"line": line, "character": character})


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    started = Editor()
    started.ask("initialize", processId=None, rootUri=None, capabilities={})
    started.send({"method": "initialized", "params": {}})
    yield started
    started.ask("shutdown")
    started.send({"method": "exit"})
    assert started.process.wait(10) == 0


def place(text: str, words: str) -> tuple[int, int]:
    """Line and character, from 0, at which some words stand first."""
    before = text[: text.index(words)]
    return before.count("\n"), len(before) - before.rfind("\n") - 1


def test_a_mistake_is_shown_where_it_is_and_goes_when_it_is_mended(editor: Editor, tmp_path: Path) -> None:
    """Law: diagnostics have the command line's ids and places, and a text without mistakes has none."""
    uri = (tmp_path / "rate.appnet").as_uri()
    wrong = RATE.replace("tokens >= 1.0", "tokns >= 1.0")
    (told,) = editor.diagnostics(uri, wrong)
    line, character = place(wrong, "tokns")
    assert told["code"] == "unknown-name"
    assert told["range"] == {"start": {"line": line, "character": character}, "end": {"line": line, "character": character + 5}}
    assert "help: " in told["message"]
    assert editor.diagnostics(uri, RATE, 2) == []


def test_hover_has_type_and_cost_and_definition_leads_home(editor: Editor, tmp_path: Path) -> None:
    uri = (tmp_path / "hover.appnet").as_uri()
    editor.diagnostics(uri, RATE)
    line, character = place(RATE, "tokens >= 1.0")
    said = editor.at("textDocument/hover", uri, line, character)["contents"]["value"]
    assert said.startswith("state `tokens: float`")
    assert "ns for this line, predicted" in said
    home = editor.at("textDocument/definition", uri, line, character)["range"]["start"]
    assert (home["line"], home["character"]) == place(RATE, "tokens: float")
    line, character = place(RATE, "now, last")
    assert "type `Instant`" in editor.at("textDocument/hover", uri, line, character)["contents"]["value"]
    home = editor.at("textDocument/definition", uri, line, character)["range"]["start"]
    assert (home["line"], home["character"]) == place(RATE, "now = current_time")
    line, character = place(RATE, "current_time()\n    tokens = min")
    assert "clock" in editor.at("textDocument/hover", uri, line, character)["contents"]["value"]


def test_probes_are_served_too(editor: Editor, tmp_path: Path) -> None:
    uri = (tmp_path / "read.probe").as_uri()
    assert editor.diagnostics(uri, PROBE) == []
    line, character = place(PROBE, "t) / us")
    home = editor.at("textDocument/definition", uri, line, character)["range"]["start"]
    assert home["line"] == 1
    (edit,) = editor.ask("textDocument/formatting", textDocument={"uri": uri}, options={"tabSize": 4, "insertSpaces": True})
    wanted = """\
probe syscall:read(fd, buf, bytes) {
    let t = now();
    on return {
        hist us_ = (now() - t) / us;
    }
}
"""
    assert edit["newText"] == wanted
    assert editor.diagnostics(uri, wanted, 2) == []
    assert editor.ask("textDocument/formatting", textDocument={"uri": uri}, options={"tabSize": 4, "insertSpaces": True}) == []
    (told,) = editor.diagnostics(uri, wanted.replace("now()", "noow()"), 3)
    assert (told["code"], told["range"]["start"]["line"]) == ("probe-name", 1)


def test_appnet_is_formatted_as_fmt_does(editor: Editor, tmp_path: Path) -> None:
    uri = (tmp_path / "layout.appnet").as_uri()
    editor.diagnostics(uri, RATE.replace("now = current_time()", "now   =   current_time( )"))
    (edit,) = editor.ask("textDocument/formatting", textDocument={"uri": uri}, options={"tabSize": 4, "insertSpaces": True})
    assert edit["newText"] == RATE
