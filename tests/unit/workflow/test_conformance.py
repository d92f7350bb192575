"""The plug-in protocol of public suites: bytecode on stdin, memory as argument, r0 on stdout."""

from __future__ import annotations

import io

import pytest

from bpfsmith.cli.main import main
from bpfsmith.isa.asm_ubpf import assemble
from bpfsmith.isa.encoding import encode
from bpfsmith.workflow.assembling import slots_in_hex
from tests.unit.workflow.vectors import VECTORS, Vector


class Plugin:
    """Calls the command in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, bytecode: str, *memory: str) -> tuple[int, str, str]:
        self.patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytecode.encode())))
        status = main(["try", "--conformance-plugin", *memory])
        said = self.capture.readouterr()
        return status, said.out, said.err


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plugin:
    return Plugin(monkeypatch, capsys)


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_a_vector_gives_what_is_written_down(plugin: Plugin, vector: Vector) -> None:
    code = encode(assemble(vector.text, vector.name))
    assert plugin(code.hex(), vector.memory) == (0, f"{vector.expected:x}\n", "")


def test_white_space_means_nothing_and_memory_may_be_left_out(plugin: Plugin) -> None:
    code = encode(assemble("mov %r0, 0x1f\nexit", "v"))
    for text in (code.hex(), "\n".join(slots_in_hex(code)) + "\n", f"\t{code.hex(' ', 3)} \r\n", code.hex().upper()):
        assert plugin(text) == (0, "1f\n", "")
        assert plugin(text, "") == (0, "1f\n", "")
        assert plugin(text, "aa\n bb") == (0, "1f\n", "")


WRONG = {
    "nothing": ("", "", "bad-hex"),
    "no_hex": ("hello", "", "bad-hex"),
    "not_ascii": ("\N{SNOWMAN}", "", "bad-hex"),
    "half_a_byte": ("950", "", "bad-hex"),
    "half_an_insn": ("95000000", "", "malformed-bytecode"),
    "half_a_wide_insn": ("1800000000000000", "", "malformed-bytecode"),
    "memory": ("9500000000000000", "xy", "bad-hex"),
    "opcode": ("ff000000000000009500000000000000", "", "malformed-bytecode"),
    "register": ("b70b0000000000009500000000000000", "", "malformed-bytecode"),
    "no_exit": ("b700000000000000", "", "malformed-bytecode"),
    "jump": ("05000500000000009500000000000000", "", "malformed-bytecode"),
    "call": ("85100000050000009500000000000000", "", "malformed-bytecode"),
    "helper": ("85000000060000009500000000000000", "", "run-not-modelled"),
    "map": ("1811000003000000000000000000000085000000010000009500000000000000", "", "run-not-modelled"),
    "past_the_memory": ("71100100000000009500000000000000", "aa", "run-fault"),
    "past_the_stack": ("7a0a0000000000009500000000000000", "", "run-fault"),
    "endless_calls": ("85100000ffffffff9500000000000000", "", "run-fault"),
    "endless_loop": ("0500ffff000000009500000000000000", "", "run-too-long"),
    "any_address": ("b701000078563412711000000000000095000000000000 00".replace(" ", ""), "aa", "run-fault"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_run_is_an_error_and_prints_no_number(plugin: Plugin, name: str) -> None:
    bytecode, memory, id = WRONG[name]
    status, out, err = plugin(bytecode, memory)
    assert (status, out) == (2, "")
    assert err.startswith(f"error[{id}]: ")


def test_other_arguments_do_not_go_with_it(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "x.s", "--conformance-plugin", "aa"]) == 2
    assert "error[bad-command]" in capsys.readouterr().err
