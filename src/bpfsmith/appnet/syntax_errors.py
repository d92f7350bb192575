"""A syntax error in words: what was found, what could have stood there, and what people usually mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bpfsmith.appnet.lexer import FOREIGN_HELP, Lexeme, Lexer
from bpfsmith.diagnostic import Diagnostic, Label

_EXPRESSION = {"NAME", "NUMBER", "STRING", "TRUE", "FALSE", "NOT", "MINUS", "LAMBDA", "_LPAR"}
_OPERATOR = {"OPERATOR", "MINUS", "LESS", "GREATER"}
_WORDS = {
    "$END": "the end of the file",
    "_NEWLINE": "the end of the line",
    "_INDENT": "an indented block",
    "_DEDENT": "the end of the block",
    "_ASSIGN": "`=`",
    "_ARROW": "`=>`",
    "_COLON": "`:`",
    "_COMMA": "`,`",
    "_LPAR": "`(`",
    "_RPAR": "`)`",
    "_AT": "`@`",
    "LESS": "`<`",
    "GREATER": "`>`",
    "MINUS": "`-`",
    "NAME": "a name",
    "NUMBER": "a number",
    "STATE": "`state:`",
    "HANDLER": "a section",
    "MATCH": "`match`",
    "PASS": "`pass`",
}
_CONTROL_WORDS = {"if", "elif", "else", "while", "for", "switch", "case", "return", "def", "fn", "let", "var", "import"}


@dataclass(frozen=True, slots=True)
class _Mistake:
    """What the parser knows when it stops: the lexeme it found, the terminals it would have taken, the words around."""

    found: Lexeme
    terminal: str
    accepted: frozenset[str]
    before: Lexeme | None
    first_on_line: str
    unclosed: Lexeme | None


def explain(lexer: Lexer, terminal: str, accepted: frozenset[str]) -> Diagnostic:
    """The `appnet-syntax` diagnostic for a lexeme of kind `terminal` where only `accepted` may stand."""
    text = lexer.source.text
    lines = text.split("\n")
    if terminal == "$END" or lexer.last is None:
        place = (len(lines), len(lines[-1]) + 1)
        found, before = Lexeme("$END", "", *place, *place), lexer.last
    else:
        found, before = lexer.last, lexer.before_last
    words = lines[found.line - 1].split()
    unclosed = lexer.unclosed if terminal != "_LPAR" or lexer.unclosed != found else None
    mistake = _Mistake(found, terminal, accepted, before, words[0] if words else "", unclosed)
    others: tuple[Label, ...] = ()
    if unclosed is not None and found.line > unclosed.line:
        others = (Label(lexer.span(unclosed), "not closed yet"),)
    return Diagnostic(
        "appnet-syntax",
        f"found {_in_words(found)}, expected {_expected(accepted)}",
        Label(lexer.span(found)),
        others=others,
        help=next((hint for hint in (rule(mistake) for rule in _HINTS) if hint), ""),
        source=lexer.source,
    )


def _in_words(found: Lexeme) -> str:
    match found.kind:
        case "_INDENT":
            return "a deeper indentation"
        case "$END" | "_NEWLINE" | "_DEDENT":
            return _WORDS[found.kind]
        case "NUMBER":
            return f"the number `{found.text}`"
        case "STRING":
            return f"the text {found.text if len(found.text) <= 40 else found.text[:37] + '..'}"
        case _:
            return f"`{found.text if len(found.text) <= 40 else found.text[:37] + '..'}`"


def _expected(accepted: frozenset[str]) -> str:
    rest, words = set(accepted), []
    if {"NAME", "NUMBER", "_LPAR"} <= rest:
        words.append("a statement" if "PASS" in rest else "an expression")
        rest -= _EXPRESSION | {"PASS", "MATCH"}
    if rest >= _OPERATOR:
        rest -= _OPERATOR
        operators = ["an operator"]
    else:
        operators = []
    if {"STATE", "HANDLER"} <= rest:
        words.append("a section (`state:`, `init():`, `req(rpc):`, `resp(rpc):`)")
        rest -= {"STATE", "HANDLER"}
    order = list(_WORDS)
    words += [_WORDS[terminal] for terminal in sorted(rest & _WORDS.keys(), key=order.index)] + operators
    if not words:
        return "something else"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


# --- what people usually mean: each rule knows one mistake ---------------------------------------------------------------
def _unclosed_parenthesis(at: _Mistake) -> str:
    unclosed = at.unclosed
    if unclosed is None or (at.found.line == unclosed.line and at.terminal != "$END"):
        return ""
    return f"close the parenthesis that line {unclosed.line} opens"


def _foreign(at: _Mistake) -> str:
    return FOREIGN_HELP.get(at.found.text, "") if at.terminal == "FOREIGN" else ""


def _control_word(at: _Mistake) -> str:
    word = at.first_on_line.rstrip(":(")
    if word not in _CONTROL_WORDS:
        return ""
    if word in ("while", "for"):
        return "there are no loops: `foreach(vec, lambda(x): ..)` walks a Vec"
    if word in ("return", "def", "fn", "let", "var", "import"):
        return f"there is no `{word}`: a body ends with `send(rpc, Pass)`, and a variable begins with its first assignment"
    return f"there is no `{word}`: write `match condition:` with the arms `true => ..` and `false => ..`"


def _reserved_word(at: _Mistake) -> str:
    if at.terminal in ("MATCH", "LAMBDA", "TRUE", "FALSE", "NOT") and "NAME" in at.accepted:
        return f"`{at.found.text}` is a word of the language: take another name"
    return ""


def _assignment(at: _Mistake) -> str:
    if at.terminal != "_ASSIGN":
        return ""
    if at.accepted & {"LESS", "_COMMA"} and "OPERATOR" not in at.accepted:
        return "give a state variable its first value in `init():`"
    return "compare with `==`; `=` assigns"


def _type_left_out(at: _Mistake) -> str:
    return (
        "declare a state variable as `name: type`"
        if at.accepted == {"_COLON"} and at.before and at.before.kind == "NAME"
        else ""
    )


def _missing_colon(at: _Mistake) -> str:
    return "end the heading of a block with `:`" if "_COLON" in at.accepted and at.terminal == "_NEWLINE" else ""


def _missing_parameter(at: _Mistake) -> str:
    if at.before and at.before.kind == "HANDLER" and "_LPAR" in at.accepted:
        return f"write `{at.before.text}({'' if at.before.text == 'init' else 'rpc'}):`"
    return ""


def _missing_arrow(at: _Mistake) -> str:
    return "write `=>` between a pattern and its body: `true => send(rpc, Pass)`" if "_ARROW" in at.accepted else ""


def _missing_block(at: _Mistake) -> str:
    return "indent the body; a body that does nothing is `pass`" if "_INDENT" in at.accepted else ""


def _stray_indentation(at: _Mistake) -> str:
    if at.terminal != "_INDENT":
        return ""
    return "indent it like the line above: only a line that ends with `:` or `=>` opens a block"


def _outside_sections(at: _Mistake) -> str:
    if at.terminal == "$END" or not {"STATE", "HANDLER"} <= at.accepted:
        return ""
    if at.found.text == "internal":
        return "the section of state variables is called `state:`"
    return "indent it if it belongs to the section above"


_HINTS: tuple[Callable[[_Mistake], str], ...] = (
    _foreign,
    _unclosed_parenthesis,
    _control_word,
    _stray_indentation,
    _missing_parameter,
    _missing_colon,
    _assignment,
    _type_left_out,
    _missing_block,
    _missing_arrow,
    _reserved_word,
    _outside_sections,
)
