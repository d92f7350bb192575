"""Other kernels: what a guest is given and what it says, without booting one."""

from __future__ import annotations

import os
import re
import shutil
import struct
import tempfile
from pathlib import Path

import pytest

from bpfsmith.cli.main import main
from bpfsmith.diagnostic import InputError, KernelError
from bpfsmith.isa.asm import assemble
from bpfsmith.kernel import vm
from bpfsmith.kernel.attachment import Way, attachment
from bpfsmith.kernel.images import Image, image
from bpfsmith.kernel.plan import Load, Target, plan
from bpfsmith.kernel.symbols import parse_configuration, version_code
from bpfsmith.kernel.vm import Ran
from bpfsmith.workflow.kernels import requested

IMAGE = Image("6.1.0-1-cloud-amd64", Path("/nonexistent"), {})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "bpfsmith"


def read(said: bytes, console: str = "", timed_out: bool = False) -> vm.GuestRun:
    return vm._read(said, console, timed_out, IMAGE)


def test_the_words_of_a_guest_are_read_with_their_logs() -> None:
    log = b"PROG 9 9 9 9 9 9\nprocessed 3 insns"  # a log may hold anything, also what looks like a record
    said = b"KERNEL 6.1.5\nPROG 0 13 250 0 0 %d\n%s\nPROG 1 0 10 16 40 0\n\nMISSING 2 bpf_new\nDONE\n" % (len(log), log)
    run = read(said)
    assert (run.release, run.died) == ("6.1.5", None)
    assert run.verdicts[0].log == log.decode()
    assert (run.verdicts[0].errno, run.verdicts[1].xlated_bytes, run.verdicts[1].jited_bytes) == (13, 16, 40)
    assert run.verdicts[2].missing == "bpf_new"
    assert set(run.verdicts) == {0, 1, 2}


def test_what_ran_in_a_guest_belongs_to_its_program() -> None:
    said = b"KERNEL 6.1.5\nPROG 0 0 10 16 40 0\n\nRAN 0 1 0 12 0\nPROG 1 0 10 16 40 0\n\nRAN 1 14 0 1 2\n"
    run = read(said + b"PROG 2 0 10 16 40 0\n\nRAN 2 2 2 -1 4294967295\nDONE\n")
    assert [run.verdicts[number].ran for number in range(3)] == [
        Ran(Way.RAW_TRACEPOINT, 0, 12, None),
        Ran(Way.TEST_RUN, 0, 1, 2),
        Ran(Way.TRACEPOINT, 2, None, None),
    ]


@pytest.mark.parametrize(
    ("section", "way", "name"),
    [
        ("fentry/vfs_read", Way.RAW_TRACEPOINT, ""),
        ("lsm.s/file_open", Way.RAW_TRACEPOINT, ""),
        ("raw_tp/sys_enter", Way.RAW_TRACEPOINT, "sys_enter"),
        ("tp/syscalls/sys_enter_openat", Way.TRACEPOINT, "syscalls/sys_enter_openat"),
        ("kretprobe/vfs_read", Way.KRETPROBE, "vfs_read"),
        ("ksyscall/openat", Way.KPROBE, "__x64_sys_openat"),
        ("kprobe.multi/tcp_*", Way.NOT_AT_ALL, ""),
        ("uprobe//bin/sh:main", Way.NOT_AT_ALL, ""),
        ("xdp", Way.DEVICE, ""),
        ("tc", Way.TEST_RUN, ""),
        ("tcx/egress", Way.DEVICE, ""),
        ("cgroup/connect4", Way.CGROUP, ""),
        ("iter/task", Way.ITERATOR, ""),
        ("sk_msg", Way.NOT_AT_ALL, ""),
    ],
)
def test_each_type_has_its_way_to_run(section: str, way: Way, name: str) -> None:
    (program,) = assemble(f".section {section}\nr0 = 0\nexit\n", "t.s")
    assert attachment(program) == (way, name)


def test_ways_are_numbered_as_the_guest_numbers_them() -> None:
    header = Path(vm.__file__).with_name("guest.h").read_text()
    body = re.search(r"enum how \{(.*?)\}", header, re.DOTALL)
    assert body is not None
    names = [name.removeprefix("BY_") for name in re.findall(r"\w+", body[1])]
    assert names == [way.name for way in Way]


@pytest.mark.parametrize("cut", [0, 10, 30, 45])
def test_a_guest_that_dies_leaves_the_verdicts_it_gave(cut: int) -> None:
    said = b"KERNEL 6.1.5\nPROG 0 0 10 16 40 3\nabc\nPROG 1 22 10 0 0 900\nhalf a log"
    run = read(said[: len(said) - cut], "\n[1.0] Kernel panic - not syncing: Oops\n")
    assert run.died is not None
    assert "Kernel panic" in run.died
    assert 1 not in run.verdicts
    assert (0 in run.verdicts) is (cut < 45)


