"""The proof of kernel halves: what answers as the server does is proved, and a wrong answer is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.offload.prove import Proof
from bpfsmith.semantics.verdict import Equal, Unknown
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.offload_proof import proof
from bpfsmith.workflow.offloading import CPU, KERNEL_FLAGS, RUNTIME, Request, Split, read_server, split
from tests.support.servers import EXAMPLES, with_handler

LONGEST = 8


def _split(path: Path, hook: str = "xdp") -> Split:
    request = Request((str(path),), hook=hook, longest=LONGEST, cpus=2)
    return split(read_server(request), request, Toolchain())


def _of(directory: Path, text: str) -> Split:
    directory.mkdir(exist_ok=True)
    source = directory / "server.c"
    source.write_text(text)
    return _split(source)


def _proved(done: Split, *sizes: int | None) -> Proof:
    return proof(done, LONGEST, Toolchain(), sizes=sizes)


@pytest.mark.parametrize("hook", ["tc", "xdp"])
def test_an_echo_is_proved_for_short_and_long_requests_and_all_other_packets(hook: str) -> None:
    found = _proved(_split(EXAMPLES / "echo.c", hook), None, 0, LONGEST)
    assert isinstance(found.verdict, Equal), found
    assert found.cases == 3


_COUNTER = """\
static unsigned long hits;
int handle(char *in, int n, char *out)
{
	if (n < 1)
		return -1;
	hits++;
	memcpy(out, &hits, 8);
	return 8;
}
"""


def test_a_counter_in_shared_memory_is_proved(tmp_path: Path) -> None:
    assert isinstance(_proved(_of(tmp_path, with_handler(_COUNTER)), 0, 1).verdict, Equal)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("hits++", "hits += 2"),  # another state
        ("return 8;", "return 7;"),  # a shorter reply
        ("n < 1", "n < 2"),  # no reply to some
        ("memcpy(out, &hits, 8);", "memcpy(out, &hits, 8); out[7] = 1;"),  # another byte
    ],
)
def test_a_kernel_half_of_another_server_is_not_proved(right: str, wrong: str, tmp_path: Path) -> None:
    text = with_handler(_COUNTER)
    assert right in text
    ours, other = _of(tmp_path / "ours", text), _of(tmp_path / "other", text.replace(right, wrong))
    found = _proved(replace(ours, object=other.object), 1)
    assert isinstance(found.verdict, Unknown)
    assert found.verdict.gap == "not-proved"


_HASTY = """\
static unsigned long hits;
int handle(char *in, int n, char *out)
{
	hits++;
	if (n > 0 && in[0] == '!')
		puts("x");
	out[0] = 1;
	return 1;
}
"""


def test_what_hands_over_without_undoing_what_it_changed_is_not_proved(tmp_path: Path) -> None:
    done = _of(tmp_path, with_handler(_HASTY))
    assert isinstance(_proved(done, 1).verdict, Equal)
    runtime = (RUNTIME / "offload_kernel.h").read_text()
    undoes = "\tbs_undo(run);\n\tbs_unlock(run);\n\trun->counters"
    assert undoes in runtime
    text = done.half.source.replace(
        '#include "offload_kernel.h"', runtime.replace(undoes, "\tbs_unlock(run);\n\trun->counters")
    )
    changed = tmp_path / "changed.bpf.c"
    changed.write_text(text)
    flags = [*KERNEL_FLAGS, f"-I{RUNTIME}", "-DBS_XDP"]
    other = replace(done, object=Compiler.default().compile(changed, cpu=CPU, flags=flags))
    assert isinstance(_proved(other, 1).verdict, Unknown)
