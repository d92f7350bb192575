"""`doctor`: what this machine can and cannot do, found out by trying, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import util
from pathlib import Path
from typing import TypeVar

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import ToolError
from bpfsmith.kernel.cache import cache_directory
from bpfsmith.kernel.probe import Available, Feature, can_bpf, has_feature, has_program_type
from bpfsmith.report import Outcome, Report
from bpfsmith.workflow.versions import tool_versions


class State(StrEnum):
    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `what` says what it is good for; `mend` is a command, empty where nothing is wrong or
    nothing helps. `needed`: without it neither compile nor check works."""

    name: str
    state: State
    detail: str
    mend: str = ""
    needed: bool = False


def examined() -> list[Finding]:
    """Everything that commands depend on, in the order of a first day: compile and prove, load, attach, other kernels."""
    return [*_tools(), *_kernel(), *_commands(), *_extras()]


# --- to compile and prove ---------------------------------------------------------------------------------------------
def _tools() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("Python", State.OK, version, needed=True)
    try:
        Compiler.default().compile("int x;\n")
        yield Finding("clang", State.OK, f"ziglang {tool_versions()['clang']} compiles for BPF", needed=True)
    except ToolError as error:
        mend = f"{sys.executable} -m pip install ziglang"
        yield Finding("clang", State.MISSING, error.diagnostics[0].message, mend, needed=True)
    for name in ("z3", "bitwuzla", "lark", "pyelftools"):
        found = tool_versions()[name]
        state = State.MISSING if found == "missing" else State.OK
        mend = "" if found != "missing" else f"{sys.executable} -m pip install --force-reinstall bpfsmith"
        yield Finding(name, state, found, mend, needed=True)


# --- to load, time and replay -----------------------------------------------------------------------------------------
def _kernel() -> Iterator[Finding]:
    release = platform.release()
    capability = can_bpf()
    if not isinstance(capability, Available):
        detail = f"kernel {release}: {capability.obstacle}; proofs work, nothing is loaded, replayed or timed"
        mend = f"sudo {sys.argv[0]} .." if os.geteuid() else ""
        yield Finding("bpf(2)", State.MISSING, detail, mend)
    else:
        yield Finding("bpf(2)", State.OK, f"kernel {release} loads programs")
        yield _jit()
        lacking = [str(feature) for feature in Feature if not _has(has_feature, feature)]
        state = State.LIMITED if lacking else State.OK
        yield Finding("instructions", state, f"without {', '.join(lacking)}" if lacking else "all that programs here may use")
        sections = {"xdp": "xdp", "tc": "tc", "uprobe": "uprobe", "fentry": "fentry/do_nanosleep", "lsm": "lsm/file_open"}
        refused = [name for name, section in sections.items() if not _has(has_program_type, section)]
        detail = f"{', '.join(name for name in sections if name not in refused)} load"
        if refused:
            detail += f"; {', '.join(refused)} do not here (`verify --kernel` attaches them under qemu)"
        yield Finding("program types", State.LIMITED if refused else State.OK, detail)
    btf = Path("/sys/kernel/btf/vmlinux").exists()
    detail = "the kernel describes its types" if btf else "no /sys/kernel/btf/vmlinux: CO-RE and fentry programs do not load"
    yield Finding("kernel BTF", State.OK if btf else State.LIMITED, detail)


T = TypeVar("T")


def _has(question: Callable[[T], bool], what: T) -> bool:
    try:
        return question(what)
    except ToolError:
        return False


def _jit() -> Finding:
    enabled, hidden = (_number(f"/proc/sys/{name}") for name in ("net/core/bpf_jit_enable", "kernel/kptr_restrict"))
    if enabled == 0:
        return Finding("JIT", State.LIMITED, "off: times are those of the interpreter", "sysctl -w net.core.bpf_jit_enable=1")
    if hidden == 2:
        return Finding(
            "JIT", State.LIMITED, "its image is withheld: no machine code counts", "sysctl -w kernel.kptr_restrict=1"
        )
    return Finding("JIT", State.OK, "on, and its image can be read")


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


# --- what other programs bring ----------------------------------------------------------------------------------------
_PROGRAMS = (
    ("ip", "iproute2", "attach, demo appnet, offload --measure"),
    ("qemu-system-x86_64", "qemu-system-x86", "verify --kernel, pairs on other kernels"),
    ("gcc", "gcc libc6-dev", "offload --measure, measure"),
    ("bpftool", "bpftool", "C that includes vmlinux.h"),
)


def _commands() -> Iterator[Finding]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for name, package, use in _PROGRAMS:
        found = shutil.which(name, path=path)
        mend = "" if found else f"apt-get install {package}"
        yield Finding(name, State.OK if found else State.MISSING, f"{found or 'not found'}, for {use}", mend)
    headers = Path("/usr/include/bpf/bpf_helpers.h").exists()
    detail = "/usr/include/bpf" if headers else "not found, for C that includes <bpf/bpf_helpers.h>"
    yield Finding(
        "libbpf headers", State.OK if headers else State.MISSING, detail, "" if headers else "apt-get install libbpf-dev"
    )
    try:
        place = cache_directory("kernels")
        count = sum((item / "vmlinuz").exists() for item in place.iterdir())
        yield Finding("cache", State.OK, f"{place.parent}, {count} kernels")
    except (OSError, ToolError) as error:
        yield Finding("cache", State.LIMITED, f"cannot be written: {error}", "export XDG_CACHE_HOME=/a/writable/place")


_EXTRAS = (("lsp", "pygls", "the language server"), ("cluster", "distributed", "optimize --learn --scheduler"))


def _extras() -> Iterator[Finding]:
    for extra, module, use in _EXTRAS:
        found = util.find_spec(module) is not None
        mend = "" if found else f"{sys.executable} -m pip install 'bpfsmith[{extra}]'"
        yield Finding(
            f"extra {extra}",
            State.OK if found else State.MISSING,
            f"{'installed' if found else 'not installed'}, for {use}",
            mend,
        )


# --- to show ----------------------------------------------------------------------------------------------------------
def doctor_report(found: Sequence[Finding]) -> Report:
    """Rejected where something is missing without which nothing works; else done: what is limited is no fault."""
    broken = any(item.needed and item.state is State.MISSING for item in found)
    checks = [
        {"name": item.name, "state": str(item.state), "detail": item.detail, "mend": item.mend, "needed": item.needed}
        for item in found
    ]
    return Report("doctor", Outcome.REJECTED if broken else Outcome.DONE, details={"checks": checks})


def doctor_lines(found: Sequence[Finding], concise: bool = False) -> Iterator[str]:
    """A line each, and under what is wrong the command that mends it; concise leaves out what is well."""
    width = max(len(item.name) for item in found)
    for item in found:
        if concise and item.state is State.OK:
            continue
        yield f"{item.state:<8} {item.name:<{width}}  {item.detail}"
        if item.mend:
            yield f"{'':8} {'':{width}}  mend: {item.mend}"
    counts = {state: sum(item.state is state for item in found) for state in State}
    yield f"{counts[State.OK]} ok, {counts[State.LIMITED]} limited, {counts[State.MISSING]} missing"
