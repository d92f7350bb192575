"""C declarations for the kernel half: the server's types, with every pointer one into the shared memory.

`const` and `volatile` are left out: what is constant for the server is written by nobody, and each request reads anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.csource.tree import CType, Record, Shape
from bpfsmith.offload.program import Server

_SPELT = {"bool": "_Bool", "float": "unsigned int", "double": "unsigned long"}  # floats only take their place in structs


@dataclass(slots=True)
class Declarer:
    """Writes types, and collects the definitions that these need, each after those that it needs itself."""

    server: Server
    definitions: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)
    _arrays: int = 0

    def declare(self, ctype: CType, name: str = "") -> str:
        """`ctype` as the declaration of `name`; without a name, as a cast has it."""
        after = f" {name}" if name else ""
        if ctype.is_typedef:
            return f"{self._typedef(ctype)}{after}"
        match ctype.shape:
            case Shape.POINTER if ctype.target is not None:
                if ctype.target.bare.shape in (Shape.FUNCTION, Shape.OTHER):
                    return f"void __arena *{name}"
                if not ctype.target.is_typedef and ctype.target.shape is Shape.ARRAY:
                    return f"{self._array(ctype.target)} __arena *{name}"
                return self.declare(ctype.target, f"__arena *{name}")
            case Shape.ARRAY if ctype.target is not None:
                return self.declare(ctype.target, f"{name}[{ctype.count or ''}]")
            case Shape.RECORD:
                return f"{self._record(ctype.record)}{after}"
            case Shape.VOID:
                return f"void{after}"
            case _:
                base = _SPELT.get(ctype.name, ctype.name.replace("volatile ", ""))
                if base.startswith("enum "):
                    base = "unsigned int"
                return f"{base}{after}"

    def _typedef(self, ctype: CType) -> str:
        if ctype.name not in self._known and ctype.target is not None:
            self._known.add(ctype.name)
            text = self.declare(ctype.target, ctype.name)
            self.definitions.append(f"typedef {text};")
        return ctype.name

    def wrapped(self, ctype: CType) -> str:
        """A struct that holds nothing but this array, which C can assign."""
        self._arrays += 1
        name = f"struct bs_array{self._arrays}"
        self.definitions.append(f"{name} {{\n\t{self.declare(ctype, 'all')};\n}};")
        return name

    def _array(self, ctype: CType) -> str:
        self._arrays += 1
        name = f"bs_array{self._arrays}"
        self.definitions.append(f"typedef {self.declare(ctype, name)};")
        return name

    def _record(self, tag: str) -> str:
        record = next((unit.records[tag] for unit in self.server.units if tag in unit.records), None)
        if record is None:
            return tag if not tag.startswith("@") else "struct {}"
        if not record.named:
            return self._body(record, "union" if record.is_union else "struct")
        if tag not in self._known:
            self._known.add(tag)
            self.definitions.append(f"{tag};")
            if record.fields or record.size:
                self.definitions.append(f"{self._body(record, tag)};")
        return tag

    def _body(self, record: Record, head: str) -> str:
        lines = []
        for item in record.fields:
            bits = f" : {item.bits}" if item.bits is not None else ""
            lines.append(f"\t{self.declare(item.type, item.name)}{bits};".replace("\n", "\n\t"))
        packed = " __attribute__((packed))" if record.packed else ""
        inside = "\n".join(lines)
        return f"{head} {{\n{inside}\n}}{packed}"
