"""The Python API: what the commands do, as functions whose results show themselves in a notebook.

Every function raises InputError for what is wrong with the input, Unsupported for what is not covered, and KernelError where
this process may not do what is asked; each carries `diagnostics`. A verdict that does not hold is a result, not an exception.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from bpfsmith.api.result import (
    Check,
    Compilation,
    File,
    Fusion,
    Measurement,
    Offload,
    Optimization,
    Pairs,
    Prediction,
    Result,
    Verification,
)
from bpfsmith.offload.refusal import DoNotOffload

__all__ = [
    "Check", "Compilation", "DoNotOffload", "Fusion", "Measurement", "Offload", "Optimization", "Pairs", "Prediction", "Result",
    "Verification", "check", "compile", "cost", "fuse", "measure", "offload", "optimize", "pairs", "profile", "verify",
]  # fmt: skip

if TYPE_CHECKING:
    from bpfsmith.cost.profile import Profile
    from bpfsmith.workflow.inputs import Toolchain

Cpu = Literal["v1", "v2", "v3", "v4"]
Solver = Literal["auto", "bitwuzla", "z3"]
Form = Literal["reread-arguments", "session", "session+task-storage", "task-storage", "object-storage"]


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
    toolchain = _toolchain(mcpu, clang, cflags, bind=_name(bind), side=side, hook=place)
    opened = opened_appnet(_paths(programs), toolchain)
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
    toolchain = _toolchain(mcpu, clang, cflags, bind=_name(bind), side=side, hook=place)
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
    paths = _paths(files)
    asked = requested(",".join(kernels))
    report = verifying.verify(paths, toolchain, timed=timed, repair=repair, profile=profile, kernels=asked)
    return Verification(report, lambda: verify_page(report, paths, toolchain))


def pairs(*files: File, kernel: str = "host", uprobes: bool = False, against: File | None = None) -> Pairs:
    """Finds entry and exit probes that share state in objects, eBPF C, or directories of objects.

    `kernel` is the one whose forms are told ("6.12", "host"); with `uprobes` kprobe sections without a target are taken to be
    attached to processes. With `against` the sessions of that object are proved to be the pairs of the one file.
    """
    from bpfsmith.diagnostic import Diagnostic, InputError
    from bpfsmith.page.measured import pairs_page
    from bpfsmith.workflow.pairing import against_report, find_report

    paths = _paths(files)
    if against is None:
        report = find_report(paths, kernel, _silent, uprobes=uprobes)
    elif len(paths) == 1:
        report = against_report(paths[0], os.fspath(against))
    else:
        raise InputError(Diagnostic("bad-command", "`against` compares one file with another", help="name one file"))
    return Pairs(report, lambda: pairs_page(report, paths))


def fuse(
    file: File, *, kernel: str = "host", forms: Sequence[Form] = (), allow_unknown: bool = False, uprobes: bool = False
) -> Fusion:
    """Gives each pair of an object its best form: proved against the pair, and accepted where the kernel can be asked.

    `kernel` is the one to fuse for, `forms` those to try (empty: all). With `allow_unknown` a form is kept that is neither
    proved nor refuted. What is left as it was says why in `pairs`.
    """
    from bpfsmith.page.measured import pairs_page
    from bpfsmith.workflow import pairing

    paths = _paths((file,))
    done = pairing.fuse(paths, kernel, forms, _silent, allow_unknown=allow_unknown, uprobes=uprobes)
    report = done.report(None)
    loader = "\n".join(item.loader for item in done.fused if item.changed)
    return Fusion(report, lambda: pairs_page(report, paths, done.data), object_bytes=done.data or b"", loader=loader)


def measure(tables: Sequence[str] = ("all",), *, cpu: int | None = None, pace: float = 1.0) -> Measurement:
    """Measures what hooks, maps, calls, copies and tracing cost on this machine; about a minute and a half for all tables.

    `tables` are those of `bpfsmith measure --help`; `cpu` is the one that everything runs on (None: the last), `pace` how many
    times as long the rounds take: more resolves more. Raises KernelError `bpf-not-permitted`, InputError `unknown-table` and
    `bad-cpu`.
    """
    from bpfsmith.workflow import measuring

    asked = measuring.tables_of(",".join(tables))
    return _measurement(measuring.measured(asked, cpu=cpu, pace=measuring.pace_of(pace), say=_silent))


def profile(file: File | None = None) -> Measurement:
    """The cost profile in a file, or the one that is shipped. Raises InputError `bad-profile` and `unreadable-file`."""
    from bpfsmith.cost.profile import load_profile

    return _measurement(load_profile(_name(file)))


def _measurement(found: Profile) -> Measurement:
    from bpfsmith.page.measured import measure_page
    from bpfsmith.workflow.measuring import profile_report

    report = profile_report(found)
    return Measurement(report, lambda: measure_page(report, found), found)


def cost(
    file: File,
    *,
    profile: File | None = None,
    keys: int = 1,
    skew: float = 0.0,
    packet: str | None = None,
    maps: File | None = None,
    workload: File | None = None,
    hits: float | None = None,
    baseline_ns: float | None = None,
    service_ns: float = 0.0,
    saves_ns: float = 0.0,
    run: bool = False,
    mcpu: Cpu = "v3",
    clang: File | None = None,
    cflags: Sequence[str] = (),
) -> Prediction:
    """Predicts what each path and source line of a program takes, from its bytecode and a cost profile (None: the shipped one).

    `keys` are in use in each map, `skew` is the Zipf exponent of their popularity; `packet` (hex digits or a capture file) and
    `maps` (JSON) leave only some paths. With `workload` or `hits` (the share of requests that the program answers, 0 to 1)
    `advice` says whether it pays beside `baseline_ns` a request. With `run` it is run in the kernel too.
    """
    from bpfsmith.page.costed import cost_page
    from bpfsmith.workflow import costing

    question = costing.Question(
        profile=_name(profile), keys=keys, skew=skew, packet=packet, maps=_name(maps), workload=_name(workload), hits=hits,
        baseline_ns=baseline_ns, service_ns=service_ns, saved_ns=saves_ns, check_by_running=run,
    )  # fmt: skip
    path = os.fspath(file)
    costed = costing.cost(path, question, _toolchain(mcpu, clang, cflags))
    report = costing.cost_report(costed)
    advice = next((item.advice for item in costed if item.advice is not None), None)
    return Prediction(report, lambda: cost_page(report, costed, path), advice)


def offload(
    *files: File,
    compile_commands: File | None = None,
    entry: str | None = None,
    hook: Literal["auto", "tc", "xdp"] = "auto",
    longest: int | None = None,
    advise: bool = False,
    requests: int | None = None,
    workload: File | None = None,
    arguments: Sequence[str] = (),
    profile: File | None = None,
    budget: float = 600.0,
    clang: File | None = None,
    cflags: Sequence[str] = (),
) -> Offload:
    """Splits a UDP server in C into a half in the kernel and a half in userspace, proves the former, and tries both.

    `files` are its sources, or `compile_commands` the JSON compilation database that names them; `entry` the function that
    takes requests where there are several. The kernel half takes requests of up to `longest` bytes (None: 64 where it is
    proved, else 1472). Original and split server get the same requests where bpf(2) works; with `requests` that many, and they
    are timed. With `advise` nothing is proved and the verdict is whether it pays. `budget` is seconds of proof. Raises
    DoNotOffload at the line that speaks against it.
    """
    from bpfsmith.page.measured import offload_page
    from bpfsmith.workflow import splitting

    wish = splitting.Wish(
        _paths(files), _name(compile_commands), entry, hook, longest, budget, requests, _name(workload), tuple(arguments),
        _name(profile), advise,
    )  # fmt: skip
    done = splitting.offload(wish, _toolchain("v3", clang, cflags))
    advice = done.found.advice if done.found is not None else None
    return Offload(done.report, lambda: offload_page(done.report, done.split), advice, done.files, done.proved, done.same)


def _paths(files: Sequence[File]) -> tuple[str, ...]:
    return tuple(os.fspath(item) for item in files)


def _name(file: File | None) -> str | None:
    return os.fspath(file) if file is not None else None


def _silent(text: str) -> None:
    """Nobody is told how far the work has come."""


def _toolchain(
    mcpu: str, clang: File | None, cflags: Sequence[str], *, bind: str | None = None, side: str = "server", hook: str = "xdp"
) -> Toolchain:
    from bpfsmith.workflow.inputs import Toolchain

    return Toolchain(_name(clang), mcpu, tuple(cflags), bind=bind, side=side, hook=hook)
