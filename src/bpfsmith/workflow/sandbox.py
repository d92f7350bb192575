"""A compiler that may be given any text: confined by the kernel to its own files, a temporary directory, and little time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bpfsmith.codegen.clang import Compiler
from bpfsmith.codegen.headers import INCLUDE_DIR
from bpfsmith.diagnostic import InputError
from bpfsmith.kernel.cache import cache_directory
from bpfsmith.kernel.confine import confined
from bpfsmith.kernel.header import header_directory
from bpfsmith.workflow.inputs import Toolchain

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
_NAMING = ("-I", "-isystem", "-idirafter", "-iquote", "-include")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`compiler` is confined; `flags` are the user's, and where the file that is rewritten lies."""

    compiler: Compiler
    cpu: str
    flags: tuple[str, ...]

    def compile(self, text: str, name: str) -> bytes:
        """The object of C that nobody trusts. InputError `c-error`, also where the compiler took too long."""
        try:
            return self.compiler.compile(text, cpu=self.cpu, flags=self.flags, name=name)
        except InputError as error:
            if not any(item.message == "'vmlinux.h' file not found" for item in error.diagnostics):
                raise
        return self.compiler.compile(text, cpu=self.cpu, flags=(*self.flags, f"-idirafter{header_directory()}"), name=name)


@contextmanager
def sandbox(toolchain: Toolchain, flags: Sequence[str] = (), readable: Sequence[str] = ()) -> Iterator[Sandbox]:
    """A confined compiler for candidates. `readable` are more files and directories that it may read."""
    compiler = Compiler.at(toolchain.clang) if toolchain.clang else Compiler.default()
    flags = (*flags, *toolchain.flags)
    with TemporaryDirectory(prefix="bpfsmith-candidates-") as scratch:
        own = (str(Path(compiler.command[0]).resolve().parent), str(INCLUDE_DIR), str(cache_directory("headers")))
        files = (*own, *_SYSTEM, *compiler.includes, *compiler.fallbacks, *_named(flags), *readable)
        command = confined(compiler.command, scratch, tuple(dict.fromkeys(files)))
        yield Sandbox(replace(compiler, command=command, scratch=scratch), toolchain.cpu, flags)


def _named(flags: Sequence[str]) -> Iterator[str]:
    """The files and directories that flags name."""
    waiting = False
    for flag in flags:
        if waiting:
            yield flag
            waiting = False
        waiting = flag in _NAMING
        yield from (flag.removeprefix(name) for name in _NAMING if flag.startswith(name) and flag != name)
