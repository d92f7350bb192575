"""Memory of a symbolic run: byte regions, pointers into them, and hash maps, all persistent so that states can be merged.

Bytes are kept as written: a `Bytes` holds non-overlapping cells (offset -> size and value) over something older, and splits a
cell only when a load or a store cuts through it. Little endian throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from bpfsmith.semantics.fork import Fork
from bpfsmith.semantics.terms import Term, Terms

_SERIAL = count()
"""Numbers the reads of single bytes of a pointer: each is an unknown of its own, equal to nothing else."""


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of memory that pointers cannot leave.

    `kind` is "stack" (name: the frame), "packet", "ctx", "data" (name: a map whose values lie one behind the other), "value"
    (name: a hash map; `key` is the entry and `generation` the entry's when the pointer was made) or "map" (the map itself, as a
    helper's argument).
    """

    kind: str
    name: str = ""
    key: Term | None = None
    generation: Term | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a pointer points when `guard` holds; `region` None: it is the number `offset` there, of which 0 is NULL."""

    guard: Term
    region: Region | None
    offset: Term  # 64 bits

    @property
    def is_number(self) -> bool:
        """Not a pointer, and not NULL either."""
        return self.region is None and not (self.offset.is_const and self.offset.number == 0)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer: the guards of its targets exclude each other and cover the path on which it lives."""

    targets: tuple[Target, ...]


Value = Term | Pointer
"""What a register or a spilled stack slot holds: a 64-bit scalar or a pointer."""


def merge_values(paths: Fork, a: Value, b: Value) -> Value:
    """`a` on the left path, `b` on the right one."""
    t, condition = paths.t, paths.condition
    if a is b:
        return a
    if isinstance(a, Term) and isinstance(b, Term):
        return paths.ite(a.width, a, b)
    then, other = _as_pointer(t, a), _as_pointer(t, b)
    merged: dict[Region | None, tuple[Term, Term]] = {}
    for side, guard in ((then, condition), (other, t.negate(condition))):
        for target in side.targets:
            here = t.all_of(guard, target.guard)
            known = merged.get(target.region)
            if known is None:
                merged[target.region] = (here, target.offset)
            else:
                offset = t.ite(64, known[0], known[1], target.offset)
                merged[target.region] = (t.any_of(known[0], here), offset)
    return Pointer(tuple(Target(guard, region, offset) for region, (guard, offset) in merged.items()))


def _as_pointer(t: Terms, value: Value) -> Pointer:
    """The scalar 0 beside a pointer is NULL; another one is what a program holds there that will not use it as a pointer."""
    return value if isinstance(value, Pointer) else Pointer((Target(t.true, None, value),))


Initial = Callable[[Term], Term]
"""The byte (8 bits) that a 64-bit offset holds before anything was written."""


@dataclass(frozen=True, slots=True)
class _WriteAt:
    """A store at an offset that is not constant, over `below`."""

    offset: Term
    size: int
    value: Term
    below: Bytes


@dataclass(frozen=True, slots=True)
class _Zeroed:
    """Zeros from `start` up to `end` (64-bit offsets) where `condition` holds, over `below`."""

    condition: Term
    start: Term
    end: Term
    below: Bytes


@dataclass(frozen=True, slots=True)
class _Choice:
    """Two memories that came from two branches and share no past that cells could express."""

    condition: Term
    then: Bytes
    other: Bytes


