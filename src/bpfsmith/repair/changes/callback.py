"""A loop turned into a call of bpf_loop(): its body becomes a function, and the locals that it uses are reached by address.

    for (int i = 0; i < 4096; i++) {            struct f_round_locals { __u64 *sum; };
        if (i == n)                             static long f_round(__u32 index_, void *locals_)
            break;                              {
        sum += i;                                   struct f_round_locals *in_ = locals_;
    }                                               if (index_ >= (4096)) return 1;
                                                    int i = 0 + index_;
                                                    if (!(i < 4096)) return 1;
                                                    if (i == (*in_->n)) return 1;
                                                    (*in_->sum) += i;
                                                    return 0;
                                                }

Text is looked at, not parsed: what comes out is compiled, loaded and compared before anybody sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bpfsmith.repair.ctext import blanked
from bpfsmith.repair.patch import Edit
from bpfsmith.repair.statement import Function

MOST_ROUNDS = "1 << 23"
"""BPF_MAX_LOOPS of the kernel's include/linux/bpf_verifier.h."""

_WORD = re.compile(r"(?<![\w.>])(?<!->)[A-Za-z_]\w*")
_QUALIFIERS = r"(?:(?:const|volatile|unsigned|signed|struct|union|enum|long|short)\s+)*"
_DECLARATION = re.compile(rf"(?:^|(?<=[;{{}}(]))\s*(?P<type>{_QUALIFIERS}[A-Za-z_]\w*)(?P<rest>[\s*]+[A-Za-z_][^;{{}}]*)")
_NO_TYPES = frozenset("return goto else case typedef break continue sizeof if while for do switch default".split())


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop by offsets in the text: `start` of its keyword, `body` behind its parentheses, `end` behind its body. `init`,
    `condition` and `step` are text; a `while` has neither the first nor the last."""

    start: int
    body: int
    end: int
    init: str
    condition: str
    step: str


def as_callback(text: str, number: int) -> tuple[Edit, ...] | None:
    """The changes that make the loop at a line a call of bpf_loop(); None where it is of a form that is not followed."""
    code = blanked(text)
    loop = _loop_at(code, text, number)
    function = Function(text, number)
    named = re.search(r"\bBPF_\w+\s*\(\s*(\w+)", function.header) or re.search(r"\b(\w+)\s*\(", _bare(function.header))
    if loop is None or named is None or function.first <= 1:
        return None
    inside = code[loop.body : loop.end]
    if re.search(r"\bgoto\b|^\s*\w+:\s*$|\b__(?:func|FUNCTION)__\b", inside, re.MULTILINE):
        return None
    counter = _counter(loop, inside)
    first = sum(len(line) + 1 for line in code.split("\n")[: function.first - 1])
    known = _parameters(function.header) | _locals(code[first : loop.start])
    if not counter:
        known |= _locals("{" + loop.init + ";")
    own = set(_locals("{" + inside)) | ({counter[1]} if counter else set())
    parts = (inside, loop.condition, loop.step)
    used = [name for name in dict.fromkeys(word for part in parts for word in _WORD.findall(part)) if name in known]
    used = [name for name in used if name not in own]
    name = f"{named[1]}_round"
    while re.search(rf"\b{name}\b", code):
        name += "_"
    body = _rewritten(text[loop.body : loop.end], inside, "" if counter else _reached(loop.step, used), used)
    returns = "in_->left_" in body
    result = _result_type(function.header)
    if returns and result is None:
        return None
    condition = _reached(loop.condition, used).strip()
    made = [
        f"struct {name}_locals {{",
        *(f"\t{_by_address(known[local], local)};" for local in used),
        *(("\tint left_;",) if returns else ()),
        *((f"\t{result} result_;",) if returns and result != "void" else ()),
        "};",
        "",
        f"static long {name}(__u32 index_, void *locals_)",
        "{",
        *((f"\tstruct {name}_locals *in_ = locals_;",) if used or returns else ()),
        *((f"\tif (index_ >= ({counter[3]}))", "\t\treturn 1;") if counter else ()),  # what the verifier does not know
        *((f"\t{counter[0]} {counter[1]} = {_reached(counter[2], used)} + index_;",) if counter else ()),
        *((f"\tif (!({condition}))", "\t\treturn 1;") if condition else ()),
        *(f"\t{line}" if line.strip() else line for line in _dedented(body)),
        *((f"\t{_reached(loop.step, used)};",) if loop.step.strip() and not counter else ()),
        "\treturn 0;",
        "}",
        "",
    ]
    addresses = ", ".join((*(f".{local} = &{local}" for local in used), *((".left_ = 0",) if returns else ())))
    leave = "return;" if result == "void" else "return round_.result_;"
    call = [
        *((f"{loop.init.strip()};",) if loop.init.strip() and not counter else ()),
        f"struct {name}_locals round_ = {{ {addresses} }};",
        f"bpf_loop({counter[3] if counter else MOST_ROUNDS}, {name}, &round_, 0);",
        *(("if (round_.left_)", f"\t{leave}") if returns else ()),
    ]
    last = code.count("\n", 0, loop.end) + 1
    head = code.count("\n", 0, loop.start) + 1
    before = text[text.rfind("\n", 0, loop.start) + 1 : loop.start]
    behind = text[loop.end : (text + "\n").index("\n", loop.end)]
    if before.strip() or behind.strip():
        return None
    block = (f"{before}{{", *(f"{before}\t{line}" for line in call), f"{before}}}")
    return Edit(function.top, tuple(made)), Edit(head, block, last - head + 1)


def _by_address(declaration: str, name: str) -> str:
    """A declaration as one of a pointer to the same."""
    return declaration.replace("@", f"(*{name})" if declaration.endswith("]") else f"*{name}")


def _bare(header: str) -> str:
    """A function's declaration without its section and attributes."""
    return re.sub(r"SEC\([^)]*\)|__attribute__\s*\(\(.*?\)\)", "", header)


