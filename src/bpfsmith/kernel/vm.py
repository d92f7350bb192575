"""Programs loaded on another kernel: qemu boots it with nothing but our loader, which says what its verifier answers.

The guest is emulated (no /dev/kvm needed), has no disk and no network, and powers off when it is done. Its words come by a
second serial line. Times measured in it mean nothing.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import BinaryIO

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.kernel.attachment import Way
from bpfsmith.kernel.cache import cache_directory
from bpfsmith.kernel.images import Image
from bpfsmith.kernel.plan import Load, Target, ask_for_types, plan, run
from bpfsmith.objfile.btf import Btf
from bpfsmith.objfile.btf_codec import LazyBtf
from bpfsmith.objfile.object import Object

_LOADER = tuple(Path(__file__).with_name(name) for name in ("guest_loader.c", "guest_attach.c"))
_LOADER_HEADER = Path(__file__).with_name("guest.h")
_QEMU = "qemu-system-x86_64"
_MACHINE = (
    "-M", "q35,usb=off", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-cx16", "-nodefaults", "-no-user-config",
    "-display", "none", "-no-reboot", "-m", "768", "-smp", "1",
)  # fmt: skip
_COMMAND_LINE = (
    "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off lsm=bpf audit=0 nokaslr cryptomgr.notests tsc=reliable "
    "no_timer_check rcupdate.rcu_expedited=1 initcall_blacklist=jent_mod_init"
)
_BOOT_SECONDS, _PROGRAM_SECONDS = 90, 20
_BOOTS = 3
_RECORD = re.compile(
    rb"PROG (?P<number>\d+) (?P<errno>\d+) (?P<load_us>\d+) (?P<xlated>\d+) (?P<jited>\d+) (?P<log>\d+)\n"
    rb"|MISSING (?P<without>\d+) (?P<name>[^\n]*)\n|NOCORE (?P<nocore>\d+)\n|MAP (?P<map>\d+) (?P<map_errno>\d+)\n"
    rb"|RAN (?P<ran>\d+) (?P<how>\d+) (?P<attach_errno>\d+) (?P<runs>-?\d+) (?P<result>\d+)\n"
    rb"|KERNEL (?P<release>\S+)\n|DONE\n|FAULT (?P<fault>[^\n]*)\n"
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of attaching a program: `errno` is 0 where it could be, `runs` the kernel's own count (None: it has none) and
    `result` what a test run returned."""

    way: Way
    errno: int
    runs: int | None
    result: int | None


@dataclass(frozen=True, slots=True)
class GuestVerdict:
    """What a guest's kernel says of a program. `errno` is 0 for an accepted one; `log` is the end of the verifier's.

    `missing` says what kept the program from its verifier: a name that this kernel does not have, a map that it cannot make.
    """

    number: int
    errno: int = 0
    log: str = ""
    xlated_bytes: int = 0
    jited_bytes: int = 0
    missing: str = ""
    ran: Ran | None = None


@dataclass(frozen=True, slots=True)
class GuestRun:
    """All verdicts of one boot. `died` is None when the guest came to its end, else the last words of its console."""

    release: str
    verdicts: dict[int, GuestVerdict]
    died: str | None = None


def load_in(found: Image, loads: Sequence[Load], stop: Event | None = None) -> GuestRun:
    """Boots a kernel once and loads every program in it; once `stop` is set nothing is booted any more.

    KernelError `no-qemu` where it is not installed. Whatever happens, no process and no file is left behind.
    """
    qemu = _qemu()
    types = _types(qemu, found) if _leaves_relocations(found) and any(_relocated(item) for item in loads) else None
    steps = plan(loads, Target(found.release, found.configuration, types))
    guest = GuestRun(found.release, {})
    for _ in range(_BOOTS):
        if stop is not None and stop.is_set():
            break
        guest = _read(*_boot(qemu, found, steps, _BOOT_SECONDS + _PROGRAM_SECONDS * len(loads)), found)
        if guest.died is None or guest.verdicts:
            break  # a kernel that dies before it has seen a program, as emulated ones do now and then, is booted again
    return guest


