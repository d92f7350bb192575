"""C as trees of plain data: what libclang knows of a file, in a form that outlives it. The only importer of clang.cindex.

Offsets count characters of the preprocessed text. Parentheses, casts and implicit conversions are nodes as clang has them; the
ones it calls "unexposed" are left out, so that a child is what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from clang import cindex
from clang.cindex import Cursor, CursorKind, Type, TypeKind

from bpfsmith.csource.text import Preprocessed
from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.source import Span


class Shape(StrEnum):
    VOID = "void"
    INTEGER = "integer"
    FLOAT = "float"
    POINTER = "pointer"
    ARRAY = "array"
    RECORD = "record"
    FUNCTION = "function"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CType:
    """A C type. `name` is how the source spells a type that has a name of its own; `target` is what a pointer points to, an
    array holds, a function returns or a typedef stands for; `record` names the struct. Sizes are bytes."""

    shape: Shape
    name: str
    size: int
    const: bool = False
    target: CType | None = None
    count: int = 0
    record: str = ""
    is_typedef: bool = False
    is_signed: bool = False

    @property
    def bare(self) -> CType:
        """What a typedef stands for."""
        return self.target.bare if self.is_typedef and self.target else self


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: CType
    bits: int | None = None  # of a bit-field


@dataclass(frozen=True, slots=True)
class Record:
    """A struct or union. `tag` is how C writes it ("struct entry"), or a made-up key for one without a name."""

    tag: str
    is_union: bool
    fields: tuple[Field, ...]
    size: int
    align: int
    named: bool
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A declaration, statement or expression. `kind` is clang's name of it, `ref` says which declaration a name refers to:
    the same text wherever it is referred to."""

    kind: str
    name: str
    start: int
    end: int
    children: tuple[Node, ...]
    type: CType | None
    ref: str = ""
    value: int | None = None
    extra: str = ""
    at: int = 0  # where the name stands

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    ref: str
    type: CType


@dataclass(frozen=True, slots=True)
class Function:
    """A function with a body. `ref` is what calls of it have."""

    name: str
    ref: str
    unit: Unit = field(repr=False, compare=False)
    returns: CType
    parameters: tuple[Parameter, ...]
    body: Node
    start: int
    type_name: str = ""  # as clang spells its type: "int (const char *, int)"

    def span(self, node: Node | None = None) -> Span:
        return self.unit.source.span(node.start if node else self.start)

    def text(self, node: Node) -> str:
        return self.unit.source.text[node.start : node.end]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that outlives a call: global, or static in a function."""

    name: str
    ref: str
    type: CType
    initializer: Node | None
    is_const: bool
    is_extern: bool
    function: str  # "": at file scope
    at: int  # where its name stands
    start: int
    end: int
    unit: Unit = field(repr=False, compare=False)

    @property
    def span(self) -> Span:
        return self.unit.source.span(self.at)


@dataclass(slots=True)
class Unit:
    """One parsed file."""

    source: Preprocessed
    functions: dict[str, Function] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    enums: dict[str, str] = field(default_factory=dict)  # the user's, name -> text


_UNEXPOSED = frozenset({CursorKind.UNEXPOSED_EXPR, CursorKind.UNEXPOSED_STMT})
_INTEGERS = frozenset(
    getattr(TypeKind, name)
    for name in ("BOOL", "CHAR_U", "UCHAR", "USHORT", "UINT", "ULONG", "ULONGLONG", "CHAR_S", "SCHAR", "SHORT", "INT", "LONG",
                 "LONGLONG", "ENUM")
)  # fmt: skip
_UNSIGNED = frozenset(getattr(TypeKind, name) for name in ("BOOL", "CHAR_U", "UCHAR", "USHORT", "UINT", "ULONG", "ULONGLONG"))
_FLOATS = frozenset({TypeKind.FLOAT, TypeKind.DOUBLE, TypeKind.LONGDOUBLE, TypeKind.FLOAT128, TypeKind.HALF})
_ARRAYS = frozenset({TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY, TypeKind.VARIABLEARRAY})


def parse(source: Preprocessed, target: str = "x86_64-linux-gnu") -> Unit:
    """Parse one preprocessed file. InputError `c-error` where clang finds errors, each at the user's line."""
    index = cindex.Index.create()
    name = re.sub(r"\W", "_", source.path) + ".i"  # names what is static in the file
    arguments = ["-x", "cpp-output", "-std=gnu17", "-target", target, "-fgnuc-version=4.2.1"]
    parsed = index.parse(name, arguments, unsaved_files=[(name, source.text.encode("latin-1").decode("utf-8", "replace"))])
    errors = [item for item in parsed.diagnostics if item.severity >= cindex.Diagnostic.Error]
    if errors:
        raise InputError(
            *(Diagnostic("c-error", item.spelling, Label(source.span(item.location.offset))) for item in errors[:8])
        )
    unit = Unit(source)
    _Reader(unit).read(parsed.cursor)
    return unit


