"""Control-flow graphs as they are drawn: blocks in layers, ways between them, and what the other graph has not.

Layers and the order in them are fast-sugiyama's; a layer is as high as its highest block, and its blocks stand as near to what
they are linked to as their neighbours allow.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import ToolError
from bpfsmith.ir.cfg import Function, build
from bpfsmith.ir.lift import lift
from bpfsmith.isa.disasm import listing
from bpfsmith.isa.insn import Insn
from bpfsmith.isa.program import Program
from bpfsmith.page.listing import Keys
from bpfsmith.page.model import Edge, Graph, Node

LINE, CHAR, PAD = 15.0, 6.7, 8.0
"""Pixels: height of a line, width of a character, and space around them."""
GAP_X, GAP_Y = 28.0, 42.0
SWEEPS = 12
"""How often layers are moved to what they are linked to; from there on nothing moves by a pixel."""
STRAIGHT = 8
"""How much more the points of one way pull at each other than blocks do: long ways are to be straight."""
MOST_LINES = 14
"""Instructions of a block that are drawn."""
MOST_BLOCKS = 150
"""A graph of more is no picture that helps anybody."""

MOST_COMPARED = 20_000_000
"""Pairs of instructions: from there on frequent ones are not looked for, which takes seconds instead of minutes."""


@dataclass(frozen=True, slots=True)
class Code:
    """One function: its instructions with slots and texts, and its blocks."""

    name: str
    rows: tuple[tuple[int, Insn, str], ...]
    function: Function


def codes(program: Program) -> list[Code]:
    """The functions of a program; those that cannot be taken apart are left out."""
    out = []
    for name, insns in ((program.name, program.insns), *((sub.name, sub.insns) for sub in program.subprograms)):
        try:
            out.append(Code(name, tuple(listing(insns)), build(name, lift(insns))))
        except ToolError:
            continue
    return out


_TARGET = re.compile(r"pc[+-]\d+")


def differing(before: Sequence[str], after: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Which instructions of each text the other one lacks; how far a jump goes does not count."""
    first, second = ([_TARGET.sub("pc", text) for text in texts] for texts in (before, after))
    gone, new = [True] * len(first), [True] * len(second)
    hurried = len(first) * len(second) > MOST_COMPARED
    for start, other, size in difflib.SequenceMatcher(None, first, second, autojunk=hurried).get_matching_blocks():
        gone[start : start + size] = new[other : other + size] = [False] * size
    return gone, new


def drawn(title: str, code: Code, changed: Sequence[bool], keys: Keys) -> Graph | None:
    """The graph of one function with the instructions in `changed` marked; None where it is too large to be looked at."""
    blocks = code.function.blocks
    if len(blocks) > MOST_BLOCKS:
        return None
    nodes = [_node(code, block.start, block.end, changed, keys) for block in blocks]
    ways = [(at, to) for at, block in enumerate(blocks) for to in block.successors]
    places, routes = _layers(len(blocks), ways)
    return _placed(f"{title}: {len(blocks)} blocks", nodes, ways, places, routes)


def diagram(title: str, boxes: Sequence[tuple[Sequence[str], bool]], ways: Sequence[tuple[int, int]]) -> Graph:
    """Boxes of text and the ways between them, drawn like a control-flow graph; the bool marks a box."""
    nodes = [
        Node(0, 0, max(len(line) for line in lines) * CHAR + 2 * PAD, len(lines) * LINE + 2 * PAD,
             tuple((line, False) for line in lines), marked)
        for lines, marked in boxes
    ]  # fmt: skip
    places, routes = _layers(len(nodes), ways)
    graph = _placed(title, nodes, ways, places, routes)
    return replace(graph, edges=tuple(replace(edge, kind="next") for edge in graph.edges))


def _node(code: Code, start: int, end: int, changed: Sequence[bool], keys: Keys) -> Node:
    lines = [(f"{slot:>4} {text}", changed[at]) for at, (slot, _, text) in enumerate(code.rows[start:end], start)]
    if len(lines) > MOST_LINES:
        hidden = lines[MOST_LINES - 2 : -1]
        lines = [*lines[: MOST_LINES - 2], (f"     .. {len(hidden)} more", any(is_new for _, is_new in hidden)), lines[-1]]
    width = max(len(text) for text, _ in lines) * CHAR + 2 * PAD
    span = next((insn.span for _, insn, _ in code.rows[start:end] if insn.span), None)
    key = keys.of((span.path, span.line)) if span else ""
    return Node(0, 0, width, len(lines) * LINE + 2 * PAD, tuple(lines), any(changed[start:end]), key)


