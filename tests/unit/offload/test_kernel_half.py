"""What the kernel half does itself, and from which line on it hands over."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.diagnostic import ToolError
from bpfsmith.offload.refusal import DoNotOffload
from tests.support.servers import half_of, line_of, read_text, with_handler


def _handler(body: str, before: str = "") -> str:
    return with_handler(f"{before}int handle(char *in, int n, char *out)\n{{\n{body}\n}}\n")


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ('FILE *f = fopen("x", "r"); /* here */\n\tif (f) fclose(f);', "fopen"),
        ('if (n > 3)\n\t\tprintf("%d\\n", n); /* here */', "printf"),
        ("if (n > 3)\n\t\tn = time(NULL) % 2; /* here */", "time"),
        ("if (n > 3) {\n\t\tdouble d = n; /* here */\n\t\tn = d * 1.5;\n\t}", "floating"),
        ("char *p = n > 3 ? malloc(n) : 0; /* here */\n\tfree(p);", "malloc"),
        ("if (n > 3) {\n\t\tchar v[n]; /* here */\n\t\tv[0] = 1;\n\t\tout[0] = v[0];\n\t}", "size"),
    ],
)
def test_what_the_kernel_does_not_do_is_handed_over_at_its_line(tmp_path: Path, statement: str, word: str) -> None:
    text = _handler(f"\tif (n == 1) {{\n\t\tout[0] = in[0];\n\t\treturn 1;\n\t}}\n\t{statement}\n\treturn n;")
    reasons = half_of(read_text(tmp_path, text)).reasons
    assert [item for item in reasons if word in item.why and item.span.line == line_of(text, "/* here */")], reasons


def test_a_function_that_calls_itself_is_handed_over(tmp_path: Path) -> None:
    before = "static int depth(int n)\n{\n\treturn n ? 1 + depth(n - 1) : 0; /* here */\n}\n"
    text = _handler("\tif (n > 3)\n\t\treturn depth(n);\n\tout[0] = 1;\n\treturn 1;", before)
    reasons = half_of(read_text(tmp_path, text)).reasons
    assert any("calls itself" in item.why and item.span.line == line_of(text, "/* here */") for item in reasons)


def test_where_every_request_needs_the_process_the_advice_is_no(tmp_path: Path) -> None:
    text = _handler('\tprintf("%d\\n", n); /* here */\n\treturn n;')
    with pytest.raises(DoNotOffload) as caught:
        half_of(read_text(tmp_path, text))
    primary = caught.value.diagnostics[0].primary
    assert primary is not None
    assert primary.span.line == line_of(text, "/* here */")
    assert caught.value.exit_code == 1


def test_what_is_sure_to_be_handed_over_is_not_begun(tmp_path: Path) -> None:
    text = _handler('\tif (n > 3) {\n\t\tout[0] = in[77];\n\t\tprintf("x");\n\t\tout[1] = in[78];\n\t}\n\treturn n;')
    source = half_of(read_text(tmp_path, text)).source
    assert "[77]" not in source
    assert "[78]" not in source


def test_globals_and_statics_are_state_and_locals_are_not(tmp_path: Path) -> None:
    before = "static int seen;\nint limit = 5;\n"
    text = _handler("\tstatic int calls;\n\tint here = n;\n\tseen++;\n\tcalls += here < limit;\n\treturn n;", before)
    states = {item.name: item.written for item in half_of(read_text(tmp_path, text)).states}
    assert states == {"seen": True, "calls": True, "limit": False}


def test_a_variable_that_the_loop_keeps_is_state(tmp_path: Path) -> None:
    text = with_handler("int handle(char *in, int n, char *out) { out[0] = in[0]; return n > 0; }\n")
    text = text.replace("\tfor (;;) {", "\tlong turns = 0;\n\tfor (;;) {").replace(
        "\t\tin[n] = 0;", "\t\tin[n] = 0;\n\t\tturns++;"
    )
    (state,) = half_of(read_text(tmp_path, text)).states
    assert (state.name, state.written, state.promoted) == ("turns", True, True)


@pytest.mark.parametrize(
    ("change", "ident"),
    [
        (("\t\tchar in[256]", "\t\tturns++; /* here */\n\t\tchar in[256]"), "work-before-receive"),
        (("\t\tint n = recvfrom", "\t\tturns += 2; /* here */\n\t\tint n = recvfrom"), "work-before-receive"),
    ],
)
def test_work_before_the_request_is_refused_at_its_line(tmp_path: Path, change: tuple[str, str], ident: str) -> None:
    text = with_handler("long turns;\nint handle(char *in, int n, char *out) { out[0] = turns; return n > 0; }\n").replace(
        *change
    )
    with pytest.raises(ToolError) as caught:
        half_of(read_text(tmp_path, text))
    found = caught.value.diagnostics[0]
    assert found.id == ident
    assert found.primary is not None
    assert found.primary.span.line == line_of(text, "/* here */")


def test_work_of_an_outer_loop_is_refused(tmp_path: Path) -> None:
    text = with_handler("long wakes;\nint handle(char *in, int n, char *out) { out[0] = wakes; return n > 0; }\n")
    text = text.replace("\tfor (;;) {", "\tfor (;;) {\n\t\twakes++; /* here */\n\t\tfor (;;) {", 1).replace(
        "\t}\n}\n", "\t}\n\t}\n}\n"
    )
    with pytest.raises(ToolError) as caught:
        half_of(read_text(tmp_path, text))
    assert caught.value.diagnostics[0].id == "work-outside-request"


@pytest.mark.parametrize(
    ("use", "shared"),
    [("out[0] = in[0];\n\t\tn = 1", True), ("in[n] = 0;\n\t\tn = strlen(in)", False), ("", False)],
)
def test_a_buffer_that_outlives_a_request_is_state_unless_nothing_old_is_seen_in_it(
    tmp_path: Path, use: str, shared: bool
) -> None:
    text = (
        with_handler("")
        .replace("char in[256], out[256];", "")
        .replace("\tfor (;;) {", "\tchar in[256], out[256];\n\tfor (;;) {")
    )
    text = text.replace("in[n] = 0;\n\t\tn = handle(in, n, out)", f"out[0] = 1;\n\t\t{use}" if use else "out[0] = 1")
    assert ("in" in {item.name for item in half_of(read_text(tmp_path, text)).states}) is shared