@dataclass(slots=True)
class _Reader:
    unit: Unit
    types: dict[tuple[str, int], CType] = field(default_factory=dict)

    def read(self, root: Cursor) -> None:
        for cursor in root.get_children():
            users = self.unit.source.is_users(cursor.extent.start.offset)
            if cursor.kind == CursorKind.FUNCTION_DECL and cursor.is_definition() and users:
                self._function(cursor)
            elif cursor.kind == CursorKind.VAR_DECL and users:
                self._variable(cursor, "")
            elif cursor.kind == CursorKind.ENUM_DECL and users:
                extent = cursor.extent
                text = self.unit.source.text[extent.start.offset : extent.end.offset]
                self.unit.enums[cursor.get_usr()] = text

    def _function(self, cursor: Cursor) -> None:
        body = next((child for child in cursor.get_children() if child.kind == CursorKind.COMPOUND_STMT), None)
        if body is None:
            return
        for inner in cursor.walk_preorder():
            if inner.kind == CursorKind.VAR_DECL and inner.storage_class == cindex.StorageClass.STATIC:
                self._variable(inner, cursor.spelling)
        function = Function(
            cursor.spelling,
            cursor.get_usr(),
            self.unit,
            self.type(cursor.result_type),
            tuple(Parameter(item.spelling, _ref(item), _adjusted(self.type(item.type))) for item in cursor.get_arguments()),
            self.node(body),
            cursor.extent.start.offset,
            cursor.type.get_canonical().spelling,
        )
        self.unit.functions[function.ref] = function

    def _variable(self, cursor: Cursor, function: str) -> None:
        initializer = [child for child in cursor.get_children() if child.kind.is_expression() or child.kind in _UNEXPOSED]
        ctype = self.type(cursor.type)
        # An array's bound is an expression child too; only what stands after `=` is the initializer.
        text = self.unit.source.text[cursor.extent.start.offset : cursor.extent.end.offset]
        start = cursor.extent.start.offset
        equals = _equals(text)
        after = [item for item in initializer if equals >= 0 and item.extent.start.offset > start + equals]
        element = ctype.bare
        while element.shape is Shape.ARRAY and element.target:
            element = element.target.bare if not element.target.const else element.target
        variable = Variable(
            cursor.spelling,
            _ref(cursor),
            ctype,
            self.node(after[-1]) if after else None,
            ctype.const or element.const,
            cursor.storage_class == cindex.StorageClass.EXTERN,
            function,
            cursor.location.offset,
            start,
            cursor.extent.end.offset,
            self.unit,
        )
        known = self.unit.variables.get(variable.ref)
        if known is None or known.is_extern or variable.initializer is not None:
            self.unit.variables[variable.ref] = variable

    # --- expressions and statements -----------------------------------------------------------------------------------
    def node(self, cursor: Cursor) -> Node:
        decayed = False
        while cursor.kind in _UNEXPOSED:
            inner = list(cursor.get_children())
            if len(inner) != 1:
                break
            decayed = decayed or cursor.type.kind == TypeKind.POINTER
            cursor = inner[0]
        kind = cursor.kind.name
        ref = ""
        if kind in ("DECL_REF_EXPR", "MEMBER_REF_EXPR", "CALL_EXPR", "TYPE_REF") and cursor.referenced is not None:
            ref = _ref(cursor.referenced)
        if kind in ("VAR_DECL", "PARM_DECL"):
            ref = _ref(cursor)
        value = None
        if kind == "DECL_REF_EXPR" and cursor.referenced is not None:
            if cursor.referenced.kind == CursorKind.ENUM_CONSTANT_DECL:
                value = cursor.referenced.enum_value
            extra = cursor.referenced.kind.name
        elif kind == "MEMBER_REF_EXPR" and cursor.referenced is not None and cursor.referenced.is_bitfield():
            extra = "bitfield"
        elif kind == "VAR_DECL" and cursor.storage_class == cindex.StorageClass.STATIC:
            extra = "static"
        elif kind == "STRING_LITERAL" and decayed:
            extra = "decayed"
        else:
            extra = ""
        extent = cursor.extent
        children = tuple(self.node(child) for child in cursor.get_children())
        ctype = self.type(cursor.type) if cursor.kind.is_expression() or kind in ("VAR_DECL", "PARM_DECL", "TYPE_REF") else None
        return Node(
            kind,
            cursor.spelling,
            extent.start.offset,
            extent.end.offset,
            children,
            ctype,
            ref,
            value,
            extra,
            cursor.location.offset,
        )

    # --- types --------------------------------------------------------------------------------------------------------
    def type(self, found: Type) -> CType:
        key = found.spelling + "|" + found.get_canonical().spelling, found.kind.value
        known = self.types.get(key)
        if known is None:
            known = self.types[key] = self._type(found)
        return known

    def _type(self, found: Type) -> CType:
        size, const = max(found.get_size(), 0), found.is_const_qualified()
        kind = found.kind
        if kind == TypeKind.TYPEDEF:
            name = found.get_declaration().spelling
            under = self.type(found.get_declaration().underlying_typedef_type)
            return CType(under.shape, name, size, const, under, under.count, under.record, True, under.is_signed)
        if kind == TypeKind.ELABORATED:
            inner = self.type(found.get_named_type())
            return inner if not const or inner.const else _constant(inner)
        if kind == TypeKind.VOID:
            return CType(Shape.VOID, "void", 0, const)
        if kind == TypeKind.ENUM:
            return replace(self.type(found.get_declaration().enum_type), const=const)
        if kind in _INTEGERS:
            name = found.get_canonical().spelling.removeprefix("const ").removeprefix("volatile ")
            return CType(Shape.INTEGER, name, size, const, is_signed=kind not in _UNSIGNED)
        if kind in _FLOATS:
            return CType(Shape.FLOAT, found.get_canonical().spelling.removeprefix("const "), size, const)
        if kind == TypeKind.POINTER:
            return CType(Shape.POINTER, "", size, const, self.type(found.get_pointee()))
        if kind in _ARRAYS:
            return CType(Shape.ARRAY, "", size, const, self.type(found.element_type), max(found.element_count, 0)
                         if kind == TypeKind.CONSTANTARRAY else 0)  # fmt: skip
        if kind == TypeKind.RECORD:
            return CType(Shape.RECORD, "", size, const, record=self._record(found.get_declaration()))
        if kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
            return CType(Shape.FUNCTION, found.get_canonical().spelling, 0, const)
        return CType(Shape.OTHER, found.spelling, size, const)

    def _record(self, declaration: Cursor) -> str:
        union = declaration.kind == CursorKind.UNION_DECL
        named = bool(declaration.spelling) and not declaration.is_anonymous() and "(" not in declaration.spelling
        tag = f"{'union' if union else 'struct'} {declaration.spelling}" if named else f"@{declaration.extent.start.offset}"
        if tag in self.unit.records or declaration.get_definition() is None:
            return tag
        definition = declaration.get_definition()
        ctype = definition.type
        # Entered first, so that a struct that points to itself ends.
        self.unit.records[tag] = Record(tag, union, (), max(ctype.get_size(), 0), max(ctype.get_align(), 1), named)
        fields = []
        packed = any(child.kind == CursorKind.PACKED_ATTR for child in definition.get_children())
        for item in ctype.get_fields():
            bits = item.get_bitfield_width() if item.is_bitfield() else None
            fields.append(Field(item.spelling if not item.is_anonymous() else "", self.type(item.type), bits))
        size, align = max(ctype.get_size(), 0), max(ctype.get_align(), 1)
        self.unit.records[tag] = Record(tag, union, tuple(fields), size, align, named, packed)
        return tag


