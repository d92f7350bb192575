"""Where servers of different styles take and answer requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.diagnostic import Unsupported
from bpfsmith.offload.landmarks import Transport
from bpfsmith.workflow.offloading import Read, Request, read_server
from tests.support.servers import EXAMPLES, line_of, read_text, with_handler


def _example(name: str) -> Read:
    return read_server(Request((str(EXAMPLES / name),)))


@pytest.mark.parametrize(
    ("name", "function", "in_loop"),
    [
        ("echo.c", "main", True),
        ("kv.c", "main", True),
        ("names.c", "on_readable", False),
        ("telemetry.c", "main", True),
        ("gateway.c", "main", True),
    ],
)
def test_the_request_is_the_innermost_loop_or_callback_that_answers(name: str, function: str, in_loop: bool) -> None:
    request = _example(name).findings.request
    assert (request.function.name, request.loop is not None) == (function, in_loop)
    assert request.receive.name == "recvfrom"


def test_accepting_connections_means_tcp() -> None:
    assert _example("tcp_line.c").findings.transport is Transport.TCP


def test_a_constant_port_is_found() -> None:
    assert _example("telemetry.c").findings.port == 8125


def test_a_receive_in_a_function_of_another_file_belongs_to_the_loop_that_answers(tmp_path: Path) -> None:
    (tmp_path / "net.h").write_text("int take(int s, char *to, int room, void *from, unsigned *size);\n")
    net = tmp_path / "net.c"
    net.write_text(
        '#include "net.h"\n#include <sys/socket.h>\n'
        "int take(int s, char *to, int room, void *from, unsigned *size)\n"
        "{\n\treturn recvfrom(s, to, room, 0, from, size);\n}\n"
    )
    main = tmp_path / "main.c"
    main.write_text(
        '#include "net.h"\n#include <sys/socket.h>\n#include <netinet/in.h>\nint main(void)\n{\n'
        "\tint s = socket(AF_INET, SOCK_DGRAM, 0);\n\tfor (;;) {\n\t\tchar b[64];\n\t\tstruct sockaddr_in p;\n"
        "\t\tunsigned l = sizeof p;\n\t\tint n = take(s, b, sizeof b, &p, &l);\n"
        "\t\tsendto(s, b, n, 0, (struct sockaddr *)&p, l);\n\t}\n}\n"
    )
    findings = read_server(Request((str(main), str(net)))).findings
    assert findings.request.function.name == "main"
    assert findings.request.receive.inside.name == "take"


def test_what_receives_nothing_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        read_text(tmp_path, "int main(void)\n{\n\treturn 0;\n}\n")
    assert caught.value.diagnostics[0].id == "no-request-loop"


def test_a_place_is_the_users_line_behind_macros_and_includes(tmp_path: Path) -> None:
    text = with_handler(
        "#define TWICE(x) ((x) + \\\n\t(x))\nint handle(char *in, int n, char *out)\n{\n\treturn TWICE(0);\n}\n"
    )
    read = read_text(tmp_path, text)
    receive = read.findings.request.receive
    assert receive.inside.span(receive.node).line == line_of(text, "recvfrom(s")