def test_a_guest_that_hangs_is_told_apart() -> None:
    assert "in time" in (read(b"KERNEL 6.1.5\n", timed_out=True).died or "")


def test_an_initramfs_has_its_files_aligned() -> None:
    data = vm.cpio({"init": (0o100755, b"abc"), "plan": (0o100644, b"12345")})
    at, names = 0, []
    while True:
        assert data[at : at + 6] == b"070701"
        assert at % 4 == 0
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = (at + 110 + fields[11] + 3) // 4 * 4
        names.append((name, data[start : start + fields[6]]))
        at = (start + fields[6] + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
    assert ("init", b"abc") in names
    assert ("plan", b"12345") in names


def test_a_plan_ends_each_program_by_forgetting_it() -> None:
    (program,) = assemble(".section xdp\nr0 = 2\nexit\n", "t.s")
    steps = plan([Load(0, program, (), None), Load(1, program, (), None)], Target("6.1", {}))
    assert steps[:8] == struct.pack("<II", 4, 0)
    assert steps.count(struct.pack("<I", 5)) >= 2
    assert steps.endswith(struct.pack("<I", 5))


@pytest.mark.parametrize("text", ["6.x", "latest", "6", "host,6.", "../6.1"])
def test_what_is_no_version_is_told(text: str) -> None:
    with pytest.raises(InputError) as caught:
        requested(text)
    assert caught.value.diagnostics[0].id == "bad-kernel-version"


def test_kernels_are_asked_for_once_each_and_host_by_default() -> None:
    assert requested("6.1,host,6.1") == ("6.1", "host")
    assert requested(None) == ("host",)


def test_the_newest_of_a_version_is_taken_from_the_cache(cache: Path) -> None:
    for release in ("6.1.0-9-cloud-amd64", "6.1.0-50-cloud-amd64", "6.12.1-cloud-amd64"):
        (cache / "kernels" / release).mkdir(parents=True)
        (cache / "kernels" / release / "vmlinuz").write_bytes(b"")
    (cache / "kernels" / "6.1.0-50-cloud-amd64" / "config").write_text('CONFIG_HZ=250\n# CONFIG_X is not set\nCONFIG_Y="a"\n')
    assert image("6.1").release == "6.1.0-50-cloud-amd64"
    assert image("6.1").configuration == {"CONFIG_HZ": "250", "CONFIG_Y": '"a"'}
    assert image("6.12").release == "6.12.1-cloud-amd64"


def test_a_kernel_that_debian_lacks_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(KernelError) as caught:
        image("4.4")
    assert caught.value.diagnostics[0].id == "kernel-not-available"


def test_without_qemu_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(KernelError) as caught:
        vm.load_in(IMAGE, [])
    assert caught.value.diagnostics[0].id == "no-qemu"
    assert "apt-get install" in caught.value.diagnostics[0].help


@pytest.mark.parametrize(("last_words", "status"), [("sleep 0", 3), ("kill -9 $$", 3)])
def test_a_guest_that_dies_has_its_own_exit_status_and_leaves_nothing(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    last_words: str,
    status: int,
) -> None:
    fake = tmp_path / "bin" / "qemu-system-x86_64"
    fake.parent.mkdir()
    # The second -serial is where a guest speaks: it says its name and a first verdict, and then no more.
    said = "KERNEL 6.1.0\\nPROG 0 0 5 16 30 0\\n\\nPROG 1 0 5 16"
    fake.write_text(
        "#!/bin/sh\nn=0\nfor a; do case $a in file:*) n=$((n+1)); "
        f"[ $n = 2 ] && printf '{said}' > ${{a#file:}};; esac; done\n{last_words}\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    release = cache / "kernels" / "6.1.0-1-cloud-amd64"
    release.mkdir(parents=True)
    (release / "vmlinuz").write_bytes(b"")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(vm, "loader", lambda: fake)
    source = tmp_path / "two.s"
    source.write_text(".section xdp\none:\nr0 = 2\nexit\n.section tc\ntwo:\nr0 = 0\nexit\n")
    assert main(["verify", "--kernel", "6.1", str(source)]) == 3
    out, err = capsys.readouterr()
    assert "guest-died" in err
    assert "accepted" in out
    assert "unknown" in out
    assert list(scratch.iterdir()) == []


def test_releases_have_version_codes() -> None:
    assert version_code("6.18.3-amd64") == 0x061203
    assert version_code("6.1.300") == 0x0601FF
    assert parse_configuration("CONFIG_A=y\n")["CONFIG_A"] == "y"
