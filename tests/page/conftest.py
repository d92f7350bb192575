"""Report pages of real runs, made once, and one Chromium that looks at them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bpfsmith as bs
from tests.cli import sources

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a compile, of a check that finds a difference, and of an optimization, by name."""
    place = tmp_path_factory.mktemp("pages")
    (place / "drop.appnet").write_text(sources.DROP)
    (place / "plain.bpf.c").write_text(sources.PLAIN)
    results: dict[str, bs.Result] = {
        "compile": bs.compile(EXAMPLES / "appnet" / "rate_limit.appnet", timed=False),
        "check": bs.check(EXAMPLES / "mistakes" / "unchecked.bpf.c", EXAMPLES / "mistakes" / "options.bpf.c"),
        "optimize": bs.optimize(EXAMPLES / "cost" / "cache.bpf.c", timed=False),
    }
    for name, result in results.items():
        result.save_report(place / f"{name}.html")
    return {name: place / f"{name}.html" for name in results}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that BPFSMITH_CHROMIUM names."""
    path = os.environ.get("BPFSMITH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium here: `make browser` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # CI is root
        yield started
        started.close()