@dataclass(slots=True, eq=False)
class Bytes:
    """The contents of a region. Treat as immutable: `store` returns a new one."""

    below: Initial | _WriteAt | _Zeroed | _Choice
    cells: dict[int, tuple[int, Value]] = field(default_factory=dict)
    # What was read before: memories that join again share a past, which would be read once for every way through them.
    _known: dict[Term, Term] = field(default_factory=dict, repr=False)

    def load(self, t: Terms, offset: Term, size: int) -> Value:
        """`size` bytes at a 64-bit offset, as a term of 8 * size bits (or the pointer that was spilled there)."""
        if not offset.is_const:
            return joined(t, [self._byte_at(t, t.add(64, offset, t.const(64, i))) for i in range(size)])
        at = _signed(offset)
        cell = self.cells.get(at)
        if cell is not None and cell[0] == size:
            return cell[1]
        return joined(t, [self._byte(t, at + i) for i in range(size)])

    def _cell_over(self, at: int) -> tuple[int, int, Value] | None:
        for start in range(at, at - 8, -1):
            cell = self.cells.get(start)
            if cell is not None:
                return (start, *cell) if start + cell[0] > at else None
        return None

    def _byte(self, t: Terms, at: int) -> Term:
        cell = self._cell_over(at)
        if cell is not None:
            start, _, value = cell
            if isinstance(value, Pointer):
                return _address_byte(t)
            low = (at - start) * 8
            return t.extract(value, value.width, low + 7, low)
        return self._below(t, t.const(64, at))

    def _below(self, t: Terms, offset: Term) -> Term:
        known = self._known.get(offset)
        if known is None:
            known = self._known[offset] = self._read_below(t, offset)
        return known

    def _read_below(self, t: Terms, offset: Term) -> Term:
        match self.below:
            case _WriteAt(offset=where, size=size, value=value, below=below):
                distance = t.sub(64, offset, where)
                result = below._byte_at(t, offset)
                for i in range(size):
                    hit = t.eq(64, distance, t.const(64, i))
                    result = t.ite(8, hit, t.extract(value, value.width, 8 * i + 7, 8 * i), result)
                return result
            case _Zeroed(condition=condition, start=start, end=end, below=below):
                within = t.all_of(condition, t.negate(t.slt(64, offset, start)), t.slt(64, offset, end))
                return t.ite(8, within, t.const(8, 0), below._byte_at(t, offset))
            case _Choice(condition=condition, then=then, other=other):
                return t.ite(8, condition, then._byte_at(t, offset), other._byte_at(t, offset))
            case initial:
                return initial(offset)

    def _byte_at(self, t: Terms, offset: Term) -> Term:
        if offset.is_const:
            return self._byte(t, _signed(offset))
        result = self._below(t, offset)
        for start, (size, value) in sorted(self.cells.items()):
            for i in range(size):
                hit = t.eq(64, offset, t.const(64, start + i))
                byte = _address_byte(t) if isinstance(value, Pointer) else t.extract(value, value.width, 8 * i + 7, 8 * i)
                result = t.ite(8, hit, byte, result)
        return result

    def store(self, t: Terms, offset: Term, size: int, value: Value) -> Bytes:
        """A copy with `size` bytes at `offset` replaced; `value` has 8 * size bits, or is a pointer (size 8)."""
        if not offset.is_const:
            assert isinstance(value, Term)
            return Bytes(_WriteAt(offset, size, value, self))
        at = _signed(offset)
        cells = dict(self.cells)
        for start in range(at - 7, at + size):
            cell = cells.get(start)
            if cell is None or start + cell[0] <= at:
                continue
            del cells[start]
            for i in range(start, start + cell[0]):
                if not at <= i < at + size:
                    cells[i] = (1, self._byte(t, i))
        cells[at] = (size, value)
        return Bytes(self.below, cells)

    def zeroed(self, condition: Term, start: Term, end: Term) -> Bytes:
        """A copy with zeros from `start` up to `end` (64-bit offsets) where `condition` holds."""
        return Bytes(_Zeroed(condition, start, end, self))

    def written(self) -> set[int] | None:
        """The offsets that may differ from the beginning, or None when a store at an unknown offset may have hit any."""
        match self.below:
            case _WriteAt() | _Zeroed():
                return None
            case _Choice(then=then, other=other):
                sides = then.written(), other.written()
                if sides[0] is None or sides[1] is None:
                    return None
                base = sides[0] | sides[1]
            case _:
                base = set()
        return base | {start + i for start, (size, _) in self.cells.items() for i in range(size)}


