"""`try`: one run of one program, on the interpreter or in the kernel, and what it did."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bpfsmith.appnet.correspond import layout_of, with_state
from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.execution import MapContents, RunInput, RunOutput
from bpfsmith.gate.runs import READABLE
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.isa.progtype import ProgramType, for_section
from bpfsmith.isa.validate import problems
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Rejected, load
from bpfsmith.kernel.maps import MapSet, open_maps
from bpfsmith.kernel.probe import kernel_release, pinned
from bpfsmith.kernel.testrun import ETHERNET_BYTES
from bpfsmith.objfile.object import Object
from bpfsmith.packet.build import udp_packet
from bpfsmith.packet.pcap import frames, is_capture
from bpfsmith.semantics import concrete
from bpfsmith.semantics.concrete import Machine
from bpfsmith.semantics.concrete_memory import open_maps as modelled_maps
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.workflow.compiling import lowered
from bpfsmith.workflow.conformance import hex_bytes, stopped_run
from bpfsmith.workflow.debugger import Quit, observing
from bpfsmith.workflow.describe import FLAT_KEY, Vocabulary
from bpfsmith.workflow.explaining import explain_rejection
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input, split_program
from bpfsmith.workflow.verifying import must_load
from bpfsmith.workflow.watching import Call, Code, Recorder

PAYLOAD = b"hello from bpfsmith"
_PACKET_CONTEXTS = ("struct xdp_md", "struct __sk_buff")
_PER_CPU = "PERCPU"


@dataclass(frozen=True, slots=True)
class Subject:
    """The program that is to run. `init` is what an AppNet program does once before its first packet, if that is a program."""

    program: Program
    obj: Object | None
    words: Vocabulary
    init: Program | None = None

    @property
    def kind(self) -> ProgramType:
        return for_section(self.program.section)

    @property
    def has_packet(self) -> bool:
        return self.kind.context_type in _PACKET_CONTEXTS

    @property
    def header_bytes(self) -> int:
        """How much of a frame lies before what the program sees: hooks above the link layer get no Ethernet header."""
        return testrun.header_bytes(self.kind)


@dataclass(frozen=True, slots=True)
class Tried:
    """A run and what it did. `given` and `output` have whole frames and the contents of every map that can be read.

    `engine` names what it ran on. The interpreter knows the `calls` of helpers and the number of insns `executed`; the kernel
    does not say (None). Without `output` the person at the debugger's prompt ended the run.
    """

    subject: Subject
    engine: str
    given: RunInput
    output: RunOutput | None
    calls: tuple[Call, ...] | None = None
    executed: int | None = None
    init_ran: bool = False


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The kernel's verifier accepts no such program, so there was no run."""

    subject: Subject
    diagnostic: Diagnostic


Observer = Callable[[Machine], None]


def subject_of(path: str, toolchain: Toolchain) -> Subject:
    """Opens FILE or FILE:PROGRAM. Raises InputError and Unsupported."""
    file, wanted = split_program(path)
    opened = open_input(file, toolchain)
    element = opened.element if isinstance(opened, AppnetInput) else None
    bytecode = lowered(opened, toolchain) if isinstance(opened, AppnetInput) else opened
    init = None
    if element is not None and wanted is None:
        # An element's object may also hold its init program: the step is the one that is not run by hand.
        steps = [program for program in bytecode.programs if program.section != "syscall"]
        wanted = steps[0].name if len(steps) == 1 else None
        init = next((program for program in bytecode.programs if program.section == "syscall"), None)
    program = bytecode.only(wanted)
    for_section(program.section)
    found = [problem for body in (program.insns, *(sub.insns for sub in program.subprograms)) for problem in problems(body)]
    if found:
        raise InputError(*(problem.diagnostic() for problem in found))
    words = Vocabulary(program)
    if element is not None:
        layout = layout_of(element, with_state(program, bytecode.obj, element), bytecode.obj, {})
        words = Vocabulary(program, element, None if isinstance(layout, str) else layout)
    return Subject(program, bytecode.obj, words, init)


# --- what it runs on --------------------------------------------------------------------------------------------------
def packet_of(text: str | None) -> bytes:
    """A frame: hexadecimal digits, the first of a capture file, or for None a UDP datagram.

    Raises InputError `bad-packet`, `bad-hex` or `unreadable-file`.
    """
    if text is None:
        return udp_packet(PAYLOAD)
    frame = _captured(text) if Path(text).suffix in (".pcap", ".cap", ".pcapng") or _is_file(text) else None
    if frame is None:
        frame = hex_bytes(text.replace(":", ""), "the packet, which is no file,")
    if len(frame) < ETHERNET_BYTES:
        help_text = "give a whole frame, its Ethernet header first"
        raise InputError(
            Diagnostic("bad-packet", f"the packet has {len(frame)} bytes, and Ethernet's header 14", help=help_text)
        )
    return frame


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # longer than a name may be
        return False


