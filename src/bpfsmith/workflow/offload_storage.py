"""`offload --storage`: a function that answers requests for stored data, without an event loop, looked at and no more.

A kernel half for storage would run where a device's answer comes in and send the next request down from there (XRP, Zhong et
al., OSDI 2022). That needs a kernel with its patches and an NVMe device, so that it stops at saying what could move.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.codegen.native import preprocess
from bpfsmith.csource.text import Preprocessed
from bpfsmith.csource.tree import Function, Shape, parse
from bpfsmith.diagnostic import Diagnostic, InputError, Label, Severity, Unsupported
from bpfsmith.offload.forms import ALIASES, BUILTINS, FORMS, PRINTS, why_not
from bpfsmith.offload.landmarks import LOOPS
from bpfsmith.offload.program import Server
from bpfsmith.workflow.offloading import Request, files_of

_READS = frozenset(("pread", "pread64", "preadv", "read", "readv", "io_uring_prep_read", "lseek"))


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a function and those that it calls do: `reads` are calls that a resubmission would take the place of, `notes` what
    no kernel program could do, each at its line."""

    entry: Function
    functions: tuple[Function, ...]
    loops: int
    reads: tuple[str, ...]
    notes: tuple[Diagnostic, ...]

    def lines(self) -> Iterator[str]:
        """For a person, a line each."""
        size = f"{len(self.functions)} functions, {self.loops} loops"
        yield f"entry       {self.entry.name}(), {self.entry.span()}: {size}"
        yield f"reads       {', '.join(self.reads) or 'nothing from a device'}"
        places = f"not as it is: {len(self.notes)} places" if self.notes else "possible"
        yield f"kernel half {places}, by its calls and types"


def analyse(request: Request, entry: str) -> Analysis:
    """Reads the files, and looks at the function `entry`. InputError `unknown-function`, `c-error`."""
    files, flags = files_of(request)
    server = Server.of([parse(Preprocessed(path, preprocess(path, flags))) for path in files])
    found = next((item for item in server.functions.values() if item.name == entry), None)
    if found is None:
        names = ", ".join(sorted(item.name for item in server.functions.values())[:12])
        raise InputError(
            Diagnostic("unknown-function", f"no file defines the function {entry}", notes=(f"functions: {names}",),
                       help="name one of them with --storage")
        )  # fmt: skip
    reached = _reached(server, found)
    notes = [note for function in reached for note in _notes(server, function)]
    reads = [
        f"{call.name}() at {function.span(call.node)}"
        for function in reached
        for call in server.calls[function.ref]
        if call.name in _READS
    ]
    loops = sum(node.kind in LOOPS for function in reached for node in function.body.walk())
    return Analysis(found, tuple(reached), loops, tuple(reads), tuple(notes))


def left_out(found: Analysis) -> Unsupported:
    """Why there is no kernel half."""
    return Unsupported(
        Diagnostic(
            "storage-needs-xrp",
            "a kernel half for storage is not made",
            Label(found.entry.span(), "requests for stored data are answered here"),
            notes=(
                "it would send requests down again from the completion of the one before (XRP), which no released kernel has",
            ),
            help="what is said above holds for any such kernel; for requests from a network leave out --storage",
        )
    )


def _reached(server: Server, function: Function) -> list[Function]:
    found, waiting = {function.ref: function}, [function]
    while waiting:
        for call in server.calls[waiting.pop().ref]:
            callee = server.functions.get(call.ref)
            if callee is not None and callee.ref not in found:
                found[callee.ref] = callee
                waiting.append(callee)
    return list(found.values())


def _notes(server: Server, function: Function) -> Iterator[Diagnostic]:
    known = FORMS | BUILTINS | PRINTS | ALIASES.keys() | _READS
    for call in server.calls[function.ref]:
        if call.ref in server.functions or call.name in known:
            continue
        why, help_text = why_not(call.name)
        yield Diagnostic(
            "handed-over", f"no kernel program does this: {call.name or 'a call through a pointer'}(): {why}",
            Label(function.span(call.node)), Severity.NOTE, help=help_text,
        )  # fmt: skip
    for node in function.body.walk():
        if node.kind.endswith("OPERATOR") and node.type is not None and node.type.bare.shape is Shape.FLOAT:
            yield Diagnostic(
                "handed-over", "no kernel program does this: it calculates with floating point",
                Label(function.span(node)), Severity.NOTE,
            )  # fmt: skip
            return