def _address_byte(t: Terms) -> Term:
    """A byte of a pointer, which the verifier turns into an unknown number."""
    return t.app(f"pointer-byte.{next(_SERIAL)}", 8)


def merge_bytes(paths: Fork, a: Bytes, b: Bytes) -> Bytes:
    """`a` on the left path, `b` on the right one."""
    t = paths.t
    if a is b:
        return a
    if a.below is not b.below:
        return Bytes(_Choice(paths.condition, a, b))
    cells: dict[int, tuple[int, Value]] = {}
    loose: set[int] = set()
    for start in sorted(a.cells.keys() | b.cells.keys()):
        left, right = a.cells.get(start), b.cells.get(start)
        if left is not None and right is not None and left[0] == right[0]:
            cells[start] = (left[0], merge_values(paths, left[1], right[1]))
        elif left is not None and right is None and not _overlaps(b, start, left[0]):
            cells[start] = (left[0], _one_sided(paths, left[1], b, start, left[0], True))
        elif right is not None and left is None and not _overlaps(a, start, right[0]):
            cells[start] = (right[0], _one_sided(paths, right[1], a, start, right[0], False))
        else:
            for cell in (left, right):
                if cell is not None:
                    loose.update(range(start, start + cell[0]))
    for at in sorted(loose):
        if not any(start <= at < start + size for start, (size, _) in cells.items()):
            cells[at] = (1, paths.ite(8, a._byte(t, at), b._byte(t, at)))
    return Bytes(a.below, cells)


def _overlaps(memory: Bytes, start: int, size: int) -> bool:
    return any(memory._cell_over(start + i) is not None for i in range(size))


def _one_sided(paths: Fork, value: Value, other: Bytes, start: int, size: int, then: bool) -> Value:
    """A cell that only one branch wrote: the other side still has what was there before."""
    old = other.load(paths.t, paths.t.const(64, start), size)
    return merge_values(paths, value, old) if then else merge_values(paths, old, value)


def joined(t: Terms, parts: list[Term]) -> Term:
    """Bytes in address order as one little-endian term."""
    result, width = parts[0], 8
    for part in parts[1:]:
        result = t.concat(part, 8, result, width)
        width += 8
    return result


def _signed(offset: Term) -> int:
    return offset.number - (1 << 64) if offset.number >> 63 else offset.number


# --- hash maps --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """The map before the run: which keys are present, and what bytes they hold, are inputs."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class _Insert:
    guard: Term
    key: Term
    value: Bytes
    before: Entries
    generation: Term
    in_place: bool  # an entry that exists is overwritten where it is


@dataclass(frozen=True, slots=True, eq=False)
class _Delete:
    guard: Term
    key: Term
    before: Entries


@dataclass(frozen=True, slots=True, eq=False)
class _Poke:
    """A store through a pointer into the entry of `key`."""

    guard: Term
    key: Term
    offset: Term
    size: int
    value: Term
    before: Entries


@dataclass(frozen=True, slots=True, eq=False)
class _Merged:
    condition: Term
    then: Entries
    other: Entries


Entries = _Start | _Insert | _Delete | _Poke | _Merged


