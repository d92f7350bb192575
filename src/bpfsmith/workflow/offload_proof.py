"""The proof step of `offload`: the server's source as a reference, compiled beside the kernel half and compared with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import InputError
from bpfsmith.objfile.elf import read_elf
from bpfsmith.objfile.object import read_object
from bpfsmith.offload.prove import BUDGET, FIRST, PATIENCE, Halves, Proof, prove
from bpfsmith.offload.reference import NoReference, reference
from bpfsmith.offload.requests import LONGEST
from bpfsmith.semantics.verdict import Equal, Unknown
from bpfsmith.workflow.inputs import Toolchain
from bpfsmith.workflow.offloading import CPU, KERNEL_FLAGS, RUNTIME, Read, Request, Split, split

PROVED = 64
"""Bytes of a request that a kernel half takes unless the user says otherwise: each length is a case of the proof."""

QUICK = 20.0
"""Seconds of CPU time of each of the cases that are looked at first."""

_FLAGS = ("-w", "-fno-builtin", "-std=gnu17", "-mllvm", "-inline-threshold=1000000", "-mllvm", "-bpf-stack-size=1048576")


def proved_split(
    read: Read,
    request: Request,
    longest: int | None,
    toolchain: Toolchain,
    progress: Callable[[str], None] = lambda text: None,
    *,
    advises: bool = False,
    budget: float = BUDGET,
) -> tuple[Split, Proof | None]:
    """A split with its proof. Without `longest` one that can be proved takes short requests only, and one that cannot takes
    all; who only wants advice gets the latter and no proof."""
    whole = replace(request, longest=LONGEST if longest is None else longest)
    if advises:
        return split(read, whole, toolchain, progress), None
    bound = min(PROVED, LONGEST) if longest is None else longest
    done = split(read, replace(request, longest=bound), toolchain, progress)
    progress("proving")
    some = [size for size in FIRST if size is None or size <= bound]
    found = proof(done, bound, toolchain, progress, sizes=some, patience=min(QUICK, budget))
    if isinstance(found.verdict, Equal):
        rest = [size for size in range(bound + 1) if size not in some]
        first = found
        if rest:
            found = proof(done, bound, toolchain, progress, sizes=rest, budget=budget)
            found = replace(found, cases=first.cases + found.cases, seconds=first.seconds + found.seconds)
    elif longest is None:
        done = split(read, whole, toolchain, progress)
    return done, found


def proof(
    done: Split,
    longest: int,
    toolchain: Toolchain,
    progress: Callable[[str], None] = lambda text: None,
    *,
    sizes: Sequence[int | None] = (),
    budget: float = BUDGET,
    patience: float = PATIENCE,
) -> Proof:
    """The proof of a split whose kernel half takes requests of up to `longest` bytes; with `sizes` of some cases only."""
    try:
        text = reference(done.read.server, done.read.findings, done.half)
    except NoReference as why:
        return Proof(Unknown("no-reference", str(why)), longest, 0, 0)
    compiler = Compiler.at(toolchain.clang) if toolchain.clang else Compiler.default()
    is_xdp = done.hook == "xdp"
    try:
        flags = [*_FLAGS, *KERNEL_FLAGS, f"-I{RUNTIME}", *(["-DBS_XDP"] if is_xdp else [])]
        with tempfile.TemporaryDirectory(prefix="bpfsmith-") as scratch:
            place = Path(scratch) / "reference.bpf.c"
            place.write_text(text, encoding="latin-1", errors="replace")
            other = read_object(compiler.compile(place, cpu=CPU, flags=flags))
        other.program("reference")
    except InputError as error:
        return Proof(Unknown("no-reference", f"the server is no BPF function: {error.diagnostics[0].message}"), longest, 0, 0)
    section = read_elf(done.object, "server.bpf.o").section(".addr_space.1")
    assert section is not None
    halves = Halves(done.half, read_object(done.object), section.data, other, is_xdp)
    return prove(halves, longest, sizes=sizes, workers=os.cpu_count() or 1, budget=budget, patience=patience, progress=progress)