def _qemu() -> str:
    qemu = shutil.which(_QEMU)
    if qemu is None:
        raise KernelError(
            Diagnostic(
                "no-qemu",
                f"programs are loaded on other kernels in a virtual machine, and {_QEMU} is not installed",
                help="apt-get install qemu-system-x86, or ask for `--kernel host` only",
            )
        )
    return qemu


@dataclass(frozen=True, slots=True)
class GuestCounts:
    """What the variables of an object held after its programs had run attached in a guest. `data` is by section; `refused` says
    what was not loaded or attached, in words."""

    release: str
    data: dict[str, bytes]
    refused: tuple[str, ...]


def run_in(found: Image, obj: Object, calls: int) -> GuestCounts:
    """Boots a kernel, attaches every program of the object there, and makes so many calls of openat(2). For objects without
    CO-RE relocations. KernelError `no-qemu`, or `guest-died` where the guest did not come to its end."""
    qemu = _qemu()
    steps = run(obj, calls, Target(found.release, found.configuration))
    said, console, timed_out = _boot(qemu, found, steps, _BOOT_SECONDS + _PROGRAM_SECONDS * len(obj.programs))
    outcome = _read(said, console, timed_out, found)
    names = [program.name for program in obj.programs]
    refused = [
        f"{names[item.number]}: {item.missing or item.log.strip().splitlines()[-1] if item.log.strip() else item.errno}"
        for item in outcome.verdicts.values()
        if item.errno or item.missing
    ]
    refused += [
        f"{names[int(number)]} is not attached: {os.strerror(int(error))}"
        for number, error in re.findall(rb"ATTACHED (\d+) (\d+)\n", said)
        if int(error)
    ]
    if outcome.died is not None:
        refused.append(f"the guest: {outcome.died}")
    sections = [spec.name for spec in obj.maps if spec.initial is not None and not spec.frozen]
    values = []
    for match in re.finditer(rb"DATA \d+ (\d+)\n", said):
        values.append(said[match.end() : match.end() + int(match[1])])
    return GuestCounts(outcome.release, dict(zip(sections, values, strict=False)), tuple(refused))


def _relocated(item: Load) -> bool:
    return item.obj is not None and bool(item.obj.core_relos(item.program))


def _leaves_relocations(found: Image) -> bool:
    """Kernels before 5.17 do not know core_relos of BPF_PROG_LOAD; their types are asked for first, to do it here."""
    numbers = [int(number) for number in re.findall(r"\d+", found.release)[:2]]
    return numbers < [5, 17]


def _types(qemu: str, found: Image) -> Btf | None:
    """A kernel's BTF, asked for once and then kept beside its image; None where it has none to give."""
    kept = found.vmlinuz.with_name("btf")
    if not kept.exists():
        said, _, _ = _boot(qemu, found, ask_for_types(), _BOOT_SECONDS * 2)
        match = re.search(rb"TYPES (\d+)\n", said)
        data = said[match.end() : match.end() + int(match[1])] if match else b""
        if match is None or len(data) < max(int(match[1]), 1):
            return None
        kept.with_name(".btf").write_bytes(data)
        kept.with_name(".btf").replace(kept)
    return LazyBtf(kept.read_bytes())


def _boot(qemu: str, found: Image, steps: bytes, seconds: float) -> tuple[bytes, str, bool]:
    """What a guest with this plan said, its console, and whether it had to be stopped."""
    # Files without a name: nothing stays behind, however this process ends.
    with _unnamed("initrd") as initrd, _unnamed("console") as console, _unnamed("answers") as answers:
        initrd.write(cpio({"init": (0o100755, loader().read_bytes()), "plan": (0o100644, steps)}))
        initrd.flush()
        command = [
            *_tied(), qemu, *_MACHINE, "-kernel", str(found.vmlinuz), "-initrd", _path(initrd),
            "-serial", f"file:{_path(console)}", "-serial", f"file:{_path(answers)}", "-append", _COMMAND_LINE,
        ]  # fmt: skip
        timed_out = _run_machine(command, seconds, tuple(file.fileno() for file in (initrd, console, answers)))
        return _contents(answers), _contents(console).decode("utf-8", "replace"), timed_out


def _unnamed(name: str) -> BinaryIO:
    return os.fdopen(os.memfd_create(f"bpfsmith-{name}", 0), "w+b")


def _path(file: BinaryIO) -> str:
    return f"/dev/fd/{file.fileno()}"


