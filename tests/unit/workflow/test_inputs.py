"""Writing a file: the old one stays until the new one is whole, and what is no ordinary file stays what it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.workflow.inputs import write_output

OLD, NEW = b"precious", b"new bytes"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a file in it, and other names for that."""
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "further").symlink_to("link")
    (tmp_path / "hard").hardlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(path: str, *inputs: str) -> None:
    """Law: what cannot be written to is said with an action, and nothing has changed."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(InputError) as caught:
        write_output(path, NEW, inputs=inputs)
    assert [item.id for item in caught.value.diagnostics] == ["unwritable-output"]
    assert caught.value.diagnostics[0].help
    assert sorted(Path().rglob("*")) == before
    assert Path("file").read_bytes() == OLD


NAMES = ("file", "./file", "folder/../file", "link", "further", "hard")


@pytest.mark.parametrize("name", NAMES)
def test_an_input_is_not_overwritten_under_any_name(there: Path, name: str) -> None:
    refused(name, "file")
    refused(str(there / name), "file")
    refused("file", "missing", name)
    assert (there / "link").is_symlink()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_input_is_replaced(there: Path, name: str) -> None:
    """Law: the same names are fine where the file is no input; a link stays one."""
    (there / "other").write_bytes(OLD)
    write_output(name, NEW, inputs=["other", "missing"])
    assert (there / name).read_bytes() == NEW
    assert [(there / item).is_symlink() for item in ("link", "further")] == [True, True]
    assert (there / "other").read_bytes() == OLD


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "folder",
        "missing/file",
        "file/below",
        "nul\0byte",
        "x" * 300,
        "loop",
    ],
)
def test_what_cannot_be_written_to_is_an_error(there: Path, name: str) -> None:
    (there / "loop").symlink_to("loop")
    refused(name)


def test_a_link_to_nothing_yet_is_followed(there: Path) -> None:
    (there / "ahead").symlink_to("folder/new")
    write_output("ahead", NEW)
    assert (there / "ahead").is_symlink()
    assert (there / "folder" / "new").read_bytes() == NEW


def test_a_pipe_is_written_to(there: Path) -> None:
    """Law: a FIFO, also behind a link, takes the bytes and is a FIFO still."""
    os.mkfifo(there / "fifo")
    (there / "to").symlink_to("fifo")
    handle = os.open(there / "fifo", os.O_RDWR | os.O_NONBLOCK)
    try:
        for name in ("fifo", "to"):
            write_output(name, NEW, inputs=["file"])
            assert os.read(handle, 100) == NEW
        assert (there / "fifo").is_fifo()
        assert (there / "to").is_symlink()
    finally:
        os.close(handle)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device")
def test_a_device_is_written_to(there: Path) -> None:
    """Law: a device node takes the bytes and is a device still."""
    try:
        os.mknod(there / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device can be made here")
    before = set(there.iterdir())
    write_output("null", NEW)
    assert (there / "null").is_char_device()
    assert set(there.iterdir()) == before


def test_a_new_file_has_the_mode_that_any_new_file_has(there: Path) -> None:
    (there / "plain").write_bytes(NEW)
    write_output("made", NEW)
    assert (there / "made").stat().st_mode == (there / "plain").stat().st_mode
