"""A page as HTML text: one file with its style and script inside, which asks nobody for anything."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from bpfsmith import __version__
from bpfsmith.page.model import Page

HERE = Path(__file__).parent


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["slug"] = slug
    return environment.get_template(name)


def slug(title: str) -> str:
    """A title as the name of an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def html(page: Page) -> str:
    """The whole page. The same page is the same text, every time."""
    # Markup: our own files, which hold no `</style>` and no `</script>`.
    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    return _template("page.html.j2").render(page=page, style=style, script=script, version=__version__)


def fragment(page: Page) -> str:
    """The page without its frame, for notebooks: verdict, facts, and sections folded up, charts as their numbers; no script."""
    return _template("fragment.html.j2").render(page=page, version=__version__)
