"""`verify --kernel`: the same programs before the verifiers of other kernels, all of them in one boot of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.gate.load import bare_report
from bpfsmith.kernel.images import VERSION, Image, image
from bpfsmith.kernel.load import Rejected
from bpfsmith.kernel.plan import Load
from bpfsmith.kernel.verifier_log import error_lines, parse_stats
from bpfsmith.kernel.vm import GuestRun, GuestVerdict, load_in
from bpfsmith.report import ProgramReport
from bpfsmith.workflow.explaining import explain_rejection
from bpfsmith.workflow.subjects import Subject

HOST = "host"
_AT_ONCE = 2


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


def on_guests(
    subjects: Sequence[Subject], versions: Sequence[str]
) -> Iterator[tuple[str, list[tuple[Subject, ProgramReport]], tuple[Diagnostic, ...]]]:
    """For each version the reports of all programs, in order, with what there is to say about them.

    KernelError `no-qemu` or `kernel-not-available`.
    """
    loads = [Load(number, item.program, item.maps, item.opened.obj) for number, item in enumerate(subjects)]
    images = [image(version) for version in versions]  # before the first boot: what is not to be had is told at once
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        runs = pool.map(lambda found: load_in(found, loads), images)
        for version, found, run in zip(versions, images, runs, strict=True):
            yield version, *_reports(subjects, version, found, run)


def _reports(
    subjects: Sequence[Subject], version: str, found: Image, run: GuestRun
) -> tuple[list[tuple[Subject, ProgramReport]], tuple[Diagnostic, ...]]:
    reports: list[tuple[Subject, ProgramReport]] = []
    said: list[Diagnostic] = []
    if run.died is not None:
        said.append(
            Diagnostic(
                "guest-died",
                f"kernel {found.release} stopped before all programs were loaded",
                notes=(run.died, f"{len(run.verdicts)} of {len(subjects)} programs had a verdict by then"),
                help="load the last program by itself; a kernel that a program can stop has a bug",
            )
        )
    for number, subject in enumerate(subjects):
        report, problem = _report(subject, version, run.verdicts.get(number), found.release)
        reports.append((subject, report))
        said += problem
    return reports, tuple(said)


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
            ),
            (),
        )
    rejected = Rejected(subject.program, verdict.errno, verdict.log, error_lines(verdict.log))
    report = replace(bare, verdict="rejected", reason=rejected.reason)
    return report, (explain_rejection(subject.program, rejected, subject.opened.obj),)


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
