"""What the functions of the API give: a report that shows itself in a notebook, and what can be written to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.report import Outcome, ProgramReport, Report

if TYPE_CHECKING:
    from bpfsmith.cost.advice import Advice
    from bpfsmith.cost.profile import Profile
    from bpfsmith.page.model import Page

File = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Result:
    """What a command found. In a notebook it shows itself; `html()` is the whole page, `report` the data behind it."""

    report: Report
    _page: Callable[[], Page] = field(repr=False, compare=False)

    @property
    def verdict(self) -> Outcome:
        """`Outcome.EQUAL`, `DIFFERENT`, `UNKNOWN`, `ACCEPTED`, `REJECTED`, `DONE`, `PAYS` or `DOES_NOT_PAY`."""
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


@dataclass(frozen=True, slots=True)
class Pairs(Result):
    """Entry and exit probes that share state, with the forms that each can take; or a comparison with fused ones."""

    @property
    def pairs(self) -> Sequence[Mapping[str, Any]]:
        """A mapping for each pair: its halves, its maps, the forms it can take, and why not the others."""
        return _rows(self.report, "pairs")


@dataclass(frozen=True, slots=True)
class Fusion(Pairs):
    """An object whose pairs have their best form that is proved and accepted. `loader` is what changes for the program that
    loads it, as C for libbpf; `object_bytes` is empty where no pair could be fused."""

    object_bytes: bytes = b""
    loader: str = ""

    def save(self, path: File, *, allow_unknown: bool = False) -> None:
        """Writes the object. Raises InputError `not-proved` where no form is proved, unless `allow_unknown`; and
        `unwritable-output`."""
        _save(self, self.object_bytes, path, allow_unknown and bool(self.object_bytes))


@dataclass(frozen=True, slots=True)
class Measurement(Result):
    """What eBPF costs on a machine."""

    profile: Profile

    def save(self, path: File) -> None:
        """Writes the cost profile as JSON. Raises InputError `unwritable-output`."""
        from bpfsmith.cost.profile import to_json
        from bpfsmith.workflow.inputs import write_output

        write_output(os.fspath(path), to_json(self.profile))


@dataclass(frozen=True, slots=True)
class Prediction(Result):
    """What programs will cost, and whether offloading to one pays. `advice` is None where no workload was given."""

    advice: Advice | None = None

    @property
    def predictions(self) -> Mapping[str, Any]:
        """By program its paths, likely one first, each with ns, instructions, and ns by source line."""
        found = self.report.details["predictions"]
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True, slots=True)
class Offload(Result):
    """A server as two halves. `advice` is None where nothing was predicted; `files` are those of both halves, by name; `proved`
    is said of the kernel half, `same` of all replies that were compared."""

    advice: Advice | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    proved: bool = False
    same: bool = True

    def save(self, directory: File, *, allow_unknown: bool = False) -> None:
        """Writes both halves into a directory. Raises InputError `not-proved` where replies differ, and where the kernel half
        is not proved, unless `allow_unknown`; and `unwritable-output`."""
        from bpfsmith.workflow.splitting import save_halves

        if not self.same or not (self.proved or allow_unknown):
            raise _not_written(directory, "replies differ" if not self.same else "the kernel half is not proved")
        save_halves(self.files, os.fspath(directory))


def _rows(report: Report, name: str) -> Sequence[Mapping[str, Any]]:
    found = report.details.get(name, ())
    return found if isinstance(found, list) else ()


def _save(result: Result, data: bytes, path: File, allow_unknown: bool) -> None:
    from bpfsmith.workflow.inputs import write_output

    if not result.holds and not (allow_unknown and result.verdict is Outcome.UNKNOWN):
        raise _not_written(path, f"the verdict is {result.verdict}")
    write_output(os.fspath(path), data)


def _not_written(path: File, why: str) -> InputError:
    message = f"{os.fspath(path)} is not written: {why}"
    return InputError(Diagnostic("not-proved", message, help="look at the result's report"))
