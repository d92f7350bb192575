"""`offload`: reads a server, says what could answer in the kernel and whether it pays, and writes the two halves."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from bpfsmith.codegen.clang import Compiler
from bpfsmith.codegen.native import compile_users, preprocess
from bpfsmith.csource.text import Preprocessed
from bpfsmith.csource.tree import Shape, parse
from bpfsmith.diagnostic import Diagnostic, InputError, InternalError, KernelError, Label, Severity, Unsupported
from bpfsmith.gate.load import bare_report, load_report
from bpfsmith.kernel.load import Rejected
from bpfsmith.objfile.elf import read_elf
from bpfsmith.objfile.object import Object, read_object
from bpfsmith.offload import hazards, landmarks
from bpfsmith.offload.half import KernelHalf
from bpfsmith.offload.image import image
from bpfsmith.offload.landmarks import Findings, Transport
from bpfsmith.offload.paths import Way, ways
from bpfsmith.offload.program import Server
from bpfsmith.offload.refusal import DoNotOffload
from bpfsmith.offload.region import kernel_half
from bpfsmith.offload.requests import LONGEST
from bpfsmith.offload.shared import Layout
from bpfsmith.offload.user_half import user_half, uses_heap
from bpfsmith.report import ProgramReport
from bpfsmith.workflow.inputs import Toolchain

RUNTIME = Path(__file__).parent.parent / "offload" / "runtime"
KERNEL_FLAGS = ("-fno-builtin", "-Wno-unused-value", "-Wno-unused-variable", "-Wno-parentheses")
PAGE = 4096
CPU = "v4"  # signed division; every kernel with arenas has it
HEAP_BYTES = 4 << 20  # of a server that allocates memory; what does not fit is the C library's, out of the kernel half's reach
BREAK_EVEN = 0.10  # of requests: what the examples come to with the shipped profile; `--advise` says it for a server


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for. `hook` is "tc" or "xdp". What has more than `longest` bytes is the user half's."""

    files: tuple[str, ...]
    flags: tuple[str, ...] = ()
    compile_commands: str | None = None
    entry: str | None = None
    hook: str = "tc"
    longest: int = LONGEST
    cpus: int = field(default_factory=lambda: max(os.cpu_count() or 1, 8))


@dataclass(frozen=True, slots=True)
class Read:
    """A server as it was read: its text by file, and what was found in it."""

    sources: dict[str, str]
    flags: tuple[str, ...]
    server: Server
    findings: Findings


@dataclass(frozen=True, slots=True)
class Split:
    """Two halves: the files to write, by name, the kernel half's object, and what the kernel says of it."""

    read: Read
    half: KernelHalf
    files: dict[str, str]
    object: bytes
    program: ProgramReport
    diagnostics: tuple[Diagnostic, ...]
    hook: str = "tc"


def read_server(request: Request) -> Read:
    """Reads all files of a server. InputError `c-error`, `unreadable-file`; Unsupported where no request is found."""
    files, flags = files_of(request)
    sources, units = {}, []
    for path in files:
        try:
            sources[path] = Path(path).read_text(encoding="latin-1")
        except OSError as error:
            raise InputError(
                Diagnostic("unreadable-file", f"{path} cannot be read: {error.strerror}", help="check the path")
            ) from error
        units.append(parse(Preprocessed(path, preprocess(path, flags))))
    server = Server.of(units)
    return Read(sources, flags, server, landmarks.find(server, request.entry))


