"""What is installed: the wheel holds all that the package needs and nothing else, and the lock pins all that it draws in."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

import bpfsmith
from bpfsmith.cli.main import VERBS
from tools import generate

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("packaging")  # built once
PACKAGE = ROOT / "src" / "bpfsmith"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", out], cwd=ROOT, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> set[str]:
    """The names of the wheel's files, without its metadata."""
    (path,) = built.glob("*.whl")
    names = zipfile.ZipFile(path).namelist()
    return {name for name in names if ".dist-info/" not in name and ".data/" not in name}


def _files(directory: Path, prefix: str) -> Iterator[str]:
    for path in directory.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{prefix}/{path.relative_to(directory)}"


def test_the_wheel_is_the_package_its_pages_and_its_examples(wheel: set[str]) -> None:
    assert wheel == {
        *_files(PACKAGE, "bpfsmith"),
        *_files(ROOT / "docs" / "diagnostics", "bpfsmith/_diagnostics"),
        *_files(ROOT / "examples", "bpfsmith/_examples"),
    }


def test_the_wheel_brings_its_man_page(built: Path) -> None:
    """Law: the page lies where pip and pipx put man pages, and every command has a section there."""
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data/share/man/man1/bpfsmith.1"))
        page = archive.read(name).decode()
    assert page.startswith(".TH BPFSMITH 1")
    assert [module.NAME for module in VERBS if f".SS {module.NAME.replace('-', chr(92) + '-')}\n" not in page] == []


def test_the_same_tree_is_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """Law: building again gives the same bytes."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (first,), (second,) = built.glob("*.whl"), tmp_path.glob("*.whl")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "codegen/include/bpfsmith/helpers.h",
        "codegen/include/bpfsmith/fixed.h",
        "_diagnostics/unknown-map.md",
        "_examples/appnet/fault.appnet",
    ],
)
def test_what_is_no_module_is_in_the_wheel_too(wheel: set[str], name: str) -> None:
    assert f"bpfsmith/{name}" in wheel


def test_the_sdist_can_be_tested(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "requirements.lock", "pyproject.toml", "LICENSE", "tools/generate.py", "tests/unit/test_packaging.py"}
    assert wanted <= names


def test_the_version_has_an_entry_in_the_changelog() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(bpfsmith.__version__)}\b", changes, re.MULTILINE)


# --- the lock ---------------------------------------------------------------------------------------------------------
def _declared() -> list[Requirement]:
    """What pyproject.toml asks for: to run, to develop and to build."""
    texts = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"], *PROJECT["build-system"]["requires"]]
    return [Requirement(text) for text in texts]


def _needs(name: str) -> list[Requirement]:
    """What an installed distribution requires here, extras left out."""
    found = [Requirement(text) for text in metadata.requires(name) or []]
    return [item for item in found if item.marker is None or item.marker.evaluate({"extra": ""})]


def _reached(roots: Iterable[Requirement]) -> dict[NormalizedName, list[Requirement]]:
    """Every distribution that `roots` draw in, by name, with all that is demanded of it."""
    demands: dict[NormalizedName, list[Requirement]] = {}
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        name = canonicalize_name(item.name)
        if name not in demands:
            waiting += _needs(name)
        demands.setdefault(name, []).append(item)
    return demands


def _version(pin: Requirement) -> str:
    (only,) = pin.specifier
    assert only.operator == "=="
    return only.version


def test_the_lock_pins_all_that_is_drawn_in_and_nothing_else() -> None:
    assert sorted(canonicalize_name(pin.name) for pin in LOCK) == sorted(_reached(_declared()))


def test_the_lock_meets_every_demand() -> None:
    pins = {canonicalize_name(pin.name): _version(pin) for pin in LOCK}
    demands = _reached(_declared())
    assert not [str(item) for name, items in demands.items() for item in items if not item.specifier.contains(pins[name])]


def test_what_is_installed_is_what_is_locked() -> None:
    assert {pin.name: metadata.version(pin.name) for pin in LOCK} == {pin.name: _version(pin) for pin in LOCK}


# --- generated headers ------------------------------------------------------------------------------------------------
def test_generated_headers_are_current() -> None:
    assert generate.stale() == {}


def test_a_header_that_is_missing_or_differs_is_stale(tmp_path: Path) -> None:
    texts = {"missing.h": "one", "differs.h": "two", "current.h": "three"}
    (tmp_path / "differs.h").write_text("two, once")
    (tmp_path / "current.h").write_text("three")
    generated = {tmp_path / name: texts[name].__str__ for name in texts}
    assert generate.stale(generated) == {tmp_path / "missing.h": "one", tmp_path / "differs.h": "two"}
