"""`bpfsmith offload` as a user runs it: what it says and its exit codes, where no kernel half is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "servers"


def _offload(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bpfsmith", "offload", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(("name", "line"), [("tcp_line.c", "recv(connection"), ("logger.c", "fwrite(")])
def test_what_is_not_worth_it_is_exit_1_at_the_line_that_says_why(name: str, line: str, tmp_path: Path) -> None:
    done = _offload(str(EXAMPLES / name), "-o", str(tmp_path / "out"))
    number = next(at for at, text in enumerate((EXAMPLES / name).read_text().splitlines(), 1) if line in text)
    assert done.returncode == 1
    assert "error[do-not-offload]" in done.stderr
    assert f"{name}:{number}:" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wanted", [False, True])
def test_what_is_not_proved_is_written_only_when_asked_for_and_exit_3(wanted: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _offload(str(EXAMPLES / "kv.c"), "-o", str(out), "--budget", "1", *(("--allow-unknown",) if wanted else ()))
    assert done.returncode == 3
    assert "proof       unknown" in done.stdout
    assert out.exists() == wanted
    if wanted:
        assert (out / "server").exists()


def test_c_that_does_not_compile_is_exit_2_at_its_line(tmp_path: Path) -> None:
    source = tmp_path / "server.c"
    source.write_text("#include <sys/socket.h>\nint main(void)\n{\n\treturn recvfrom(1;\n}\n")
    done = _offload(str(source), "--output-format", "json")
    found = json.loads(done.stdout)
    assert done.returncode == 2
    assert found["diagnostics"][0]["id"] == "c-error"
    assert found["diagnostics"][0]["primary"]["line"] == 4


def test_a_server_with_threads_is_refused_at_the_call(tmp_path: Path) -> None:
    source = tmp_path / "server.c"
    text = (EXAMPLES / "echo.c").read_text()
    text = text.replace("int main", "#include <pthread.h>\nint main").replace(
        "\twhile (1) {", "\tpthread_t t;\n\tpthread_create(&t, 0, 0, 0);\n\twhile (1) {"
    )
    source.write_text(text)
    done = _offload(str(source), "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "error[several-threads]" in done.stderr


_TREE = """\
#include <unistd.h>
#include <stdlib.h>
#include <string.h>
struct page { unsigned long keys[31]; unsigned long below[31]; };
long lookup(int fd, unsigned long key, unsigned long root)
{
	struct page page;
	for (int level = 0; level < 6; level++) {
		int i = 0;
		if (pread(fd, &page, sizeof page, root) != sizeof page)
			return -1;
		while (i < 30 && page.keys[i + 1] <= key)
			i++;
		root = page.below[i];
	}
	return root;
}
long traced(int fd, unsigned long key)
{
	char *note = malloc(64);
	return lookup(fd, key, 0) + (note != 0);
}
"""


@pytest.mark.parametrize(("entry", "said"), [("lookup", "kernel half possible"), ("traced", "malloc()")])
def test_a_function_for_stored_data_is_looked_at_and_no_more(entry: str, said: str, tmp_path: Path) -> None:
    source = tmp_path / "tree.c"
    source.write_text(_TREE)
    done = _offload(str(source), "--storage", entry)
    assert done.returncode == 2
    assert "pread() at" in done.stdout
    assert said in done.stdout + done.stderr
    assert "error[storage-needs-xrp]" in done.stderr


def test_no_server_is_exit_2() -> None:
    done = _offload()
    assert done.returncode == 2
    assert "error[bad-command]" in done.stderr
