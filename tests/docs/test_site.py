"""The site: built once, strictly, so that a link that leads nowhere fails; what is made from the code is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bpfsmith as bs
from bpfsmith.cli.main import VERBS
from bpfsmith.isa.progtype import PROGRAM_TYPES
from bpfsmith.isa.tables import MAP_TYPES

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("site")  # built once


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. `strict` makes a warning, such as a broken link or anchor, an error."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_reference_pages_are_made_from_the_code(site: Path) -> None:
    """Law: every command, every diagnostic and every public function has its place in the built site."""
    commands = (site / "reference" / "commands.html").read_text()
    assert [module.NAME for module in VERBS if f'id="{module.NAME}"' not in commands] == []
    diagnostics = (site / "reference" / "diagnostics.html").read_text()
    pages = [path.stem for path in (ROOT / "docs" / "diagnostics").glob("*.md")]
    assert [id for id in pages if f"diagnostics/{id}.html" not in diagnostics] == []
    assert all((site / "diagnostics" / f"{id}.html").is_file() for id in pages)
    api = (site / "reference" / "api.html").read_text()
    homes = {item: getattr(bs, item).__module__ for item in bs.__all__ if item[0] != "_"}
    assert [name for name, home in homes.items() if f'id="{home}.{name}"' not in api and home != "bpfsmith.report"] == []
    hooks, maps = ((site / "reference" / f"{name}.html").read_text() for name in ("hooks", "maps"))
    assert [item.section for item in PROGRAM_TYPES if f"<code>{item.section}" not in hooks] == []
    assert [name for name in MAP_TYPES if name.removeprefix("BPF_MAP_TYPE_") not in maps and MAP_TYPES[name]] == []


def test_the_site_asks_no_other_host(site: Path) -> None:
    """Law: no page loads a script, a style or a picture from elsewhere."""
    loads = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="https?:|<link[^>]*rel="stylesheet"[^>]*href="https?:')
    assert [str(page) for page in site.rglob("*.html") if loads.search(page.read_text())] == []
