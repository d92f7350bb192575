"""One step of a compiled element twice: in the kernel and in the reference interpreter, from the same state, message, words
and clock.

Under a lock the generated code draws and reads the clock before the step, once for each place in the text; the interpreter does
so where the path comes by. `run_ahead` makes it take the words of the places that it comes by.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from bpfsmith.appnet import core, facts, interpreter
from bpfsmith.appnet.correspond import layout_of, with_state
from bpfsmith.appnet.evaluation import CLOCK, RANDOM
from bpfsmith.appnet.layout import VEC_ITEMS, Layout, state_bytes, stride
from bpfsmith.appnet.numbers import FixedNumbers
from bpfsmith.appnet.prove import ACTIONS
from bpfsmith.appnet.rpcs import Remembered, arrives
from bpfsmith.appnet.shapes import raw_bytes, size_of, value_of
from bpfsmith.appnet.sharing import Sharing
from bpfsmith.appnet.wire import Message, read_message
from bpfsmith.execution import HelperResult, RunInput
from bpfsmith.gate.replay import run_in_kernel
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.objfile.object import Object
from bpfsmith.packet.build import udp_packet
from bpfsmith.workflow.compiling import Compiled
from tests.support.messages import some_packet

FLAT_KEY = b"\0\0\0\0"
REQUEST = udp_packet(b"request")
NUMBERS = FixedNumbers()
WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1)
PAUSES = (0, 1, 999, 1_000, 250_000, 1_000_000, 10_000_000, 499_999_999, 500_000_000, 1_000_000_000, 31_000_000_000, 10**14)


# --- the order of draws -----------------------------------------------------------------------------------------------
def run_ahead(
    element: core.Element, body: str, state: Mapping[str, Any], words: list[int], clock: list[int], message: Message | None
) -> interpreter.StepResult:
    """A step in which the words and readings belong to the places in the text, one each, and not to the path."""
    places = [expr for expr in facts.expressions(element.body(body)) if isinstance(expr, core.Draw | core.Clock)]
    draws = [expr.site for expr in places if isinstance(expr, core.Draw)]
    clocks = [expr.site for expr in places if isinstance(expr, core.Clock)]

    plain = interpreter._Step[int]._value  # looked up before the patch

    class Ahead(interpreter._Step[int]):
        def _draw(self, draw: core.Draw) -> interpreter._Word:
            return interpreter._Word(words[draws.index(draw.site)], draw.low, draw.high)

        def _value(self, expression: core.Expr) -> Any:
            if isinstance(expression, core.Clock):
                return clock[clocks.index(expression.site)]
            return plain(self, expression)

    with patch.object(interpreter, "_Step", Ahead):
        done = interpreter.run(element, body, state, iter(()), iter(()), NUMBERS, message)
    return replace(done, draws=len(draws), clocks=len(clocks))


# --- state as bytes ---------------------------------------------------------------------------------------------------
def _scalar(item: core.State, value: Any) -> bytes:
    if item.type.name != "Vec":
        return raw_bytes(item.type, value)
    items = b"".join(raw_bytes(item.type.args[0], part).ljust(stride(item), b"\0") for part in value)
    return (len(value).to_bytes(4, "little").ljust(VEC_ITEMS, b"\0") + items).ljust(state_bytes(item), b"\0")


def _read(item: core.State, raw: bytes) -> Any:
    if item.type.name != "Vec":
        return value_of(item.type, raw)
    starts = [VEC_ITEMS + index * stride(item) for index in range(int.from_bytes(raw[:4], "little"))]
    return [value_of(item.type.args[0], raw[at : at + size_of(item.type)]) for at in starts]


def encoded(element: core.Element, program: Program, layout: Layout, state: Mapping[str, Any]) -> dict[str, dict[bytes, bytes]]:
    """The maps that hold `state`."""
    sections = {
        name: bytearray(program.map(name).initial or bytes(program.map(name).value_size))
        for name in {section for section, _ in layout.scalars.values()}
    }
    maps: dict[str, dict[bytes, bytes]] = {}
    for item in element.state:
        if item.name in layout.scalars:
            section, offset = layout.scalars[item.name]
            sections[section][offset : offset + state_bytes(item)] = _scalar(item, state[item.name])
        elif item.name in layout.maps:
            key_type, value_type = item.type.args
            entries = state[item.name].items()
            maps[layout.maps[item.name].name] = {
                raw_bytes(key_type, key): raw_bytes(value_type, value) for key, value in entries
            }
    return {**maps, **{name: {FLAT_KEY: bytes(contents)} for name, contents in sections.items()}}


def decoded(element: core.Element, layout: Layout, maps: Mapping[str, Mapping[bytes, bytes]]) -> dict[str, Any]:
    """The state that maps hold, as far as they hold it."""
    state: dict[str, Any] = {}
    for item in element.state:
        if item.name in layout.scalars:
            section, offset = layout.scalars[item.name]
            state[item.name] = _read(item, maps[section][FLAT_KEY][offset : offset + state_bytes(item)])
        elif item.name in layout.maps:
            key_type, value_type = item.type.args
            contents = maps[layout.maps[item.name].name]
            state[item.name] = {value_of(key_type, key): value_of(value_type, raw) for key, raw in contents.items()}
    return state


def _entry(item: Remembered) -> bytes:
    """What is remembered of an RPC, as the map has it."""
    return item.until.to_bytes(8, "little") + item.decision.to_bytes(4, "little") + item.seen.to_bytes(4, "little") + item.parts


# --- steps ------------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Course:
    """Random words and a clock that goes on from step to step."""

    random: random.Random
    now: int = 0

    def __post_init__(self) -> None:
        self.now = self.random.choice((1_000, 3_600_000_000_000, 10**16))

    def words(self) -> list[int]:
        return [self.random.choice((*WORDS, *(self.random.getrandbits(32) for _ in range(8)))) for _ in range(24)]

    def clock(self) -> list[int]:
        out = []
        for _ in range(24):
            self.now += self.random.choice((*PAUSES, self.random.randrange(3_000_000_000)))
            out.append(self.now)
        return out

    def state(self, element: core.Element, state: Mapping[str, Any]) -> dict[str, Any]:
        """`state` with some of its scalars replaced by others that are possible."""
        out = dict(state)
        for item in element.state:
            if item.type.name in ("int", "uint", "float", "bool", "Instant") and self.random.random() < 0.7:
                out[item.name] = self._any(item.type)
        return out

    def packet(self, element: core.Element, body: str) -> bytes:
        """A packet for the element: mostly a message of its binding, sometimes one that is cut off or of another port."""
        if element.binding is None:
            return REQUEST
        return some_packet(element, element.binding, body, self.random)

    def _any(self, kind: core.Type) -> Any:
        pick = self.random.choice
        if kind == core.BOOL:
            return pick((False, True))
        if kind == core.INT:
            return pick((0, 1, -1, 2, 3, 10, 100, -(2**31), 2**31 - 1, self.random.getrandbits(32) - 2**31))
        if kind == core.UINT:
            return pick((0, 1, 2, 3, 10, 100, 2**31, 2**32 - 1, self.random.getrandbits(32)))
        if kind == core.INSTANT:
            return pick((0, self.now, max(0, self.now - 2_000_000_000), max(0, self.now - self.random.getrandbits(34))))
        whole = self.random.randrange(-200, 200) << 32
        any_bits = self.random.getrandbits(64) >> self.random.randrange(64)
        return pick((0, 1 << 32, 1 << 31, 2**63 - 1, 2**63, whole, whole + self.random.getrandbits(32), any_bits)) % 2**64


@dataclass(frozen=True, slots=True)
class Stepper:
    """Runs the steps of one body of a compiled element and compares."""

    element: core.Element
    program: Program
    obj: Object
    body: str
    layout: Layout
    ahead: bool

    @classmethod
    def of(cls, compiled: Compiled, body: str = "req") -> Stepper:
        generated, element = compiled.generated, compiled.element
        program = compiled.obj.program(generated.functions[body])
        program = with_state(program, compiled.obj, element)
        layout = layout_of(element, program, compiled.obj, {}, body)
        assert not isinstance(layout, str), layout
        ahead = body != "init" and generated.sharing is Sharing.LOCK
        return cls(element, program, compiled.obj, body, layout, ahead)

    def step(self, state: Mapping[str, Any], words: list[int], clock: list[int], packet: bytes = REQUEST) -> dict[str, Any]:
        """One step of both from `state` with `packet`; the state behind it. Fails where they part."""
        meant = self._meant(state, words, clock, packet)
        if meant.fault == interpreter.MAP_FULL:
            return dict(state)  # a precondition of the proof: what the kernel does then is nobody's business
        results = [HelperResult(RANDOM, word) for word in words] + [HelperResult(CLOCK, instant) for instant in clock]
        maps = encoded(self.element, self.program, self.layout, state)
        if self.layout.rpcs is not None:
            maps[self.layout.rpcs.name] = {key: _entry(item) for key, item in state.get(self.memory, {}).items()}
        done = run_in_kernel(self.program, self.obj, RunInput(packet, {}, maps, tuple(results)))
        assert done is not None, "the kernel rejects the program"
        actions = ACTIONS[for_section(self.program.section).name]
        said = f"from {dict(state)} with words {words[:6]} and clock {clock[:6]} on {packet.hex()}"
        binding = self.element.binding
        replies = meant.message is not None and not meant.fault and binding is not None and binding.reply is not None
        refused = actions.reply if replies else actions.abort
        assert done.return_value == (actions.forward if meant.forwarded else refused), said
        found = decoded(self.element, self.layout, done.maps)
        assert found == {name: meant.state[name] for name in found}, said
        if self.layout.rpcs is not None:
            remembered = {key: _entry(item) for key, item in meant.state.get(self.memory, {}).items()}
            assert done.maps[self.layout.rpcs.name] == remembered, said
        assert (done.calls.get(RANDOM, 0), done.calls.get(CLOCK, 0)) == (meant.draws, meant.clocks), said
        if replies and binding is not None and binding.reply is not None:
            turned = packet[6:12] + packet[:6] + packet[12:26] + packet[30:34] + packet[26:30] + packet[36:38] + packet[34:36]
            assert done.packet[:38] == turned, said
            back = read_message(binding, "resp", done.packet, binding.replied())
            assert isinstance(back, Message), said
            assert {name: back.fields[name] for name, _ in binding.reply} == dict(binding.reply), said
            assert done.packet[40:42] == b"\0\0", said
        elif meant.fields and self.element.binding is not None:
            after = read_message(self.element.binding, self.body, done.packet, meant.fields)
            assert isinstance(after, Message), said
            assert {name: after.fields[name] for name in meant.fields} == meant.fields, said
            assert done.packet[40:42] == b"\0\0", said
        elif self.body != "init":
            assert done.packet == packet, said
        return dict(meant.state)

    @property
    def memory(self) -> str:
        """Where in the state of a walk the RPCs of this body are remembered."""
        return f"RPCs of {self.body}"

    def _of_several(
        self, state: Mapping[str, Any], words: list[int], clock: list[int], packet: bytes
    ) -> interpreter.StepResult:
        """A packet of an RPC that takes several: what `rpcs` says, with the interpreter as the one who decides."""
        binding, done, memory = self.element.binding, [], state.get(self.memory, {})
        assert binding is not None
        statements = self.element.body(self.body)
        readings = iter(clock)

        def decide(message: Message) -> bool:
            if self.ahead:
                result = run_ahead(self.element, self.body, state, words, list(readings), message)
            else:
                result = interpreter.run(self.element, self.body, state, iter(words), readings, NUMBERS, message)
            done.append(result)
            return result.forwarded

        read: list[int] = []

        def now() -> int:
            read.append(next(readings))
            return read[-1]

        names = facts.fields_read(statements) | facts.fields_set(statements)
        fate = arrives(binding, self.body, packet, names, memory, now, decide)
        if fate is None:
            return interpreter.StepResult(True, None, dict(state), 0, 0)
        if done:
            (result,) = done
            return replace(result, state={**result.state, self.memory: fate.memory}, clocks=result.clocks + len(read))
        return interpreter.StepResult(fate.forwarded, None, {**state, self.memory: fate.memory}, 0, len(read))

    def _meant(self, state: Mapping[str, Any], words: list[int], clock: list[int], packet: bytes) -> interpreter.StepResult:
        binding, message = self.element.binding, None
        if self.layout.rpcs is not None:
            return self._of_several(state, words, clock, packet)
        if binding is not None and self.body != "init":
            statements = self.element.body(self.body)
            names = facts.fields_read(statements) | facts.fields_set(statements)
            read = read_message(binding, self.body, packet, names)
            if not isinstance(read, Message):
                looks = facts.needs_message(statements)
                forwarded = read is None or binding.unreadable == "forward"
                if read is None or looks:
                    return interpreter.StepResult(forwarded, None, dict(state), 0, 0)
                message = Message({}, 0)
            else:
                message = read
        if self.ahead:
            return run_ahead(self.element, self.body, state, words, clock, message)
        return interpreter.run(self.element, self.body, state, iter(words), iter(clock), NUMBERS, message)


def walk(compiled: Compiled, steps: int, seed: int = 0, *, jumps: float = 0.0) -> None:
    """Init and then `steps` steps, carrying the state over; with the chance `jumps` a step starts from another state."""
    course = Course(random.Random(f"{compiled.element.name} {seed}"))
    element = compiled.element
    state: dict[str, Any] = interpreter.initial_state(element, NUMBERS)
    if compiled.generated.init_function is not None:
        state = Stepper.of(compiled, "init").step(state, course.words(), course.clock())
    else:
        state = interpreter.run(element, "init", state, iter(()), iter(()), NUMBERS).state
        layout = Stepper.of(compiled).layout
        fresh = {
            spec.name: {FLAT_KEY: spec.initial or bytes(spec.value_size)}
            for spec in compiled.obj.maps
            if not spec.type.endswith("HASH")
        }
        loaded = decoded(element, replace(layout, maps={}), fresh)
        assert loaded == {name: state[name] for name in loaded}, "the object starts with another state than init makes"
    steppers = [Stepper.of(compiled, body) for body in element.steps]
    constant = facts.constants(element)
    for _ in range(steps):
        if course.random.random() < jumps:
            state = {**course.state(element, state), **{name: state[name] for name in constant}}
        stepper = course.random.choice(steppers)
        state = stepper.step(state, course.words(), course.clock(), course.packet(element, stepper.body))
