"""Windows of arithmetic, replaced by what the search knows or finds."""

from __future__ import annotations

from bpfsmith.optimize.cache import RuleCache, usual
from bpfsmith.optimize.effects import Surroundings, defines, uses
from bpfsmith.optimize.flow import Flow, tag_of
from bpfsmith.optimize.graph import Graph, Node
from bpfsmith.optimize.ledger import Ledger
from bpfsmith.optimize.liveness import Liveness
from bpfsmith.optimize.rules import rewritten
from bpfsmith.optimize.search import MAX_STEPS
from bpfsmith.optimize.state import Event
from bpfsmith.optimize.steps import Step, Window, as_insn, as_step
from bpfsmith.semantics.terms import Term, leading_zeros


def replace_windows(graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger, cache: RuleCache | None = None) -> bool:
    """Replaces windows by shorter sequences; one in each block and round."""
    cache = cache or usual()
    live = Liveness.of(graph, flow, around)
    changed = False
    for number in graph.order():
        if (number,) in flow.entries:
            changed |= _block(graph, flow, around, ledger, live, number, cache)
    return changed


def _block(
    graph: Graph, flow: Flow, around: Surroundings, ledger: Ledger, live: Liveness, number: int, cache: RuleCache
) -> bool:
    nodes = graph.blocks[number].nodes
    if not any(_step(node) is not None for node in nodes):
        return False
    before = _values(graph, flow, around, number)
    alive = _alive_after(live, number, len(nodes))
    for position in range(len(nodes) - 1, -1, -1):
        if ledger.exhausted:
            return False
        if _step(nodes[position]) is None:
            continue
        chain = _chain(nodes, position, alive, around)
        for length in range(len(chain), 0, -1):
            part = chain[-length:]
            found = _window(nodes, part, before, around)
            if found is None:
                continue
            window, registers = found
            better = _better(window, cache)
            if better is None or not ledger.allows(better[0], nodes[position].insn.span, f"{length} steps as {len(better[1])}"):
                continue
            steps = better[1]
            new = [Node(as_insn(step, registers, nodes[position].insn.span)) for step in steps]
            gone = set(part)
            graph.blocks[number].nodes = [
                item for at, node in enumerate(nodes) for item in (new if at == position else [] if at in gone else [node])
            ]
            return True
    return False


def _better(window: Window, cache: RuleCache) -> tuple[str, tuple[Step, ...]] | None:
    """What the rules, or else the cache and the search, make of a window, and which of them it was."""
    by_rule = rewritten(window)
    if by_rule is not None:
        return f"rule {by_rule[0].name}", by_rule[1]
    steps = cache.shorter(window) if len(window.steps) > 1 else None
    return None if steps is None else ("window", steps)


def _values(graph: Graph, flow: Flow, around: Surroundings, number: int) -> list[list[Term | None]]:
    state = flow.entries[number,].states[0].copy()
    events: list[Event] = []
    before: list[list[Term | None]] = []
    for node in graph.blocks[number].nodes:
        before.append(list(state.regs))
        flow.values.step(state, node, around, events, tag_of((number,)))
    return before


def _alive_after(live: Liveness, number: int, count: int) -> list[int]:
    """The places that are alive after each instruction."""
    out = [0] * count
    alive = live.live_out[number]
    touches = live.touches[number]
    for position in range(len(touches) - 1, -1, -1):
        if position < count:
            out[position] = alive
        alive = alive & ~touches[position].kills | touches[position].reads
    return out


def _step(node: Node) -> Step | None:
    return None if node.relo is not None else as_step(node.op)


def _chain(nodes: list[Node], last: int, alive: list[int], around: Surroundings) -> list[int]:
    """Positions of the steps that only serve the one at `last`, which is included."""
    chain = [last]
    at = last - 1
    (output,) = defines(nodes[last].op)
    needed = set(uses(nodes[last], around))
    while at >= 0 and len(chain) < MAX_STEPS:
        node = nodes[at]
        written, read = set(defines(node.op)), set(uses(node, around))
        if _step(node) is not None and written & needed:
            (register,) = written
            if register != output and alive[last] >> register & 1:
                break
            chain.insert(0, at)
            needed = needed - written | read
        elif written & needed or read & _inner(nodes, chain):
            break
        at -= 1
    return chain


def _inner(nodes: list[Node], chain: list[int]) -> set[int]:
    """Registers that hold intermediate values: another reader between would see them gone."""
    return {register for position in chain[:-1] for register in defines(nodes[position].op)}


def _window(
    nodes: list[Node], part: list[int], before: list[list[Term | None]], around: Surroundings
) -> tuple[Window, tuple[int, ...]] | None:
    """The window of these positions, and the machine register of each of its numbers."""
    last = part[-1]
    inside = set(part)
    (output,) = defines(nodes[last].op)
    inputs: list[int] = []
    zeros: list[int] = []
    made: set[int] = set()
    for position in part:
        step = _step(nodes[position])
        assert step is not None
        for register in uses(nodes[position], around):
            if register in made or register in inputs:
                continue
            value = before[position][register]
            changed = any(register in defines(nodes[at].op) for at in range(position, last) if at not in inside)
            if value is None or changed or _is_pointer(value):
                return None
            inputs.append(register)
            zeros.append(leading_zeros(value))
        made |= set(defines(nodes[position].op))
    for at in range(part[0] + 1, last):
        # Others between may neither see what the window has made so far nor touch what it works on.
        if at not in inside and (set(uses(nodes[at], around)) | set(defines(nodes[at].op))) & made:
            return None
    numbers = {register: index for index, register in enumerate(inputs)}
    for register in [output, *sorted(made)]:
        numbers.setdefault(register, len(numbers))
    steps = []
    for position in part:
        step = _step(nodes[position])
        assert step is not None
        steps.append(step._replace(dst=numbers[step.dst], src=None if step.src is None else numbers[step.src]))
    real = tuple(sorted(numbers, key=numbers.__getitem__))
    return Window(tuple(steps), tuple(zeros), numbers[output], around.cpu), real


def _is_pointer(value: Term) -> bool:
    """A sum with, or a copy of, an address: arithmetic on it is the verifier's business."""
    parts = value.args if value.op == "add" else (value,)
    return any(part.op == "app" and part.width == 64 and not part.name.startswith(("ret:", "m", "phi")) for part in parts)