def _captured(path: str) -> bytes:
    data = _bytes_of(path)
    if not is_capture(data):
        try:
            return hex_bytes(data.decode("ascii").replace(":", ""), f"the packet in {path}")
        except UnicodeDecodeError:
            message = f"{path} is neither a capture nor hexadecimal text"
            raise InputError(Diagnostic("bad-packet", message, help="give a pcap file: `tcpdump -w FILE`")) from None
    try:
        frame = next(frames(data), None)
    except ValueError as error:
        help_text = "write it anew as pcap: `editcap -F pcap IN OUT`"
        raise InputError(Diagnostic("bad-packet", f"{path} gives no packet: {error}", help=help_text)) from None
    if frame is None:
        raise InputError(Diagnostic("bad-packet", f"{path} holds no packet", help="capture one: `tcpdump -c 1 -w FILE`"))
    return frame


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InputError(Diagnostic("unreadable-file", message, help="check the path and its permissions")) from error


def maps_of(path: str | None, program: Program) -> dict[str, MapContents]:
    """Map contents from a JSON file: {"counts": {"01000000": "0500000000000000"}, ".bss": "00000000"}.

    Keys and values are hexadecimal, as they lie in memory. Raises InputError `bad-maps-file`, `unknown-map`, `map-contents`
    or `bad-hex`.
    """
    if path is None:
        return {}
    try:
        read = json.loads(_bytes_of(path))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one too
        raise _bad_maps(path, f"it is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise _bad_maps(path, "it holds no object")
    return {name: _contents(path, _spec(path, name, program), value) for name, value in read.items()}


def _spec(path: str, name: str, program: Program) -> MapSpec:
    for spec in program.maps:
        if spec.name == name:
            return spec
    names = ", ".join(spec.name for spec in program.maps)
    note = f"the maps of {program.name} are: {names}" if names else f"{program.name} uses no map"
    raise InputError(Diagnostic("unknown-map", f"{path}: there is no map {name}", notes=(note,), help="name one of them"))


def _contents(path: str, spec: MapSpec, value: object) -> MapContents:
    if spec.type not in READABLE:
        raise _bad_contents(spec, f"a map of type {spec.type} cannot be filled")
    if isinstance(value, str):
        if spec.type != "BPF_MAP_TYPE_ARRAY" or spec.max_entries != 1:
            raise _bad_maps(path, f'{spec.name} is no data section: write its entries as {{"key": "value"}}')
        value = {FLAT_KEY.hex(): value}
    if not isinstance(value, dict):
        raise _bad_maps(path, f"{spec.name} is neither an object nor hexadecimal digits")
    out: dict[bytes, bytes] = {}
    for key_text, value_text in value.items():
        if not isinstance(value_text, str):
            raise _bad_maps(path, f"the value of {spec.name}[{key_text}] is no text in hexadecimal")
        key = _sized(spec, "key", key_text, spec.key_size)
        out[key] = _sized(spec, "value", value_text, spec.value_size)
        if "ARRAY" in spec.type and int.from_bytes(key, "little") >= spec.max_entries:
            raise _bad_contents(spec, f"it has {spec.max_entries} elements, none at {int.from_bytes(key, 'little')}")
    if len(out) > spec.max_entries:
        raise _bad_contents(spec, f"it has room for {spec.max_entries} entries, not for {len(out)}")
    return out


def _sized(spec: MapSpec, what: str, text: str, size: int) -> bytes:
    data = hex_bytes(text, f"the {what} {text} of {spec.name}")
    if len(data) != size:
        raise _bad_contents(spec, f"the {what} {text} has {len(data)} bytes, not {size}")
    return data


def _bad_maps(path: str, reason: str) -> InputError:
    help_text = 'write {"counts": {"01000000": "0500000000000000"}, ".bss": "00000000"}'
    return InputError(Diagnostic("bad-maps-file", f"{path}: {reason}", help=help_text))


def _bad_contents(spec: MapSpec, reason: str) -> InputError:
    note = f"keys have {spec.key_size} bytes, values {spec.value_size}"
    return InputError(Diagnostic("map-contents", f"map {spec.name}: {reason}", notes=(note,), help="change the contents given"))


def configured(program: Program, maps: Mapping[str, MapContents]) -> Program:
    """The program with what was given for its frozen data sections as their initial value, as a loader sets constants."""
    specs = tuple(
        replace(spec, initial=maps[spec.name][FLAT_KEY]) if spec.frozen and spec.name in maps else spec for spec in program.maps
    )
    return replace(program, maps=specs)


# --- the runs ---------------------------------------------------------------------------------------------------------
def on_interpreter(subject: Subject, packet: bytes, maps: Mapping[str, MapContents], observer: Observer | None = None) -> Tried:
    """One run on the interpreter, where clocks and random words are 0. Raises InputError or Unsupported when it ends early."""
    program = configured(subject.program, maps)
    if subject.init is not None:
        after, _ = _interpreted(subject.init, RunInput())
        named = {spec.name for spec in program.maps}
        maps = {**{name: contents for name, contents in after.maps.items() if name in named}, **maps}
    header = packet[: subject.header_bytes]
    given = RunInput(packet=packet[len(header) :], maps=maps)
    before = {name: contents.entries() for name, contents in modelled_maps(program, given).items()}
    whole = replace(given, packet=packet, maps=before)
    recorder = Recorder(Code(program))
    try:
        output, _ = _interpreted(program, given, recorder, observer)
    except Quit:
        return Tried(subject, "interpreter", whole, None, tuple(recorder.calls), recorder.executed)
    output = replace(output, packet=header + output.packet)
    calls = tuple(recorder.calls)
    return Tried(subject, "interpreter", whole, output, calls, recorder.executed, subject.init is not None)


def _interpreted(
    program: Program, given: RunInput, recorder: Recorder | None = None, observer: Observer | None = None
) -> tuple[RunOutput, Recorder]:
    recorder = recorder or Recorder(Code(program))
    try:
        return concrete.run(program, given, observe=observing(recorder, observer) if observer else recorder), recorder
    except Unmodelled as stopped:
        error = stopped_run(stopped, "run it in the kernel: --engine kernel")
        span = recorder.place.insn.span if recorder.place else None
        if span is not None:
            error = type(error)(*(replace(item, primary=Label(span, "the run stops here")) for item in error.diagnostics))
        raise error from None


def in_kernel(subject: Subject, packet: bytes, maps: Mapping[str, MapContents]) -> Tried | NotLoaded:
    """One test run in this machine's kernel, on processor 0. Raises KernelError where there is none to be had."""
    must_load("so there is no kernel to run it in")
    program = configured(subject.program, maps)
    specs = {spec.name: spec for spec in (*(subject.init.maps if subject.init else ()), *program.maps)}
    with ExitStack() as resources:
        opened = resources.enter_context(open_maps(specs.values(), obj=subject.obj))
        if subject.init is not None:
            init = load(subject.init, opened)
            if isinstance(init, Rejected):
                return NotLoaded(subject, explain_rejection(subject.init, init))
            testrun.run(resources.enter_context(init))
        for name, contents in maps.items():
            if not opened.spec(name).frozen:
                opened.write(name, {key: _for_every_cpu(opened, name, value) for key, value in contents.items()})
        loaded = load(program, opened)
        if isinstance(loaded, Rejected):
            return NotLoaded(subject, explain_rejection(program, loaded))
        resources.enter_context(loaded)
        given = RunInput(packet=packet, maps=_contents_of(opened, program))
        with pinned(0):
            done = testrun.run(loaded, packet)
        # Above the link layer the kernel gives back a header of its own (net/bpf/test_run.c: __skb_push).
        after = packet[: subject.header_bytes] + done.data[subject.header_bytes :] if subject.has_packet else packet
        output = RunOutput(done.retval, after, _contents_of(opened, program))
    return Tried(subject, f"kernel {kernel_release()}", given, output, init_ran=subject.init is not None)


def _for_every_cpu(maps: MapSet, name: str, value: bytes) -> bytes:
    """The value for processor 0, zeros for the others."""
    return value.ljust(maps.value_bytes(name), b"\0") if _PER_CPU in maps.spec(name).type else value


def _contents_of(maps: MapSet, program: Program) -> dict[str, MapContents]:
    """What the program's maps hold, of per-CPU ones the values of processor 0."""
    return {
        spec.name: {key: value[: spec.value_size] for key, value in maps.read(spec.name).items()}
        for spec in program.maps
        if spec.type in READABLE
    }