def _result_type(header: str) -> str | None:
    if re.search(r"\bBPF_\w+\s*\(", header):
        return "int"
    found = re.match(r"\s*(.*?[\s*])\w+\s*\(", _bare(header), re.DOTALL)
    words = re.sub(r"\b(?:static|inline|__always_inline|__noinline|extern|__weak|__hidden)\b", "", found[1]) if found else ""
    return " ".join(words.split()) or None


def _loop_at(code: str, text: str, number: int) -> Loop | None:
    """The `for` or `while` that begins on a line."""
    begin = sum(len(line) + 1 for line in code.split("\n")[: number - 1])
    line_end = code.find("\n", begin)
    found = re.compile(r"\b(for|while)\s*\(").search(code, begin, line_end if line_end > 0 else len(code))
    if found is None:
        return None
    close = _closing(code, found.end() - 1)
    if close is None:
        return None
    head = text[found.end() : close]
    end = _statement_end(code, close + 1)
    if end is None:
        return None
    if found[1] == "while":
        return Loop(found.start(), close + 1, end, "", head, "")
    parts = head.split(";")
    return Loop(found.start(), close + 1, end, *parts) if len(parts) == 3 else None


def _closing(code: str, at: int) -> int | None:
    """The bracket that closes the one at an offset."""
    depth = 0
    for place in range(at, len(code)):
        depth += (code[place] in "([{") - (code[place] in ")]}")
        if depth == 0:
            return place
    return None


def _statement_end(code: str, at: int) -> int | None:
    """Behind the statement that begins at an offset."""
    while at < len(code) and code[at].isspace():
        at += 1
    if code.startswith("{", at):
        close = _closing(code, at)
        return None if close is None else close + 1
    governs = re.compile(r"(?:if|for|while|switch)\s*\(").match(code, at)
    if governs:
        close = _closing(code, governs.end() - 1)
        end = None if close is None else _statement_end(code, close + 1)
        other = re.compile(r"\s*else\b").match(code, end) if end is not None else None
        return _statement_end(code, other.end()) if other else end
    depth = 0
    for place in range(at, len(code)):
        depth += (code[place] in "([{") - (code[place] in ")]}")
        if code[place] == ";" and depth == 0:
            return place + 1
    return None


