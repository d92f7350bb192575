"""`write`: a sentence to an AppNet program or eBPF C, shown for confirmation in a form that a person can judge.

A proof needs something to prove against, and a sentence is none: the person confirms the program's reading, or what it does
with packets made from the sentence. From there everything is proved: the object against the AppNet program, or against the C.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.appnet.discharge import discharged
from bpfsmith.appnet.typecheck import type_check
from bpfsmith.diagnostic import Diagnostic, InputError, KernelError, ToolError
from bpfsmith.execution import RunInput
from bpfsmith.gate.replay import run_in_kernel
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel.testrun import header_bytes
from bpfsmith.objfile.object import Object
from bpfsmith.optimize.admit import Optimized, Settings, optimize
from bpfsmith.packet.build import Route, echo_request, tcp_packet, udp_packet
from bpfsmith.propose.loop import Proposed
from bpfsmith.propose.task import Passed, Refused, Stage, Task
from bpfsmith.report import Outcome, Report
from bpfsmith.semantics import concrete
from bpfsmith.semantics.state import Unmodelled
from bpfsmith.semantics.verdict import Equal
from bpfsmith.source import SourceText
from bpfsmith.workflow.asking import ModelOptions, Said, asked, asked_json, model_of, said, table, warnings
from bpfsmith.workflow.compiling import Compiled, compile_appnet
from bpfsmith.workflow.describe import Vocabulary, action
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, binding_of, can_bpf_here
from bpfsmith.workflow.judging import Bytecode, Expected, compiled, loaded
from bpfsmith.workflow.reading import reading
from bpfsmith.workflow.sandbox import Sandbox, sandbox

HOOKS = ("xdp", "tc", "tcx/ingress", "tcx/egress", "socket", "cgroup_skb/ingress", "cgroup_skb/egress")
LANGUAGES = {"appnet": ".appnet", "c": ".bpf.c"}
_OF_PACKETS = re.compile(
    r"\b(?:udp|tcp|icmp|arp|ipv?[46]?|vlan|port|ports|packets?|frames?|ttl|mac|ethernet|source|destination)\b|\d+\.\d+\.\d+\.\d+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A packet in words and what the program returns for it."""

    packet: str
    result: str


@dataclass(frozen=True, slots=True)
class Written:
    """A program from a sentence: its `text`, and what shows a person what it means, `shown`; what is written from it is an
    object proved equal to the text."""

    language: str
    name: str
    text: str
    shown: tuple[str, ...]
    element: Compiled | None = None
    optimized: Optimized | None = None

    @property
    def data(self) -> bytes:
        """The object."""
        if self.element is not None:
            return self.element.object_bytes
        assert self.optimized is not None
        return self.optimized.data


def language_for(sentence: str) -> str:
    """AppNet speaks of messages and their fields, not of addresses and headers: a sentence about those becomes C."""
    return "c" if _OF_PACKETS.search(sentence) else "appnet"


def write_task(sentence: str, language: str, name: str) -> Task:
    """A sentence as a task."""
    facts = (f"Call the program `{name}`.",) if language == "c" else ()
    return Task(f"write_{language}", name, sentence, facts, source_language="english", language=language)


def write(
    prompt: Said, toolchain: Toolchain, options: ModelOptions, progress: Callable[[str], None] = lambda text: None
) -> Proposed[Written]:
    """Asks for a program until one stands: it parses, compiles, loads, and in the case of AppNet is proved."""
    model = model_of(options)
    if prompt.task.language == "appnet":
        return asked(prompt, model, _AppnetWriter(prompt.task, toolchain), options, progress)
    with sandbox(toolchain) as box:
        return asked(prompt, model, _CodeWriter(prompt.task, box, toolchain.level), options, progress)


def prompt_for(sentence: str, language: str, name: str, options: ModelOptions) -> Said:
    """What a model is told of a sentence. InputError `bad-command` where there is none."""
    if not sentence.strip():
        raise InputError(Diagnostic("bad-command", "there is nothing to write", help="say in a sentence what should happen"))
    return said(write_task(sentence.strip(), language, name), options)


