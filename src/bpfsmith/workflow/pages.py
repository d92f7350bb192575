"""The page of each diagnostic: docs/diagnostics in a checkout, packaged beside the code otherwise."""

from __future__ import annotations

import difflib
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError

_PLACES = (
    Path(__file__).parent.parent / "_diagnostics",
    Path(__file__).parents[3] / "docs" / "diagnostics",
)


def page_ids() -> list[str]:
    """The ids of all diagnostics that have a page, sorted."""
    return sorted({path.stem for place in _PLACES if place.is_dir() for path in place.glob("*.md")})


def page(id: str) -> str:
    """The page's Markdown text; InputError `unknown-diagnostic`."""
    known = page_ids()
    if id not in known:
        close = difflib.get_close_matches(id, known, 3)
        raise InputError(
            Diagnostic(
                "unknown-diagnostic",
                f"there is no diagnostic called {id}",
                help=f"did you mean {' or '.join(close)}?" if close else "`bpfsmith explain` lists them all",
            )
        )
    return next((place / f"{id}.md").read_text() for place in _PLACES if (place / f"{id}.md").is_file())
