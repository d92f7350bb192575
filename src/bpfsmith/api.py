"""The Python API: what the commands do, as functions whose results show themselves in a notebook.

Every function raises InputError for what is wrong with the input, Unsupported for what is not covered, and KernelError where
this process may not do what is asked; each carries `diagnostics`. A verdict that does not hold is a result, not an exception.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic
from bpfsmith.report import Outcome, ProgramReport, Report

if TYPE_CHECKING:
    from bpfsmith.page.model import Page
    from bpfsmith.workflow.inputs import Toolchain

File = str | os.PathLike[str]
Cpu = Literal["v1", "v2", "v3", "v4"]
Solver = Literal["auto", "bitwuzla", "z3"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a command found. In a notebook it shows itself; `html()` is the whole page, `report` the data behind it."""

    report: Report
    _page: Callable[[], Page] = field(repr=False, compare=False)

    @property
    def verdict(self) -> Outcome:
        """`Outcome.EQUAL`, `DIFFERENT`, `UNKNOWN`, `ACCEPTED`, `REJECTED` or `DONE`."""
        return self.report.verdict

    @property
    def holds(self) -> bool:
        """Is the verdict the one that was hoped for (exit code 0 of the command)?"""
        return self.report.verdict.exit_code == 0

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the proof takes for granted."""
        return self.report.assumptions

    @property
    def counterexample(self) -> Mapping[str, object] | None:
        """The input on which two programs differ, in its JSON form (bytes in hexadecimal), and what either did."""
        return self.report.counterexample

    @property
    def programs(self) -> tuple[ProgramReport, ...]:
        """Sizes, the verifier's work and times of each program."""
        return self.report.programs

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Errors, warnings and notes, each with its place."""
        return self.report.diagnostics

    def json(self) -> dict[str, object]:
        """The envelope that `--output-format json` prints."""
        return self.report.json(__version__)

    def html(self) -> str:
        """The report as one page that needs no network and no other file."""
        from bpfsmith.page.html import html

        return html(self._page())

    def save_report(self, path: File) -> None:
        """Writes the page in one step. Raises InputError `unwritable-output`."""
        from bpfsmith.workflow.inputs import write_output

        write_output(os.fspath(path), self.html().encode())

    def _repr_html_(self) -> str:
        from bpfsmith.page.html import fragment

        return fragment(self._page())


@dataclass(frozen=True, slots=True)
class Compilation(Result):
    """A compiled program: its object, the C it was generated as, and the proof."""

    object_bytes: bytes = b""
    c_text: str = ""
    assembly: str = ""

    def save(self, path: File, *, allow_unknown: bool = False) -> None:
        """Writes the object. Raises InputError `not-proved` for one that is not proved, unless `allow_unknown` and it was not
        refuted either; and `unwritable-output`."""
        _save(self, self.object_bytes, path, allow_unknown)


@dataclass(frozen=True, slots=True)
class Optimization(Result):
    """A smaller object that does the same."""

    object_bytes: bytes = b""

    def save(self, path: File) -> None:
        """Writes the object. Raises InputError `unwritable-output`."""
        _save(self, self.object_bytes, path, False)


@dataclass(frozen=True, slots=True)
class Check(Result):
    """Whether a candidate is equivalent to its reference."""


@dataclass(frozen=True, slots=True)
class Verification(Result):
    """The kernel's verdict on every program."""


def _save(result: Result, data: bytes, path: File, allow_unknown: bool) -> None:
    from bpfsmith.diagnostic import InputError
    from bpfsmith.workflow.inputs import write_output

    if not result.holds and not (allow_unknown and result.verdict is Outcome.UNKNOWN):
        message = f"{os.fspath(path)} is not written: the verdict is {result.verdict}"
        raise InputError(Diagnostic("not-proved", message, help="look at the result's report"))
    write_output(os.fspath(path), data)


def compile(
    *programs: File,
    bind: File | None = None,
    side: Literal["server", "client"] = "server",
    hook: Literal["", "auto", "xdp", "tc"] = "",
    mcpu: Cpu = "v3",
    clang: File | None = None,
    cflags: Sequence[str] = (),
    solver: Solver = "auto",
    timed: bool = True,
    optimized: bool = True,
) -> Compilation:
    """Turns an AppNet program into a proved object; several are chained, requests going through them in this order.

    `bind` is the TOML file that says where messages are (or "udp:PORT"; default: PROG.bind.toml if there is one), `side` whose
    host it runs on, `hook` where arriving messages are met ("": xdp on a server, tc on a client). Programs are loaded and, with
    `timed`, measured where bpf(2) works.
    """
    from bpfsmith.isa.disasm import assembly
    from bpfsmith.page.pages import compile_page
    from bpfsmith.semantics.solver import Limits
    from bpfsmith.workflow.compiling import compile_appnet, compile_report, must_be_proved, opened_appnet

    place = hook or ("xdp" if side == "server" else "tc")
    toolchain = _toolchain(mcpu, clang, cflags, bind=os.fspath(bind) if bind else None, side=side, hook=place)
    opened = opened_appnet([os.fspath(item) for item in programs], toolchain)
    made = compile_appnet(opened, toolchain, limits=Limits(solver=solver), timed=timed, optimized=optimized)
    must_be_proved(made)
    report = compile_report(made)
    return Compilation(
        report,
        lambda: compile_page(report, made, toolchain),
        object_bytes=made.object_bytes,
        c_text=made.generated.c_text,
        assembly="\n".join(assembly(program) for program in made.obj.programs),
    )


