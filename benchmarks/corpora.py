"""Pairs to compare: one source compiled at several levels for several instruction sets, with what the verifier says of each.

The corpora are our own programs (`programs`), those of the test suite (`pairs`), and public tools whose sources Debian
packages carry (`debian.py` fetches them); each is a directory of C files and the flags that they want.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from bpfsmith.codegen.clang import Compiler
from bpfsmith.diagnostic import ToolError
from bpfsmith.gate.load import insn_count
from bpfsmith.isa.encoding import encode
from bpfsmith.isa.program import Program
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import open_maps
from bpfsmith.objfile.object import Object, read_object

HERE = Path(__file__).resolve().parent
OWN = {"programs": HERE / "programs", "pairs": HERE.parent / "tests" / "corpus" / "pairs"}
LEVELS, CPUS = ("-O1", "-O2", "-Os"), ("v1", "v2", "v3", "v4")
REFERENCE = ("-O2", "v3")


@dataclass(frozen=True)
class Compiled:
    """One program as one compilation made it; `refused` is the verifier's reason where it does not load."""

    way: tuple[str, str]
    program: Program
    obj: Object | None = field(repr=False)  # None: assembled, without BTF
    refused: str | None = None

    @property
    def insns(self) -> int:
        return insn_count(self.program)

    @property
    def code(self) -> tuple[object, ...]:
        """What two compilations share when there is nothing to prove."""
        bodies = (self.program.insns, *(sub.insns for sub in self.program.subprograms))
        return tuple((encode(body), tuple(insn.symbol for insn in body)) for body in bodies)


@dataclass(frozen=True)
class Pair:
    corpus: str
    source: str
    reference: Compiled
    candidate: Compiled

    @property
    def name(self) -> str:
        return f"{self.source}:{self.reference.program.name}"

    @property
    def ways(self) -> str:
        return f"{'/'.join(self.reference.way)} {'/'.join(self.candidate.way)}"

    @property
    def insns(self) -> int:
        return max(self.reference.insns, self.candidate.insns)


def compile_all(
    sources: Sequence[Path], ways: Sequence[tuple[str, str]], flags: Sequence[str] = (), jobs: int = 2
) -> dict[tuple[Path, tuple[str, str]], Object | str]:
    """Every source in every way: the object, or why there is none."""

    def one(item: tuple[Path, tuple[str, str]]) -> Object | str:
        source, (level, cpu) = item
        try:
            data = Compiler.default().compile(source, cpu=cpu, flags=(level, f"-I{source.parent}", *flags))
            return read_object(data)
        except ToolError as error:
            return error.diagnostics[0].message

    items = list(product(sources, ways))
    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(items, pool.map(one, items), strict=True))


def verdict_of_verifier(program: Program, obj: Object | None) -> str | None:
    """Why the kernel refuses the program, or None."""
    try:
        with open_maps(obj or program, obj=obj) as maps, load(program, maps) as outcome:
            return None if isinstance(outcome, Accepted) else outcome.reason
    except ToolError as error:
        return error.diagnostics[0].message


def compiled_programs(
    sources: Sequence[Path], ways: Sequence[tuple[str, str]], flags: Sequence[str] = (), jobs: int = 2
) -> Iterator[tuple[Path, str, list[Compiled]]]:
    """(source, program, its compilations), the verifier asked about each."""
    made = compile_all(sources, ways, flags, jobs)
    for source in sources:
        by_program: dict[str, list[Compiled]] = {}
        for way in ways:
            obj = made[source, way]
            for program in obj.programs if isinstance(obj, Object) else ():
                assert isinstance(obj, Object)
                by_program.setdefault(program.name, []).append(Compiled(way, program, obj, verdict_of_verifier(program, obj)))
        for name, compilations in by_program.items():
            yield source, name, compilations


def pairs(
    corpus: str,
    sources: Sequence[Path],
    ways: Sequence[tuple[str, str]],
    flags: Sequence[str] = (),
    jobs: int = 2,
    reference: tuple[str, str] = REFERENCE,
) -> Iterator[Pair]:
    """The reference's compilation of each program against every other one that both the kernel accepts and is other code."""
    for source, _, compilations in compiled_programs(sources, ways, flags, jobs):
        first = next((item for item in compilations if item.way == reference and item.refused is None), None)
        if first is None:
            continue
        seen = {first.code}
        for other in compilations:
            if other.refused is None and other.code not in seen:
                seen.add(other.code)
                yield Pair(corpus, source.name.removesuffix(".bpf.c"), first, other)