# --- AppNet -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _AppnetWriter:
    task: Task
    toolchain: Toolchain

    def __call__(self, text: str) -> Refused | Passed[Written]:
        path = f"{self.task.name}.appnet"
        source = SourceText(path, text)
        try:
            checked = type_check(source, binding_of(path, self.toolchain.bind))
            opened = AppnetInput(path, discharged(checked.element), checked.warnings)
            made = compile_appnet(opened, self.toolchain, timed=False)
        except ToolError as error:
            if error.exit_code == 70:
                raise
            return _not_appnet(text, error.diagnostics)
        if made.outcome is not Outcome.EQUAL:
            what = made.rejected.reason if made.rejected else str(made.verdict)
            return Refused(Stage.EQUIVALENCE, f"what is made of it is not proved: {what}", f"It cannot be proved: {what}")
        lines = tuple(reading(opened.element, source))
        size = made.programs[0].insns
        return Passed(Written("appnet", self.task.name, text, lines, element=made), size, True, "it compiles and is proved")


def _not_appnet(text: str, diagnostics: Sequence[Diagnostic]) -> Refused:
    lines = text.split("\n")
    told = []
    for item in diagnostics[:4]:
        at = item.primary.span.line if item.primary else 0
        quoted = f"\n    {lines[at - 1].strip()}" if 0 < at <= len(lines) else ""
        to_do = f"\n    {item.help}" if item.help else ""
        told.append((f"line {at}: " if at else "") + item.message + quoted + to_do)
    return Refused(Stage.COMPILE, told[0].partition("\n")[0], "It is no AppNet program:\n" + "\n".join(told))


# --- C ----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _CodeWriter:
    task: Task
    box: Sandbox
    level: int

    def __call__(self, text: str) -> Refused | Passed[Written]:
        wanted = Expected({item: item for item in HOOKS}, "GPL", {}, frozenset(), {})
        code = compiled(text, self.box, wanted, open_ended=True)
        if isinstance(code, Refused):
            return code
        reports = loaded(code, [program.name for program in code.obj.programs])
        if isinstance(reports, Refused):
            return reports
        rows = _behaviour(code, self.task.source)
        if isinstance(rows, Refused):
            return rows
        done = optimize(code.data, f"{self.task.name}.bpf.c", Settings(timed=False, cpu=self.level))
        shown = tuple(table([(row.packet, row.result) for row in rows], ("packet", "result")))
        size = sum(len(program.linked()) for program in code.obj.programs)
        return Passed(Written("c", self.task.name, text, shown, optimized=done), size, True, "it compiles, loads and runs")


def _behaviour(code: Bytecode, sentence: str) -> list[Row] | Refused:
    """What the programs do with packets made from the sentence."""
    rows = []
    several = len(code.obj.programs) > 1
    for program in code.obj.programs:
        for words, frame in packets_for(sentence):
            given = frame[header_bytes(for_section(program.section)) :]
            try:
                value = _returns(program, code.obj, given)
            except (Unmodelled, KernelError) as reason:
                result = f"not run: {reason}"
            except concrete.Fault as fault:
                return Refused(Stage.VERIFIER, f"it faults on {words}: {fault}", f"It faults on this packet: {words}: {fault}")
            else:
                result = action(value, Vocabulary(program))
            rows.append(Row(f"{program.name}: {words}" if several else words, result))
    return rows


def _returns(program: Program, obj: Object, packet: bytes) -> int:
    if can_bpf_here():
        seen = run_in_kernel(program, obj, RunInput(packet))
        if seen is not None:
            return seen.return_value
    return concrete.run(program, RunInput(packet)).return_value


_NETWORK = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?\b")
_PORT = re.compile(r"\bports?\s+(\d{1,5})(?:\s*(?:-|to|,|and|or)\s*(\d{1,5}))?", re.IGNORECASE)
_BARE_PORT = re.compile(r"\b(?:udp|tcp)[:/ ](\d{1,5})\b", re.IGNORECASE)


def _datagram(kind: str, route: Route, dport: int, sport: int = 40000) -> bytes:
    if kind == "tcp":
        return tcp_packet(b"hello", sport=sport, dport=dport, route=route)
    return udp_packet(b"hello", sport=sport, dport=dport, route=route)


def packets_for(sentence: str) -> Iterator[tuple[str, bytes]]:
    """Packets that a sentence speaks of, and their neighbours: addresses at the ends of its networks and beyond them, its
    ports and those beside them, both transports, ICMP, a VLAN tag, IPv6, and a frame that is cut off."""
    networks = list(_networks(sentence))
    ports = list(dict.fromkeys(int(port) for match in _ports(sentence) for port in match if port and int(port) < 65536))
    inside = str(networks[0][1]) if networks else "192.0.2.1"
    port = ports[0] if ports else 9
    kind = (
        "tcp"
        if re.search(r"\btcp\b", sentence, re.IGNORECASE) and not re.search(r"\budp\b", sentence, re.IGNORECASE)
        else "udp"
    )
    seen: set[bytes] = set()
    for words, frame in _around(kind, inside, port, networks, ports):
        if frame not in seen:
            seen.add(frame)
            yield words, frame


