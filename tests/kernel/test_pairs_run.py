"""Probes run on a process that was started for them count every event, and the fused form counts what the pair counts."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.codegen.native import compile_native
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.trace.forms import running_kernel
from bpfsmith.trace.fuse import fuse
from bpfsmith.trace.running import Places, Waiting, attached
from bpfsmith.trace.specialise import known_of
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.tracing import compiled, trace

EXAMPLES = Path(__file__).parents[2] / "examples" / "pairs"
PROBES = EXAMPLES.with_name("probes")
TARGET = """
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((noinline)) int handle(int depth) { volatile int x = depth; if (depth > 1) x += handle(depth - 1); return x; }
int main(int count, char **args)
{
	int calls = atoi(args[1]), depth = atoi(args[2]), total = 0;
	char data[64] = "0123456789";
	int file = open("/dev/zero", O_RDONLY);
	for (int i = 0; i < calls; i++)
		total += handle(depth);
	for (int i = 0; i < calls; i++)
		total += pread(file, data, 48, 0);
	for (int i = 0; i < calls; i++)
		if (open(i % 4 ? "/no/such/file" : "/dev/null", O_RDONLY) >= 0)
			total++;
	return total < 0;
}
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("target")
    (place / "target.c").write_text(TARGET)
    compile_native([place / "target.c"], place / "target")
    return str(place / "target")


def both(name: str) -> tuple[Object, Object]:
    data = Compiler.default().compile(EXAMPLES / f"{name}.bpf.c")
    return read_object(data), fuse(data, name, running_kernel(platform.release()), here=True).obj


def counted(obj: Object, command: list[str], *names: str) -> tuple[int, ...]:
    """The values of some variables after a run of the command with the object's probes on it."""
    constants = {"targ_tgid": "$pid"} if any(item.name == "targ_tgid" for item in obj.variables) else {}
    with Waiting(command) as process, attached(obj, process, Places("handle", constants=constants)) as maps:
        assert process.run().status == 0
        content = maps.read(".bss")[bytes(4)]
        found = [obj.variable(name) for name in names]
        return tuple(int.from_bytes(content[item.offset : item.offset + item.size], "little") for item in found)


@pytest.mark.kernel
def test_a_session_counts_every_call_also_where_a_function_calls_itself(target: str) -> None:
    original, fused = both("funclatency")
    assert counted(original, [target, "200", "1"], "calls") == (200,)
    assert counted(fused, [target, "200", "1"], "calls") == (200,)
    assert counted(original, [target, "200", "5"], "calls") == (200,)  # one key a thread: four of five are lost
    assert counted(fused, [target, "200", "5"], "calls") == (1000,)


