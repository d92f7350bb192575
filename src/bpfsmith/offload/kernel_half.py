"""The kernel half: the request's code, written anew in C for the BPF target.

Each construct keeps its meaning or hands the request over. Arrays, structs and variables whose address is taken move from the
stack to memory of the run; pointers are followed and indices used only after a check; what is written to shared memory is
remembered, so that it can be put back; loops end when the request has taken too long.
"""

from __future__ import annotations

from dataclasses import dataclass

from bpfsmith.csource.tree import Node, Shape
from bpfsmith.offload.calls import Calls
from bpfsmith.offload.half import FIRST_REASON, RUN, VOID, Reason
from bpfsmith.offload.loops import Parts, loop_parts
from bpfsmith.offload.program import constant, operator, stripped

_LEAVES = frozenset(("RETURN_STMT", "BREAK_STMT", "CONTINUE_STMT", "GOTO_STMT"))
_ENTERED = frozenset(("LABEL_STMT", "CASE_STMT", "DEFAULT_STMT"))


@dataclass(slots=True)
class Writer(Calls):
    """Turns functions into C text: statements, on top of expressions, declarations and calls."""

    def statement(self, node: Node, loop: bool = False, switch: bool = False) -> str:
        """A statement. `loop` and `switch`: it stands in one that is the request's own, so that `break` and `continue` are."""
        match node.kind:
            case "COMPOUND_STMT":
                inside = self.sequence(node, [self.statement(item, loop, switch) for item in node.children])
                indented = "\n".join("\t" + line if line else line for line in inside.split("\n") if line.strip())
                return f"{{\n{indented}\n}}"
            case "DECL_STMT":
                return "\n".join(self.declaration(item) for item in node.children if item.kind == "VAR_DECL")
            case "IF_STMT":
                condition, then, *rest = node.children
                text = f"if ({self.expr(condition)})\n{self.block(then, loop, switch)}"
                return f"{text}\nelse\n{self.block(rest[0], loop, switch)}" if rest else text
            case "FOR_STMT" | "WHILE_STMT" | "DO_STMT":
                return self.loop(node)
            case "SWITCH_STMT":
                value, body = node.children[0], node.children[-1]
                return f"switch ({self.expr(value)})\n{self.statement(body, loop, True)}"
            case "CASE_STMT":
                label = constant(self.here, node.children[0])
                value_text = str(label) if label is not None else self.here.text(node.children[0])
                return f"case {value_text}:\n{self.statement(node.children[-1], loop, switch)}"
            case "DEFAULT_STMT":
                return f"default:\n{self.statement(node.children[0], loop, switch)}"
            case "BREAK_STMT":
                return "break;" if loop or switch or not self.in_region else self.leave(node, "the event loop ends here")
            case "CONTINUE_STMT":
                return "continue;" if loop or not self.in_region else "return;"
            case "RETURN_STMT":
                return self.returned(node)
            case "NULL_STMT":
                return ";"
            case "LABEL_STMT":
                return f"{node.name}:;\n{self.statement(node.children[0], loop, switch) if node.children else ''}"
            case "GOTO_STMT":
                return self.jump(node)
            case _ if node.kind.endswith("_EXPR") or node.kind.endswith("OPERATOR") or node.kind.endswith("LITERAL"):
                return f"{self.expr(node)};"
            case _:
                words = node.kind.lower().replace("_", " ")
                return f"{self.over(node, f'the kernel half has no form of this ({words})', '', VOID)};"

    def sequence(self, node: Node, texts: list[str]) -> str:
        """The statements of a block. Where one is sure to hand over, what comes before it and cannot end the request is not
        begun, and what comes after it is left out."""
        for at, item in enumerate(node.children):
            if not self.hands_over(item) or any(self.leaves(later, _ENTERED) for later in node.children[at + 1 :]):
                continue
            kept = max((index + 1 for index in range(at) if self.leaves(node.children[index], _ENTERED | _LEAVES)), default=0)
            if not kept:
                self.futile.add(id(node))
            reason = FIRST_REASON + self.reasons.index(self.first_reason(item))
            end = "return;" if self.in_region or self.here.returns.bare.shape is Shape.VOID else self.nothing()
            return "\n".join([*texts[:kept], f"bs_over({RUN}, {reason});", end])
        return "\n".join(texts)

    def leaves(self, node: Node, kinds: frozenset[str]) -> bool:
        """Can control leave a block from inside this, other than by handing over, or come in here from elsewhere?"""
        return any(item.kind in kinds and id(item) not in self.futile for item in node.walk())

    def nothing(self) -> str:
        """A return of a value that nobody uses."""
        if self.here.returns.bare.shape is Shape.RECORD:
            return f"return *({self.types.declare(self.here.returns)} __arena *){RUN}->sink;"
        return "return 0;"

    def first_reason(self, node: Node) -> Reason:
        """The reason for which a statement hands over."""
        inside = [item for item in self.reasons if item.function == self.here.ref and node.start <= item.at < node.end]
        if inside:
            return inside[0]
        callee = next(item.ref for item in node.walk() if item.kind == "CALL_EXPR" and item.ref in self.futile_functions)
        return next(item for item in self.reasons if item.function in (callee, *self.futile_functions))

    def hands_over(self, node: Node) -> bool:
        """Is the request handed over whenever this is evaluated? Only asked of what was written already."""
        if id(node) in self.futile:
            return True
        match node.kind:
            case "IF_STMT":
                branches = node.children[1:]
                return self.hands_over(node.children[0]) or (len(branches) == 2 and all(map(self.hands_over, branches)))
            case "CONDITIONAL_OPERATOR" | "SWITCH_STMT" | "WHILE_STMT":
                return self.hands_over(node.children[0])
            case "COMPOUND_STMT" | "FOR_STMT" | "DO_STMT" | "CASE_STMT" | "DEFAULT_STMT" | "LABEL_STMT" | "CXX_UNARY_EXPR":
                return False
            case "VAR_DECL" if node.extra == "static":
                return False
            case "BINARY_OPERATOR" if len(node.children) == 2 and operator(self.here, node) in ("&&", "||"):
                return self.hands_over(node.children[0])
            case _:
                return any(map(self.hands_over, node.children))

    def block(self, node: Node, loop: bool, switch: bool) -> str:
        text = self.statement(node, loop, switch)
        return text if node.kind == "COMPOUND_STMT" else "{\n\t" + text.replace("\n", "\n\t") + "\n}"

    def leave(self, node: Node, why: str) -> str:
        return f"{{ {self.over(node, why, '', VOID)}; return; }}"

    def returned(self, node: Node) -> str:
        request = self.findings.request
        if self.in_region:
            if request.loop is not None:
                return self.leave(node, "the server's event loop ends here")
            effects = [item for child in node.children for item in child.walk() if item.kind == "CALL_EXPR"]
            first = f"(void)({self.expr(node.children[0])});" if effects else ""
            return f"{{ {first} return; }}"
        return f"return {self.expr(node.children[0])};" if node.children else "return;"

    def jump(self, node: Node) -> str:
        labels = {item.name: item.start for item in self.here.body.walk() if item.kind == "LABEL_STMT"}
        name = self.here.text(node).removeprefix("goto").strip().rstrip(";").strip()
        region = self.findings.request.loop if self.in_region else None
        if labels.get(name, -1) < node.start or (region is not None and labels[name] > region.end):
            text = self.over(node, "it goes back to an earlier line", "write it as a loop", VOID)
            return f"{text};" if not self.in_region else f"{{ {text}; return; }}"
        return f"goto {name};"

    def loop(self, node: Node) -> str:
        parts = loop_parts(self.here, node)
        opening = ""
        if parts.first is not None:
            opening = self.statement(parts.first) if parts.first.kind == "DECL_STMT" else f"{self.expr(parts.first)};"
        body = self.block(parts.body, True, False)
        counted = [f"BS_ANY({RUN}, {name})" for name in self.counters(node, parts)]
        condition = self.expr(parts.condition) if parts.condition is not None else "1"
        asked = f"({', '.join([*counted, f'({condition})'])}) && BS_MORE({RUN})"
        if node.kind == "DO_STMT":
            return f"do\n{body}\nwhile ({asked});"
        step = self.expr(parts.step) if parts.step is not None else ""
        head = f"for (; {asked}; {step})" if step else f"while ({asked})"
        if not opening:
            return f"{head}\n{body}"
        inner = f"{opening}\n{head}\n{body}".replace("\n", "\n\t")
        return f"{{\n\t{inner}\n}}"

    def counters(self, node: Node, parts: Parts) -> list[str]:
        """The loop's own variables in registers: what the verifier is not to follow value by value."""
        found: dict[str, None] = {}
        inside = {item.ref for item in parts.body.walk() if item.kind == "VAR_DECL"}
        for item in node.walk():
            changes = item.kind == "COMPOUND_ASSIGNMENT_OPERATOR" or (
                item.kind == "UNARY_OPERATOR" and item.children and operator(self.here, item) in ("++", "--")
            )
            if changes or (item.kind == "BINARY_OPERATOR" and item.children and operator(self.here, item) == "="):
                variable = stripped(item.children[0])
                if variable.kind == "DECL_REF_EXPR" and variable.ref in self.plain and variable.ref not in inside:
                    found[variable.name] = None
        return list(found)
