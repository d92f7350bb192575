"""The layout of programs: the same tree, every comment, and nothing to change the second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.appnet.format import formatted
from bpfsmith.appnet.parse import lexer_of, parse
from bpfsmith.diagnostic import ToolError
from bpfsmith.source import SourceText

ROOT = Path(__file__).parents[3]
FILES = sorted([*(ROOT / "tests" / "corpus").glob("appnet*/*.appnet"), *(ROOT / "tests/unit/appnet/programs").glob("*.appnet")])

UNTIDY = """\
# top
state:
\t# the count
\t@size( 0x10 )
\tm : Map<int,<int,string>>   #beside


\tv: Vec<string>
init():   # start
    c = (1)
    # last of init

req(rpc):
    x = (c+1)*2 - -(c-(1-2))
    y = not (x == 2) and (true or
      false)
    match (x>3):
        true=>send(rpc,Down)
        false =>
            foreach(v, lambda(z):
                c = c + 1
            )
            send(err("no'"), Up)
# the end
"""
TIDY = """\
# top
state:
    # the count
    @size(16)
    m: Map<int, <int, string>>  # beside

    v: Vec<string>
init():  # start
    c = (1)
    # last of init

req(rpc):
    x = (c + 1) * 2 - -(c - (1 - 2))
    y = not (x == 2) and (true or false)
    match x > 3:
        true => send(rpc, Down)
        false =>
            foreach(v, lambda(z):
                c = c + 1
            )
            send(err("no'"), Up)
# the end
"""


def test_layout() -> None:
    assert formatted(SourceText("x.appnet", UNTIDY)) == TIDY


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_formatting_keeps_program_and_comments(path: Path) -> None:
    """Law: the layout is that of the same program with the same comments, and is its own layout."""
    text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    before = SourceText(path.name, text)
    try:
        first = parse(before)
    except ToolError:  # programs with mistakes in their syntax have no layout
        pytest.skip("no program")
    after = SourceText(path.name, formatted(before))
    second = parse(after)
    for a, b in zip(
        (first.state, first.init, first.req, first.resp), (second.state, second.init, second.req, second.resp), strict=True
    ):
        assert (a is None) == (b is None)
        assert a is None or b is None or (a.declarations, a.body) == (b.declarations, b.body)
    assert formatted(after) == after.text
    assert comments(before) == comments(after)


def comments(source: SourceText) -> list[str]:
    lexer = lexer_of(source)
    list(lexer.plain())
    return ["".join(comment.text.split()).lstrip("#/") for comment in lexer.comments]