def check(
    reference: File,
    candidate: File,
    *,
    state: Mapping[str, str] | None = None,
    bind: File | None = None,
    side: Literal["server", "client"] = "server",
    hook: Literal["", "auto", "xdp", "tc"] = "",
    mcpu: Cpu = "v3",
    clang: File | None = None,
    cflags: Sequence[str] = (),
    solver: Solver = "auto",
) -> Check:
    """Proves two programs equal, or finds an input on which they differ, and replays it.

    Either is .appnet, .bpf.c, .bpf.o or .s, or FILE:PROGRAM. `state` says where the candidate keeps the reference's state:
    {"seen": "MAP:OFFSET"}.
    """
    from bpfsmith.appnet.correspond import parse_places
    from bpfsmith.page.pages import check_page
    from bpfsmith.semantics.solver import Limits
    from bpfsmith.workflow import checking

    place = hook or ("xdp" if side == "server" else "tc")
    toolchain = _toolchain(mcpu, clang, cflags, bind=os.fspath(bind) if bind else None, side=side, hook=place)
    places = parse_places([f"{name}={where}" for name, where in (state or {}).items()])
    names = os.fspath(reference), os.fspath(candidate)
    done = checking.check(*names, toolchain, places=places, limits=Limits(solver=solver))
    report = checking.check_report(done)
    return Check(report, lambda: check_page(report, done))


def optimize(
    file: File,
    *,
    objective: Literal["insns", "jited", "ns", "verifier"] = "insns",
    programs: Sequence[str] = (),
    budget: int = 60,
    jobs: int = 1,
    atomics: bool = False,
    timed: bool = True,
    mcpu: Cpu = "v3",
    clang: File | None = None,
    cflags: Sequence[str] = (),
) -> Optimization:
    """Makes the programs of an object (or C, or AppNet) smaller and faster, every step proved.

    `objective` is what must not get worse, `programs` names those to work on (empty: all), `budget` is seconds for the proof of
    each whole program. With `atomics` an update of a counter may become one atomic instruction.
    """
    from bpfsmith.optimize.admit import Settings
    from bpfsmith.page.pages import optimize_page
    from bpfsmith.workflow.optimizing import object_bytes, optimize_file, optimize_report

    toolchain = _toolchain(mcpu, clang, cflags)
    settings = Settings(
        objective=objective,
        budget=budget,
        jobs=jobs,
        programs=tuple(programs),
        timed=timed,
        cpu=toolchain.level,
        atomics=atomics,
    )
    path = os.fspath(file)
    before = object_bytes(path, toolchain)
    done = optimize_file(path, toolchain, settings)
    report = optimize_report(done, settings)
    return Optimization(report, lambda: optimize_page(report, done, path, before), object_bytes=done.data)


def verify(
    *files: File,
    kernels: Sequence[str] = ("host",),
    timed: bool = False,
    repair: bool = False,
    profile: bool = False,
    mcpu: Cpu = "v3",
    clang: File | None = None,
    cflags: Sequence[str] = (),
) -> Verification:
    """Asks the verifier about every program of each file, and explains rejections at the user's line.

    `kernels` are versions such as "6.12", emulated, and "host"; with `repair` a change to rejected C is searched for. Raises
    KernelError `bpf-not-permitted` where nothing can be loaded.
    """
    from bpfsmith.page.pages import verify_page
    from bpfsmith.workflow import verifying
    from bpfsmith.workflow.kernels import requested

    toolchain = _toolchain(mcpu, clang, cflags)
    paths = [os.fspath(item) for item in files]
    asked = requested(",".join(kernels))
    report = verifying.verify(paths, toolchain, timed=timed, repair=repair, profile=profile, kernels=asked)
    return Verification(report, lambda: verify_page(report, paths, toolchain))


def _toolchain(
    mcpu: str, clang: File | None, cflags: Sequence[str], *, bind: str | None = None, side: str = "server", hook: str = "xdp"
) -> Toolchain:
    from bpfsmith.workflow.inputs import Toolchain

    return Toolchain(os.fspath(clang) if clang else None, mcpu, tuple(cflags), bind=bind, side=side, hook=hook)
