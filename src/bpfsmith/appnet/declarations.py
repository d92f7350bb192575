"""The `state:` section checked: types that the core has, and the annotations and hints before them."""

from __future__ import annotations

from collections.abc import Mapping

from bpfsmith.appnet import core, syntax
from bpfsmith.appnet.findings import Findings, did_you_mean
from bpfsmith.diagnostic import Label

DEFAULT_ENTRIES = 1024
MOST_ENTRIES = 2**31 - 1

State = Mapping[str, core.State | None]
"""State variables by name; None where the declaration was refused, so that its uses are not reported again."""

_SCALARS = {"int": core.INT, "uint": core.UINT, "float": core.FLOAT, "bool": core.BOOL, "Instant": core.INSTANT}
_TYPES = (*_SCALARS, "string", "Map", "Vec")
_REFUSED = {
    "string": ("unsupported-string", "values of type string are not supported", "keep a number that stands for the text"),
    "Vec": ("unsupported-vec", "values of type Vec are not supported", "use a Map<int, ..> with the index as its key"),
    "Pair": ("unsupported-pair", "pairs `<T, U>` are not supported", "use two variables, or two Maps with the same key"),
    "Option": ("unsupported-option-value", "an Option cannot be kept in the state", "keep a bool beside the value"),
    "Map": ("unsupported-nested-map", "a Map inside a Map is not supported", "use one Map whose key combines both keys"),
}
"""What the language has and this release does not translate: id, message, help."""
_PATTERNS = ("_", "None", "Some")
_KEYS = (core.INT, core.UINT, core.BOOL)
_HINTS = ("map", "size", "maxlen")
_DISTRIBUTED = {"consistency": ("strong", "weak"), "combiner": ("sum", "LWW"), "persistence": ("true", "false")}


def declare(section: syntax.Section, findings: Findings) -> dict[str, core.State | None]:
    """The state variables of a program by name, in their order."""
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
        found = _type(declaration.type, findings)
        if found is None:
            state[name] = None
        else:
            sized = any(annotation.name == "size" for annotation in declaration.annotations)
            state[name] = core.State(name, found, declaration.span, entries if found.name == "Map" else 0, sized)
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
            case "size" if declaration.type.name == "Map":
                if len(annotation.arguments) == 1 and words.isdigit() and 0 < int(words) <= MOST_ENTRIES:
                    entries = int(words)
                else:
                    message = f"`@size({words})` is no number of entries"
                    findings.error("wrong-arguments", message, annotation.span, help="write `@size(N)` with 1 <= N < 2^31")
            case "size" | "map" | "maxlen":
                message = f"the hint `@{annotation.name}` on `{declaration.name}` is not supported"
                help = "remove it; `@size(N)` on a Map sets how many entries it has"
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


def _type(written: syntax.TypeName, findings: Findings) -> core.Type | None:
    """The type of a state variable, or None when it is refused."""
    if written.name != "Map":
        return _scalar(written, findings)
    if len(written.args) != 2:
        message = f"Map takes two types, a key's and a value's, not {len(written.args)}"
        findings.error("wrong-arguments", message, written.span, help="write `Map<int, float>`")
        return None
    key, value = (_scalar(argument, findings) for argument in written.args)
    if key is not None and key not in _KEYS:
        message = f"a Map with keys of type {key} is not supported"
        notes = ("keys are compared byte by byte",)
        findings.error("unsupported-key", message, written.args[0].span, notes=notes, help="use int, uint or bool keys")
        return None
    return core.Type("Map", (key, value)) if key is not None and value is not None else None


def _scalar(written: syntax.TypeName, findings: Findings) -> core.Type | None:
    name, span = written.name, written.span
    if name in _SCALARS and not written.args:
        return _SCALARS[name]
    if name in _SCALARS:
        findings.error("wrong-arguments", f"{name} takes no types", span, help=f"write `{name}`")
    elif name in _REFUSED:
        id, message, help = _REFUSED[name]
        findings.error(id, message, span, help=help)
    else:
        help = did_you_mean(name, _TYPES, f"the types are {', '.join(_TYPES)}")
        findings.error("unknown-name", f"there is no type `{name}`", span, help=help)
    return None
