"""Small servers for tests: C text around a request handler, read as `bpfsmith offload` reads files."""

from __future__ import annotations

from pathlib import Path

from bpfsmith.offload.half import KernelHalf
from bpfsmith.offload.region import kernel_half
from bpfsmith.workflow.offloading import Read, Request, read_server

EXAMPLES = Path(__file__).parents[2] / "examples" / "servers"

_HEAD = """\
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
"""
_MAIN = """
int main(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_port = htons(7000) };
	if (bind(s, (struct sockaddr *)&self, sizeof self))
		return 1;
	for (;;) {
		char in[256], out[256];
		struct sockaddr_in peer;
		socklen_t size = sizeof peer;
		int n = recvfrom(s, in, sizeof in - 1, 0, (struct sockaddr *)&peer, &size);
		if (n < 0)
			return 1;
		in[n] = 0;
		n = handle(in, n, out);
		if (n >= 0)
			sendto(s, out, n, 0, (struct sockaddr *)&peer, size);
	}
}
"""


def with_handler(handler: str) -> str:
    """A server that answers what `int handle(char *in, int n, char *out)` puts into `out`: so many bytes, or no reply if
    negative."""
    return f"{_HEAD}{handler}{_MAIN}"


def line_of(text: str, mark: str) -> int:
    """The line, from 1, on which `mark` stands first."""
    return next(at for at, line in enumerate(text.splitlines(), 1) if mark in line)


def read_text(tmp_path: Path, text: str, name: str = "server.c") -> Read:
    path = tmp_path / name
    path.write_text(text)
    return read_server(Request((str(path),)))


def half_of(read: Read) -> KernelHalf:
    return kernel_half(read.server, read.findings, cpus=2, pages=64)
