"""The code in a model's answer."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_STARTS = {"c": re.compile(r"^\s*#\s*include\b", re.MULTILINE), "appnet": re.compile(r"^\s*state\s*[:{]", re.MULTILINE)}
_NAMES = {"c": ("c", "cpp", "c++", "h", "bpf", "ebpf"), "appnet": ("appnet", "python", "py", "text")}
LONGEST = 64 * 1024
"""Characters of a candidate: ours have a twentieth of that."""


def code_in(text: str, language: str) -> str | None:
    """The last fenced block that says it is in the language, or says nothing; an answer that is bare code as it stands. None:
    there is no code, or more of it than a candidate may have."""
    text = text.replace("\r\n", "\n")
    blocks = [(match[2].lower(), match[3]) for match in _FENCE.finditer(text)]
    named = [body for name, body in blocks if name in _NAMES[language]]
    likely = [body for name, body in blocks if not name]
    found = (named or likely or [""])[-1]
    if not blocks and _STARTS[language].search(text):
        found = text
    if not found.strip() or len(found) > LONGEST:
        return None
    return found.strip("\n") + "\n"