def _counter(loop: Loop, inside: str) -> tuple[str, str, str, str] | None:
    """Type, name, start and rounds of a loop's own variable that counts up by one, and that nothing else changes."""
    init = re.fullmatch(rf"\s*({_QUALIFIERS}\w+)\s+(\w+)\s*=\s*([^,]+)", loop.init)
    if init is None:
        return None
    name = init[2]
    bound = re.match(rf"\s*{name}\s*<\s*(\w+)\s*(?:&&|$)", loop.condition)
    steps = re.fullmatch(rf"\s*(?:{name}\s*\+\+|\+\+\s*{name}|{name}\s*\+=\s*1)\s*", loop.step)
    changed = re.search(rf"(?<![\w.>]){name}\s*(?:\+\+|--|[-+*/%&|^]?=(?!=)|<<=|>>=)|(?:\+\+|--|&)\s*{name}\b(?!\s*\[)", inside)
    if bound is None or steps is None or changed:
        return None
    constant = re.fullmatch(r"\d+|[A-Z][A-Z0-9_]*", bound[1]) and init[3].strip() == "0"
    return init[1], name, init[3].strip(), bound[1] if constant else MOST_ROUNDS


def _parameters(header: str) -> dict[str, str]:
    """Names and declarations of a function's parameters, `@` where the name goes."""
    listed = header[header.rfind("(") + 1 : header.rfind(")")]
    found: dict[str, str] = {}
    for part in listed.split(","):
        match = re.fullmatch(rf"\s*({_QUALIFIERS}\w+(?:\s+(?:long|int|char|const))*[\s*]+)(\w+)\s*", part)
        if match:
            found[match[2]] = f"{' '.join(match[1].split())} @"
    return found


def _locals(code: str) -> dict[str, str]:
    """Names and declarations of the local variables that a text declares."""
    found: dict[str, str] = {}
    for match in _DECLARATION.finditer(code):
        kind = " ".join(match["type"].split())
        if kind.split()[0] in _NO_TYPES:
            continue
        for part in _separate(match["rest"]):
            one = re.match(r"(?P<stars>[\s*]*)(?P<name>[A-Za-z_]\w*)\s*(?P<dimensions>(?:\[[^\]]*\]\s*)*)(?:=(?!=)|$)", part)
            if one:
                stars = one["stars"].replace(" ", "").replace("\n", "").replace("\t", "")
                found[one["name"]] = f"{kind} {stars}@{one['dimensions'].strip()}"
    return found


def _separate(text: str) -> list[str]:
    """The declarators of a list, split at commas outside of brackets."""
    parts, depth, begin = [], 0, 0
    for place, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(text[begin:place])
            begin = place + 1
    return [*parts, text[begin:]]


def _reached(text: str, used: list[str]) -> str:
    """A text with each local reached by its address."""
    code = blanked(text)
    out, at = "", 0
    for match in _WORD.finditer(code):
        if match[0] in used:
            out += f"{text[at : match.start()]}(*in_->{match[0]})"
            at = match.end()
    return out + text[at:]


def _rewritten(text: str, code: str, step: str, used: list[str]) -> str:
    """The body with what leaves it as a return from the callback: 0 goes on with the next round, 1 ends the loop."""
    within: list[tuple[int, int, str]] = []
    for match in re.finditer(r"\b(for|while|switch|do)\b", code):
        opening = code.find("(", match.end()) if match[1] != "do" else -1
        close = _closing(code, opening) if opening >= 0 else match.end() - 1
        end = _statement_end(code, close + 1) if close is not None else None
        if end is not None:
            within.append((match.start(), end, match[1]))
    out, at = "", 0
    for match in re.finditer(r"\b(?:(break|continue)\s*;|return\b([^;]*);)", code):
        around = [kind for begin, end, kind in within if begin <= match.start() < end]
        if match[1] == "break" and around:
            continue
        if match[1] == "continue" and any(kind != "switch" for kind in around):
            continue
        out += _reached(text[at : match.start()], used)
        at = match.end()
        if match[1] == "break":
            out += "return 1;"
        elif match[1] == "continue":
            out += f"{{ {step}; return 0; }}" if step.strip() else "return 0;"
        else:
            given = _reached(text[match.start(2) : match.end(2)], used).strip()
            out += f"{{ in_->left_ = 1; {f'in_->result_ = {given}; ' if given else ''}return 1; }}"
    return out + _reached(text[at:], used)


def _dedented(body: str) -> list[str]:
    """The lines of a body without the braces around it, their common indentation taken away."""
    text = body.strip()
    if text.startswith("{"):
        text = text[1:-1].strip("\n")
    lines = [line.rstrip() for line in text.split("\n")]
    filled = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    common = min(filled, default=0)
    return [line[common:] for line in lines] if lines[-1].strip() else [line[common:] for line in lines[:-1]]