def _contents(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _tied() -> tuple[str, ...]:
    """A prefix that ends the machine with us, also when we are killed."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


def _run_machine(command: Sequence[str], seconds: float, files: tuple[int, ...]) -> bool:
    """Runs qemu to its end, with these descriptors open; True when it had to be stopped."""
    null = subprocess.DEVNULL
    machine = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, pass_fds=files)
    try:
        machine.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        if machine.poll() is None:
            machine.kill()
            machine.wait()


def _read(said: bytes, console: str, timed_out: bool, image: Image) -> GuestRun:
    verdicts: dict[int, GuestVerdict] = {}
    release, died = image.release, "it ended before its work was done"
    maps: dict[int, int] = {}
    fault: str | None = died
    at = 0
    while match := _RECORD.search(said, at):
        at = match.end()
        if match["number"]:
            log = said[at : at + int(match["log"])]
            at += len(log)
            if len(log) < int(match["log"]):
                break
            number = int(match["number"])
            verdicts[number] = GuestVerdict(
                number, int(match["errno"]), log.decode("utf-8", "replace"), int(match["xlated"]), int(match["jited"])
            )
        elif match["without"]:
            number = int(match["without"])
            what = (
                f"map errno {maps[number]}"
                if match["name"] == b"a map or symbol" and number in maps
                else match["name"].decode()
            )
            verdicts.setdefault(number, GuestVerdict(number, missing=what))
        elif match["nocore"]:
            number = int(match["nocore"])
            verdicts[number] = GuestVerdict(number, missing="CO-RE relocations, which kernels apply since 5.17")
        elif match["ran"]:
            number, way = int(match["ran"]), Way(int(match["how"]))
            tested = way in (Way.TEST_RUN, Way.TEST_RUN_BARE) and match["attach_errno"] == b"0"
            runs = int(match["runs"])
            ran = Ran(way, int(match["attach_errno"]), runs if runs >= 0 else None, int(match["result"]) if tested else None)
            verdicts[number] = replace(verdicts[number], ran=ran)
        elif match["map"]:
            maps[int(match["map"])] = int(match["map_errno"])
        elif match["release"]:
            release = match["release"].decode()
        elif match["fault"]:
            fault = match["fault"].decode()
        else:
            fault = None
    if fault is not None:
        last = [line.strip() for line in console.splitlines() if line.strip()][-3:]
        fault = "; ".join(("it did not come to its end in time" if timed_out else fault, *last))
    return GuestRun(release, verdicts, fault)


def loader() -> Path:
    """The guest's only program, compiled once into the cache: by the machine's C compiler, or else by the bundled one."""
    key = hashlib.sha256(b"".join(path.read_bytes() for path in (*_LOADER, _LOADER_HEADER))).hexdigest()[:16]
    target = cache_directory("guest") / f"loader-{key}"
    if target.exists():
        return target
    scratch = target.with_suffix(".new")
    said = ""
    for command in _compilers():
        done = subprocess.run(
            [*command, "-O2", "-s", "-o", str(scratch), *map(str, _LOADER)], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and scratch.exists():
            scratch.replace(target)
            return target
        said = done.stderr
    raise KernelError(
        Diagnostic(
            "no-guest-loader",
            "the loader for virtual machines cannot be compiled",
            notes=tuple(said.strip().splitlines()[:4]),
            help="install a C compiler (apt-get install gcc libc6-dev), or the package ziglang",
        )
    )


def _compilers() -> Iterator[tuple[str, ...]]:
    native = shutil.which("gcc") or shutil.which("cc")
    if native and platform.machine() == "x86_64":
        yield (native, "-static")
    spec = find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        yield (str(Path(spec.origin).parent / "zig"), "cc", "-target", "x86_64-linux-musl", "-static")


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An initramfs: mode and contents by name, with /dev/console, which the kernel opens for init.

    Format "newc": Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    entries = [("dev", 0o40755, b"", 0, 0), ("dev/console", 0o20600, b"", 5, 1)]
    entries += [(name, mode, data, 0, 0) for name, (mode, data) in files.items()]
    entries.append(("TRAILER!!!", 0, b"", 0, 0))
    out = bytearray()
    for number, (name, mode, data, major, minor) in enumerate(entries, 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % value for value in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)
