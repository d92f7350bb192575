"""Runs a program on symbolic inputs path by path, and joins only paths that differ in little.

A merged state (`symbolic.Executor`) keeps a run small, but what steers a program (how far it got, what it still has to undo)
becomes a choice, and everything after it a choice of choices. Here two paths are joined where they agree on such variables, so
that these stay constants; which they are is the caller's to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from bpfsmith.ir import cfg, ops
from bpfsmith.ir.cfg import Function, build
from bpfsmith.ir.lift import lift
from bpfsmith.semantics.callbacks import CALLBACKS
from bpfsmith.semantics.helpers import HELPERS
from bpfsmith.semantics.memory import Initial, Region
from bpfsmith.semantics.state import CTX, PACKET, State, merge
from bpfsmith.semantics.symbolic import MAX_BLOCK_VISITS, MAX_TERMS, Executor
from bpfsmith.semantics.terms import Term

ASKED_FROM = 3
"""A block that a call enters more often than this is in a loop: from then on the solver says which ways are left."""

APART, MOST_APART = 8, 32
"""Of how many paths to one block registers may differ, and what steers the program."""

SHORT = 2
"""Instructions of a block that only ends the program: paths that lead there are never joined."""

MOST_BLOCKS = 6_000
"""Blocks that a run may execute, a hundred and more a second."""


@dataclass(frozen=True, slots=True)
class Exit:
    """One of the ends of a run: the state there, on whose path it is reached, and r0."""

    state: State
    value: Term


@dataclass(slots=True)
class PathExecutor(Executor):
    """Executes a program by its paths. `packet` is what packets hold before the run; `steering` are pieces of memory (region,
    offset, bytes) on which paths that are joined have to agree where they hold constants; `feasible` says whether conditions
    can hold together."""

    packet: Initial | None = None
    steering: tuple[tuple[Region, int, int], ...] = ()
    joins: bool = False  # join all paths that meet, but for those that are about to end
    asked_from: int = ASKED_FROM
    feasible: Callable[[list[Term]], bool] = lambda conditions: True
    blocks: int = 0
    deadline: float = inf  # of time.process_time

    def ends(self) -> list[Exit]:
        """Runs the program; gives its ends."""
        self._functions = {self.program.name: build(self.program.name, lift(self.program.insns))}
        self._functions |= {item.name: build(item.name, lift(item.insns)) for item in self.program.subprograms}
        state = State.start(self.t)
        state.initial[CTX] = self.context_byte()
        if self.packet is not None:
            state.initial[PACKET] = self.packet
        self.prepare(state)
        state.registers[1] = self.pointer(CTX)
        found = []
        for end in self._through(self._functions[self.program.name], state):
            value = end.registers[0]
            if not isinstance(value, Term):
                raise self.unmodelled("returned-pointer", f"{self.program.name} returns something that is not a number")
            found.append(Exit(end, value))
        return found

    def prepare(self, state: State) -> None:
        """What memory holds before the run."""

    def _through(self, function: Function, state: State) -> list[State]:
        """The states in which a function ends, each on its path."""
        frame = self.new_frame()
        state.registers[10] = self.pointer(frame)
        rank = {block: position for position, block in enumerate(function.order)}
        ends = _ends(function) if self._depth == 0 else frozenset()
        pending: dict[int, list[State]] = {0: [state]}
        visits: dict[int, int] = {}
        done: list[State] = []
        self._depth += 1
        while pending:
            block = min(pending, key=rank.__getitem__)
            visits[block] = visits.get(block, 0) + 1
            if visits[block] > MAX_BLOCK_VISITS:
                raise self.unmodelled("loop-bound", f"{function.name}: a loop was not finished after {MAX_BLOCK_VISITS} rounds")
            for current in pending.pop(block):
                self.blocks += 1
                if self.blocks > MOST_BLOCKS or len(self.t) > MAX_TERMS:
                    raise self.unmodelled("size-limit", "the program's paths are too many")
                if time.process_time() > self.deadline:
                    raise self.unmodelled("time-limit", "following the program's paths takes too long")
                following = self._from(function, block, function.blocks[block].start, current)
                if len(following) > 1 and visits[block] > self.asked_from:
                    following = [(to, after) for to, after in following if self.feasible(list(after.path))]
                for to, after in following:
                    if to is None:
                        done.append(after)
                    else:
                        known = pending.get(to, [])
                        pending[to] = [*known, after] if to in ends else self._joined(known, after)
        self._depth -= 1
        if not done:
            raise self.unmodelled("no-exit", f"{function.name} never returns")
        for end in done:
            end.regions.pop(frame, None)
        return done

    def _from(self, function: Function, block: int, start: int, state: State) -> list[tuple[int | None, State]]:
        """Executes a block from one instruction on: what comes next, None at the function's end."""
        info = function.blocks[block]
        for index in range(start, info.end):
            self.insn_idx = index
            op = function.ops[index]
            match op:
                case ops.Exit() | ops.Jump() | ops.Branch() | ops.MayGoto():
                    return self._left(info, op, state)
                case ops.AddressCast():
                    self.cast(state, op)
                case ops.CallSubprogram(name=name) if name in self._functions:
                    out: list[tuple[int | None, State]] = []
                    for after in self._called_function(name, state):
                        out += self._from(function, block, index + 1, after)
                    return out
                case ops.CallHelper(helper_id=helper_id) if helper_id not in CALLBACKS and helper_id != cfg.BPF_TAIL_CALL:
                    state = self._called(state, HELPERS.get(helper_id), f"helper #{helper_id}")
                case ops.Unlifted() | ops.CallKfunc() | ops.CallHelper() | ops.CallSubprogram() | ops.LoadSkb():
                    raise self.unmodelled("unmodelled-instruction", f"{type(op).__name__} is not modelled path by path")
                case _:
                    self._step(state, op)
        return [(info.successors[0], state)]

    def _called_function(self, name: str, state: State) -> list[State]:
        saved, at = state.registers[6:], self.insn_idx
        state.registers[6:10] = [None] * 4
        ends: list[State] = []
        for end in self._through(self._functions[name], state):
            end.registers[1:6] = [None] * 5
            end.registers[6:] = saved
            ends = self._joined(ends, end)
        self.insn_idx = at
        return ends

    # --- joining ------------------------------------------------------------------------------------------------------
    def _joined(self, states: list[State], new: State) -> list[State]:
        """The states with one more, joined with one that it agrees with, if there is one."""
        if self.joins and states:
            return [merge(states[0], new)]
        mark, numbers = self._steered(new), _numbers(new)
        for index, state in enumerate(states):
            if _agree(self._steered(state), mark) and _agree(_numbers(state), numbers):
                return [*states[:index], merge(state, new), *states[index + 1 :]]
        out = [*states, new]
        if len(out) > APART:
            out = self._fewer(out)
        return out

    def _fewer(self, states: list[State]) -> list[State]:
        """Joins what differs in registers only, and everything where that is not enough."""
        groups: list[tuple[tuple[int | None, ...], State]] = []
        for state in states:
            mark = self._mark(state)
            for index, (known, other) in enumerate(groups):
                if _agree(known, mark) or len(states) > MOST_APART:
                    groups[index] = (self._mark(joined := merge(other, state)), joined)
                    break
            else:
                groups.append((mark, state))
        return [state for _, state in groups]

    def _mark(self, state: State) -> tuple[int | None, ...]:
        """What steers, and the result so far."""
        return (*self._steered(state), _numbers(state)[0])

    def _steered(self, state: State) -> tuple[int | None, ...]:
        out = []
        for region, offset, size in self.steering:
            value = state.memory(region).load(self.t, self.t.const(64, offset), size)
            out.append(value.number if isinstance(value, Term) and value.is_const else None)
        return tuple(out)


def _ends(function: Function) -> frozenset[int]:
    """Blocks that do little more than end the program."""
    blocks = enumerate(function.blocks)
    return frozenset(
        at for at, item in blocks if item.end - item.start <= SHORT and isinstance(function.ops[item.end - 1], ops.Exit)
    )


def _numbers(state: State) -> tuple[int | None, ...]:
    """Registers that hold constants."""
    return tuple(value.number if isinstance(value, Term) and value.is_const else None for value in state.registers)


def _agree(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> bool:
    return all(x == y for x, y in zip(a, b, strict=True))
