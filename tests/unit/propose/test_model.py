"""An endpoint can be slow, wrong or hostile: each is said plainly, no key is ever said, and what may pass is tried again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.propose import model
from bpfsmith.propose.model import Endpoint, Remote
from bpfsmith.propose.task import Failure, Message, Question, Reply
from bpfsmith.propose.transcript import Recording, Replay
from tests.support.endpoint import Answer, Answering, Server, endpoint

KEY = "sk-very-secret-0123456789"
QUESTION = Question(1, 1, (Message("user", "hello there"),), 0.2, 7, 50)


def _ask(url: str, seconds: float = 30.0, retries: int = 0, timeout_s: float = 20.0, count: int = 1) -> list[Reply | Failure]:
    return Remote(Endpoint("m", url, timeout_s=timeout_s, retries=retries)).ask([QUESTION] * count, seconds)


def _always(answer: Answer) -> Answering:
    return lambda asked: answer


def _one(answering: Answering, **how: float) -> tuple[Reply | Failure, Server]:
    with endpoint(answering) as server:
        (found,) = _ask(server.url, **how)  # type: ignore[arg-type]
        return found, server


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_an_answer_comes_with_its_tokens_and_the_question_as_it_was_asked() -> None:
    found, server = _one(_always(Answer("four words are here")))
    assert isinstance(found, Reply)
    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("four words are here", 2, 4)
    (asked,) = server.requests
    assert (asked["model"], asked["seed"], asked["max_tokens"], asked["temperature"]) == ("m", 7, 50, 0.2)
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("answer", "id", "lasting"),
    [
        (Answer(f"Incorrect API key provided: {KEY}", status=401), "model-refused", True),
        (Answer("no such model", status=404), "model-refused", True),
        (Answer("too long", status=400), "model-refused", True),
        (Answer("busy", status=429), "model-unreachable", False),
        (Answer("broken", status=503), "model-unreachable", False),
        (Answer(body=b"<html>hello</html>"), "model-answer", False),
        (Answer(body=b"{}"), "model-answer", False),
        (Answer(body=b'{"choices": []}'), "model-answer", False),
        (Answer(body=b'{"choices": [{"message": {"content": 7}}]}'), "model-answer", False),
        (Answer(body=b'{"choices": "none", "usage": [1]}'), "model-answer", False),
        (Answer(body=b"[1, 2]"), "model-answer", False),
        (Answer(body=b"\xff\xfe\x00"), "model-answer", False),
    ],
)
def test_whatever_a_server_does_is_a_failure_in_words_without_the_key(answer: Answer, id: str, lasting: bool) -> None:
    found, _ = _one(_always(answer))
    assert isinstance(found, Failure), found
    assert (found.id, found.lasting) == (id, lasting)
    assert KEY not in f"{found.message} {found.help}"
    assert "127.0.0.1" in found.message


def test_a_busy_server_is_asked_again_and_a_wrong_key_is_not() -> None:
    left = [Answer("busy", status=429, headers=(("retry-after-ms", "10"),)), Answer("at last")]
    found, server = _one(lambda asked: left.pop(0), retries=2)
    assert isinstance(found, Reply) and found.text == "at last" and len(server.requests) == 2
    _, server = _one(_always(Answer(status=401)), retries=2)
    assert len(server.requests) == 1


def test_a_slow_server_is_left_when_the_time_is_up() -> None:
    started = time.monotonic()
    found, _ = _one(_always(Answer("late", delay_s=60)), seconds=0.5)
    assert isinstance(found, Failure) and found.id == "model-unreachable"
    found, _ = _one(_always(Answer("late", delay_s=60)), timeout_s=0.5)
    assert isinstance(found, Failure) and found.id == "model-unreachable"
    assert time.monotonic() - started < 30


def test_a_server_that_is_not_there_is_said_to_be_unreachable() -> None:
    with endpoint(_always(Answer())) as server:
        url = server.url
    (found,) = _ask(url)
    assert isinstance(found, Failure)
    assert (found.id, found.lasting) == ("model-unreachable", True)


def test_several_questions_are_asked_at_the_same_time() -> None:
    with endpoint(_always(Answer("x", delay_s=0.5))) as server:
        started = time.monotonic()
        found = _ask(server.url, count=6)
        took = time.monotonic() - started
    assert all(isinstance(item, Reply) for item in found)
    assert sum(item.seconds for item in found if isinstance(item, Reply)) > 1.3 * took


def test_a_service_elsewhere_is_not_asked_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    (found,) = Remote(Endpoint("m", "https://models.invalid/v1")).ask([QUESTION], 5)
    assert isinstance(found, Failure)
    assert "OPENAI_API_KEY" in found.message and found.lasting


@pytest.mark.parametrize("url", ["ftp://x/v1", "localhost:80", "http://", "http://user:secret@127.0.0.1/v1"])
def test_what_is_no_url_or_holds_a_password_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InputError) as caught:
        Endpoint.named("m", url, "OPENAI_API_KEY", 1, 0)
    assert caught.value.diagnostics[0].id == "bad-endpoint"
    assert "secret" not in str(caught.value)


def test_a_missing_client_library_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(model, "import_module", missing)
    with pytest.raises(InputError) as caught:
        Remote(Endpoint("m"))
    assert caught.value.diagnostics[0].id == "no-model-client"


def test_every_id_of_this_layer_has_a_page() -> None:
    root = Path(__file__).parents[3]
    sources = [*(root / "src" / "bpfsmith" / "propose").glob("*.py")]
    sources += [root / "src" / "bpfsmith" / "workflow" / f"{name}.py" for name in ("asking", "proposing", "example_library")]
    ids = {id for path in sources for id in re.findall(r'(?:Failure|Diagnostic)\(\s*"([a-z-]+)"', path.read_text())}
    assert {"no-candidate", "model-refused", "no-transcripts", "bad-example"} <= ids
    assert not {id for id in ids if not (root / "docs" / "diagnostics" / f"{id}.md").exists()}


# --- transcripts ------------------------------------------------------------------------------------------------------
def test_a_transcript_gives_the_same_answers_and_holds_no_key(tmp_path: Path) -> None:
    answers: list[Callable[[], Answer]] = [lambda: Answer("first"), lambda: Answer(f"bad key {KEY}", status=401)]
    with endpoint(lambda asked: answers[asked["seed"]]()) as server:
        inner = Remote(Endpoint("m", server.url, retries=0))
        questions = [Question(1, at + 1, QUESTION.messages, 0.2, at, 50) for at in range(2)]
        said = Recording(inner, tmp_path).ask(questions, 30)
    replay = Replay(tmp_path)
    assert replay.ask(questions, 0) == said
    assert replay.changed == 0
    assert not any(KEY in path.read_text() for path in tmp_path.iterdir())


def test_a_replay_ends_where_the_transcript_does_and_counts_prompts_that_changed(tmp_path: Path) -> None:
    with endpoint(_always(Answer("x"))) as server:
        Recording(Remote(Endpoint("m", server.url)), tmp_path).ask([QUESTION], 30)
    replay = Replay(tmp_path)
    (found,) = replay.ask([Question(2, 1, QUESTION.messages, 0.2, 7, 50)], 0)
    assert isinstance(found, Failure) and found.id == "no-transcripts"
    replay.ask([Question(1, 1, (Message("user", "something else"),), 0.2, 7, 50)], 0)
    assert replay.changed == 1


def test_a_directory_without_transcripts_and_one_with_rubbish_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Replay(tmp_path)
    reply = '{"text": 7, "prompt_tokens": 1, "completion_tokens": 1, "seconds": 0}'
    for text in ("[1]", "{", '{"question": {"messages": []}}', f'{{"question": {{"messages": []}}, "reply": {reply}}}'):
        (tmp_path / "round-01-candidate-01.json").write_text(text)
        with pytest.raises(InputError) as caught:
            Replay(tmp_path).ask([QUESTION], 0)
        assert caught.value.diagnostics[0].id == "no-transcripts"
