"""The `state:` section checked: types that the core has, and the annotations and hints before them."""

from __future__ import annotations

from collections.abc import Mapping

from bpfsmith.appnet import core, syntax
from bpfsmith.appnet.findings import Findings, did_you_mean
from bpfsmith.appnet.shapes import DEFAULT_TEXT, LONGEST_TEXT, size_of
from bpfsmith.diagnostic import Label

DEFAULT_ENTRIES = 1024
WALKED_ENTRIES = 16
"""Items of a Vec that a `foreach` walks over, whose rounds are written out, unless `@size(N)` says otherwise."""
MOST_ENTRIES = 2**31 - 1

State = Mapping[str, core.State | None]
"""State variables by name; None where the declaration was refused, so that its uses are not reported again."""

_SCALARS = {"int": core.INT, "uint": core.UINT, "float": core.FLOAT, "bool": core.BOOL, "Instant": core.INSTANT}
_TYPES = (*_SCALARS, "string", "Map", "Vec")
_REFUSED = {
    "Vec": ("unsupported-vec", "a Vec inside another value is not supported", "use one Vec of the state, or a Map"),
    "Option": ("unsupported-option-value", "an Option cannot be kept in the state", "keep a bool beside the value"),
    "Map": ("unsupported-nested-map", "a Map inside a Map is not supported", "use one Map whose key combines both keys"),
}
"""What the language has and this release does not translate: id, message, help."""
_PATTERNS = ("_", "None", "Some")
_HINTS = ("map", "size", "maxlen")
_MAP_KINDS = {
    "array": "an array has an entry for every key from the start, and `get` would never be None",
    "lru": "an LRU map forgets entries when it is full, and `get` would be None for a key that was set",
    "percpu": "every CPU has entries of its own, and `get` would not see what another CPU has set",
}
"""Kinds of BPF map that are no Map of the language, and why."""
_MOST_BYTES = 1 << 20
"""Bytes of a Vec: it lies in the data section, which loaders keep in memory twice."""
_DISTRIBUTED = {"consistency": ("strong", "weak"), "combiner": ("sum", "LWW"), "persistence": ("true", "false")}


def declare(section: syntax.Section, findings: Findings, walked: frozenset[str] = frozenset()) -> dict[str, core.State | None]:
    """The state variables of a program by name, in their order. `walked` are those that a `foreach` walks over."""
    state: dict[str, core.State | None] = {}
    places: list[syntax.Annotation] = []
    for declaration in section.declarations:
        name = declaration.name
        entries = _entries(declaration, findings)
        places += [item for item in declaration.annotations if item.name in _DISTRIBUTED]
        if name in _PATTERNS:
            message = f"`{name}` is a pattern, and cannot name a state variable"
            findings.error("reserved-name", message, declaration.span, help="take another name")
        if name in state:
            first = next(item for item in section.declarations if item.name == name)
            message = f"the state variable `{name}` is declared twice"
            others = (Label(first.span, "the first one"),)
            findings.error("duplicate-name", message, declaration.span, others=others, help="rename one of them")
            continue
        found = _type(declaration.type, _text_size(declaration, findings), findings)
        if found is None:
            state[name] = None
        else:
            sized = any(annotation.name == "size" for annotation in declaration.annotations)
            if name in walked and not sized:
                entries = WALKED_ENTRIES
            held = entries if found.name in ("Map", "Vec") else 0
            state[name] = core.State(name, found, declaration.span, held, sized)
            _fits_memory(state[name], findings)
    if places:
        findings.warning(
            "single-host-state",
            f"`@{places[0].name}` has no effect: this element has one replica, on one host",
            places[0].span,
            others=tuple(Label(item.span, "nor has this") for item in places[1:]),
        )
    return state


def _entries(declaration: syntax.Declaration, findings: Findings) -> int:
    entries = DEFAULT_ENTRIES
    for annotation in declaration.annotations:
        words = ", ".join(annotation.arguments)
        match annotation.name:
            case "size" if declaration.type.name in ("Map", "Vec"):
                if len(annotation.arguments) == 1 and words.isdigit() and 0 < int(words) <= MOST_ENTRIES:
                    entries = int(words)
                else:
                    message = f"`@size({words})` is no number of entries"
                    findings.error("wrong-arguments", message, annotation.span, help="write `@size(N)` with 1 <= N < 2^31")
            case "maxlen" if _has_text(declaration.type):
                continue  # `_text_size` reads it
            case "map" if declaration.type.name == "Map" and words == "hash":
                continue  # what a Map is anyway
            case "map" if declaration.type.name == "Map" and words in _MAP_KINDS:
                notes = (_MAP_KINDS[words],)
                message = f"`@map({words})` would change what `{declaration.name}` means"
                findings.error(
                    "unsupported-hint", message, annotation.span, notes=notes, help="write `@map(hash)`, or remove it"
                )
            case "map" if declaration.type.name == "Map":
                message = f"`@map` takes {', '.join(('hash', *_MAP_KINDS))}, not `{words}`"
                findings.error("wrong-arguments", message, annotation.span, help="write `@map(hash)`")
            case "size" | "map" | "maxlen":
                message = f"the hint `@{annotation.name}` means nothing for `{declaration.name}: {_words(declaration.type)}`"
                help = "`@size(N)` is for Maps and Vecs, `@map(hash)` for Maps, `@maxlen(N)` for strings"
                findings.error("unsupported-hint", message, annotation.span, help=help)
            case "consistency" | "combiner" | "persistence":
                _distributed(annotation, words, findings)
            case _:
                help = did_you_mean(annotation.name, (*_HINTS, *_DISTRIBUTED), "remove it")
                findings.error("unknown-name", f"there is no annotation `@{annotation.name}`", annotation.span, help=help)
    return entries


