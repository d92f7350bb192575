"""On kernels with other hooks than this one, fused forms attach and count every event; skipped where there are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import KernelError
from bpfsmith.kernel.images import Image, image
from bpfsmith.kernel.vm import run_in
from bpfsmith.objfile.object import Object
from bpfsmith.semantics.verdict import Equal
from bpfsmith.trace.forms import Form, kernel_of
from bpfsmith.trace.fuse import fuse

EXAMPLES = Path(__file__).parents[2] / "examples" / "pairs"
CALLS = 50


def booted(version: str) -> Image:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu is not installed")
    try:
        return image(version)
    except KernelError as error:
        pytest.skip(error.diagnostics[0].message)


def counted(found: Image, obj: Object, name: str) -> int:
    counts = run_in(found, obj, CALLS)
    assert counts.refused == ()
    variable = obj.variable(name)
    return int.from_bytes(counts.data[".bss"][variable.offset : variable.offset + variable.size], "little")


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("version", "name", "flags", "form", "section"),
    [
        ("6.12", "openlat", ("-DKPROBE",), Form.SESSION, "kprobe.session/do_sys_openat2"),
        ("7.2", "openlat", (), Form.SESSION, "fsession/do_sys_openat2"),
        ("6.1", "openlat", (), Form.TASK_STORAGE, "fentry/do_sys_openat2"),
        ("6.1", "opensize", (), Form.REREAD, "fexit/do_sys_openat2"),
    ],
)
def test_a_fused_form_counts_every_event_on_its_kernel(
    version: str, name: str, flags: tuple[str, ...], form: Form, section: str
) -> None:
    found = booted(version)
    made = fuse(Compiler.default().compile(EXAMPLES / f"{name}.bpf.c", flags=flags), name, kernel_of(version), here=False)
    (outcome,) = made.outcomes
    assert outcome.form is form
    assert isinstance(outcome.verdict, Equal)
    assert made.obj.programs[0].section == section
    assert counted(found, made.obj, "failed") == CALLS