def files_of(request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files, and the flags that matter to the preprocessor: given, or those of compile_commands.json."""
    if request.compile_commands is None:
        return request.files, request.flags
    path = Path(request.compile_commands)
    try:
        entries = json.loads(path.read_text())
        found: dict[str, list[str]] = {}
        for entry in entries:
            words = entry.get("arguments") or shlex.split(entry["command"])
            name = os.path.relpath(Path(entry["directory"]) / entry["file"])
            found[name] = _preprocessor_flags(words, Path(entry["directory"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        help_text = "it is a list of objects with directory, file, and command or arguments (clang's JSON compilation database)"
        raise InputError(Diagnostic("malformed-compile-commands", f"{path} cannot be used: {error}", help=help_text)) from error
    wanted = request.files or tuple(name for name in found if name.endswith(".c"))
    flags = dict.fromkeys(flag for name in wanted for flag in found.get(os.path.relpath(name), []))
    return wanted, (*flags, *request.flags)


def _preprocessor_flags(words: Sequence[str], directory: Path) -> list[str]:
    out = []
    for at, word in enumerate(words):
        if word.startswith(("-D", "-U", "-I", "-include")):
            value = word if len(word) > 2 else word + words[at + 1]
            if value.startswith("-I") and not PurePath(value[2:]).is_absolute():
                value = f"-I{directory / value[2:]}"
            out.append(value)
    return out


def split(read: Read, request: Request, toolchain: Toolchain, progress: Callable[[str], None] = lambda text: None) -> Split:
    """The two halves of a UDP server, compiled; the kernel half loaded where bpf(2) is to be had.

    Unsupported `do-not-offload` for what no kernel half is made for, `kernel-half-rejected` where the verifier refuses it.
    """
    if read.findings.transport is Transport.TCP:
        raise tcp(read.findings)
    hazards.check(read.server, read.findings)
    progress("writing the kernel half")
    draft = kernel_half(read.server, read.findings, cpus=request.cpus, pages=1, longest=request.longest)
    pages = _pages(draft, request.cpus)
    half = kernel_half(read.server, read.findings, cpus=request.cpus, pages=pages, longest=request.longest)
    with tempfile.TemporaryDirectory(prefix="bpfsmith-") as scratch:
        place = Path(scratch) / "server.bpf.c"
        place.write_text(half.source, encoding="latin-1")
        data = _compiled(place, request, toolchain)
    obj = read_object(data)
    program = obj.program("offload")
    progress("loading the kernel half")
    report, rejected = _loaded(obj)
    if rejected is not None:
        raise _refused(rejected, read.findings)
    section = read_elf(data, "server.bpf.o").section(".addr_space.1")
    assert section is not None
    files = {"server.bpf.c": half.source}
    for path, text in user_half(read.server, read.findings, half, read.sources).items():
        files[f"{PurePath(path).stem}.user.c"] = text
    files["server.image.h"] = image(
        obj,
        program,
        section.data,
        half,
        Layout.of(obj),
        is_xdp=request.hook == "xdp",
        break_even=BREAK_EVEN,
        heap=HEAP_BYTES if uses_heap(read.server, half) else 0,
    )
    for name in ("offload_shared.h", "offload_kernel.h", "offload_libc.h", "offload_user.h", "offload_runtime.c"):
        files[name] = (RUNTIME / name).read_text()
    files["Makefile"] = _makefile(read, request)
    return Split(read, half, files, data, report, _notes(half), request.hook)


def _compiled(place: Path, request: Request, toolchain: Toolchain) -> bytes:
    flags = [*KERNEL_FLAGS, f"-I{RUNTIME}", *(["-DBS_XDP"] if request.hook == "xdp" else [])]
    try:
        compiler = Compiler.at(toolchain.clang) if toolchain.clang else Compiler.default()
        return compiler.compile(place, cpu=CPU, flags=flags)
    except InputError as error:
        first = error.diagnostics[0]
        where = f" at line {first.primary.span.line}" if first.primary else ""
        raise InternalError(
            Diagnostic("kernel-half-malformed", "the kernel half that was made does not compile",
                       notes=(f"clang: {first.message}{where}",),
                       help="please report this with the server's source; what it does there is not understood")
        ) from error  # fmt: skip


def _pages(half: KernelHalf, cpus: int) -> int:
    state = sum(item.type.size for item in half.states)
    return -(-(state + cpus * 32768 + 65536) // PAGE)


def _loaded(obj: Object) -> tuple[ProgramReport, Rejected | None]:
    """Where bpf(2) is not to be had, the halves are written all the same: the kernel that they are for decides."""
    try:
        return load_report(obj.program("offload"), obj, timed=False)
    except KernelError:
        return bare_report(obj.program("offload")), None


def _refused(rejected: Rejected, findings: Findings) -> Unsupported:
    request = findings.request
    return Unsupported(
        Diagnostic(
            "kernel-half-rejected",
            "the kernel's verifier does not accept the kernel half of this server",
            Label(request.function.span(request.loop), "requests are handled here"),
            notes=(f"verifier: {rejected.reason}",),
            help="`bpfsmith verify` on the kernel half explains it; simpler loops help most",
        )
    )


def tcp(findings: Findings) -> DoNotOffload:
    receive = findings.request.receive
    return DoNotOffload(
        Diagnostic(
            "do-not-offload",
            "this server speaks TCP: do not offload",
            Label(receive.inside.span(receive.node), "requests come over a connection"),
            notes=(
                "a program on a TCP socket (sk_skb) is reached after the kernel's TCP: measured, a reply from there takes as "
                "long as one from the process (`bpfsmith measure --table hooks`, hooks.echo: sk_skb and socket_tcp)",
            ),
            help="batch requests, or keep connections open; an offload pays for UDP",
        )
    )


def _notes(half: KernelHalf) -> tuple[Diagnostic, ...]:
    """Each place from which requests are the user half's."""
    found = [
        Diagnostic("handed-over", f"from here on the user half does it: {item.why}", Label(item.span), Severity.NOTE,
                   help=item.help)
        for item in half.reasons
        if not item.ordinary
    ]  # fmt: skip
    if half.buffers:
        names = ", ".join(half.buffers)
        found.append(
            Diagnostic(
                "buffer-per-request",
                f"what earlier requests left in {names} is taken not to matter",
                severity=Severity.WARNING,
                notes=("the kernel half has a buffer of its own on each CPU",),
                help="fill the buffer for each reply; `--measure` compares replies",
            )
        )
    return tuple(found)


def _makefile(read: Read, request: Request) -> str:
    users = " ".join(f"{PurePath(path).stem}.user.c" for path in read.sources)
    includes = " ".join(dict.fromkeys(f"-I{Path(path).parent.resolve()}" for path in read.sources))
    return f"""\
# The split server. `make` builds it; run it as the server is run, as root (or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN) to
# have requests answered in the kernel. BPFSMITH_OFFLOAD=off runs it without, BPFSMITH_DEVICES=eth0,eth1 names devices.
CC ?= cc
CFLAGS ?= -O2 -g
server: {users} offload_runtime.c server.image.h offload_user.h offload_shared.h
\t$(CC) $(CFLAGS) -I. {includes} {shlex.join(read.flags)} {users} offload_runtime.c -o $@ $(LDLIBS)

# The kernel half alone, as an object for libbpf and bpftool; the server has it inside (server.image.h).
server.bpf.o: server.bpf.c offload_kernel.h offload_libc.h offload_shared.h
\tclang -target bpf -mcpu=v4 -O2 -g -fno-builtin {"-DBS_XDP " if request.hook == "xdp" else ""}-c $< -o $@
"""


def write_halves(done: Split, directory: Path) -> None:
    """Writes all files of both halves into `directory`, which is made."""
    directory.mkdir(parents=True)
    for name, text in done.files.items():
        (directory / name).write_text(text, encoding="latin-1", errors="replace")
    (directory / "server.bpf.o").write_bytes(done.object)


def build(done: Split, directory: Path, *, offload: bool = True) -> Path:
    """Compiles the split server in `directory` (or, without `offload`, the original beside it). InternalError when it fails."""
    out = directory / ("server" if offload else "original")
    includes = tuple(dict.fromkeys(f"-I{Path(path).parent.resolve()}" for path in done.read.sources))
    if offload:
        sources = [directory / f"{PurePath(path).stem}.user.c" for path in done.read.sources] + [
            directory / "offload_runtime.c"
        ]
    else:
        sources = [Path(path) for path in done.read.sources]
    said = compile_users(sources, out, (f"-I{directory}", *includes, *done.read.flags, "-pthread"))
    if said is None:
        return out
    kind = InternalError if offload else InputError
    raise kind(
        Diagnostic(
            "user-half-malformed" if offload else "c-error",
            "the user half does not compile" if offload else "the server does not compile as it is",
            notes=tuple(said.splitlines()[:8]),
            help="please report this with the server's source" if offload else "give its flags with --cflags",
        )
    )


def summary(done: Split) -> list[str]:
    """What was found and made, a line each."""
    read, half = done.read, done.half
    findings = read.findings
    receive = findings.request.receive
    where = findings.request.function
    port = f"port {findings.port}" if findings.port is not None else "the port that it binds"
    taken = f"{receive.name}() at {receive.inside.span(receive.node)}"
    lines = [
        f"server      {findings.transport}, {port}; requests are taken by {taken}",
        f"request     {where.name}(), {where.span(findings.request.loop or where.body)}",
    ]
    for state in half.states:
        if state.type.shape is Shape.FUNCTION:
            continue
        kind = "changed by both halves" if state.written else "used by both halves"
        size = f"{state.type.size} bytes"
        lines.append(f"state       {state.name} ({state.span}, {size}): {kind}{', was local' if state.promoted else ''}")
    lines += _way_lines(ways(read.server, findings, half.reasons))
    program = done.program
    counted = f"{program.insns} insns"
    if program.verdict == "accepted":
        counted += f", {program.processed_insns} processed by the verifier, JITed to {program.jited_bytes} bytes"
    else:
        counted += "; not loaded: bpf(2) is not permitted here"
    lines.append(f"kernel half {counted}")
    return lines


def _way_lines(found: tuple[Way, ...]) -> list[str]:
    """The ways of a request by where they end."""
    lines = []
    for way in found[:12]:
        asked = " && ".join(way.conditions[-3:]) or "always"
        more = ".. && " if len(way.conditions) > 3 else ""
        lines.append(f"way         {way.end} at line {way.span.line}, where {more}{asked}")
    if len(found) > 12:
        lines.append(f"            and {len(found) - 12} more; --output-format json lists them")
    return lines
