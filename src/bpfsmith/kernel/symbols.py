"""Values of the running kernel that programs ask for by name: its configuration (`__kconfig`) and addresses (`__ksym`)."""

from __future__ import annotations

import gzip
import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.objfile.btf import Btf, Enum
from bpfsmith.objfile.externs import Extern, ExternKind

_TRISTATE = {"n": 0, "y": 1, "m": 2}  # enum libbpf_tristate


@cache
def configuration() -> Mapping[str, str]:
    """CONFIG_ names and their values as the kernel's .config writes them; empty where it is not to be found."""
    for path in (Path("/proc/config.gz"), Path(f"/boot/config-{platform.release()}")):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        return parse_configuration((gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace"))
    return {}


def parse_configuration(text: str) -> dict[str, str]:
    """The lines NAME=VALUE of a .config."""
    return dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.MULTILINE))


def version_code(release: str) -> int:
    """KERNEL_VERSION of a release as `uname -r` says it: 6.18.3-amd64 is 0x061203."""
    numbers = [int(part) for part in re.findall(r"\d+", release)[:3]] + [0, 0, 0]
    return numbers[0] << 16 | numbers[1] << 8 | min(numbers[2], 255)


def kconfig_values(externs: Mapping[str, Extern], btf: Btf, config: Mapping[str, str], release: str) -> bytes:
    """The contents of the .kconfig section. KernelError `unknown-kconfig` for a strong name that has no value here."""
    wanted = [item for item in externs.values() if item.kind == ExternKind.KCONFIG]
    out = bytearray(max((item.offset + item.size for item in wanted), default=0))
    for item in wanted:
        value = _value(item, btf, config, release)
        out[item.offset : item.offset + item.size] = value[: item.size].ljust(item.size, b"\0")
    return bytes(out)


def _value(item: Extern, btf: Btf, config: Mapping[str, str], release: str) -> bytes:
    if item.name == "LINUX_KERNEL_VERSION":
        return version_code(release).to_bytes(4, "little")
    if item.name in ("LINUX_HAS_SYSCALL_WRAPPER", "LINUX_HAS_BPF_COOKIE"):
        # Kernels with wrapped system calls (4.17) and attach cookies (5.15); libbpf probes for the same two.
        since = (4 << 16 | 17 << 8) if item.name == "LINUX_HAS_SYSCALL_WRAPPER" else (5 << 16 | 15 << 8)
        return int(version_code(release) >= since).to_bytes(4, "little")
    text = config.get(item.name)
    if text is None:
        if item.weak:
            return b""
        raise KernelError(
            Diagnostic(
                "unknown-kconfig",
                f"the program needs the kernel's {item.name}, which is not set here",
                notes=("searched in /proc/config.gz and /boot/config-RELEASE",) if not config else (),
                help="declare it `__kconfig __weak` and handle 0, or load the program where the kernel has it",
            )
        )
    if text.startswith('"'):
        return text.strip('"').encode()
    if text in _TRISTATE:
        # A char takes the letter, a bool and an enum the number (set_kcfg_value_tri).
        is_letter = item.size == 1 and "_Bool" not in str(btf.resolved(item.type_id))
        if is_letter and not isinstance(btf.resolved(item.type_id), Enum):
            return text.encode()
        return _TRISTATE[text].to_bytes(item.size, "little")
    return (int(text, 0) & (1 << 8 * item.size) - 1).to_bytes(item.size, "little")


@cache
def addresses() -> Mapping[str, int]:
    """The kernel's symbols and where they lie; zeros where kptr_restrict hides them."""
    try:
        lines = Path("/proc/kallsyms").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines)
    return {field[2]: int(field[0], 16) for field in fields if len(field) == 3}