def _adjusted(ctype: CType) -> CType:
    """A parameter that is written as an array is a pointer (C17 6.7.6.3)."""
    bare = ctype.bare
    return CType(Shape.POINTER, "", 8, target=bare.target) if bare.shape is Shape.ARRAY else ctype


def _constant(inner: CType) -> CType:
    return CType(inner.shape, inner.name, inner.size, True, inner.target, inner.count, inner.record, inner.is_typedef,
                 inner.is_signed)  # fmt: skip


def _equals(text: str) -> int:
    """Where the `=` of an initializer stands, outside brackets; -1: there is none."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "=" and depth == 0:
            return at
    return -1


def _ref(cursor: Cursor) -> str:
    """A key for a declaration: clang's own name for what has linkage, the place for the rest."""
    kind = cursor.kind
    if kind == CursorKind.PARM_DECL or (kind == CursorKind.VAR_DECL and cursor.linkage == cindex.LinkageKind.NO_LINKAGE):
        return f"@{cursor.translation_unit.spelling}:{cursor.location.offset}:{cursor.spelling}"
    if (
        kind == CursorKind.VAR_DECL
        and cursor.semantic_parent is not None
        and (cursor.semantic_parent.kind == CursorKind.FUNCTION_DECL)
    ):
        return f"@{cursor.translation_unit.spelling}:{cursor.location.offset}:{cursor.spelling}"
    return str(cursor.get_usr())
