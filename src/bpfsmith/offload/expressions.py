"""Expressions of the server's source as those of the kernel half: pointers and indices checked, writes remembered."""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.csource.tree import CType, Node, Shape
from bpfsmith.offload.context import Context
from bpfsmith.offload.half import RUN
from bpfsmith.offload.program import constant, operator, stripped
from bpfsmith.source import Span


@dataclass(slots=True)
class Expressions(Context):
    """Writes expressions."""

    def expr(self, node: Node) -> str:
        if node.type is not None and node.type.bare.shape is Shape.FLOAT:
            return self.over(node, "it calculates with floating point, which the kernel does not")
        match node.kind:
            case "INTEGER_LITERAL" | "CHARACTER_LITERAL":
                return self.here.text(node)
            case "STRING_LITERAL":
                return f"bs_area.literals.{self.literal(self.here.text(node), node.type.size if node.type else 1)}"
            case "DECL_REF_EXPR":
                return self.name(node)
            case "MEMBER_REF_EXPR" if node.children:
                return self.member(node, checked=True)
            case "ARRAY_SUBSCRIPT_EXPR":
                return self.element(node, checked=True)
            case "UNARY_OPERATOR" if node.children:
                return self.unary(node)
            case "BINARY_OPERATOR" if len(node.children) == 2 and operator(self.here, node) == "=":
                return f"{self.target(node.children[0])} = {self.expr(node.children[1])}"
            case "BINARY_OPERATOR" if len(node.children) == 2:
                left, right = (self.expr(item) for item in node.children)
                return f"{left} {operator(self.here, node)} {right}"
            case "COMPOUND_ASSIGNMENT_OPERATOR":
                return f"{self.target(node.children[0])} {operator(self.here, node)} {self.expr(node.children[1])}"
            case "CONDITIONAL_OPERATOR" if len(node.children) == 3:
                first, second, third = (self.expr(item) for item in node.children)
                return f"{first} ? {second} : {third}"
            case "PAREN_EXPR":
                return f"({self.expr(node.children[0])})"
            case "CSTYLE_CAST_EXPR" if node.type is not None and node.children:
                return f"({self.types.declare(node.type)})({self.expr(node.children[-1])})"
            case "CXX_UNARY_EXPR":
                return self.size(node)
            case "CALL_EXPR":
                return self.call(node)
            case "COMPOUND_LITERAL_EXPR" if node.type is not None and node.type.size <= 256 and node.children:
                return f"({self.types.declare(node.type)}){self.braced(node.children[-1])}"
            case _:
                words = node.kind.lower().replace("_", " ")
                return self.over(node, f"the kernel half has no form of this ({words})")

    def name(self, node: Node) -> str:
        ref = node.ref
        if node.value is not None:
            return str(node.value)
        if ref in self.private:
            return f"{RUN}->locals.{self.private[ref]}"
        if ref in self.plain:
            return node.name
        if ref in self.machinery:
            return self.over(node, f"{node.name} belongs to the event loop, of which the kernel half has none")
        if ref in self.states or ref in self.server.variables:
            return self.state(node)
        if node.extra == "FUNCTION_DECL":
            return self.over(node, f"it uses the address of the function {node.name}", "call it by its name")
        return self.over(node, f"{node.name} is not known to the kernel half")

    def state(self, node: Node) -> str:
        ref = node.ref
        if ref not in self.states:
            variable = self.server.variables[ref]
            if variable.is_extern and variable.initializer is None:
                return self.over(node, f"{node.name} is defined in none of the files", "name its file too")
            unit = variable.unit.source.path
            self.add_state(ref, variable.name, variable.type, variable.span, False, variable.function, unit)
        index, name = self.states[ref][:2]
        return f"S_{name}" if index >= 0 else name

    def add_state(self, ref: str, name: str, ctype: CType, span: Span, promoted: bool, function: str, unit: str) -> None:
        taken = {item[1] for item in self.states.values()}
        unique = name if name not in taken else f"{name}_{len(taken)}"
        self.states[ref] = (len(self.states), unique, ctype, span, promoted, function, unit)

    def literal(self, text: str, size: int) -> str:
        if text not in self.literals:
            self.literals[text] = (f"text{len(self.literals)}", max(size, 1))
        return self.literals[text][0]

    def member(self, node: Node, *, checked: bool) -> str:
        base = node.children[0]
        arrow = base.type is not None and base.type.bare.shape is Shape.POINTER
        if arrow and checked and not self.is_address(base):
            inner = f"BS_AT({RUN}, {self.expr(base)})"
        elif arrow:
            inner = f"({self.expr(base)})"
        elif checked:
            inner = self.expr(base)
        else:
            inner = self.place(base)
        if not node.name:  # an anonymous struct or union: its members are reached through it
            return f"(*{inner})" if arrow else inner
        return f"{inner}{'->' if arrow else '.'}{node.name}"

    def is_address(self, node: Node) -> bool:
        node = stripped(node)
        return node.kind == "UNARY_OPERATOR" and operator(self.here, node) == "&"

    def element(self, node: Node, *, checked: bool, past_end: int = 0) -> str:
        base, index = node.children
        bare = base.type.bare if base.type else None
        if bare is not None and bare.shape is Shape.ARRAY and bare.count:
            inner = self.expr(base) if checked else self.place(base)
            value = constant(self.here, index)
            if value is not None and 0 <= value < bare.count + past_end:
                return f"{inner}[{value}]"
            return f"{inner}[BS_INDEX({RUN}, {self.expr(index)}, {bare.count + past_end})]"
        address = f"&({self.expr(base)})[{self.expr(index)}]"
        return f"(*BS_AT({RUN}, {address}))" if checked else f"(*({address}))"

    def place(self, node: Node) -> str:
        """An lvalue whose address alone is wanted: it is not followed, so that it needs no check of its own."""
        node = node if node.kind != "PAREN_EXPR" else stripped(node)
        match node.kind:
            case "MEMBER_REF_EXPR" if node.children:
                return self.member(node, checked=False)
            case "ARRAY_SUBSCRIPT_EXPR":
                return self.element(node, checked=False, past_end=1)
            case "UNARY_OPERATOR" if node.children and operator(self.here, node) == "*":
                return f"(*({self.expr(node.children[0])}))"
            case _:
                return self.expr(node)

    def unary(self, node: Node) -> str:
        sign, child = operator(self.here, node), node.children[0]
        prefix = self.here.text(node).startswith(sign)
        match sign:
            case "*":
                return f"(*BS_AT({RUN}, {self.expr(child)}))"
            case "&":
                return f"&{self.place(child)}"
            case "++" | "--":
                return f"{sign}{self.target(child)}" if prefix else f"{self.target(child)}{sign}"
            case "__extension__":
                return self.expr(child)
            case _:
                return f"{sign}{self.expr(child)}"

    def target(self, node: Node) -> str:
        """An lvalue that is written."""
        node = stripped(node) if node.kind == "PAREN_EXPR" else node
        if node.extra == "bitfield":
            return f"(*({{ {self.over(node, 'a bit-field is changed', 'use a whole byte')}; ({RUN}->sink); }}))"
        root = node
        while root.kind in ("MEMBER_REF_EXPR", "ARRAY_SUBSCRIPT_EXPR", "PAREN_EXPR") and root.children:
            base = root.children[0]
            if base.type is not None and base.type.bare.shape is Shape.POINTER:
                break
            root = base
        if root.kind == "DECL_REF_EXPR":
            if root.ref in self.private or root.ref in self.plain:
                return self.expr(node)
            self.written.add(root.ref)
        return f"(*BS_WRITE({RUN}, &{self.place(node)}))"

    def size(self, node: Node) -> str:
        if node.children and node.children[0].type is not None and node.children[0].kind != "TYPE_REF":
            return f"{node.children[0].type.size}UL"
        for child in node.children:
            if child.type is not None:
                self.types.declare(child.type)
        return self.here.text(node)
