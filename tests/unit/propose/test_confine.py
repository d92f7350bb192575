"""What compiles a candidate has no network, none of the user's files, and an end."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from bpfsmith.diagnostic import InputError
from bpfsmith.kernel import confine
from bpfsmith.propose.examples import SHIPPED, library
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.sandbox import sandbox

PYTHON = str(Path(sys.executable).resolve())
READABLE = (str(Path(sys.base_prefix)), "/usr", "/lib", "/lib64", "/etc/ld.so.cache")
needs_landlock = pytest.mark.skipif(not confine.landlock_version(), reason="this kernel has no Landlock")


def _run(code: str, writable: Path) -> subprocess.CompletedProcess[str]:
    command = confine.confined((PYTHON, "-I", "-S", "-c", code), str(writable), READABLE)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@needs_landlock
def test_files_of_the_user_cannot_be_read_or_written(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    outside.write_text("key")
    assert "PermissionError" in _run(f"open({str(outside)!r}).read()", inside).stderr
    assert "PermissionError" in _run(f"open({str(outside)!r}, 'w')", inside).stderr
    assert "PermissionError" in _run("open('/etc/passwd').read()", inside).stderr
    assert outside.read_text() == "key"
    assert _run(f"open({str(inside / 'out')!r}, 'w').write('x')", inside).returncode == 0


def test_there_is_no_network(tmp_path: Path) -> None:
    code = "import socket; s = socket.socket(); s.settimeout(2); print(s.connect_ex(('127.0.0.1', 9)), socket.if_nameindex())"
    done = _run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    code, interfaces = done.stdout.split(maxsplit=1)
    assert int(code) in (errno.EACCES, errno.ENETUNREACH, errno.ENETDOWN), done.stdout  # not even a loopback that is up
    assert interfaces.strip() == "[(1, 'lo')]"


def test_the_callers_secrets_are_not_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "sk-secret" not in _run("import os; print(dict(os.environ))", tmp_path).stdout


def test_memory_and_files_have_limits(tmp_path: Path) -> None:
    assert "MemoryError" in _run("x = bytearray(8 << 30)", tmp_path).stderr
    assert _run(f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(64 << 20))", tmp_path).returncode != 0


@needs_landlock
def test_a_candidate_that_got_past_the_screen_still_reads_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h"
    secret.write_text("int secret;\n")
    with sandbox(Toolchain()) as box, pytest.raises(InputError) as caught:
        box.compile(f'#include "{secret}"\n', "x.bpf.c")
    assert "secret;" not in str(caught.value)


def test_a_plain_program_compiles_to_the_same_bytes_as_without(tmp_path: Path) -> None:
    text = next(item.answer for item in library([SHIPPED]) if item.name == "warm_drop")
    with sandbox(Toolchain()) as box:
        assert box.compile(text, "x.bpf.c") == Toolchain().compile(text, name="x.bpf.c")
