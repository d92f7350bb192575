"""`offload` from a server's source to two halves: read, split, proved, built, and tried beside the original."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from bpfsmith.cost.profile import load_profile
from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.offload.prove import BUDGET, Proof
from bpfsmith.offload.requests import LONGEST
from bpfsmith.report import Report
from bpfsmith.semantics.verdict import Equal
from bpfsmith.workflow import offload_proof, offloading
from bpfsmith.workflow.inputs import Toolchain, can_bpf_here
from bpfsmith.workflow.offload_hook import Choice, choose
from bpfsmith.workflow.offload_text import offload_report, proof_lines, trial_lines
from bpfsmith.workflow.offload_trial import COMPARED, Trialled, trial
from bpfsmith.workflow.offloading import Split

HALVES = "server.bpf.c, server and what they are made from"
BINARY = "server"
"""The one file of both halves that is run."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks `offload` for.

    `hook` is "auto", "tc" or "xdp"; `longest` the bytes of a request that the kernel half takes (None: as many as can be
    proved); `budget` seconds of proof; `measured` how many requests are timed (None: some are compared, none timed); `workload`
    a file of requests; `arguments` the server's own; `profile` a cost profile (None: the shipped one).
    """

    files: tuple[str, ...]
    compile_commands: str | None = None
    entry: str | None = None
    hook: str = "auto"
    longest: int | None = None
    budget: float = BUDGET
    measured: int | None = None
    workload: str | None = None
    arguments: tuple[str, ...] = ()
    profile: str | None = None
    advises: bool = False

    def validate(self) -> None:
        """InputError `bad-command` for what cannot be meant."""
        if not self.files and self.compile_commands is None:
            raise InputError(Diagnostic("bad-command", "there is no server to read", help="name its C files"))
        if self.measured is not None and self.measured < 1:
            raise InputError(Diagnostic("bad-command", "--measure takes a number of requests", help="10000 are a good many"))
        if self.longest is not None and not 0 <= self.longest <= LONGEST:
            raise InputError(Diagnostic("bad-command", f"--longest takes 0 to {LONGEST} bytes", help="leave it out"))


@dataclass(frozen=True, slots=True)
class Offloaded:
    """Both halves, and what is known of them: `proof` is None where only advice was asked for, `found` where nothing could be
    tried. `files` are those of both halves, by name."""

    split: Split
    choice: Choice
    proof: Proof | None
    found: Trialled | None
    files: dict[str, bytes]
    report: Report

    @property
    def proved(self) -> bool:
        return self.proof is not None and isinstance(self.proof.verdict, Equal)

    @property
    def same(self) -> bool:
        """Did the trial, where there was one, show no difference?"""
        return self.found is None or self.found.same


def save_halves(files: Mapping[str, bytes], directory: str) -> None:
    """Writes both halves, each file whole or not at all. InputError `unwritable-output`."""
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, data in sorted(files.items()):
            scratch = place / f".{name}.new"
            scratch.write_bytes(data)
            if name == BINARY:
                mode = scratch.stat().st_mode
                scratch.chmod(mode | (mode & 0o444) >> 2)  # whoever may read it may run it
            scratch.replace(place / name)
    except OSError as error:
        message = f"{directory} cannot be written: {error.strerror}"
        raise InputError(Diagnostic("unwritable-output", message, help="name another directory")) from error


def default_directory(done: Split) -> str:
    """Where both halves go unless the user says: SERVER.offload."""
    return f"{PurePath(next(iter(done.read.sources))).stem}.offload"


def offload(wish: Wish, toolchain: Toolchain, progress: Callable[[str], None] = lambda text: None) -> Offloaded:
    """Splits a server and says what is proved of the kernel half and what a trial showed; nothing is written.

    InputError for C that does not compile and for `bad-command`; Unsupported `do-not-offload` and its like, at their lines.
    """
    wish.validate()
    choice = choose(wish.hook, load_profile(wish.profile))
    request = offloading.Request(wish.files, tuple(toolchain.flags), wish.compile_commands, wish.entry, choice.hook)
    progress("reading the server")
    read = offloading.read_server(request)
    done, proof = offload_proof.proved_split(
        read, request, wish.longest, toolchain, progress, advises=wish.advises, budget=wish.budget
    )
    with tempfile.TemporaryDirectory(prefix="bpfsmith-") as scratch:
        built = Path(scratch) / "split"
        offloading.write_halves(done, built)
        progress("building the server")
        offloading.build(done, built)
        found = None
        if wish.advises or wish.measured is not None or can_bpf_here():
            found = trial(
                done, request, built, count=wish.measured or COMPARED, workload=wish.workload, arguments=wish.arguments,
                profile=wish.profile, advised=wish.advises or wish.measured is not None, timed=wish.measured is not None,
                progress=progress,
            )  # fmt: skip
        files = {item.name: item.read_bytes() for item in built.iterdir() if item.is_file()}
    return Offloaded(done, choice, proof, found, files, offload_report(done, found, proof, advises=wish.advises))


def lines(done: Offloaded, *, advises: bool) -> Iterator[str]:
    """What was found, made, proved and tried, as a terminal shows it."""
    yield from offloading.summary(done.split)
    yield from done.choice.lines()
    if done.proof is not None:
        yield from proof_lines(done.proof)
    if done.found is not None:
        yield from trial_lines(done.found, done.split)
    elif not advises:
        yield "compared    nothing: bpf(2) is not permitted here"
