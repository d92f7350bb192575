"""The oracles, each as `(program, input) -> output`, so that tests can hold them against each other.

The interpreter is `semantics.concrete.run` itself. The prover answers in two ways: with every input a constant from the start,
where rewriting must fold everything, and over symbols that get their values at the end. The kernel runs the program for real.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bpfsmith.execution import MapContents, RunInput, RunOutput
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.kernel import testrun
from bpfsmith.kernel.load import Accepted, load
from bpfsmith.kernel.maps import MapSet
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.behaviour import of_program
from bpfsmith.semantics.concrete_memory import open_maps
from bpfsmith.semantics.evaluate import evaluate
from bpfsmith.semantics.terms import Term, Terms
from bpfsmith.semantics.witness import Assignment, run_output


def everything(program: Program, given: RunInput) -> RunInput:
    """The same input with the contents of every map spelt out."""
    return replace(given, maps={name: contents.entries() for name, contents in open_maps(program, given).items()})


class Given(Assignment):
    """The prover's inputs by name, as a `RunInput` says them."""

    def __init__(self, program: Program, given: RunInput) -> None:
        super().__init__()
        self.given = everything(program, given)
        self.specs = {spec.name: spec for spec in program.maps}
        self.flat = {
            name: b"".join(value.ljust(mapmodel.stride(self.specs[name]), b"\0") for value in contents.values())
            for name, contents in self.given.maps.items()
            if self.specs[name].type in mapmodel.ARRAYS
        }

    def __call__(self, name: str, width: int, args: tuple[int, ...]) -> int:
        given = self.given
        kind, _, rest = name.partition(":")
        match kind:
            case "packet":
                return given.packet[args[0]] if args[0] < len(given.packet) else 0
            case "packet_length":
                return len(given.packet)
            case "map":
                if rest in self.flat:  # what lies outside is asked for, and thrown away, where a lookup finds nothing
                    return self.flat[rest][args[0]] if args[0] < len(self.flat[rest]) else 0
                return self._entry(*rest.rpartition("."), args)
            case "stack" | "packet_meta_length" | "packet_beyond" | "skb.out_of_memory":
                return 0
            case _ if name.startswith("ctx."):
                return given.ctx.get(name[4:], len(given.packet) if name == "ctx.len" else 0)
            case _ if name.startswith("bpf_") and args:
                results = [item.value for item in given.helper_results if item.helper == name]
                return results[args[0]] if args[0] < len(results) else 0
            case "bpf_get_smp_processor_id":
                return 0
            case _:
                raise AssertionError(f"an input called {name}")

    def _entry(self, name: str, dot: str, what: str, args: tuple[int, ...]) -> int:
        value = self.given.maps[name].get(args[0].to_bytes(self.specs[name].key_size, "little")) if what != "full" else None
        match what:
            case "full":
                return 0
            case "present":
                return int(value is not None)
            case _:
                return value[args[1]] if value is not None and args[1] < len(value) else 0


class _Constants(Terms):
    """Terms in which every input is a number from the start."""

    def __init__(self, given: Given) -> None:
        super().__init__()
        self.given = given

    def app(self, name: str, width: int, *args: Term) -> Term:
        value = self.given(name, width, tuple(_number(arg) for arg in args))
        return self.const(width, value) if width else self.truth(bool(value))


def _number(term: object) -> int:
    assert isinstance(term, Term)
    assert term.op in ("const", "truth"), f"not folded: {term}"
    return term.number


def by_prover_at_constants(program: Program, given: RunInput) -> RunOutput:
    """What symbolic execution makes of constant inputs: every term must be a constant, and no obligation may be broken."""
    values = Given(program, given)
    t = _Constants(values)
    behaviour = of_program(t, program, "side")
    assert not any(_number(obligation.condition) for obligation in behaviour.obligations), behaviour.obligations
    specs = values.specs
    maps: dict[str, MapContents] = dict(values.given.maps)
    for name, memory in behaviour.data.items():
        flat = bytearray(values.flat[name])
        for at in {at // 8 * 8 for at in memory.written() or range(len(flat))}:
            flat[at : at + 8] = _number(memory.load(t, t.const(64, at), 8)).to_bytes(8, "little")
        step, size = mapmodel.stride(specs[name]), specs[name].value_size
        maps[name] = {key: bytes(flat[i * step : i * step + size]) for i, key in enumerate(maps[name])}
    for name, contents in behaviour.hashes.items():
        width, size = 8 * specs[name].key_size, specs[name].value_size
        given_keys = [t.const(width, int.from_bytes(key, "little")) for key in maps[name]]
        keys = dict.fromkeys([*given_keys, *contents.keys()])
        maps[name] = {
            _number(key).to_bytes(width // 8, "little"): bytes(
                _number(contents.load(t, key, t.const(64, at), 1)) for at in range(size)
            )
            for key in keys
            if _number(contents.present(t, key))
        }
    packet = given.packet
    if behaviour.packet is not None:
        packet = bytes(_number(behaviour.packet.byte(t, t.const(64, at))) for at in range(len(packet)))
    calls = {name: _number(count) for name, count in behaviour.calls.items()}
    return RunOutput(_number(behaviour.return_value), packet, maps, calls)


def by_prover_evaluated(program: Program, given: RunInput) -> RunOutput:
    """What symbolic execution says of all inputs, evaluated at this one."""
    values = Given(program, given)
    t = Terms()
    behaviour = of_program(t, program, "side")
    assert not any(evaluate([item.condition for item in behaviour.obligations], values)), behaviour.obligations
    return run_output(t, behaviour, values, values.given)


def by_kernel(program: Program, given: RunInput, maps: MapSet) -> RunOutput:
    """One test run; `maps` has the program's maps, and may have others. Programs that see the network layer get an Ethernet
    header before the packet. The kernel does not say how often helpers were called."""
    header = b"" if for_section(program.section).name in ("BPF_PROG_TYPE_XDP", "BPF_PROG_TYPE_SCHED_CLS") else ETHERNET
    maps.reset()
    for name, contents in given.maps.items():
        maps.write(name, contents)
    with load(program, maps) as outcome:
        assert isinstance(outcome, Accepted), f"{outcome.reason}\n{outcome.log[-2000:]}"
        done = testrun.run(outcome, header + given.packet, ctx=given.ctx)
    after: Mapping[str, MapContents] = {spec.name: maps.read(spec.name) for spec in program.maps}
    return RunOutput(done.retval, done.data[len(header) :], after)


ETHERNET = bytes(12) + b"\x08\x00"


def without_calls(output: RunOutput) -> RunOutput:
    """The part of an output that the kernel shows too."""
    return replace(output, calls={})
