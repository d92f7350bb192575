"""Kernels from Debian's packages, by version ("6.1"): downloaded with apt, unpacked into the cache, never installed.

A release has the directory kernels/<release> with `vmlinuz`, `config` and, where it could be
unpacked, `vmlinux`. What is there is used as it is, without a network.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError, KernelError
from bpfsmith.kernel.cache import cache_directory
from bpfsmith.kernel.symbols import parse_configuration

_SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie"}
"""Which suite has a version; backports have the others."""
_BACKPORTS = "trixie-backports"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEFAULT_MIRROR = "http://deb.debian.org/debian"
VERSION = re.compile(r"^\d+\.\d+(?:\.\d+)?$")


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel that can be booted. `release` is what its `uname -r` says."""

    release: str
    vmlinuz: Path
    configuration: Mapping[str, str]


def image(version: str) -> Image:
    """The newest cloud kernel of a version ("6.1", "6.12.107"), fetched if it is not in the cache.

    InputError `bad-kernel-version`; KernelError `kernel-not-available` when it cannot be fetched.
    """
    if not VERSION.fullmatch(version):
        raise InputError(
            Diagnostic("bad-kernel-version", f"{version} is not a kernel version", help="write `--kernel 5.10,6.1,6.12,host`")
        )
    return _cached(version) or _fetched(version)


def _cached(version: str) -> Image | None:
    found = [path for path in cache_directory("kernels").iterdir() if _is(path.name, version) and (path / "vmlinuz").exists()]
    if not found:
        return None
    newest = max(found, key=lambda path: _numbers(path.name))
    config = newest / "config"
    return Image(newest.name, _unpacked(newest), parse_configuration(config.read_text()) if config.exists() else {})


def _unpacked(directory: Path) -> Path:
    """The kernel that boots soonest: an emulated processor takes a second to decompress one. What cannot be unpacked here, with
    lzma or the command zstd, boots as it is.

    Documentation/arch/x86/boot.rst: payload_offset counts from the end of the real-mode sectors.
    """
    unpacked, image = directory / "vmlinux", directory / "vmlinuz"
    if unpacked.exists():
        return unpacked
    data = image.read_bytes()
    if len(data) < 0x250 or data[0x202:0x206] != b"HdrS":
        return image
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (data[0x1F1] + 1) * 512 + offset
    contents = _decompressed(data[start : start + length])
    if not contents.startswith(b"\x7fELF"):
        return image
    (directory / ".vmlinux").write_bytes(contents)
    (directory / ".vmlinux").replace(unpacked)
    return unpacked


def _decompressed(payload: bytes) -> bytes:
    """The contents, empty where nothing here can read them; four bytes of size follow the compressed ones."""
    if payload.startswith(b"\xfd7zXZ\0"):
        try:
            return lzma.LZMADecompressor().decompress(payload)
        except lzma.LZMAError:
            return b""
    if payload.startswith(b"\x28\xb5\x2f\xfd") and shutil.which("zstd"):
        return subprocess.run(["zstd", "-dcq"], input=payload[:-4], capture_output=True, check=False).stdout
    return b""


def _is(release: str, version: str) -> bool:
    return re.match(rf"^{re.escape(version)}(?!\d)", release) is not None


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _fetched(version: str) -> Image:
    suite = next((suite for stem, suite in _SUITES.items() if _is(version, stem)), _BACKPORTS)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise _not_available(version, "there is no apt-get here: kernels come from Debian's packages")
    environment = _apt(suite)
    packages = _packages(version, suite, environment)
    with tempfile.TemporaryDirectory(prefix="bpfsmith-kernel-") as scratch:
        _run(["apt-get", "download", "-qq", *packages], environment, scratch)
        downloaded = list(Path(scratch).glob("*.deb"))
        if not downloaded:
            raise _not_available(version, f"apt-get downloaded nothing for {packages[0]}")
        for package in downloaded:
            _run(["dpkg-deb", "-x", str(package), scratch], environment)
        vmlinuz = next((path for path in Path(scratch).rglob("vmlinuz*") if path.is_file()), None)
        if vmlinuz is None:
            raise _not_available(version, f"{packages[0]} holds no vmlinuz")
        release = vmlinuz.parent.name if vmlinuz.name == "vmlinuz" else vmlinuz.name.removeprefix("vmlinuz-")
        directory = cache_directory("kernels", release)
        named = (
            path for path in Path(scratch).rglob("config*") if path.is_file() and path.name in ("config", f"config-{release}")
        )
        config = next(named, None)
        if config is not None:
            shutil.copy(config, directory / "config")
        shutil.copy(vmlinuz, directory / ".vmlinuz")
        (directory / ".vmlinuz").replace(directory / "vmlinuz")
    found = _cached(version)
    assert found is not None
    return found


def _packages(version: str, suite: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The packages that hold the newest cloud kernel of a version: its image, and its configuration."""
    names = _run(
        ["apt-cache", "search", "--names-only", rf"^linux-(image|binary|base)-{re.escape(version)}.*cloud-amd64$"], environment
    )
    kinds: dict[str, set[str]] = {}
    for line in names.splitlines():
        _, kind, release = line.split()[0].split("-", 2)
        if _is(release, version):
            kinds.setdefault(release, set()).add(kind)
    if not kinds:
        raise _not_available(version, f"Debian's {suite} has no package linux-image-{version}..-cloud-amd64")
    newest = max(kinds, key=_numbers)
    # Since 7.0 they are split: linux-image only depends on linux-binary, with the file, and linux-base, with the rest.
    return tuple(f"linux-{kind}-{newest}" for kind in (("binary", "base") if "binary" in kinds[newest] else ("image",)))


def _apt(suite: str) -> Mapping[str, str]:
    """The environment in which apt knows one suite only, with its lists in our cache."""
    root = cache_directory("apt", suite)
    for part in ("lists/partial", "archives/partial"):
        (root / part).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    (root / "sources.list").write_text(f"deb {signed}{_mirror()} {suite} main\n")
    (root / "apt.conf").write_text(
        f'Dir::State "{root}"; Dir::State::Lists "{root}/lists"; Dir::State::status "{root}/status";\n'
        f'Dir::Cache "{root}"; Dir::Cache::archives "{root}/archives"; Dir::Etc::sourcelist "{root}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferencesparts "/dev/null"; APT::Sandbox::User "root";\n'
        'APT::Architecture "amd64"; APT::Architectures { "amd64"; };\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C"}
    _run(["apt-get", "update", "-qq"], environment)
    return environment


def _mirror() -> str:
    """The mirror that this machine's apt uses for Debian."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if path.exists() and (
            match := re.search(r"^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(\S*debian\S*)", path.read_text(), re.MULTILINE)
        ):
            return match[1]
    return _DEFAULT_MIRROR


def _run(command: list[str], environment: Mapping[str, str], directory: str | None = None) -> str:
    done = subprocess.run(command, env=dict(environment), cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-3:]
        raise _not_available("that version", f"{command[0]} failed", *said)
    return done.stdout


def _not_available(version: str, *why: str) -> KernelError:
    return KernelError(
        Diagnostic(
            "kernel-not-available",
            f"a kernel of {version} cannot be fetched",
            notes=why,
            help="name a version that Debian has (5.10, 6.1, 6.12, or one of trixie-backports), with a network at hand",
        )
    )
