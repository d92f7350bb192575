"""What conditions that hold on the way to a place say about another condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bpfsmith.optimize.memory import Memory
from bpfsmith.semantics.terms import Term, Terms, leading_zeros

Facts = frozenset[Term]


def known(values: Memory, condition: Term, facts: Facts) -> bool | None:
    """Is the condition true or false where the facts hold? None: open."""
    t = values.t
    if condition.op == "truth":
        return bool(condition.number)
    if condition in facts:
        return True
    if t.negate(condition) in facts:
        return False
    if condition.op in ("conj", "disj"):
        whole = condition if condition.op == "conj" else t.negate(condition)
        if whole.op == "conj" and any(_is_part_of(t, fact, whole) for fact in facts):
            return condition.op == "disj"
        return _known_of_many(condition.op, [known(values, arg, facts) for arg in condition.args])
    if condition.op == "not":
        inner = known(values, condition.args[0], facts)
        return None if inner is None else not inner
    if condition.op == "eq" and condition.args[1].is_const:
        by_parts = _by_parts(values, condition.args[0], condition.args[1].number, facts)
        if by_parts is not None:
            return by_parts
    by_range = _by_range(condition, facts)
    return by_range if by_range is not None else _by_distance(values, condition, facts)


def _is_part_of(t: Terms, fact: Term, whole: Term) -> bool:
    """Does the fact say that some of these do not hold together?"""
    if fact.op not in ("not", "disj"):
        return False
    apart = t.negate(fact)
    return apart.op == "conj" and set(apart.args) <= set(whole.args)


def _known_of_many(op: str, verdicts: list[bool | None]) -> bool | None:
    decisive = op == "disj"
    if any(verdict is decisive for verdict in verdicts):
        return decisive
    if all(verdict is (not decisive) for verdict in verdicts):
        return not decisive
    return None


def _by_parts(values: Memory, whole: Term, number: int, facts: Facts) -> bool | None:
    """Does a value equal a number, by what is known of its parts?"""
    if whole.op == "concat":
        verdicts, top = [], whole.width
        for piece in whole.args:
            bottom = top - piece.width
            wanted = values.t.const(piece.width, number >> bottom)
            verdicts.append(known(values, values.t.eq(piece.width, piece, wanted), facts))
            top = bottom
        return _known_of_many("conj", verdicts)
    open_bits = (1 << whole.width) - 1
    for fact in facts:
        inner = fact.args[0] if fact.op == "not" else fact
        if (
            inner.op != "eq"
            or not inner.args[1].is_const
            or inner.args[0].op != "extract"
            or inner.args[0].args[0] is not whole
        ):
            continue
        part = inner.args[0]
        mask = (1 << part.width) - 1
        same = number >> part.number & mask == inner.args[1].number
        if same == (fact.op == "not"):
            return False
        if fact.op != "not":
            open_bits &= ~(mask << part.number)
    return None if open_bits else True


def _by_range(condition: Term, facts: Facts) -> bool | None:
    if condition.op not in ("ult", "eq") or not any(arg.is_const for arg in condition.args):
        return None
    variable = condition.args[1] if condition.args[0].is_const else condition.args[0]
    low, high, excluded = bounds(variable, facts)
    constant = condition.args[0].number if condition.args[0].is_const else condition.args[1].number
    if condition.op == "eq":
        if constant < low or constant > high or constant in excluded:
            return False
        return True if low == high == constant else None
    if condition.args[1].is_const:  # variable < constant
        return True if high < constant else False if low >= constant else None
    return True if constant < low else False if constant >= high else None  # constant < variable


def indexed(facts: Facts) -> dict[Term, list[Term]]:
    """The comparisons among facts, by what they compare."""
    out: dict[Term, list[Term]] = {}
    for fact in facts:
        inner = fact.args[0] if fact.op == "not" else fact
        if inner.op in ("ult", "eq") and any(arg.is_const for arg in inner.args):
            for arg in inner.args:
                if not arg.is_const:
                    out.setdefault(arg, []).append(fact)
                if arg.op == "extract":
                    out.setdefault(arg.args[0], []).append(fact)
    return out


def is_told(value: Term, told: Mapping[Term, list[Term]]) -> bool:
    """Is anything said of the value that bounds it?"""
    return value.is_const or value in told or (value.op == "concat" and any(is_told(piece, told) for piece in value.args))


def extent(value: Term, told: Mapping[Term, list[Term]]) -> tuple[int, int]:
    """The least and the greatest that a value can be, by what is told of it or of the pieces that it was put together from."""
    if value.is_const:
        return value.number, value.number
    low, high, _ = bounds(value, told.get(value, ()))
    if value.op != "concat":
        return low, high
    least = most = 0
    for piece in value.args:
        a, b = extent(piece, told)
        least, most = least << piece.width | a, most << piece.width | b
    return max(low, least), min(high, most)


def bounds(variable: Term, facts: Iterable[Term]) -> tuple[int, int, set[int]]:
    """The least and the greatest value that facts about the variable leave, and values that it has not."""
    low, high, excluded = 0, (1 << (variable.width - leading_zeros(variable))) - 1, set()
    for fact in facts:
        positive = fact.op != "not"
        inner = fact if positive else fact.args[0]
        if inner.op not in ("ult", "eq"):
            continue
        a, b = inner.args
        if positive and inner.op == "eq" and _is_upper(a, variable) and b.is_const:
            low, high = max(low, b.number << a.number), min(high, (b.number + 1 << a.number) - 1)
        if a is not variable and b is not variable:
            continue
        if inner.op == "eq" and b.is_const:
            if positive:
                low, high = max(low, b.number), min(high, b.number)
            else:
                excluded.add(b.number)
        elif inner.op == "ult" and b.is_const:
            low, high = (low, min(high, b.number - 1)) if positive else (max(low, b.number), high)
        elif inner.op == "ult" and a.is_const:
            low, high = (max(low, a.number + 1), high) if positive else (low, min(high, a.number))
    while low in excluded and low <= high:
        low += 1
    while high in excluded and high >= low:
        high -= 1
    return low, high, excluded


def _is_upper(part: Term, whole: Term) -> bool:
    """The upper bits of it?"""
    return part.op == "extract" and part.args[0] is whole and part.number + part.width == whole.width


# --- entries that are always there ------------------------------------------------------------------------------------
def of_entry(values: Memory, condition: Term, facts: Facts) -> bool | None:
    """What a comparison with NULL says of a lookup in an array at an index below its number of entries, which never fails
    (array_map_lookup_elem in kernel/bpf/arraymap.c). Verifiers before Linux 6.14 do not know that, so that the comparison has
    to stay: only proofs, and what chooses where its other way leads, may use it."""
    positive = condition.op != "not"
    inner = condition if positive else condition.args[0]
    if inner.op != "eq" or not inner.args[1].is_const or inner.args[1].number:
        return None
    entry = inner.args[0]
    if entry.op != "app" or not entry.name.startswith("lookup:") or "#array:" not in entry.name:
        return None
    entries = int(entry.name.rpartition(":")[2])
    index = values.join(list(entry.args))
    return not positive if extent(index, indexed(facts))[1] < entries else None


# --- how far the packet's end is --------------------------------------------------------------------------------------
def _by_distance(values: Memory, condition: Term, facts: Facts) -> bool | None:
    """Comparisons of packet pointers. The verifier keeps what is added to them below 2**29, so that no sum wraps around."""
    asked = _distance(values, condition)
    if asked is None:
        return None
    low: int | None = None
    high: int | None = None
    for fact in facts:
        positive = fact.op != "not"
        given = _distance(values, fact if positive else fact.args[0])
        if given is None or {given[0], given[1]} != {asked[0], asked[1]}:
            continue
        same_way = given[0] is asked[0]
        bound = given[2] if same_way else -given[2]
        # given: second - first > bound; seen from the other side: first - second < bound
        if same_way == positive:
            least = bound + positive
            low = least if low is None else max(low, least)
        else:
            most = bound - (not same_way and positive)
            high = most if high is None else min(high, most)
    if low is not None and low > asked[2]:
        return True
    return False if high is not None and high <= asked[2] else None


def _distance(values: Memory, condition: Term) -> tuple[Term, Term, int] | None:
    """(a, b, k) for a comparison that says b - a > k, of two packet pointers without their constant offsets."""
    if condition.op != "ult" or condition.args[0].width != 64 or any(arg.is_const for arg in condition.args):
        return None
    (a, a_at), (b, b_at) = (values.place(arg) for arg in condition.args)
    if a is b or not values.kinds.of(a) == values.kinds.of(b) == _PACKET:
        return None
    return a, b, a_at - b_at


_PACKET = frozenset({"packet"})