def _distributed(annotation: syntax.Annotation, words: str, findings: Findings) -> None:
    allowed = _DISTRIBUTED[annotation.name]
    if words not in allowed:
        message = f"`@{annotation.name}` takes {' or '.join(allowed)}, not `{words}`"
        findings.error("wrong-arguments", message, annotation.span, help=f"write `@{annotation.name}({allowed[-1]})`")
    elif words == "strong":
        findings.error(
            "unsupported-consistency",
            "strongly consistent state is not supported",
            annotation.span,
            notes=("it takes a coordinator outside the kernel, which an eBPF program cannot wait for",),
            help="write `@consistency(weak)` if each host may count for itself",
        )
    elif annotation.name == "persistence" and words == "true":
        findings.error(
            "unsupported-persistence",
            "persistent state is not supported",
            annotation.span,
            notes=("the state lives in BPF maps, which are gone when the last reference to them is",),
            help="write `@persistence(false)`, or pin the maps and save them from userspace",
        )


def _has_text(written: syntax.TypeName) -> bool:
    return written.name == "string" or any(map(_has_text, written.args))


def _words(written: syntax.TypeName) -> str:
    args = ", ".join(map(_words, written.args))
    return f"<{args}>" if written.name == "Pair" else f"{written.name}<{args}>" if args else written.name


def _text_size(declaration: syntax.Declaration, findings: Findings) -> int:
    """How many bytes the strings of a declaration may have: `@maxlen(N)`."""
    for annotation in declaration.annotations:
        if annotation.name == "maxlen":
            words = ", ".join(annotation.arguments)
            if words.isdigit() and 0 < int(words) <= LONGEST_TEXT:
                return int(words)
            help = f"write `@maxlen(N)` with 1 <= N <= {LONGEST_TEXT}"
            findings.error("wrong-arguments", f"`@maxlen({words})` is no length", annotation.span, help=help)
    return DEFAULT_TEXT


def _fits_memory(item: core.State | None, findings: Findings) -> None:
    if item is None or item.type.name != "Vec":
        return
    needed = item.max_entries * size_of(item.type)
    if needed > _MOST_BYTES:
        message = f"`{item.name}` would take {needed:,} bytes, and a Vec has at most {_MOST_BYTES:,}"
        findings.error("unsupported-vec", message, item.span, help="write a smaller `@size(N)`")


def _type(written: syntax.TypeName, text: int, findings: Findings) -> core.Type | None:
    """The type of a state variable, or None when it is refused. Its strings have at most `text` bytes."""
    if written.name == "Vec":
        if len(written.args) != 1:
            message = f"Vec takes one type, that of its items, not {len(written.args)}"
            findings.error("wrong-arguments", message, written.span, help="write `Vec<int>`")
            return None
        item = _value(written.args[0], text, findings)
        return None if item is None else core.Type("Vec", (item,))
    if written.name != "Map":
        return _value(written, text, findings)
    if len(written.args) != 2:
        message = f"Map takes two types, a key's and a value's, not {len(written.args)}"
        findings.error("wrong-arguments", message, written.span, help="write `Map<int, float>`")
        return None
    key, value = (_value(argument, text, findings) for argument in written.args)
    if key is not None and (key == core.FLOAT or core.FLOAT in key.args):
        message = "a Map with float keys is not supported"
        notes = ("a float is a real number here, which the kernel rounds: equal keys could be different ones",)
        findings.error("unsupported-key", message, written.args[0].span, notes=notes, help="use keys of another type")
        return None
    return core.Type("Map", (key, value)) if key is not None and value is not None else None


def _value(written: syntax.TypeName, text: int, findings: Findings) -> core.Type | None:
    """A type whose values fit into memory of a known size."""
    name, span = written.name, written.span
    if name == "string" and not written.args:
        return core.text(text)
    if name == "Pair":
        parts = [_value(part, text, findings) for part in written.args]
        known = tuple(part for part in parts if part is not None)
        return core.Type("Pair", known) if len(known) == len(parts) else None
    if name in _SCALARS and not written.args:
        return _SCALARS[name]
    if name in (*_SCALARS, "string"):
        findings.error("wrong-arguments", f"{name} takes no types", span, help=f"write `{name}`")
    elif name in _REFUSED:
        id, message, help = _REFUSED[name]
        findings.error(id, message, span, help=help)
    else:
        help = did_you_mean(name, _TYPES, f"the types are {', '.join(_TYPES)}")
        findings.error("unknown-name", f"there is no type `{name}`", span, help=help)
    return None
