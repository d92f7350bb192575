"""The programs of the files that a user names, each ready to be loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bpfsmith.diagnostic import Diagnostic, InputError, ToolError
from bpfsmith.isa.program import MapSpec, Program
from bpfsmith.workflow.compiling import lowered
from bpfsmith.workflow.inputs import AppnetInput, BytecodeInput, Toolchain, open_input, split_program
from bpfsmith.workflow.loadable import Choices, loadable


@dataclass(frozen=True, slots=True)
class Subject:
    """One program as it is loaded, with all maps of its file and what was assumed. `file` is as the user named it, without the
    program."""

    file: str
    program: Program
    opened: BytecodeInput
    maps: tuple[MapSpec, ...] = ()
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unloadable:
    """A program, or with `name` empty a whole file, that never came before the verifier."""

    file: str
    diagnostics: tuple[Diagnostic, ...]
    name: str = ""
    section: str = ""


def subjects(paths: Sequence[str], toolchain: Toolchain, choices: Choices) -> Iterator[Subject | Unloadable]:
    """The programs of each file, or the one that FILE:PROGRAM names."""
    for path in paths:
        file, wanted = split_program(path)
        try:
            opened = opened_anyhow(file, toolchain)
            if isinstance(opened, AppnetInput):
                opened = lowered(opened, toolchain)
            programs = opened.programs if wanted is None else (opened.only(wanted),)
        except ToolError as error:
            if error.exit_code != 2:
                raise
            yield Unloadable(file, error.diagnostics)
            continue
        for program in programs:
            try:
                ready, maps, assumed = loadable(program, opened.obj, choices)
            except InputError as error:
                yield Unloadable(file, error.diagnostics, program.name, program.section)
                continue
            yield Subject(file, ready, opened, maps, assumed)
        if opened.obj is not None and wanted is None:
            for name, problems in opened.obj.problems.items():
                yield Unloadable(file, problems, name)


def opened_anyhow(file: str, toolchain: Toolchain) -> AppnetInput | BytecodeInput:
    """The input; C that needs more stack than there is all the same, so that the verifier's own words can be explained."""
    try:
        return open_input(file, toolchain)
    except InputError as error:
        if not any("BPF stack limit" in item.message for item in error.diagnostics):
            raise
        try:
            return open_input(file, replace(toolchain, flags=(*toolchain.flags, *_DEEP_STACK)))
        except ToolError:  # a clang that cannot be told
            raise error from None


_DEEP_STACK = ("-mllvm", "-bpf-stack-size=65536")
