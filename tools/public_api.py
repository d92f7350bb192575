"""The public Python API as text, a line for each name, parameter list and field: what a change of it has to change, too."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import bpfsmith

FILE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "public-api.txt"


def public_api() -> str:
    """Every name of `bpfsmith.__all__` with its signature, and the public members of classes."""
    return "\n".join(line for name in sorted(bpfsmith.__all__) for line in _described(name, getattr(bpfsmith, name))) + "\n"


def _described(name: str, item: object) -> Iterator[str]:
    if not inspect.isclass(item):
        yield f"def {name}{_signature(item)}" if callable(item) else f"{name}: {type(item).__name__}"
        return
    yield f"class {name}({', '.join(base.__name__ for base in item.__bases__)})"
    if issubclass(item, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in item)
    if dataclasses.is_dataclass(item):
        own = inspect.get_annotations(item)
        yield from (f"    {field.name}: {field.type}" for field in dataclasses.fields(item) if field.name in own)
    for member, value in sorted(vars(item).items()):
        if member.startswith("_") and member != "_repr_html_":
            continue
        if isinstance(value, property):
            yield f"    {member} -> {inspect.signature(value.fget).return_annotation}" if value.fget else f"    {member}"
        elif inspect.isfunction(value):
            yield f"    def {member}{_signature(value)}"


def _signature(item: Callable[..., object]) -> str:
    """Parameters and result; annotations as they are written."""
    return re.sub(r"(: |-> )([\"'])(.*?)\2(?= =|,|\)|$)", r"\1\3", str(inspect.signature(item)))
