"""Stops a run on the interpreter and lets a person look around: an observer of `semantics.concrete`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.isa.disasm import disassemble
from bpfsmith.objfile.object import Object
from bpfsmith.packet.decode import hexdump
from bpfsmith.semantics.concrete import Machine
from bpfsmith.workflow.explaining import shown_path
from bpfsmith.workflow.watching import Code, Place, registers_text, value_text

COMMANDS = """\
s, step        one insn
n, next        to the next source line, over calls of functions
c, continue    to the next breakpoint, or to the end
b WHERE        stop there too: LINE, FILE:LINE, @INSN or FUNCTION
p rN           one register        regs   all of them
m MAP          what a map holds    pkt    the packet
q, quit        end the run here"""


class Quit(Exception):
    """The person at the prompt has seen enough."""


class Terminal(Protocol):
    """Where a debugger talks: `ask` gives a command, None when there are no more; `say` prints a line."""

    def ask(self) -> str | None: ...
    def say(self, line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """Stops at the insns of these slots, or whenever one of these source lines is entered."""

    slots: frozenset[int] = frozenset()
    lines: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Stop:
    """What was seen where the run stopped."""

    place: Place
    registers: dict[str, str]

    def json(self) -> dict[str, object]:
        path, line = self.place.line or (None, None)
        return {
            "function": self.place.function,
            "slot": self.place.slot,
            "path": path,
            "line": line,
            "text": disassemble(self.place.insn),
            "registers": self.registers,
        }


def breakpoint_at(text: str, code: Code) -> Breakpoint:
    """LINE, FILE:LINE, @INSN (the number that `disasm` prints) or FUNCTION. Raises InputError `bad-breakpoint`."""
    lines = {place.line for place in code.places if place.line is not None}
    if found := re.fullmatch(r"@(\d{1,9})", text):
        slot = int(found[1])
        if all(place.slot != slot for place in code.places):
            last = code.places[-1].slot
            raise _bad_breakpoint(text, f"no insn starts at slot {slot}", f"slots go from 0 to {last}, and a wide insn has two")
        return Breakpoint(frozenset({slot}))
    if found := re.fullmatch(r"(?:(?P<file>.+):)?(?P<line>\d{1,9})", text):
        number = int(found["line"])
        path = found["file"] or _main_file(code)
        here = {line for name, line in lines if _is_file(name, path)}
        if number not in here:
            nearest = sorted(sorted(here, key=lambda line: abs(line - number))[:5])
            known = ", ".join(map(str, nearest))
            raise _bad_breakpoint(text, f"no insn comes from line {number}", f"there are insns of line {known}" if here else "")
        return Breakpoint(lines=frozenset((name, line) for name, line in lines if line == number and _is_file(name, path)))
    starts = {place.function: place.slot for place in code.places if place.insn_idx == 0}
    if text not in starts:
        raise _bad_breakpoint(text, f"there is no function {text}", f"the functions are: {', '.join(starts)}")
    return Breakpoint(frozenset({starts[text]}))


def _main_file(code: Code) -> str:
    """The file that most of the program comes from; inlined functions may be of headers."""
    files = Counter(place.line[0] for place in code.places if place.line is not None)
    return files.most_common(1)[0][0] if files else ""


def _is_file(path: str, wanted: str) -> bool:
    return path == wanted or Path(path).name == wanted or path.endswith(f"/{wanted}")


def _bad_breakpoint(text: str, reason: str, note: str) -> InputError:
    help_text = "name a source line (12, or FILE:12), an insn (@7, as disasm numbers them), or a function"
    return InputError(Diagnostic("bad-breakpoint", f"{text}: {reason}", notes=(note,) if note else (), help=help_text))


class Debugger:
    """The observer. With `asks` it prompts at each stop, otherwise it prints the registers there and goes on.

    A run without breakpoints and with `asks` stops at the first insn (`steps`). What was seen is in `stops`.
    """

    def __init__(
        self,
        code: Code,
        obj: Object | None,
        terminal: Terminal,
        *,
        breakpoints: tuple[Breakpoint, ...] = (),
        steps: bool = False,
        asks: bool = False,
    ) -> None:
        self.code, self.obj, self.terminal = code, obj, terminal
        self.breakpoints = list(breakpoints)
        self.asks = asks
        self.stops: list[Stop] = []
        self._mode = "step" if steps else "continue"
        self._depth = 0  # of the function in which `next` was said
        self._before: tuple[object, ...] = ()  # where the insn before was: its line, function and depth
        self._shown_line: tuple[str, int] | None = None
        self._registers: dict[str, str] = {}  # as last shown
        self._last_command = ""
        self._texts: dict[str, list[str]] = {}

    def __call__(self, machine: Machine) -> None:
        place = self.code.at(machine)
        if place is None:
            return
        here = place.line or place.slot, place.function, machine.depth
        enters, self._before = here != self._before, here
        if not self._stops(machine, place, enters):
            return
        self._show(machine, place)
        if self.asks:
            self._prompt(machine)

    def _stops(self, machine: Machine, place: Place, enters: bool) -> bool:
        if self._mode == "step" or (self._mode == "next" and enters and machine.depth <= self._depth):
            return True
        return any(
            place.slot in item.slots or (enters and place.line is not None and place.line in item.lines)
            for item in self.breakpoints
        )

    def _show(self, machine: Machine, place: Place) -> None:
        registers = registers_text(machine)
        self.stops.append(Stop(place, registers))
        if place.line is not None and place.line != self._shown_line:
            path, number = place.line
            self.terminal.say(f"{shown_path(path)}:{number}  {self.source(path, number)}".rstrip())
        self._shown_line = place.line
        self.terminal.say(place.text)
        if not self.asks:
            self._say_registers(registers)
            return
        gone = [name for name in self._registers if name not in registers]
        for name, text in registers.items():
            if self._registers.get(name) != text:
                was = f"  (was {self._registers[name]})" if name in self._registers else ""
                self.terminal.say(f"        {name} = {text}{was}")
        if gone:
            self.terminal.say(f"        unset now: {', '.join(gone)}")
        self._registers = registers

    def _say_registers(self, registers: dict[str, str]) -> None:
        for name, text in registers.items():
            self.terminal.say(f"        {name} = {text}")

    def source(self, path: str, number: int) -> str:
        """The text of a source line, as the object or the file has it; empty where neither does."""
        record = self.obj.lines.get((path, number)) if self.obj else None
        if record is not None and self.obj is not None and self.obj.btf is not None:
            text = self.obj.btf.string(record.text_string).strip()
            if text:
                return text
        if path not in self._texts:
            try:
                self._texts[path] = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
            except OSError:
                self._texts[path] = []
        lines = self._texts[path]
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    # --- commands ---------------------------------------------------------------------------------------------------
    def _prompt(self, machine: Machine) -> None:
        """Takes commands until one of them goes on."""
        while True:
            typed = self.terminal.ask()
            if typed is None:  # nobody asks any more: to the end, without stopping
                self._mode, self.breakpoints, self.asks = "continue", [], False
                return
            command = typed.strip() or self._last_command
            self._last_command = command
            word, _, rest = command.partition(" ")
            match word:
                case "s" | "step":
                    self._mode = "step"
                    return
                case "n" | "next":
                    self._mode, self._depth = "next", machine.depth
                    return
                case "c" | "continue":
                    self._mode = "continue"
                    return
                case "q" | "quit":
                    raise Quit
                case _:
                    self._answer(machine, word, rest.strip())

    def _answer(self, machine: Machine, word: str, rest: str) -> None:
        say = self.terminal.say
        match word:
            case "b" | "break":
                try:
                    self.breakpoints.append(breakpoint_at(rest, self.code))
                except InputError as error:
                    for diagnostic in error.diagnostics:
                        say("; ".join((diagnostic.message, *diagnostic.notes)))
            case "p" | "print":
                found = re.fullmatch(r"r(10|\d)", rest)
                say(f"{rest} = {value_text(machine.registers[int(found[1])])}" if found else "say `p r0` to `p r10`")
            case "regs":
                self._say_registers(registers_text(machine))
            case "m" | "map":
                contents = machine.maps.get(rest)
                if contents is None:
                    say(f"the maps are: {', '.join(machine.maps)}" if machine.maps else "the program has no map")
                    return
                shown = [f"{rest}[{key.hex()}] = {value.hex()}" for key, value in contents.entries().items() if any(value)]
                self._say_some(shown or [f"{rest} holds {'nothing but zeros' if contents.entries() else 'no entry'}"])
            case "pkt":
                self._say_some(hexdump(machine.packet.contents).splitlines())
            case "h" | "help" | "?":
                self._say_some(COMMANDS.splitlines())
            case "":
                say("say `s` for one insn, `n` for a line, `c` to go on, `help` for the rest")
            case _:
                say(f"there is no command {word}; `help` lists them")

    def _say_some(self, lines: list[str], most: int = 64) -> None:
        for line in lines[:most]:
            self.terminal.say(line)
        if len(lines) > most:
            self.terminal.say(f".. and {len(lines) - most} more")


def observing(*observers: Callable[[Machine], None]) -> Callable[[Machine], None]:
    """All of them, one after the other."""

    def observe(machine: Machine) -> None:
        for observer in observers:
            observer(machine)

    return observe