def _around(
    kind: str, inside: str, port: int, networks: Sequence[tuple[str, ipaddress.IPv4Address, str]], ports: Sequence[int]
) -> Iterator[tuple[str, bytes]]:
    def packet(
        kind: str = kind, saddr: str = inside, daddr: str = "198.51.100.1", dport: int = port, sport: int = 40000
    ) -> bytes:
        return _datagram(kind, Route(saddr, daddr), dport, sport)

    yield f"{kind} {inside} to port {port}", packet()
    for words, address, _ in networks:
        yield f"{kind} {address} ({words}) to port {port}", packet(saddr=str(address))
    for _, address, _ in networks[:2]:
        yield f"{kind} to {address}, port {port}", packet(saddr="198.51.100.1", daddr=str(address))
    for near in (number for item in (ports or [port]) for number in (item, item - 1, item + 1) if 0 < number < 65536):
        yield f"{kind} {inside} to port {near}", packet(dport=near)
    yield f"{kind} {inside} from port {port} to port 40001", packet(sport=port, dport=40001)
    other = "tcp" if kind == "udp" else "udp"
    yield f"{other} {inside} to port {port}", packet(kind=other)
    yield f"icmp echo from {inside}", echo_request(b"hello", route=Route(inside, "198.51.100.1"))
    tagged = Route(inside, "198.51.100.1", vlan=7)
    yield f"{kind} {inside} to port {port}, VLAN 7", _datagram(kind, tagged, port)
    yield f"{kind} over IPv6 to port {port}", _datagram(kind, Route("2001:db8::1", "2001:db8::2"), port)
    yield f"{kind} {inside}, cut off in the IPv4 header", packet()[:24]


def _networks(sentence: str) -> Iterator[tuple[str, ipaddress.IPv4Address, str]]:
    """Addresses at the ends of each network, and beyond."""
    for text in _NETWORK.findall(sentence):
        try:
            network = ipaddress.IPv4Network(text, strict=False)
        except ValueError:
            continue
        first, last = int(network.network_address), int(network.broadcast_address)
        places = {"first of": first, "last of": last, "before": first - 1, "after": last + 1}
        if first == last:
            places = {"is": first, "before": first - 1, "after": first + 1}
        for words, number in places.items():
            if 0 < number < 2**32 - 1:
                yield f"{words} {text}", ipaddress.IPv4Address(number), text


def _ports(sentence: str) -> Iterator[tuple[str, ...]]:
    yield from (match.groups() for match in _PORT.finditer(sentence))
    yield from (match.groups() for match in _BARE_PORT.finditer(sentence))


# --- what is said of it -----------------------------------------------------------------------------------------------
def write_report(found: Proposed[Written], options: ModelOptions, confirmed: bool) -> Report:
    """The envelope: `done` where a program stands and was confirmed, `unknown` where it was not, `rejected` where none came."""
    best = product(found)
    details: dict[str, object] = {"model": asked_json(found, options)}
    told = warnings(found, options, "nothing is written")
    if best is None:
        return Report("write", Outcome.REJECTED, diagnostics=told, details=details)
    details |= {"language": best.language, "text": best.text, "reading": list(best.shown), "confirmed": confirmed}
    outcome = Outcome.DONE if confirmed else Outcome.UNKNOWN
    assumptions: tuple[str, ...] = ()
    if best.element is not None and isinstance(best.element.verdict, Equal):
        assumptions = best.element.verdict.assumptions
    programs = best.element.programs if best.element is not None else ()
    return Report("write", outcome, assumptions=assumptions, programs=programs, diagnostics=told, details=details)


def product(found: Proposed[Written]) -> Written | None:
    """The program that came."""
    best = found.best
    return best.judged.product if best is not None and isinstance(best.judged, Passed) else None


def check_new(*paths: str) -> None:
    """InputError `unwritable-output` for a file that is there already: what somebody wrote is not overwritten by a model."""
    for path in paths:
        if Path(path).exists():
            message = f"{path} exists, and a model's program would take its place"
            raise InputError(Diagnostic("unwritable-output", message, help="name another one with --name, or move it away"))
