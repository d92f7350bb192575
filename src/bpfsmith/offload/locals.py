"""Local variables: numbers stay in registers, what needs an address moves to the memory of the run."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.csource.tree import CType, Function, Node, Shape
from bpfsmith.offload.expressions import Expressions
from bpfsmith.offload.half import RUN, VOID
from bpfsmith.offload.program import constant, operator, stripped


@dataclass(slots=True)
class Locals(Expressions):
    """Writes declarations of local variables."""

    def moved(self, body: Node) -> set[str]:
        """Scalars whose address is taken: they need one."""
        found = set()
        for node in body.walk():
            if node.kind == "UNARY_OPERATOR" and node.children and operator(self.here, node) == "&":
                inner = stripped(node.children[0])
                if inner.kind == "DECL_REF_EXPR":
                    found.add(inner.ref)
        return found

    def to_memory(self, function: Function, name: str, ref: str, ctype: CType) -> str:
        place = f"{function.name}_{name}"
        while place in self.locals:
            place += "_"
        self.locals[place] = self.types.declare(ctype, place)
        self.private[ref] = place
        return place

    def declaration(self, node: Node) -> str:
        """A local variable: in a register, or in the run's memory."""
        ctype = node.type
        assert ctype is not None
        if node.extra == "static":
            return ""
        initializer = self.initializer(node)
        shape = ctype.bare.shape
        if shape is Shape.ARRAY and not ctype.bare.count:
            return f"{self.over(node, 'the size of this array is not known beforehand', 'give it a fixed size', VOID)};"
        if shape in (Shape.ARRAY, Shape.RECORD) or node.ref in self.moved(self.here.body):
            place = self.private.get(node.ref) or self.to_memory(self.here, node.name, node.ref, ctype)
            return self.initialised(f"{RUN}->locals.{place}", ctype, initializer) if initializer else ""
        if shape is Shape.FLOAT:
            self.plain.add(node.ref)
            return f"unsigned long {node.name} = 0; {self.over(node, 'it calculates with floating point', '', VOID)};"
        known = node.ref in self.plain
        self.plain.add(node.ref)
        head = node.name if known and self.in_region and node.ref in self.hoisted else self.types.declare(ctype, node.name)
        if initializer is None:
            return "" if head == node.name else f"{head};"
        return f"{head} = {self.expr(initializer)};"

    def initializer(self, node: Node) -> Node | None:
        """What stands after the `=` of a declaration."""
        text = self.here.unit.source.text[node.at : node.end]
        after = [child for child in node.children if child.kind != "TYPE_REF" and child.start > node.at]
        return after[-1] if "=" in text and after and self._is_value(node, after[-1]) else None

    def _is_value(self, node: Node, child: Node) -> bool:
        return "=" in self.here.unit.source.text[node.at : child.start]

    def initialised(self, place: str, ctype: CType, value: Node) -> str:
        shape = ctype.bare.shape
        if value.kind == "STRING_LITERAL":
            source = self.expr(value)
            size = min(ctype.size, value.type.size if value.type else 0)
            return f"bs_memset({RUN}, &{place}, 0, {ctype.size}); bs_memcpy({RUN}, &{place}, {source}, {size});"
        if value.kind == "INIT_LIST_EXPR":
            zeros = all(constant(self.here, item) == 0 for item in value.children)
            if zeros:
                return f"bs_memset({RUN}, &{place}, 0, {ctype.size});"
            if ctype.size > 256:
                return f"{self.over(value, 'this initializer is too large for the stack', 'assign the members', VOID)};"
            text = self.braced(value)
            if shape is Shape.RECORD:
                return f"{place} = ({self.types.declare(ctype)}){text};"
            name = self.types.wrapped(ctype)
            return f"*({name} __arena *)&{place} = ({name}){{ {text} }};"
        return f"{place} = {self.expr(value)};"

    def braced(self, node: Node) -> str:
        """An initializer in braces, its values written anew, designators and texts of arrays as they are."""
        if node.kind == "STRING_LITERAL" and node.extra != "decayed":
            return self.here.text(node)
        if node.kind != "INIT_LIST_EXPR" and not (node.children and node.children[0].kind == "MEMBER_REF"):
            return self.expr(node)
        source = self.here.unit.source.text
        out, at = "", node.start
        for child in node.children:
            if child.kind != "MEMBER_REF":
                out += source[at : child.start] + self.braced(child)
                at = child.end
        return out + source[at : node.end]
