"""The parser: what the text may look like, what tree it becomes, and that no text gets past its limits."""

from __future__ import annotations

import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from bpfsmith.appnet import grammar, syntax
from bpfsmith.appnet.parse import LARGEST_TEXT, decode, line_count, parse, read_source
from bpfsmith.diagnostic import Diagnostic, InputError, ToolError
from bpfsmith.source import SourceText
from tests.unit.appnet.appnet_corpus import PROGRAMS, program


def parsed(text: str) -> syntax.Program:
    return parse(SourceText("x.appnet", text))


def body(lines: str) -> tuple[syntax.Stmt, ...]:
    return parsed(program(lines)).req.body


def shape(node: object) -> str:
    """An expression with all its parentheses."""
    match node:
        case syntax.Number(value):
            return str(value)
        case syntax.Name(name):
            return name
        case syntax.Truth(value):
            return str(value).lower()
        case syntax.Text(value):
            return repr(value)
        case syntax.Unary(op, operand):
            return f"({op} {shape(operand)})"
        case syntax.Binary(op, left, right) | syntax.Compare(op, left, right):
            return f"({shape(left)} {op} {shape(right)})"
        case syntax.Call(function, arguments):
            return f"{function.name}({', '.join(map(shape, arguments))})"
        case _:
            raise AssertionError(node)


def expression(text: str) -> syntax.Expr:
    (statement,) = body(f"x = {text}")
    assert isinstance(statement, syntax.Assign)
    return statement.value


def refusal(text: str) -> Diagnostic:
    with pytest.raises(ToolError) as caught:
        parsed(text)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("(a + b) * c", "((a + b) * c)"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b * c % d", "(((a / b) * c) % d)"),
        ("a < b + 1 and c or not d", "(((a < (b + 1)) and c) or (not d))"),
        ("not a == b", "(not (a == b))"),
        ("not not a", "(not (not a))"),
        ("a or b and c", "(a or (b and c))"),
        ("-a * b", "((- a) * b)"),
        ("- -a", "(- (- a))"),
        ("a * -b", "(a * (- b))"),
        ("f(a, g(), -1) + 2", "(f(a, g(), (- 1)) + 2)"),
        ("((((a))))", "a"),
        ("a > b and c >= d and e != f", "(((a > b) and (c >= d)) and (e != f))"),
    ],
)
def test_operators_bind_as_the_language_says(text: str, tree: str) -> None:
    assert shape(expression(text)) == tree


def test_only_comparisons_without_parentheses_make_a_chain() -> None:
    chain, grouped = expression("a < b < c"), expression("(a < b) == c")
    assert isinstance(chain, syntax.Compare) and chain.chained
    assert isinstance(grouped, syntax.Compare) and not grouped.chained


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("0x1F", 31),
        ("0.05", Fraction(1, 20)),
        (".5", Fraction(1, 2)),
        ("2.", Fraction(2)),
        ("1e-3", Fraction(1, 1000)),
        ("2E2", Fraction(200)),
    ],
)
def test_numbers_are_exact(text: str, value: int | Fraction) -> None:
    number = expression(text)
    assert isinstance(number, syntax.Number)
    assert number.value == value and type(number.value) is type(value)


def test_strings_understand_escapes_and_both_quotes() -> None:
    assert shape(expression(r"f('it\'s', \"a\tb # no comment\")".replace(r"\"", '"'))) == r"""f("it's", 'a\tb # no comment')"""


def test_arms_take_one_line_or_a_block_or_another_match() -> None:
    (outer,) = body(
        "match (x):\n    1 => send(rpc, pass)\n    _ =>\n        pass\n        y = 1\n    2 => match y:\n        _ => pass"
    )
    assert isinstance(outer, syntax.Match)
    kinds = [[type(statement).__name__ for statement in arm.body] for arm in outer.arms]
    assert kinds == [["ExprStmt"], ["Pass", "Assign"], ["Match"]]


