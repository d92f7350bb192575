"""BPF C of public tools, from Debian's source packages: fetched by apt into a directory of its own when a benchmark asks.

Nothing of it becomes a part of this project, and the machine's own apt lists and sources stay as they are. The packages are
those that the machine's apt sources name, with `deb-src` in the place of `deb`.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

NEWER_SUITES = ("testing",)
CACHE = Path(tempfile.gettempdir()) / "bpfsmith-debian-sources"


@dataclass(frozen=True)
class Wanted:
    """Which files of a package are programs, and the include directories they want below the source's root. `package` is the
    source package where that has another name; of a large one only what is below `only` is unpacked."""

    globs: tuple[str, ...]
    includes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    package: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    files: list[Path]
    flags: tuple[str, ...]


PACKAGES = {
    "bpfcc": Wanted(("libbpf-tools/*.bpf.c",), ("libbpf-tools", "libbpf-tools/x86")),
    "xdp-tools": Wanted(("xdp-*/*.bpf.c", "xdp-*/*_kern*.c", "lib/util/*.bpf.c"), ("headers", "lib/util", "headers/xdp")),
    "linux": Wanted(
        ("samples/bpf/*.bpf.c", "samples/bpf/*_kern.c"), ("samples/bpf", "tools/lib", "tools/testing/selftests/bpf")
    ),
    "linux-tracing": Wanted(
        ("tools/perf/util/bpf_skel/*.bpf.c", "tools/bpf/runqslower/*.bpf.c", "samples/bpf/*.bpf.c", "samples/bpf/*_kern.c"),
        ("tools/perf/util/bpf_skel", "samples/bpf", "tools/testing/selftests/bpf"),
        package="linux",
        only=("tools/perf/util/bpf_skel/", "tools/bpf/runqslower/", "samples/bpf/", "tools/testing/selftests/bpf/"),
    ),
}


def sources(package: str) -> Found:
    """The package's programs and the flags to compile them. RuntimeError where apt cannot fetch it."""
    wanted = PACKAGES[package]
    root, libbpf = unpacked(package, wanted), unpacked("libbpf")
    headers = CACHE / "include"
    headers.mkdir(exist_ok=True)
    if not (headers / "bpf").exists():
        (headers / "bpf").symlink_to(libbpf / "src")
    if not (headers / "uapi").exists():
        (headers / "uapi").mkdir()
        (headers / "uapi" / "linux").symlink_to("/usr/include/linux")
    files = sorted(path for glob in wanted.globs for path in root.glob(glob))
    includes = [f"-I{root / item}" for item in wanted.includes]
    return Found(files, (*includes, f"-I{headers}", *wanted.flags))


def unpacked(name: str, wanted: Wanted | None = None) -> Path:
    """The root of the package's original source."""
    target, package = CACHE / name, wanted.package if wanted and wanted.package else name
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=_private(), prefix=f"{name}-") as scratch:
            archive = _fetched(package, Path(scratch))
            with tarfile.open(archive) as file:
                members = (item for item in file if _is_wanted(item.name, wanted))
                file.extractall(Path(scratch) / "out", members, filter="data")
            (root,) = (Path(scratch) / "out").iterdir()
            root.rename(target)
    return target


def _is_wanted(path: str, wanted: Wanted | None) -> bool:
    return wanted is None or not wanted.only or path.partition("/")[2].startswith(wanted.only)


def _fetched(package: str, scratch: Path) -> Path:
    """The archive of the original source, of the newest version that the mirror has. RuntimeError where it has none."""
    shown = subprocess.run(
        ["apt-cache", *_options(), "showsrc", package], capture_output=True, text=True, check=False
    ).stdout  # fmt: skip
    said = ""
    versions = dict.fromkeys(re.findall(r"^Version: (\S+)$", shown, re.MULTILINE))
    for version in [package, *(f"{package}={version}" for version in versions)][:6]:
        said = _apt("source", "--download-only", version, cwd=scratch)
        # A mirror may lack the packaging, which is not needed here.
        archives = [path for path in scratch.iterdir() if re.search(r"\.orig\.tar\.[a-z0-9]+$", path.name)]
        if archives:
            return archives[0]
    raise RuntimeError(f"apt cannot fetch the source of {package}: {said}")


def _private() -> Path:
    """apt's directories, apart from the machine's, with source packages in its list."""
    lists = CACHE / "sources.list"
    if not lists.exists():
        for name in ("state/lists/partial", "cache/archives/partial"):
            (CACHE / name).mkdir(parents=True, exist_ok=True)
        lists.write_text("".join(_source_lines()))
        _apt("update", cwd=CACHE)
    return CACHE


def _source_lines() -> list[str]:
    out = []
    apt = Path("/etc/apt")
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]:
        if path.exists():
            out += [f"deb-src {line[4:].strip()}\n" for line in path.read_text().splitlines() if line.startswith("deb ")]
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in path.read_text().split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            if "deb" in fields.get("Types", "").split():
                signed = f"[signed-by={fields['Signed-By']}] " if fields.get("Signed-By", "").startswith("/") else ""
                # A mirror may keep sources of newer releases only: those of testing compile for any kernel's headers.
                newer = () if "security" in fields["URIs"] else NEWER_SUITES
                for suite in (*fields["Suites"].split(), *newer):
                    out += [f"deb-src {signed}{uri} {suite} {fields['Components']}\n" for uri in fields["URIs"].split()]
    return out


def _options() -> list[str]:
    options = {
        "Dir::Etc::sourcelist": CACHE / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": CACHE / "state",
        "Dir::Cache": CACHE / "cache",
        "APT::Sandbox::User": "root",
    }
    return [part for key, value in options.items() for part in ("-o", f"{key}={value}")]


def _apt(*arguments: str, cwd: Path) -> str:
    """Runs apt-get in its own directories; what it complains of."""
    command = ["apt-get", "-qq", *_options(), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return done.stderr.strip()
