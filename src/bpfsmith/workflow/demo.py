"""`demo`: one shipped example through every step, on one screen, beside the published figures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError
from bpfsmith.workflow.compiling import Compiled, compile_appnet
from bpfsmith.workflow.inputs import AppnetInput, Toolchain, open_input
from bpfsmith.workflow.text import compiled_lines

_EXAMPLES = (Path(__file__).parent.parent / "_examples", Path(__file__).parents[3] / "examples")
_PLACES = tuple(place / "appnet" for place in _EXAMPLES)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of SimpleBPF's Table 1 (eBPF '25): lines of AppNet, and what its rule-based generator made of them."""

    title: str
    appnet_lines: int
    c_lines: int
    insns: int
    jited_insns: int


PUBLISHED = {
    "logging": PublishedRow("Logging (2 variables)", 11, 32, 125, 141),
    "logging_fault": PublishedRow("Logging + fault injection", 12, 36, 119, 145),
    "fault": PublishedRow("Fault injection, optimisable condition", 9, 26, 59, 76),
}


def example_path(name: str) -> Path:
    """The file of a shipped example; InputError `unknown-example`."""
    for place in _PLACES:
        path = place / f"{name}.appnet"
        if path.is_file():
            return path
    known = sorted({path.stem for place in _PLACES if place.is_dir() for path in place.glob("*.appnet")})
    raise InputError(
        Diagnostic("unknown-example", f"there is no example called {name}", help=f"the examples are: {', '.join(known)}")
    )


def copy_examples(directory: str) -> Path:
    """Puts all shipped examples below a directory, as `examples`. InputError `unwritable-output`, also where there is one."""
    target = Path(directory) / "examples"
    source = next(place for place in _EXAMPLES if place.is_dir())
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        reason = "it exists already" if target.exists() else error.strerror
        raise InputError(
            Diagnostic("unwritable-output", f"{target} cannot be written: {reason}", help="name another directory")
        ) from error
    return target


def demo(name: str) -> Compiled:
    """Compiles a shipped example with everything on."""
    path = example_path(name)
    try:
        shown = path.relative_to(Path.cwd())
    except ValueError:
        shown = path
    opened = open_input(str(shown), Toolchain())
    assert isinstance(opened, AppnetInput)
    return compile_appnet(opened, Toolchain())


def demo_lines(compiled: Compiled) -> Iterator[str]:
    """The DSL, the C, and what was found out; then the published row beside ours."""
    element = compiled.element
    yield f"--- {element.path} ({element.line_count} lines)"
    yield from Path(element.path).read_text().rstrip().splitlines()
    yield ""
    yield f"--- generated C ({compiled.generated.line_count} lines; #line directives left out here)"
    yield from (line for line in compiled.generated.c_text.rstrip().splitlines() if not line.startswith("#line"))
    yield ""
    yield from compiled_lines(compiled)
    row = PUBLISHED.get(element.name)
    if row is not None:
        main = compiled.programs[0]
        yield ""
        yield f"{'':<52}{'AppNet lines':>13}{'C lines':>9}{'insns':>7}{'JIT insns':>11}"
        yield f"{'published: ' + row.title:<52}{row.appnet_lines:>13}{row.c_lines:>9}{row.insns:>7}{row.jited_insns:>11}"
        jited = main.jited_insns if main.jited_insns is not None else "-"
        yield f"{'here':<52}{element.line_count:>13}{compiled.generated.line_count:>9}{main.insns:>7}{jited:>11}"
        yield "(the published programs are not public: ours are written from their description, so compare ratios)"