def test_a_lambda_has_a_block_of_its_own() -> None:
    (walk, after) = body("foreach(v, lambda(x):\n    y = x\n    match x:\n        1 => pass\n)\nz = 1")
    assert isinstance(walk, syntax.ExprStmt) and isinstance(walk.value, syntax.Call)
    inner = walk.value.arguments[1]
    assert isinstance(inner, syntax.Lambda) and inner.parameters == ("x",)
    assert [type(statement).__name__ for statement in inner.body] == ["Assign", "Match"]
    assert isinstance(after, syntax.Assign)
    (short,) = body("foreach(v, lambda(x): y = x, 1)")
    assert isinstance(short, syntax.ExprStmt) and len(syntax.children(short.value)) == 3


def test_types_and_annotations() -> None:
    text = "@size(16) @map(lru)\nm: Map<int, Vec<float>>\npass\n@consistency(weak)\np: <int, <bool, uint>>"
    first, second = parsed(program("pass", state=text)).state.declarations
    assert [(item.name, item.arguments) for item in first.annotations] == [("size", ("16",)), ("map", ("lru",))]
    assert (first.type.name, first.type.args[1].args[0].name) == ("Map", "float")
    assert (second.type.name, second.type.args[1].name) == ("Pair", "Pair")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_layout_does_not_change_the_tree(path: Path) -> None:
    """Line ends, blank lines, comments, a byte order mark and the last newline mean nothing."""
    text = path.read_text(encoding="utf-8")
    tree = parsed(text)
    sections = (tree.state, tree.init, tree.req, tree.resp)
    loose = text.replace("\n", "   # a comment\n\n  # another\n")
    for other in (text.replace("\n", "\r\n"), text.rstrip("\n"), "\ufeff" + text, loose, text.replace("    ", "\t")):
        again = parsed(other)
        assert (again.state, again.init, again.req, again.resp) == sections


def test_spans_point_at_the_text() -> None:
    text = program("count = (count + 1) * limit")
    (statement,) = parsed(text).req.body
    assert isinstance(statement, syntax.Assign) and isinstance(statement.value, syntax.Binary)
    line = text.split("\n")[5]
    span = statement.value.left.span
    assert (span.line, line[span.column - 1 : span.end_column - 1]) == (6, "(count + 1)")


def test_bodies_may_be_empty() -> None:
    tree = parsed("state:\ninit():\n    # nothing\nreq(rpc): pass\nresp(r):")
    assert (tree.init.body, tree.req.body[0].span.line) == ((), 4)
    assert tree.resp is not None and (tree.resp.parameter, tree.resp.body) == ("r", ())


def test_lines_are_counted_without_blanks_and_comments() -> None:
    assert line_count(SourceText("x", "# a\n\nstate:\n   # b\n  c: int # d\n")) == 2


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InputError) as caught:
        decode("x.appnet", b"\xef\xbb\xbfstate:\n  \xc3\xa9\xff")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.id, str(diagnostic.primary and diagnostic.primary.span)) == ("appnet-syntax", "x.appnet:2:4")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_source(tmp_path / "none.appnet")


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("x" * 1_000_000, "unsupported-size"),
        (program("x = " + "(" * 10_000), "appnet-syntax"),
        (program("x = " + "- " * 10_000 + "1"), "unsupported-nesting"),
        (program("x = " + "not " * 10_000 + "true"), "unsupported-nesting"),
        (program("x = " + "f(" * 5_000 + ")" * 5_000), "unsupported-nesting"),
        (program("x = 1" + " + 1" * 5_000), "unsupported-nesting"),
        (program("x = 1" + " < 1" * 5_000), "unsupported-nesting"),
        (program("pass", state="x: " + "Vec<" * 5_000 + "int" + ">" * 5_000), "unsupported-nesting"),
        ("\0" * 1000, "appnet-syntax"),
        (program("x = " + "9" * 5_000), "appnet-syntax"),
        (program("x = 1e999999999"), "appnet-syntax"),
    ],
)
def test_extreme_texts_get_a_diagnostic(text: str, id: str) -> None:
    assert refusal(text).id == id