@pytest.mark.kernel
@pytest.mark.parametrize(("mine", "calls"), [(True, 200), (False, 0)])
def test_a_program_made_for_one_process_counts_its_calls_and_no_others(target: str, mine: bool, calls: int) -> None:
    data = Compiler.default().compile(EXAMPLES / "funclatency.bpf.c")
    with Waiting([target, "200", "1"]) as process:
        known = known_of(read_object(data), (f"targ_tgid={process.pid if mine else 1}",))
        made = fuse(data, "funclatency", running_kernel(platform.release()), here=True, known=known).obj
        with attached(made, process, Places("handle")) as maps:
            assert process.run().status == 0
            place = made.variable("calls")
            content = maps.read(".bss")[bytes(4)]
    assert int.from_bytes(content[place.offset : place.offset + place.size], "little") == calls


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("name", "variables", "expected"), [("rwlat", ("calls", "moved"), (100, 4800)), ("opensnoop", ("failed",), (75,))]
)
def test_task_storage_counts_what_the_hash_counts(
    target: str, name: str, variables: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    seen = [counted(obj, [target, "100", "1"], *variables) for obj in both(name)]
    assert seen[0] == seen[1]
    assert all(have >= want for have, want in zip(seen[0], expected, strict=True))


DIALLING = """
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
static struct sockaddr_in here(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static int dial(int port)
{
	struct sockaddr_in to = here(port);
	int s = socket(AF_INET, SOCK_STREAM, 0), r = connect(s, (void *)&to, sizeof(to));
	close(s);
	return r;
}
int main(int count, char **args)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct sockaddr_in at = here(7000);
	if (unshare(CLONE_NEWNET)) return 1;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (ioctl(s, SIOCSIFFLAGS, &lo) || bind(s, (void *)&at, sizeof(at)) || listen(s, 1000)) return 2;
	for (int i = 0; i < atoi(args[1]); i++) if (dial(7000)) return 3;
	for (int i = 0; i < atoi(args[2]); i++) if (!dial(7001)) return 4;
	return 0;
}
"""


@pytest.mark.kernel
def test_connections_are_counted_by_socket_in_every_form(tmp_path: Path) -> None:
    """In a network namespace of the process's own: 40 connections that are made and 7 that are refused."""
    (tmp_path / "dial.c").write_text(DIALLING)
    compile_native([tmp_path / "dial.c"], tmp_path / "dial")
    command = [str(tmp_path / "dial"), "40", "7"]
    original, fused = both("tcpconnlat")
    assert fused.map("starts").type == "BPF_MAP_TYPE_SK_STORAGE"
    for obj in (original, fused):
        assert counted(obj, command, "made", "refused") == (40, 7)
    program = compiled(str(PROBES / "tcpconnlat.probe"), Toolchain())
    assert set(program.meanings.values()) == {"equal"}
    seen = trace(program, command, None, None, lambda seen: None, quiet=True)
    assert {row.key: row.value for row in seen.tables["connections"]} == {(1,): 40, (7,): 7}


@pytest.mark.kernel
def test_no_other_process_is_counted(target: str) -> None:
    original, _ = both("rwlat")
    with Waiting(["/bin/true"]) as process, attached(original, process, Places()) as maps:
        subprocess.run([target, "50", "1"], check=True)
        content = maps.read(".bss")[bytes(4)]
        calls = original.variable("calls")
        assert not any(content[calls.offset : calls.offset + calls.size])


@pytest.mark.kernel
def test_constants_are_those_of_the_loader(target: str) -> None:
    original, _ = both("funclatency")
    with Waiting([target, "50", "1"]) as process:
        with attached(replace(original), process, Places("handle", constants={"targ_tgid": "1"})) as maps:
            process.run()
            content = maps.read(".bss")[bytes(4)]
        assert not any(content)


@pytest.mark.kernel
def test_a_trace_counts_every_event(target: str, tmp_path: Path) -> None:
    text = tmp_path / "test.probe"
    text.write_text(
        "probe uprobe:handle(depth) { filter depth == 1; let t = now();"
        "  on return { hist us = (now() - t) / us; sum r = ret; } }"
        "probe syscall:pread64(fd, buf, bytes) { on return { if (bytes == 48) { sum moved = ret; count reads by ret; } } }"
        "probe syscall:openat { on return { if (ret < 0) { emit failed(name = str(filename), ret = ret); } } }"
    )
    program = compiled(str(text), Toolchain(), budget=2)
    seen = trace(program, [target, "200", "3"], None, None, lambda seen: None, quiet=True)
    assert seen.status == 0
    (slots,) = seen.tables["us"]
    assert isinstance(slots.value, tuple)
    assert sum(slot.count for slot in slots.value) == 200
    assert seen.tables["r"][0].value == 200
    assert seen.tables["moved"][0].value == 200 * 48
    assert [row.value for row in seen.tables["reads"]] == [200]
    names = [values["name"] for name, values in seen.records if values["ret"] == -2]
    assert names.count("/no/such/file") == 150


@pytest.mark.kernel
@pytest.mark.parametrize("path", sorted(PROBES.glob("*.probe")), ids=lambda path: path.stem)
def test_the_example_probes_are_accepted_in_their_best_form(path: Path) -> None:
    program = compiled(str(path), Toolchain(), budget=1)
    assert all(found["verifier"] == "accepted" for found in program.forms.values())
    obj = read_object(program.data)
    for item in obj.programs:
        with open_maps(obj) as maps, load(item, maps) as outcome:
            assert isinstance(outcome, Accepted)