Routes = Mapping[tuple[int, int], list[tuple[int, float]]]
"""For each way, the layers that it crosses between its blocks, and where."""


def _layers(count: int, ways: Sequence[tuple[int, int]]) -> tuple[dict[int, tuple[int, float]], Routes]:
    """Layer and place in the layer of every block, in units of one block; and the ways' points on the layers between."""
    edges = sorted({way for way in ways if way[0] != way[1]})
    if not edges:
        return {at: (at, 0.0) for at in range(count)}, {}
    from fast_sugiyama import from_edges

    places: dict[int, tuple[int, float]] = {}
    routes: dict[tuple[int, int], list[tuple[int, float]]] = {}
    right = 0.0
    for positions, width, _, drawn_edges in from_edges(edges, vertex_spacing=1, dummy_vertices=True, dummy_size=0.4):
        points = dict(positions)
        heights = sorted({y for _, y in points.values()}, reverse=True)
        layer = {y: number for number, y in enumerate(heights)}
        left = min(x for x, _ in points.values())
        spots = {int(name): (layer[y], x - left + right) for name, (x, y) in points.items()}
        right += width + 1
        places |= {name: spot for name, spot in spots.items() if name < count}
        following: dict[int, list[int]] = {}
        for one, two in drawn_edges or ():
            following.setdefault(int(one), []).append(int(two))
        for edge in edges:
            if edge[0] in spots:
                routes[edge] = [spots[name] for name in _between(edge, following, count)]
    for at in range(count):  # blocks that nothing leads to or from
        places.setdefault(at, (0, right))
    if places[0][0] > max(spot[0] for spot in places.values()) / 2:  # the entry belongs to the top
        last = max(spot[0] for spot in places.values())
        places = {name: (last - number, x) for name, (number, x) in places.items()}
        routes = {edge: [(last - number, x) for number, x in spots] for edge, spots in routes.items()}
    return places, routes


def _between(edge: tuple[int, int], following: Mapping[int, list[int]], count: int) -> list[int]:
    """The points of a long way, in its own direction: from the upper block down, or in a loop from the lower one up."""
    for start, end, turned in ((edge[0], edge[1], False), (edge[1], edge[0], True)):
        for first in following.get(start, ()):
            path, at = [], first
            while at >= count and following.get(at):
                path.append(at)
                at = following[at][0]
            if at == end:
                return path[::-1] if turned else path
    return []


Point = int | tuple[int, int, int]
"""A block, or the nth point of a way between its blocks."""


def _columns(
    layers: Sequence[Sequence[Point]], half: Mapping[Point, float], links: Mapping[Point, list[Point]]
) -> dict[Point, float]:
    """Pixels from the left of every point: in the order of its layer, beside its neighbours there, and otherwise as near as may
    be to what it is linked to in the layers above and below."""
    spots: dict[Point, float] = {}
    offsets: dict[Point, float] = {}
    for row in layers:
        right = 0.0
        for point in row:
            offsets[point] = spots[point] = right + half[point]
            right = offsets[point] + half[point] + GAP_X
    for sweep in range(SWEEPS):
        for row in layers if sweep % 2 == 0 else layers[::-1]:
            # The least sum of squares that keeps the order: neighbours that would overlap move as one (isotonic regression).
            pools: list[tuple[float, int]] = []
            for point in row:
                pulls = [
                    (spots[other], 1 if isinstance(point, int) or isinstance(other, int) else STRAIGHT)
                    for other in links[point]
                ]
                force = sum(weight for _, weight in pulls)
                wish = (sum(spot * weight for spot, weight in pulls) / force if force else spots[point]) - offsets[point]
                pools.append((wish, 1))
                while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
                    (late, some), (early, more) = pools.pop(), pools.pop()
                    pools.append(((late * some + early * more) / (some + more), some + more))
            moved = [shift for shift, count in pools for _ in range(count)]
            spots |= {point: offsets[point] + shift for point, shift in zip(row, moved, strict=True)}
    left = min(spots[point] - half[point] for point in spots) - GAP_X / 2
    return {point: spot - left for point, spot in spots.items()}