@dataclass(frozen=True, slots=True, eq=False)
class HashMap:
    """The contents of a hash map: a history of inserts, deletes and stores over the contents before the run.

    Keys are terms of 8 * key_size bits, in memory (little endian) order. `structure` is the history without the stores: which
    keys are present, and the `generation` of each entry (32 bits), which changes when a key's entry is deleted or moves: a
    pointer made under another generation is stale.
    """

    name: str
    key_size: int
    value_size: int
    entries: Entries
    structure: Entries

    @classmethod
    def initial(cls, t: Terms, name: str, key_size: int, value_size: int) -> HashMap:
        start = _Start(name)
        return cls(name, key_size, value_size, start, start)

    def present(self, t: Terms, key: Term) -> Term:
        """Is there an entry of this key?"""
        return _present(t, self.structure, key, {})

    def generation(self, t: Terms, key: Term) -> Term:
        """Which of its lives the entry of `key` is in (32 bits, 0 before the run)."""
        return _generation(t, self.structure, key, {})

    def deleted(self, t: Terms, key: Term) -> tuple[Term, Term]:
        """Was the entry of `key` deleted during the run, and was something inserted since?"""
        return _deleted(t, self.structure, key, {})

    def load(self, t: Terms, key: Term, offset: Term, size: int) -> Term:
        """`size` bytes of the entry of `key`, which the caller knows to be present, or to have been when it was deleted."""
        return _load(t, self.entries, key, offset, size, {})

    def insert(self, guard: Term, key: Term, value: Bytes, generation: Term, in_place: bool = False) -> HashMap:
        """`in_place`: an entry that exists is overwritten where it is."""
        return replace(
            self,
            entries=_Insert(guard, key, value, self.entries, generation, in_place),
            structure=_Insert(guard, key, value, self.structure, generation, in_place),
        )

    def delete(self, guard: Term, key: Term) -> HashMap:
        return replace(self, entries=_Delete(guard, key, self.entries), structure=_Delete(guard, key, self.structure))

    def poke(self, guard: Term, key: Term, offset: Term, size: int, value: Term) -> HashMap:
        return replace(self, entries=_Poke(guard, key, offset, size, value, self.entries))

    def merge(self, condition: Term, other: HashMap) -> HashMap:
        if self.entries is other.entries:
            return self
        structure = self.structure
        if structure is not other.structure:
            structure = _Merged(condition, structure, other.structure)
        return replace(self, entries=_Merged(condition, self.entries, other.entries), structure=structure)

    @property
    def touched(self) -> bool:
        return not isinstance(self.entries, _Start)

    def keys(self) -> list[Term]:
        """Every key that was inserted, deleted or written through, on any path."""
        out: dict[Term, None] = {}
        seen: set[int] = set()
        todo: list[Entries] = [self.entries]
        while todo:
            entries = todo.pop()
            if id(entries) in seen:
                continue
            seen.add(id(entries))
            match entries:
                case _Start():
                    pass
                case _Merged(then=then, other=other):
                    todo += [then, other]
                case _Insert(key=key, before=before) | _Delete(key=key, before=before) | _Poke(key=key, before=before):
                    out[key] = None
                    todo.append(before)
        return list(out)


def _present(t: Terms, entries: Entries, key: Term, memo: dict[int, Term]) -> Term:
    known = memo.get(id(entries))
    if known is not None:
        return known
    match entries:
        case _Start(name=name):
            result = t.app(f"map:{name}.present", 0, key)
        case _Insert(guard=guard, key=where, before=before):
            result = t.any_of(t.all_of(guard, t.eq(key.width, key, where)), _present(t, before, key, memo))
        case _Delete(guard=guard, key=where, before=before):
            gone = t.all_of(guard, t.eq(key.width, key, where))
            result = t.all_of(t.negate(gone), _present(t, before, key, memo))
        case _Poke(before=before):
            result = _present(t, before, key, memo)
        case _Merged(condition=condition, then=then, other=other):
            result = t.ite(0, condition, _present(t, then, key, memo), _present(t, other, key, memo))
    memo[id(entries)] = result
    return result


def _generation(t: Terms, entries: Entries, key: Term, memo: dict[int, Term]) -> Term:
    known = memo.get(id(entries))
    if known is not None:
        return known
    match entries:
        case _Start():
            result = t.const(32, 0)
        case _Delete(before=before) | _Poke(before=before):
            result = _generation(t, before, key, memo)
        case _Insert(guard=guard, key=where, generation=new, before=before, in_place=in_place):
            moved = t.all_of(guard, t.eq(key.width, key, where))
            if in_place:
                moved = t.all_of(moved, _deleted(t, before, key, {})[0])
            result = t.ite(32, moved, new, _generation(t, before, key, memo))
        case _Merged(condition=condition, then=then, other=other):
            result = t.ite(32, condition, _generation(t, then, key, memo), _generation(t, other, key, memo))
    memo[id(entries)] = result
    return result


