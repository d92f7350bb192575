"""Functions written as assembly, for the tests of this folder."""

from __future__ import annotations

from bpfsmith.isa.asm import assemble
from bpfsmith.isa.program import Program
from bpfsmith.isa.progtype import for_section
from bpfsmith.optimize.effects import Surroundings
from bpfsmith.optimize.graph import Graph

HEAD = """
.map counts array key=4 value=8 max=4
.map flows hash key=4 value=16 max=4
.section xdp
.program tried
"""


def program(text: str) -> Program:
    return assemble(HEAD + text, "tried.s")[0]


def around(text: str = "exit") -> Surroundings:
    maps = {spec.name: spec for spec in program("r1 = map[counts]\nr1 = map[flows]\nr0 = 0\nexit").maps}
    return Surroundings(for_section("xdp").context, True, maps)


def graph(text: str) -> Graph:
    return Graph.of("tried", program(text).insns)
