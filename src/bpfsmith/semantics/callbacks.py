"""Helpers that call back into the program: loops whose body is a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bpfsmith.ir.ops import Reg
from bpfsmith.isa.tables import HELPER_IDS
from bpfsmith.semantics import maps as mapmodel
from bpfsmith.semantics.memory import Pointer, Region, Value
from bpfsmith.semantics.state import State, merge
from bpfsmith.semantics.terms import Term

if TYPE_CHECKING:
    from bpfsmith.semantics.symbolic import Executor

MOST_ROUNDS = 1024
"""How often a callback may be called by one call of a helper before its loop counts as unbounded."""

Loop = Callable[["Executor", State], State]
"""The state after the helper, with its result in r0."""


def loop(executor: Executor, state: State) -> State:
    """bpf_loop(nr_loops, callback, context, flags): the number of rounds made (kernel/bpf/bpf_iter.c)."""
    t = executor.t
    count, flags = t.extract(executor.scalar(state, Reg(1)), 64, 31, 0), executor.scalar(state, Reg(4))
    if not (flags.is_const and flags.number == 0):
        raise executor.unmodelled("unmodelled-helper", "bpf_loop with flags")
    function, context = _function(executor, executor.argument(state, 2)), executor.argument(state, 3)

    def more(index: int) -> Term:
        return t.ult(32, t.const(32, index), count)

    return _rounds(executor, state, function, more, lambda state, index: (t.const(64, index), context))


def for_each_element(executor: Executor, state: State) -> State:
    """bpf_for_each_map_elem(map, callback, context, flags): the number of values visited. Arrays are visited in order; the
    order of other maps is not known."""
    t = executor.t
    spec, flags = executor.map_spec(executor.argument(state, 1)), executor.scalar(state, Reg(4))
    if spec.type not in mapmodel.ARRAYS or not (flags.is_const and flags.number == 0):
        raise executor.unmodelled("unmodelled-helper", f"bpf_for_each_map_elem over {spec.name}, a {spec.type}, or with flags")
    function, context = _function(executor, executor.argument(state, 2)), executor.argument(state, 3)
    handle, frame = executor.argument(state, 1), executor.new_frame()

    def arguments(state: State, index: int) -> tuple[Value, ...]:
        key = executor.pointer(frame, -4)
        executor.store(state, key, 0, 4, t.const(64, index))
        return handle, key, executor.pointer(Region("data", spec.name), index * mapmodel.stride(spec)), context

    return _rounds(executor, state, function, lambda index: t.truth(index < spec.max_entries), arguments)


def _rounds(
    executor: Executor,
    state: State,
    function: str,
    more: Callable[[int], Term],
    arguments: Callable[[State, int], tuple[Value, ...]],
) -> State:
    """Calls the function round after round while there is `more` and it returns 0; r0 is the number of rounds made."""
    t = executor.t
    done: State | None = None
    current: State | None = state
    for made in range(MOST_ROUNDS + 1):
        assert current is not None
        left, current = _split(executor, current, t.negate(more(made)))
        done = _ended(executor, done, left, made)
        if current is None:
            break
        if made == MOST_ROUNDS:
            raise executor.unmodelled("loop-bound", f"{function} is not done after {MOST_ROUNDS} rounds")
        current = executor.call_back(function, current, arguments(current, made))
        again = t.eq(64, executor.scalar(current, Reg(0)), t.const(64, 0))
        stopped, current = _split(executor, current, t.negate(again))
        done = _ended(executor, done, stopped, made + 1)
        if current is None:
            break
    assert done is not None
    done.registers[1:6] = [None] * 5
    return done


def _split(executor: Executor, state: State, condition: Term) -> tuple[State | None, State | None]:
    """The states where the condition holds, and where it does not."""
    known = state.known(condition)
    return state.assume(known), state.assume(executor.t.negate(known))


def _ended(executor: Executor, done: State | None, state: State | None, rounds: int) -> State | None:
    if state is None:
        return done
    state.registers[0] = executor.t.const(64, rounds)
    return state if done is None else merge(done, state)


def _function(executor: Executor, value: Value) -> str:
    region = value.targets[0].region if isinstance(value, Pointer) and len(value.targets) == 1 else None
    if region is None or region.kind != "function":
        raise executor.unmodelled("unmodelled-helper", "the function that is called back is not a constant")
    return region.name


CALLBACKS: dict[int, Loop] = {
    HELPER_IDS["bpf_loop"]: loop,
    HELPER_IDS["bpf_for_each_map_elem"]: for_each_element,
}