def test_deep_parentheses_are_no_depth() -> None:
    assert shape(expression("(" * 10_000 + "1" + ")" * 10_000)) == "1"


def test_five_hundred_nested_matches() -> None:
    lines = "".join(f"{' ' * (level + 1)}{'match x:' if level % 2 == 0 else '_ =>'}\n" for level in range(250))
    assert refusal("state:\ninit():\nreq(rpc):\n" + lines + " " * 251 + "pass\n").id == "unsupported-nesting"


def test_broken_texts_get_exactly_one_diagnostic_with_a_place() -> None:
    """Whatever is deleted from, put into or moved within a program, the parser answers with a tree or one diagnostic."""
    generator = random.Random(7)
    scraps = ["(", ")", ":", "=>", "=", "\n", "    ", "\t", "'", "match ", "lambda(x):", "@", "<", "not ", "0x", ".", "é", "{"]
    for _ in range(400):
        text = generator.choice(PROGRAMS).read_text(encoding="utf-8")
        for _ in range(generator.randint(1, 3)):
            start = generator.randrange(len(text))
            end = min(len(text), start + generator.choice([0, 0, 1, 2, 10]))
            text = text[:start] + generator.choice(["", *scraps]) + text[end:]
        try:
            parsed(text)
        except ToolError as error:
            (diagnostic,) = error.diagnostics
            assert diagnostic.primary is not None and diagnostic.message
            assert not diagnostic.message.endswith(".") and "something else" not in diagnostic.message
            assert 1 <= diagnostic.primary.span.line <= text.count("\n") + 1


BRACES = """// counts what it forwards
internal {
    @size(8) seen: Map<int, int>;
    count: int
}
fn init() { count := 0; }
fn req(rpc) {
    match (seen.get(count % 8)) {
        Some(x) => { seen.set(count % 8, x + 1); },
        None => seen.set(0, 1);
    };
    match !(count > 3) && true { true => {} _ => { count := count + 1 } }
    send(rpc, NET)
}
"""
INDENTED = """state:
    @size(8)
    seen: Map<int, int>
    count: int
init():
    count = 0
req(rpc):
    match get(seen, count % 8):
        Some(x) =>
            set(seen, count % 8, x + 1)
        None => set(seen, 0, 1)
    match not (count > 3) and true:
        true => pass
        _ =>
            count = count + 1
    send(rpc, NET)
"""


def test_both_dialects_have_one_syntax_tree() -> None:
    """Law: a program reads the same in braces and in indentation."""
    braces, indented = (parse(SourceText("x.appnet", text)) for text in (BRACES, INDENTED))
    for a, b in ((braces.state, indented.state), (braces.init, indented.init), (braces.req, indented.req)):
        assert (a.declarations, a.body) == (b.declarations, b.body)


@pytest.mark.parametrize("text", ["state { }\ninit() { x := 1; } }", "state {\n}\ninit() {\n  f(1;\n}\nreq(rpc) { }"])
def test_broken_braces_are_syntax_errors(text: str) -> None:
    """Law: braces and parentheses that do not match are errors with a place."""
    with pytest.raises(InputError) as caught:
        parse(SourceText("x.appnet", text))
    assert caught.value.diagnostics[0].id == "appnet-syntax"
    assert caught.value.diagnostics[0].primary is not None


def test_size_limit_is_exact() -> None:
    text = program("pass")
    parsed(text + "#" * (LARGEST_TEXT - len(text)))
    assert refusal(text + "#" * (LARGEST_TEXT - len(text) + 1)).id == "unsupported-size"


def test_checking_types_does_not_import_lark_before_it_parses() -> None:
    code = "import sys, bpfsmith.appnet.typecheck; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "src"}, check=False).returncode == 0


def test_a_damaged_table_of_the_parser_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "bpfsmith" / "appnet.lark"
    first = grammar._parser.__wrapped__()
    assert kept.is_file()
    kept.write_bytes(b"no table")
    assert grammar._parser.__wrapped__().terminals == first.terminals
    assert kept.stat().st_size > 100
