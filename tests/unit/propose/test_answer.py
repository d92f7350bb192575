"""The code is found in whatever shape a model sends it, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from bpfsmith.propose.answer import LONGEST, code_in

CODE = "#include <linux/bpf.h>\nint x;\n"


@pytest.mark.parametrize(
    "text",
    [
        f"```c\n{CODE}```",
        f"Sure!\n\n```C\n{CODE}```\nThat is it.",
        f"~~~\n{CODE}~~~",
        CODE,
        f"first try\n```c\nint wrong;\n```\nno, better:\n```c\n{CODE}```",
        f"```bash\nclang x.c\n```\n```c\n{CODE}```\n```text\noutput\n```",
        f"```c\n{CODE}",
        f"```c\n{CODE}```".replace("\n", "\r\n"),
    ],
    ids=["fenced", "with words", "tildes", "bare", "last one", "among others", "not closed", "crlf"],
)
def test_the_c_of_an_answer_is_found(text: str) -> None:
    assert code_in(text, "c") == CODE


@pytest.mark.parametrize(
    "text", ["", "I cannot do that.", "```bash\nls\n```", "```c\n\n```", f"```c\n{'x' * (LONGEST + 1)}\n```"]
)
def test_an_answer_without_code_or_with_too_much_has_none(text: str) -> None:
    assert code_in(text, "c") is None
