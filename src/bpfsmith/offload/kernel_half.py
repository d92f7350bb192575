"""The kernel half: the request's code, written anew in C for the BPF target.

Each construct keeps its meaning or hands the request over. Arrays, structs and variables whose address is taken move from the
stack to memory of the run; pointers are followed and indices used only after a check; what is written to shared memory is
remembered, so that it can be put back; loops end when the request has taken too long.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfsmith.csource.text import without_markers
from bpfsmith.csource.tree import CType, Function, Node, Parameter, Shape, Variable
from bpfsmith.offload.declare import Declarer
from bpfsmith.offload.forms import ALIASES, BUILTINS, ERRNO, FORMS, PRINTS, conversions, why_not
from bpfsmith.offload.landmarks import LOOPS, RECEIVES, REPLIES, WAITS, Findings, base_variable
from bpfsmith.offload.program import Call, Server, constant, operator, stripped
from bpfsmith.source import Span

FIRST_REASON = 11  # BS_FIRST_REASON of runtime/offload_kernel.h
RUN = "bs"  # the run's name in generated code: no name of the server's may be like it
_FLOATS = Shape.FLOAT


@dataclass(frozen=True, slots=True)
class Reason:
    """A place from which on a request is the user half's: `why` as a fact, `help` as an action."""

    span: Span
    why: str
    help: str = ""
    function: str = ""  # where it stands
    at: int = 0

    @property
    def ordinary(self) -> bool:
        """Is it what any server does that ends, or whose socket fails?"""
        return self.why.endswith("event loop ends here") or self.why.startswith(ERRNO)


@dataclass(frozen=True, slots=True)
class State:
    """A variable that both halves use. `written`: by the kernel half. `promoted`: it was a local one of the event loop."""

    name: str
    type: CType
    span: Span
    index: int
    written: bool
    promoted: bool
    function: str
    unit: str
    ref: str


@dataclass(frozen=True, slots=True)
class KernelHalf:
    """The C text of what is particular to a server, and what it says about it."""

    source: str
    states: tuple[State, ...]
    reasons: tuple[Reason, ...]
    buffers: tuple[str, ...]  # arrays of the event loop's that are taken to be written before they are read
    reads_client: bool


@dataclass(slots=True)
class Writer:
    """Turns functions into C text. `private` maps what moves to the run's memory to its name there."""

    server: Server
    findings: Findings
    types: Declarer
    states: dict[str, tuple[int, str, CType, Span, bool, str, str]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    reasons: list[Reason] = field(default_factory=list)
    literals: dict[str, tuple[str, int]] = field(default_factory=dict)
    locals: dict[str, str] = field(default_factory=dict)  # name in the run's memory -> declaration
    private: dict[str, str] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    machinery: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)
    prototypes: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    function: Function | None = None
    reads_client: bool = False
    in_region: bool = False
    labels_left: frozenset[str] = frozenset()

    @property
    def here(self) -> Function:
        assert self.function is not None
        return self.function

    # --- handing over -------------------------------------------------------------------------------------------------
    def reason(self, node: Node, why: str, help_text: str = "") -> int:
        found = Reason(self.here.span(node), why, help_text, self.here.ref, node.start)
        if found not in self.reasons:
            self.reasons.append(found)
        return FIRST_REASON + self.reasons.index(found)

    def over(self, node: Node, why: str, help_text: str = "", ctype: CType | None = None) -> str:
        """An expression of the type of `node` that hands the request over."""
        self.futile.add(id(node))
        call = f"bs_over({RUN}, {self.reason(node, why, help_text)})"
        ctype = ctype or node.type
        if ctype is None or ctype.bare.shape is Shape.VOID:
            return f"((void){call})"
        if ctype.bare.shape is Shape.RECORD:
            return f"(*({{ {call}; ({self.types.declare(ctype)} __arena *){RUN}->sink; }}))"
        if ctype.bare.shape in (Shape.INTEGER, Shape.POINTER):
            return f"(({self.types.declare(ctype)}){call})"
        if ctype.bare.shape is Shape.ARRAY and ctype.bare.target is not None:
            return f"(({self.types.declare(ctype.bare.target)} __arena *)({{ {call}; {RUN}->sink; }}))"
        return f"((int){call})"

    # --- expressions --------------------------------------------------------------------------------------------------
    def expr(self, node: Node) -> str:
        if node.type is not None and node.type.bare.shape is _FLOATS:
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

    # --- calls --------------------------------------------------------------------------------------------------------
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

    def conversion(self, text: str, values: object, place: str) -> str | None:
        """One conversion of a format, taking its arguments from the iterator `values`."""
        take = iter(values)  # type: ignore[call-overload]
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
            wide = f"(int)({self.expr(next(take))})" if width == "*" else width or "0"
            exact = f"(int)({self.expr(next(take))})" if precision == "*" else (precision or "0") if has_precision else "-1"
            value = self.expr(next(take))
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

    # --- local variables ----------------------------------------------------------------------------------------------
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
        if shape is _FLOATS:
            self.plain.add(node.ref)
            return f"unsigned long {node.name} = 0; {self.over(node, 'it calculates with floating point', '', VOID)};"
        known = node.ref in self.plain
        self.plain.add(node.ref)
        head = node.name if known and self.in_region and node.ref in self.hoisted else self.types.declare(ctype, node.name)
        if initializer is None:
            return "" if head == node.name else f"{head};"
        return f"{head} = {self.expr(initializer)};"

    hoisted: set[str] = field(default_factory=set)
    # What hands over whenever it is evaluated: nodes by identity, and functions.
    futile: set[int] = field(default_factory=set)
    futile_functions: set[str] = field(default_factory=set)

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

    # --- statements ---------------------------------------------------------------------------------------------------
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


_LEAVES = frozenset(("RETURN_STMT", "BREAK_STMT", "CONTINUE_STMT", "GOTO_STMT"))
_ENTERED = frozenset(("LABEL_STMT", "CASE_STMT", "DEFAULT_STMT"))


VOID = CType(Shape.VOID, "void", 0)
FUNCTION = CType(Shape.FUNCTION, "", 0)


@dataclass(frozen=True, slots=True)
class Parts:
    """A loop taken apart; a part that is not there is None."""

    first: Node | None
    condition: Node | None
    step: Node | None
    body: Node


def loop_parts(function: Function, node: Node) -> Parts:
    """What stands where in the head of a loop; clang's tree leaves out what is missing, the semicolons say where."""
    if node.kind == "WHILE_STMT":
        return Parts(None, node.children[0], None, node.children[-1])
    if node.kind == "DO_STMT":
        return Parts(None, node.children[-1], None, node.children[0])
    *head, body = node.children
    text = function.unit.source.text
    semicolons, depth = [], 0
    for at in range(node.start, body.start):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if text[at] == ";" and depth == 1:
            semicolons.append(at)
    first = next((item for item in head if item.start < semicolons[0]), None)
    condition = next((item for item in head if semicolons[0] < item.start < semicolons[1]), None)
    step = next((item for item in head if item.start > semicolons[1]), None)
    return Parts(first, condition, step, body)


def clean(text: str) -> str:
    return without_markers(text)


__all__ = ["LOOPS", "KernelHalf", "Parameter", "Reason", "State", "Variable", "Writer", "clean", "loop_parts"]
