"""`bpfsmith lsp`: the language server, on the standard input and output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from urllib.parse import unquote, urlparse

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from bpfsmith import __version__
from bpfsmith.diagnostic import Diagnostic, ToolError
from bpfsmith.editor.analysis import SEVERITIES, Analysis, Costs, analysed, hover_text, layout, symbol_at
from bpfsmith.source import Span

server = LanguageServer("bpfsmith", __version__)


def path_of(uri: str) -> str:
    """The path of a document; what is not saved yet has its name alone."""
    return unquote(urlparse(uri).path) or uri


@lru_cache(maxsize=32)
def known(path: str, text: str) -> Analysis:
    """An analysis is made once for each state of a text, and its costs once when they are asked for."""
    found = analysed(path, text)

    @lru_cache(maxsize=1)
    def costs() -> Costs:
        try:
            return found.costs()
        except ToolError:  # what cannot be compiled costs nothing that could be told
            return {}

    return replace(found, costs=costs)


def range_of(span: Span, lines: Sequence[str]) -> types.Range:
    """A span as the client counts: lines and characters from 0."""
    found = types.Range(
        types.Position(span.line - 1, span.column - 1),
        types.Position(span.end_line - 1, max(span.end_column - 1, 0 if span.end_line > span.line else span.column - 1)),
    )
    return server.workspace.position_codec.range_to_client_units(lines, found)


def shown(item: Diagnostic, uri: str, lines: Sequence[str]) -> types.Diagnostic:
    """A diagnostic as the client shows it: facts and help below the message, other places as related information."""
    words = [item.message, *item.notes, *([f"help: {item.help}"] if item.help else [])]
    others = [
        types.DiagnosticRelatedInformation(types.Location(uri, range_of(label.span, lines)), label.text or item.message)
        for label in item.others
    ]
    place = item.primary.span if item.primary else Span("", 1)
    return types.Diagnostic(
        range=range_of(place, lines), message="\n".join(words), severity=types.DiagnosticSeverity(SEVERITIES[item.severity]),
        code=item.id, source="bpfsmith", related_information=others or None,
    )  # fmt: skip


@server.feature(types.TEXT_DOCUMENT_DID_OPEN)
@server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
@server.feature(types.TEXT_DOCUMENT_DID_SAVE)
def publish(
    ls: LanguageServer,
    params: types.DidOpenTextDocumentParams | types.DidChangeTextDocumentParams | types.DidSaveTextDocumentParams,
) -> None:
    """Diagnostics as they are typed."""
    uri = params.text_document.uri
    document = ls.workspace.get_text_document(uri)
    found = known(path_of(uri), document.source)
    diagnostics = [shown(item, uri, document.lines) for item in found.diagnostics]
    ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics, document.version))


@server.feature(types.TEXT_DOCUMENT_HOVER)
@server.thread()
def hover(ls: LanguageServer, params: types.HoverParams) -> types.Hover | None:
    """What a name is, its type, and what its line costs: in a thread, as the first cost of a text takes a compilation."""
    document = ls.workspace.get_text_document(params.text_document.uri)
    place = ls.workspace.position_codec.position_from_client_units(document.lines, params.position)
    found = known(path_of(document.uri), document.source)
    text = hover_text(found, document.source, place.line + 1, place.character + 1)
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text)) if text else None


@server.feature(types.TEXT_DOCUMENT_DEFINITION)
def definition(ls: LanguageServer, params: types.DefinitionParams) -> types.Location | None:
    document = ls.workspace.get_text_document(params.text_document.uri)
    place = ls.workspace.position_codec.position_from_client_units(document.lines, params.position)
    symbol = symbol_at(known(path_of(document.uri), document.source), document.source, place.line + 1, place.character + 1)
    return types.Location(document.uri, range_of(symbol.span, document.lines)) if symbol else None


@server.feature(types.TEXT_DOCUMENT_FORMATTING)
def formatting(ls: LanguageServer, params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
    document = ls.workspace.get_text_document(params.text_document.uri)
    try:
        text = layout(path_of(document.uri), document.source)
    except ToolError:  # its diagnostic is shown already
        return None
    end = types.Position(len(document.lines), 0)
    return [types.TextEdit(types.Range(types.Position(0, 0), end), text)] if text != document.source else []


def serve() -> None:
    """Speaks the protocol on stdin and stdout until the client ends it."""
    server.start_io()