def _placed(
    title: str, nodes: Sequence[Node], ways: Sequence[tuple[int, int]], places: Mapping[int, tuple[int, float]], routes: Routes
) -> Graph:
    """Units become pixels: each layer is as high as its highest block, and no wider than its blocks and ways have to be."""
    heights: dict[int, float] = {}
    for at, (layer, _) in places.items():
        heights[layer] = max(heights.get(layer, 0), nodes[at].height)
    tops, y = {}, GAP_Y / 2
    for layer in range(max(heights) + 1):
        tops[layer] = y
        y += heights.get(layer, 0) + GAP_Y
    points: dict[Point, tuple[int, float]] = {}
    for at, spot in places.items():
        points[at] = spot
    links: dict[Point, list[Point]] = {at: [] for at in places}
    for (start, end), spots in routes.items():
        middle: list[Point] = [(start, end, index) for index in range(len(spots))]
        points |= dict(zip(middle, spots, strict=True))
        for one, two in itertools.pairwise([start, *middle, end]):
            links.setdefault(one, []).append(two)
            links.setdefault(two, []).append(one)
    layers = [sorted((item for item in points if points[item][0] == layer), key=lambda item: points[item][1]) for layer in tops]
    half = {item: nodes[item].width / 2 if isinstance(item, int) else 0.0 for item in points}
    column = _columns(layers, half, links)
    boxes = [replace(node, x=column[at], y=tops[places[at][0]] + node.height / 2) for at, node in enumerate(nodes)]
    edges = []
    widest = max(column[item] + half[item] for item in points)
    for at, to in ways:
        both = [way for way in ways if way[0] == at]
        kind = "next" if len(both) != 2 else "else" if both[0] == (at, to) else "taken"
        between = [
            (column[(at, to, index)], tops[layer], heights.get(layer, 0))
            for index, (layer, _) in enumerate(routes.get((at, to), ()))
        ]
        back = places[to][0] <= places[at][0]
        aims = sorted(both, key=lambda way: column[(*way, 0) if routes.get(way) else way[1]])
        side = 0.3 * (aims.index((at, to)) - (len(both) - 1) / 2) / max(len(both) - 1, 1)
        edges.append(Edge(_path(boxes[at], boxes[to], between, back, side), kind, back))
        if back:
            widest = max(widest, boxes[at].x + boxes[at].width / 2 + GAP_X, boxes[to].x + boxes[to].width / 2 + GAP_X)
    return Graph(title, widest + GAP_X / 2, y - GAP_Y / 2, tuple(boxes), tuple(edges))


def _path(start: Node, end: Node, middle: Sequence[tuple[float, float, float]], back: bool, side: float) -> str:
    """A curve from the foot of a block to the head of another, straight down through the layers between; loops go up. `side` is
    where it leaves the foot, as a share of its width from the middle."""
    x, y = start.x + side * start.width, start.y + start.height / 2
    tip_x, tip_y = end.x, end.y - end.height / 2
    if back and not middle:  # beside the blocks, on their right
        out = max(start.x + start.width / 2, end.x + end.width / 2) + GAP_X / 2
        down = f"C{x:.0f},{y + 20:.0f} {out:.0f},{y + 20:.0f} {out:.0f},{y - 10:.0f}"
        over = f"C{out:.0f},{tip_y - 20:.0f} {tip_x:.0f},{tip_y - 24:.0f} {tip_x:.0f},{tip_y:.0f}"
        return f"M{x:.0f},{y:.0f} {down} L{out:.0f},{tip_y + 10:.0f} {over}"
    parts = [f"M{x:.0f},{y:.0f}"]
    for mid_x, top, height in middle:
        near, far = (top + height, top) if back else (top, top + height)
        parts.append(_curve(x, y, mid_x, near))
        parts.append(f"L{mid_x:.0f},{far:.0f}")
        x, y = mid_x, far
    parts.append(_curve(x, y, tip_x, tip_y))
    return " ".join(parts)


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    half = (to_y - y) / 2
    return f"C{x:.0f},{y + half:.0f} {to_x:.0f},{to_y - half:.0f} {to_x:.0f},{to_y:.0f}"


def before_and_after(before: Program, after: Program, keys: Keys) -> list[tuple[Graph, Graph]]:
    """The functions whose code is not the same in both, drawn in both forms."""
    out = []
    late = {code.name: code for code in codes(after)}
    for code in codes(before):
        other = late.get(code.name)
        if other is None:
            continue
        gone, new = differing([text for _, _, text in code.rows], [text for _, _, text in other.rows])
        if not any(gone) and not any(new):
            continue
        first = drawn(f"{code.name} before", code, gone, keys)
        second = drawn(f"{code.name} after", other, new, keys)
        if first is not None and second is not None:
            out.append((first, second))
    return out
