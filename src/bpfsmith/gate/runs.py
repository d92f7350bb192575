"""A program in the kernel, ready to be run again and again with everything arranged that a run depends on.

What a helper returns cannot be chosen in the kernel: `replay.script` puts a list of values in the place of its results. The
packet is what the program sees; hooks above the link layer get an Ethernet header in front of it and give it back with one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from bpfsmith.diagnostic import Diagnostic, KernelError
from bpfsmith.execution import HelperResult, MapContents, RunInput, RunOutput
from bpfsmith.gate.script import SCRIPT_LENGTH, map_name, script
from bpfsmith.isa import insn as isa
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel import load as kernel_load
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted
from bpfsmith.kernel.maps import open_maps
from bpfsmith.kernel.probe import pinned
from bpfsmith.objfile.object import Object
from bpfsmith.semantics.maps import ARRAYS

READABLE = frozenset(
    f"BPF_MAP_TYPE_{name}"
    for name in ("ARRAY", "HASH", "LRU_HASH", "PERCPU_ARRAY", "PERCPU_HASH", "LRU_PERCPU_HASH", "LPM_TRIE")
)
"""Types of maps whose contents can be written before a run and read after it."""

MOST_ELEMENTS = 1 << 20
"""An array is filled and read element by element, a microsecond each."""

_SCRIBBLED = bytes(12) + b"\x86\xdd" + bytes(46)


def link_header(program: Program, packet: bytes) -> bytes:
    """The Ethernet header that the test run wants before what the program sees, and takes off."""
    is_ipv6 = bool(packet) and packet[0] >> 4 == 6
    header = bytes(12) + (b"\x86\xdd" if is_ipv6 else b"\x08\x00")
    return header[: testrun.header_bytes(for_section(program.section))]


def check_sizes(program: Program) -> None:
    """KernelError `map-too-large-to-replay` where runs would take too long."""
    for spec in program.maps:
        if spec.type in ARRAYS and spec.max_entries > MOST_ELEMENTS:
            raise KernelError(
                Diagnostic(
                    id="map-too-large-to-replay",
                    message=f"array {spec.name} has {spec.max_entries:,} elements: no test run fills and reads that many",
                    notes=(f"the most are {MOST_ELEMENTS:,}",),
                    help="what the proof says stands without it; for runs in the kernel make the array smaller",
                )
            )


class KernelRuns:
    """A program loaded for runs with chosen inputs. A context manager; KernelError where there is no bpf(2).

    `accepted` is False when the verifier refuses the program: then there is nothing to run.
    """

    def __init__(self, program: Program, obj: Object | None) -> None:
        self.program, self.obj = program, obj
        check_sizes(program)
        self._resources = ExitStack()
        self._scribblers: dict[int, testrun.Runner | None] = {}
        scripted, self.helpers = script(program)
        with ExitStack() as resources:
            self._maps = resources.enter_context(open_maps(scripted, obj=obj))
            outcome = resources.enter_context(kernel_load.load(scripted, self._maps))
            resources.enter_context(pinned(0))
            self._runner = testrun.Runner(outcome) if isinstance(outcome, Accepted) else None
            self._resources = resources.pop_all()
        self.names = [spec.name for spec in program.maps if spec.type in READABLE]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._resources.close()

    @property
    def accepted(self) -> bool:
        return self._runner is not None

    def fill(self, maps: Mapping[str, MapContents]) -> None:
        """Makes the maps hold exactly this; of per-CPU maps the values of CPU 0, on which runs are pinned."""
        for name, contents in maps.items():
            if name in self.names and not self._maps.spec(name).frozen:
                size = self._maps.value_bytes(name)
                self._maps.write(name, {key: value.ljust(size, b"\0") for key, value in contents.items()})

    def draw(self, results: Sequence[HelperResult]) -> None:
        """What the scripted helpers return, call by call; past the end they give 0."""
        for helper in self.helpers:
            values = [item.value for item in results if item.helper == helper][:SCRIPT_LENGTH]
            packed = struct.pack(f"<{1 + SCRIPT_LENGTH}Q", 0, *values, *[0] * (SCRIPT_LENGTH - len(values)))
            self._maps.write(map_name(helper), {b"\0\0\0\0": packed})

    def step(self, packet: bytes, ctx: Mapping[str, int] | None = None) -> tuple[int, bytes, bytes]:
        """One run from the state that the last one left: r0, packet and context. KernelError where there is no test run."""
        assert self._runner is not None
        header = link_header(self.program, packet)
        done = self._runner.run(header + packet, ctx)
        return done.retval, done.data[len(header) :], done.ctx

    def contents(self) -> dict[str, MapContents]:
        """What the maps hold."""
        sizes = {spec.name: spec.value_size for spec in self.program.maps}
        return {name: {key: value[: sizes[name]] for key, value in self._maps.read(name).items()} for name in self.names}

    def calls(self) -> dict[str, int]:
        """How often each scripted helper was called since `draw`."""
        return {helper: int.from_bytes(self._maps.read(map_name(helper))[b"\0\0\0\0"][:8], "little") for helper in self.helpers}

    def scribble(self, byte: int) -> None:
        """Leaves `byte` all over the stack that the next run will find. (A program's stack is not cleared, and helpers that
        are given more than was stored read what the run before left.)"""
        word = int.from_bytes(bytes([byte]) * 4, "little", signed=True)
        if byte not in self._scribblers:
            store = isa.BPF_ST | isa.BPF_MEM | isa.BPF_DW
            insns = [Insn(store, 10, offset=-8 * slot, imm=word) for slot in range(1, 65)]
            insns += [Insn(isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_K), Insn(isa.BPF_JMP | isa.BPF_EXIT)]
            scribbler = Program("scribble", self.program.section, tuple(insns))
            maps = self._resources.enter_context(open_maps(scribbler))
            outcome = self._resources.enter_context(kernel_load.load(scribbler, maps))
            self._scribblers[byte] = testrun.Runner(outcome) if isinstance(outcome, Accepted) else None
        runner = self._scribblers[byte]
        if runner is not None:
            runner.run(_SCRIBBLED)

    def run(self, given: RunInput) -> RunOutput:
        """One run with all of `given` arranged; the maps that it names come back."""
        self.fill(given.maps)
        self.draw(given.helper_results)
        value, packet, _ = self.step(given.packet, given.ctx)
        after = {name: contents for name, contents in self.contents().items() if name in given.maps}
        return RunOutput(value, packet, after, self.calls())
