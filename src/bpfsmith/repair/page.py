"""The page of each kind of rejection: what the table says of it, and its example program before and after the change."""

from __future__ import annotations

import re
from pathlib import Path

from bpfsmith.repair.diagnose import Words
from bpfsmith.repair.kind import Kind

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "diagnostics"
EXAMPLES = ROOT / "examples" / "rejected"
_GENERIC = {
    "name": "p", "index": "i", "need": "N", "have": "fewer", "call": "the helper", "return": "return 0;", "release": "release",
    "what": "the function", "want": "the type", "map": "the map", "section": "this section", "number": "that many", "size": "N",
    "value_size": "fewer", "end": "more", "off": "some", "value": "that many", "check": "the check",
}  # fmt: skip


def page(kind: Kind) -> str:
    """The Markdown of docs/diagnostics/<id>.md."""
    words = Words(_GENERIC)
    source = (EXAMPLES / f"{kind.example}.bpf.c").read_text()
    elsewhere = f"\n\nThis rejection is seen {kind.elsewhere}." if kind.elsewhere else ""
    return f"""# {kind.id}

{kind.meaning}{elsewhere}

## Example

The verifier refuses this, at the marked line ([{kind.example}.bpf.c](../../examples/rejected/{kind.example}.bpf.c)):

```c
{_shown(source, fixed=False)}
```

and accepts

```c
{_shown(source, fixed=True)}
```

## What to do

{_sentence(words.fill(kind.help))}
"""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1].isalpha() and not text.startswith("char ") else text


def variant(source: str, fixed: bool) -> str:
    """The program with or without FIXED, and with the mark of its line only where it is not fixed."""
    out: list[str] = []
    keep = [True]
    for line in source.split("\n"):
        if line.startswith(("#ifdef FIXED", "#ifndef FIXED")):
            keep.append(line.startswith("#ifdef") == fixed)
        elif line.startswith("#else") and len(keep) > 1:
            keep[-1] = not keep[-1]
        elif line.startswith("#endif") and len(keep) > 1:
            keep.pop()
        elif all(keep):
            out.append(line.replace(" // <-", "" if fixed else " // <-").rstrip())
    return "\n".join(out)


def _shown(source: str, fixed: bool) -> str:
    """A variant from after its includes to before its license."""
    text = "\n".join(line for line in variant(source, fixed).split("\n") if not line.startswith("#include"))
    return re.sub(r'\nchar _license\[\] SEC\("license"\) = "GPL";\s*$', "", text).strip("\n")