def _deleted(t: Terms, entries: Entries, key: Term, memo: dict[int, tuple[Term, Term]]) -> tuple[Term, Term]:
    known = memo.get(id(entries))
    if known is not None:
        return known
    match entries:
        case _Start():
            result = t.false, t.false
        case _Poke(before=before):
            result = _deleted(t, before, key, memo)
        case _Delete(guard=guard, key=where, before=before):
            gone, reused = _deleted(t, before, key, memo)
            result = t.any_of(gone, t.all_of(guard, t.eq(key.width, key, where))), reused
        case _Insert(guard=guard, key=where, before=before):
            gone, reused = _deleted(t, before, key, memo)
            other = t.negate(t.all_of(guard, t.eq(key.width, key, where)))
            result = t.all_of(gone, other), t.all_of(t.any_of(reused, t.all_of(gone, guard)), other)
        case _Merged(condition=condition, then=then, other=other_side):
            a, b = _deleted(t, then, key, memo), _deleted(t, other_side, key, memo)
            result = t.ite(0, condition, a[0], b[0]), t.ite(0, condition, a[1], b[1])
    memo[id(entries)] = result
    return result


def _load(t: Terms, entries: Entries, key: Term, offset: Term, size: int, memo: dict[int, Term]) -> Term:
    known = memo.get(id(entries))
    if known is not None:
        return known
    width = 8 * size
    match entries:
        case _Start(name=name):
            result = joined(t, [t.app(f"map:{name}.value", 8, key, t.add(64, offset, t.const(64, i))) for i in range(size)])
        case _Insert(guard=guard, key=where, value=value, before=before):
            hit = t.all_of(guard, t.eq(key.width, key, where))
            new = value.load(t, offset, size)
            assert isinstance(new, Term)
            result = t.ite(width, hit, new, _load(t, before, key, offset, size, memo))
        case _Delete(before=before):
            result = _load(t, before, key, offset, size, memo)
        case _Poke(guard=guard, key=where, before=before) as poke:
            old = _load(t, before, key, offset, size, memo)
            if _disjoint(poke, offset, size):
                result = old
            else:
                hit = t.all_of(guard, t.eq(key.width, key, where))
                result = t.ite(width, hit, _poked(t, poke, offset, size, old), old)
        case _Merged(condition=condition, then=then, other=other):
            left, right = (_load(t, side, key, offset, size, memo) for side in (then, other))
            result = t.ite(width, condition, left, right)
    memo[id(entries)] = result
    return result


def _disjoint(poke: _Poke, offset: Term, size: int) -> bool:
    if not (poke.offset.is_const and offset.is_const):
        return False
    stored, wanted = _signed(poke.offset), _signed(offset)
    return stored + poke.size <= wanted or wanted + size <= stored


def _poked(t: Terms, poke: _Poke, offset: Term, size: int, old: Term) -> Term:
    """`size` bytes at `offset` of the poked entry, whose bytes were `old` before."""
    if poke.offset is offset and poke.size == size:
        return poke.value
    below = Bytes(lambda at: _old_byte(t, old, offset, size, at))
    result = below.store(t, poke.offset, poke.size, poke.value).load(t, offset, size)
    assert isinstance(result, Term)
    return result


def _old_byte(t: Terms, old: Term, offset: Term, size: int, at: Term) -> Term:
    result = t.const(8, 0)
    for i in range(size):
        hit = t.eq(64, at, t.add(64, offset, t.const(64, i)))
        result = t.ite(8, hit, t.extract(old, old.width, 8 * i + 7, 8 * i), result)
    return result
