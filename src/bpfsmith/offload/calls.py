"""Calls: of the server's own functions, of the C library, of sockets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpfsmith.csource.tree import Function, Node
from bpfsmith.offload.forms import ALIASES, BUILTINS, FORMS, PRINTS, conversions, why_not
from bpfsmith.offload.half import FUNCTION, RUN
from bpfsmith.offload.landmarks import RECEIVES, REPLIES, WAITS, base_variable
from bpfsmith.offload.locals import Locals
from bpfsmith.offload.program import Call, constant, stripped


@dataclass(slots=True)
class Calls(Locals):
    """Writes calls, and the functions that are called."""

    def call(self, node: Node) -> str:
        name, arguments = ALIASES.get(node.name, node.name), node.children[1:]
        if node is self.findings.request.receive.node:
            return self.receive(node)
        callee = self.server.functions.get(node.ref)
        if callee is not None:
            return self.call_function(node, callee)
        if not self.is_direct(node):
            return self.call_indirectly(node)
        if node.name in REPLIES and self.is_request_socket(node):
            return self.reply(node)
        if name == "__builtin_expect":
            return f"({self.expr(arguments[0])})"
        if name in BUILTINS:
            return f"{name}({', '.join(self.expr(item) for item in arguments)})"
        if name in FORMS:
            return f"bs_{name}({', '.join([RUN, *(self.expr(item) for item in arguments)])})"
        if name in PRINTS:
            return self.print(node)
        if name in RECEIVES or name in WAITS:
            return self.over(node, f"{name}() waits for more than this request")
        if name in REPLIES:
            return self.over(node, f"{name}() does not go to the socket that the request came from")
        return self.over(node, f"{name}(): {why_not(name)[0]}", why_not(name)[1])

    def call_function(self, node: Node, callee: Function) -> str:
        if callee.ref in self.active:
            return self.over(node, f"{callee.name}() calls itself: the kernel's stack has 512 bytes", "write it as a loop")
        if not callee.unit.source.is_users(callee.start):
            return self.over(node, f"{callee.name}() is a part of the C library that has no form in the kernel half")
        passed = []
        for parameter, item in zip(callee.parameters, node.children[1:], strict=False):
            inner = stripped(item)
            if inner.kind == "DECL_REF_EXPR" and inner.ref in self.machinery:
                self.machinery.add(parameter.ref)  # the socket, most often: only calls that have a form of their own use it
                passed.append("0")
            else:
                passed.append(self.expr(item))
        name = self.emitted(callee)
        if callee.ref in self.futile_functions:
            self.futile.add(id(node))
        arguments = ["bs_ctx", RUN, *passed]
        return f"{name}({', '.join(arguments)})"

    def is_direct(self, node: Node) -> bool:
        callee = stripped(node.children[0]) if node.children else None
        return callee is None or (callee.kind == "DECL_REF_EXPR" and callee.extra == "FUNCTION_DECL")

    def call_indirectly(self, node: Node) -> str:
        """A call through a pointer: one of the functions whose address is taken and whose type is the pointer's."""
        pointer = node.children[0]
        target = pointer.type.bare.target if pointer.type is not None else None
        fitting = [
            item
            for item in self.server.functions.values()
            if item.ref in self.server.addressed and target is not None and item.type_name == target.bare.name
        ]
        if not 0 < len(fitting) <= 16 or any(item.ref in self.active for item in fitting):
            return self.over(node, "the function that it calls is not known beforehand", "call it by its name")
        names = [f"bs_a{at}" for at in range(len(node.children) - 1)]
        taken = [
            f"{self.types.declare(parameter.type, name)} = {self.expr(item)};"
            for parameter, name, item in zip(fitting[0].parameters, names, node.children[1:], strict=False)
        ]
        text = self.over(node, "it calls a function that is none of the server's")
        self.futile.discard(id(node))
        for item in fitting:
            if item.ref not in self.states:
                span = item.span()
                self.add_state(item.ref, item.name, FUNCTION, span, False, "", item.unit.source.path)
            arguments = ", ".join(["bs_ctx", RUN, *names])
            text = f"bs_f == CONFIG->state[{self.states[item.ref][0]}] ? {self.emitted(item)}({arguments}) : {text}"
        return f"({{ __u64 bs_f = (__u64)({self.expr(pointer)}); {' '.join(taken)} {text}; }})"

    def emitted(self, callee: Function) -> str:
        """The function's name in the kernel half; writes it when it is first called."""
        if callee.ref not in self.functions:
            taken = set(self.functions.values())
            name = f"u_{callee.name}"
            self.functions[callee.ref] = name if name not in taken else f"{name}_{len(taken)}"
            outer = self.function, self.in_region
            self.function, self.in_region = callee, False
            self.active.append(callee.ref)
            text = self.function_text(callee, self.functions[callee.ref])
            self.active.pop()
            self.function, self.in_region = outer
            self.prototypes.append(text)
        return self.functions[callee.ref]

    def function_text(self, function: Function, name: str) -> str:
        moved = self.moved(function.body)
        opening = []
        for parameter in function.parameters:
            if parameter.ref in moved:
                place = self.to_memory(function, parameter.name, parameter.ref, parameter.type)
                opening.append(f"\t{RUN}->locals.{place} = {parameter.name};\n")
            elif parameter.ref not in self.machinery:
                self.plain.add(parameter.ref)
        parameters = [self.types.declare(item.type, item.name or f"unused{at}") for at, item in enumerate(function.parameters)]
        head = ", ".join(["bs_packet *bs_ctx", f"bs_t {RUN}", *parameters])
        line = function.span()
        body = self.statement(function.body)
        if self.hands_over(function.body):
            self.futile_functions.add(function.ref)
        body = body.replace("{\n", "{\n" + "".join(opening), 1)
        return f"/* {line.path}:{line.line} */\nBS_INLINE {self.types.declare(function.returns)} {name}({head})\n{body}\n"

    def receive(self, node: Node) -> str:
        arguments = node.children[1:]
        if node.name not in ("recvfrom", "recv", "read"):
            return self.over(node, f"{node.name}() has no form in the kernel half yet", "use recvfrom()")
        flags = constant(self.here, arguments[3]) if len(arguments) > 3 else 0
        if flags is None or flags & ~0x40:  # MSG_DONTWAIT
            return self.over(node, f"the flags of {node.name}() mean something that the kernel half does not do")
        buffer, capacity = self.expr(arguments[1]), self.expr(arguments[2])
        client, client_bytes = "0", "0"
        if node.name == "recvfrom":
            client = f"(void __arena *)({self.expr(arguments[4])})"
            client_bytes = f"(unsigned int __arena *)({self.expr(arguments[5])})"
        return f"bs_receive(bs_ctx, {RUN}, {buffer}, {capacity}, {client}, {client_bytes})"

    def is_request_socket(self, node: Node) -> bool:
        ours = self.socket_of(self.findings.request.receive, set())
        theirs = self.socket_of(Call(self.here, node, node.name, node.ref), set())
        return not ours or not theirs or bool(ours & theirs)

    def socket_of(self, call: Call, seen: set[str]) -> set[str]:
        """The variables that the socket of a call comes from, followed through parameters."""
        return self._sources(call.inside, call.node.children[1], seen)

    def _sources(self, function: Function, node: Node, seen: set[str]) -> set[str]:
        variable = base_variable(node)
        if variable is None or variable.ref in seen:
            return set()
        seen = seen | {variable.ref}
        for index, parameter in enumerate(function.parameters):
            if parameter.ref == variable.ref:
                found: set[str] = set()
                for caller in self.server.callers(function.ref):
                    found |= self._sources(caller.inside, caller.node.children[1 + index], seen)
                return found
        return {variable.ref}

    def reply(self, node: Node) -> str:
        arguments = node.children[1:]
        if node.name != "sendto":
            why = f"{node.name}() answers a socket that is connected, or in a form that the kernel half does not have yet"
            return self.over(node, why, "use sendto()")
        flags = constant(self.here, arguments[3])
        if flags is None or flags & ~0x4040:  # MSG_DONTWAIT, MSG_NOSIGNAL
            return self.over(node, "the flags of sendto() mean something that the kernel half does not do")
        message, size, client = self.expr(arguments[1]), self.expr(arguments[2]), self.expr(arguments[4])
        return f"bs_reply({RUN}, {message}, {size}, (const void __arena *)({client}))"

    def print(self, node: Node) -> str:
        arguments = list(node.children[1:])
        room = "(~0ULL >> 1)"
        if node.name == "snprintf":
            room = f"(__u64)({self.expr(arguments.pop(1))})"
        form = stripped(arguments[1])
        parts = conversions(self.here.text(form)[1:-1]) if form.kind == "STRING_LITERAL" else None
        if parts is None or '"' in self.here.text(form)[1:-1].replace('\\"', ""):
            return self.over(node, f"this format of {node.name}() has no form in the kernel half", "use %s, %d, %u, %x and %c")
        values = iter(arguments[2:])
        print_ = f"print{sum(item.startswith('print') for item in self.locals)}"
        self.locals[print_] = f"struct bs_print {print_}"
        place = f"&{RUN}->locals.{print_}"
        lines = [
            f"{RUN}->locals.{print_}.to = (__u64)({self.expr(arguments[0])});",
            f"{RUN}->locals.{print_}.room = {room};",
            f"{RUN}->locals.{print_}.bytes = 0;",
        ]
        for kind, text in parts:
            if kind == "text":
                size = len(text.encode("latin-1", "replace").decode("unicode_escape"))
                name = self.literal(f'"{text}"', size + 1)
                lines.append(f"bs_put_bytes({RUN}, {place}, bs_area.literals.{name}, {size});")
                continue
            line = self.conversion(text, values, place)
            if line is None:
                return self.over(node, f"this format of {node.name}() has no form in the kernel half")
            lines.append(line)
        return "({ " + " ".join(lines) + f" bs_put_end({RUN}, {place}); }})"

    def conversion(self, text: str, values: Iterator[Node], place: str) -> str | None:
        """One conversion of a format, taking its arguments from `values`."""
        body, last = text[:-1], text[-1]
        flags = ""
        while body and body[0] in "-0":
            flags, body = flags + body[0], body[1:]
        body, long = body.rstrip("hlzjt"), any(char in "lzjt" for char in body)
        if "h" in text:
            return None
        width, _, precision = body.partition(".")
        has_precision = "." in body
        try:
            wide = f"(int)({self.expr(next(values))})" if width == "*" else width or "0"
            exact = f"(int)({self.expr(next(values))})" if precision == "*" else (precision or "0") if has_precision else "-1"
            value = self.expr(next(values))
        except StopIteration:
            return None
        put = f"{RUN}, {place}"
        how = " | ".join(word for sign, word in (("-", "BS_LEFT"), ("0", "BS_ZEROS")) if sign in flags) or "0"
        match last:
            case "s":
                return f"bs_put_text({put}, (const char __arena *)({value}), {wide}, {exact}, {how});"
            case "c" if not has_precision:
                return f"bs_put({put}, (char)({value}));" if wide == "0" else None
            case "d" | "i" if not has_precision:
                return f"bs_put_signed({put}, ({'__s64' if long else 'int'})({value}), {wide}, {how});"
            case "u" | "x" | "X" if not has_precision:
                base = 10 if last == "u" else 16
                number = f"({'__u64' if long else '__u32'})({value})"
                upper = " | BS_UPPER" if last == "X" else ""
                return f"bs_put_number({put}, {number}, {base}, {wide}, {how}{upper});"
            case _:
                return None
