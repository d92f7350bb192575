"""`verify --kernel`: the same programs before the verifiers of other kernels, all of them in one boot of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.gate.load import bare_report
from bpfsmith.kernel.errors import errno_name
from bpfsmith.kernel.images import VERSION, Image, image
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.plan import Load
from bpfsmith.kernel.verifier_log import error_lines, parse_stats
from bpfsmith.kernel.vm import GuestRun, GuestVerdict, Ran, load_in
from bpfsmith.report import ProgramReport
from bpfsmith.workflow.explaining import explain_rejection
from bpfsmith.workflow.subjects import Subject

HOST = "host"
_AT_ONCE = max(1, os.cpu_count() or 1)
"""Guests; each keeps one CPU busy."""


def requested(text: str | None) -> tuple[str, ...]:
    """The kernels of `5.10,6.1,host`. InputError `bad-kernel-version`."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip())) if text else (HOST,)
    for name in names:
        if name != HOST and not VERSION.fullmatch(name):
            raise InputError(
                Diagnostic(
                    "bad-kernel-version",
                    f"`{name}` is not a kernel version",
                    help="write versions and host: `--kernel 5.10,6.1,host`",
                )
            )
    return names


@dataclass(frozen=True, slots=True)
class GuestReports:
    """What one kernel says of each program, in order, with the diagnostics of each; `died` where it stopped on the way."""

    kernel: str
    reports: tuple[ProgramReport, ...]
    diagnostics: tuple[tuple[Diagnostic, ...], ...]
    died: Diagnostic | None = None
    rejections: tuple[Rejected | None, ...] = ()
    image: Image | None = None

    @property
    def said(self) -> tuple[Diagnostic, ...]:
        """All that there is to say."""
        return ((self.died,) if self.died else ()) + tuple(item for items in self.diagnostics for item in items)


def on_guests(subjects: Sequence[Subject], versions: Sequence[str], *, attach: bool = False) -> Iterator[GuestReports]:
    """The programs before the verifier of each version, one boot each; with `attach` each accepted one is attached there too,
    and given reasons to run.

    KernelError `no-qemu` or `kernel-not-available`.
    """
    loads = [Load(number, item.program, item.maps, item.opened.obj, attach) for number, item in enumerate(subjects)]
    images = [image(version) for version in versions]  # before the first boot: what is not to be had is told at once
    stop = Event()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        runs = pool.map(lambda found: load_in(found, loads, stop), images)
        try:
            for version, found, run in zip(versions, images, runs, strict=True):
                yield _reports(subjects, version, found, run)
        finally:
            stop.set()  # Ctrl-C ends the machines, and none is to be booted again for that


def _reports(subjects: Sequence[Subject], version: str, found: Image, run: GuestRun) -> GuestReports:
    each = [_report(subject, version, run.verdicts.get(number), found.release) for number, subject in enumerate(subjects)]
    died = None
    if run.died is not None:
        died = Diagnostic(
            "guest-died",
            f"kernel {found.release} stopped before all programs were loaded",
            notes=(run.died, f"{len(run.verdicts)} of {len(subjects)} programs had a verdict by then"),
            help="load the last program by itself; a kernel that a program can stop has a bug"
            if run.verdicts
            else "it was booted three times: try again when the machine has less to do",
        )
    rejections = tuple(_rejection(subject, run.verdicts.get(number)) for number, subject in enumerate(subjects))
    return GuestReports(version, tuple(report for report, _ in each), tuple(told for _, told in each), died, rejections, found)


def _rejection(subject: Subject, verdict: GuestVerdict | None) -> Rejected | None:
    """A guest's refusal as one of this kernel would be; None for what was accepted or never came before its verifier."""
    if verdict is None or verdict.missing or verdict.errno == 0:
        return None
    return Rejected(subject.program, verdict.errno, verdict.log, error_lines(verdict.log))


def _report(
    subject: Subject, version: str, verdict: GuestVerdict | None, release: str
) -> tuple[ProgramReport, tuple[Diagnostic, ...]]:
    bare = replace(bare_report(subject.program), file=subject.file, kernel=version)
    if verdict is None:
        return replace(bare, verdict="unknown", reason="the guest stopped before it came to this program"), ()
    if verdict.missing:
        reason = f"kernel {release} lacks {verdict.missing}"
        return replace(bare, verdict="unloadable", reason=reason), (_missing(subject, reason),)
    stats = parse_stats(verdict.log)
    if verdict.errno == 0:
        return (
            replace(
                bare,
                verdict="accepted",
                xlated_slots=verdict.xlated_bytes // 8 or None,
                jited_bytes=verdict.jited_bytes or None,
                processed_insns=stats.processed_insns if stats else None,
                states=stats.total_states if stats else None,
                peak_states=stats.peak_states if stats else None,
                max_states_per_insn=stats.max_states_per_insn if stats else None,
                stack_depth=max(stats.stack_depth) if stats and stats.stack_depth else None,
                attached=_attached(verdict.ran),
                runs=verdict.ran.runs if verdict.ran and not verdict.ran.errno else None,
            ),
            (),
        )
    rejected = _rejection(subject, verdict)
    assert rejected is not None
    report = replace(bare, verdict="rejected", reason=rejected.reason)
    return report, (explain_rejection(subject.program, rejected, subject.opened.obj),)


def _attached(ran: Ran | None) -> str | None:
    """How the program was made to run, or the errno with which that failed."""
    if ran is None:
        return None
    if ran.errno:
        return f"not attached: {errno_name(ran.errno)}"
    return ran.way.words if ran.result is None else f"{ran.way.words} returned {ran.result}"


def _missing(subject: Subject, reason: str) -> Diagnostic:
    return Diagnostic(
        "missing-in-kernel",
        f"{subject.file}: {subject.program.name} cannot be loaded: {reason}",
        help="declare what is optional __weak, or name kernels that have it",
    )


def gathered(said: Sequence[tuple[str, Diagnostic]]) -> list[Diagnostic]:
    """What several kernels say alike, once: under their names, in the words of the last of them."""
    groups: dict[object, tuple[list[str], Diagnostic]] = {}
    for kernel, item in said:
        key = item.id, item.primary, item.message
        names, _ = groups.setdefault(key, ([], item))
        names.append(kernel)
        groups[key] = names, item
    return [
        replace(item, message=f"kernel {', '.join(dict.fromkeys(names))}: {item.message}") for names, item in groups.values()
    ]
