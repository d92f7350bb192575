"""Endpoints that speak OpenAI's chat protocol: hosted services, vLLM, Ollama, a llama.cpp server.

The official client library does the talking. It is an extra (`pip install 'bpfsmith[models]'`) and is imported when a model is
asked, not before. Keys come from the environment and go into requests, nowhere else: no message, report or transcript has one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.propose.task import Failure, Question, Reply

T = TypeVar("T")
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"
_NO_KEY = "none"  # what servers on this machine are sent: they want a header, and do not look at it


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked, and how patiently: `timeout_s` for each request, `retries` after those that may pass (429, 5xx,
    no connection), the wait between them doubling from half a second to eight, or as long as the server says."""

    model: str
    base_url: str = DEFAULT_URL
    key_variable: str = KEY_VARIABLE
    timeout_s: float = 120.0
    retries: int = 3

    @classmethod
    def named(cls, model: str, base_url: str | None, key_variable: str, timeout_s: float, retries: int) -> Endpoint:
        """The endpoint that options and environment name. InputError `bad-endpoint` for what is no http(s) URL."""
        url = base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            help = "such as http://127.0.0.1:8080/v1"
            raise InputError(Diagnostic("bad-endpoint", f"{_without_user(url)} is no http or https URL", help=help))
        if parts.username or parts.password:
            message = "--base-url holds a user name or a password, which would stand in reports"
            help = f"put the key into the environment variable {key_variable}"
            raise InputError(Diagnostic("bad-endpoint", message, help=help))
        return cls(model, url, key_variable, timeout_s, retries)

    @property
    def is_local(self) -> bool:
        """Is it on this machine, so that nothing leaves it?"""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def place(self) -> str:
        """Scheme, host, port and path, for messages."""
        parts = urlsplit(self.base_url)
        return parts._replace(query="", fragment="").geturl()


def client_library() -> Any:
    """The package `openai`; InputError `no-model-client` where the extra is not installed."""
    try:
        return import_module("openai")
    except ImportError as error:
        help = "pip install 'bpfsmith[models]'"
        raise InputError(
            Diagnostic("no-model-client", "the package openai, which talks to models, is not installed", help=help)
        ) from error


@dataclass(slots=True)
class Remote:
    """A model behind an endpoint."""

    endpoint: Endpoint
    library: Any = field(default_factory=client_library)

    def ask(self, questions: Sequence[Question], seconds: float) -> list[Reply | Failure]:
        """All questions at once. Requests that are not answered within `seconds` are closed; an interrupt closes all of
        them."""
        key = os.environ.get(self.endpoint.key_variable)
        if not key and not self.endpoint.is_local:
            message = f"no key for {self.endpoint.place}: the environment variable {self.endpoint.key_variable} is not set"
            lacking = Failure("model-refused", message, "set it, or name another variable with --key-env", lasting=True)
            return [lacking for _ in questions]
        return _finished(self._all(questions, key or _NO_KEY, seconds))

    async def _all(self, questions: Sequence[Question], key: str, seconds: float) -> list[Reply | Failure]:
        end = self.endpoint
        async with self.library.AsyncOpenAI(
            api_key=key, base_url=end.base_url, timeout=end.timeout_s, max_retries=end.retries
        ) as client:
            return list(await asyncio.gather(*(self._within(client, item, key, seconds) for item in questions)))

    async def _within(self, client: Any, question: Question, key: str, seconds: float) -> Reply | Failure:
        try:
            async with asyncio.timeout(seconds):
                return await self._one(client, question, key)
        except TimeoutError:
            return Failure("model-unreachable", f"{self.endpoint.place} did not answer in the {seconds:.0f} s that were left")

    async def _one(self, client: Any, question: Question, key: str) -> Reply | Failure:
        openai, place = self.library, self.endpoint.place
        started = time.monotonic()
        try:
            got = await client.chat.completions.create(
                model=self.endpoint.model,
                messages=[{"role": item.role, "content": item.content} for item in question.messages],
                temperature=question.temperature,
                seed=question.seed,
                max_tokens=question.max_tokens,
            )
        except openai.APITimeoutError:
            tries = self.endpoint.retries + 1
            return Failure("model-unreachable", f"{place} did not answer in {self.endpoint.timeout_s:.0f} s, {tries} times")
        except openai.APIConnectionError as error:
            why = _masked(str(error.__cause__ or error), key)
            return Failure("model-unreachable", f"{place} cannot be reached: {why}", "is the server running?", lasting=True)
        except openai.APIStatusError as error:
            return _status(error, place, self.endpoint, key)
        except openai.APIError as error:
            return Failure("model-answer", f"{place} did not answer as OpenAI's protocol has it: {_masked(str(error), key)}")
        except ValueError as error:  # JSON that is none
            return Failure("model-answer", f"{place} answered with something else than JSON: {_masked(str(error), key)}")
        return _reply(got, place, time.monotonic() - started)


def _reply(got: Any, place: str, seconds: float) -> Reply | Failure:
    """The answer, whatever the server made of the protocol: an object of the client is only as good as what was sent."""
    choices = getattr(got, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    text = getattr(getattr(choice, "message", None), "content", None)
    if not isinstance(text, str):
        return Failure("model-answer", f"{place} answered without a message in it")
    usage = getattr(got, "usage", None)
    prompt, completion = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    cut = getattr(choice, "finish_reason", None) == "length"
    name = getattr(got, "model", "")
    return Reply(
        text,
        prompt if isinstance(prompt, int) else 0,
        completion if isinstance(completion, int) else max(1, len(text) // 4),
        seconds,
        name if isinstance(name, str) else "",
        cut,
    )


def _status(error: Any, place: str, endpoint: Endpoint, key: str) -> Failure:
    status = int(error.status_code)
    said = _masked(_said(error), key)
    if status in (401, 403):
        help = f"check the key in {endpoint.key_variable}"
        return Failure("model-refused", f"{place} does not accept the key (HTTP {status}): {said}", help, lasting=True)
    if status == 404:
        help = "check --model and --base-url, which often ends in /v1"
        return Failure("model-refused", f"{place} does not know {endpoint.model}, or is no such service: {said}", help, True)
    if status == 429 or status >= 500:
        return Failure("model-unreachable", f"{place} is busy or broken (HTTP {status}), {endpoint.retries + 1} times: {said}")
    return Failure("model-refused", f"{place} refuses the request (HTTP {status}): {said}", lasting=True)


def _finished(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine gives, in a thread of its own where a loop runs in this one already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


def _said(error: Any) -> str:
    """The server's own words, on one line."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    words = inner.get("message", inner) if isinstance(inner, dict) else inner
    return " ".join(str(words or error.message).split())[:200]


def _masked(text: str, key: str) -> str:
    """The text without the key: servers quote what they were sent, whole or in part."""
    if key != _NO_KEY:
        text = text.replace(key, "***")
    return re.sub(r"\b(?:sk|key|Bearer)[-_ ][\w*.-]{6,}", "***", text)


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)
