"""Whatever the bytes, reading them ends in an Object or in a ToolError."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from bpfsmith.diagnostic import InputError, ToolError
from bpfsmith.objfile.object import read_object
from tests.support.bpfc import compile_c
from tests.support.objects import RICH


def refusal(data: bytes) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        read_object(data)
    return caught.value.diagnostics[0].id, caught.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "the file is empty"),
        (b"#!/bin/sh\n", "it starts with 23 21 2f 62"),
        (b"\x7fELF\x02\x01\x01", "its ELF header is cut off after 7 bytes"),
        (Path(sys.executable).read_bytes()[:4096], "its machine is"),
    ],
)
def test_what_is_no_bpf_object_is_told_as_what_it_is(data: bytes, found: str) -> None:
    id_, message = refusal(data)
    assert id_ == "not-a-bpf-object"
    assert found in message


def test_big_endian_is_told() -> None:
    data = compile_c('SEC("xdp") int f(struct xdp_md *c) { return 2; }', "-target", "bpfeb")
    assert "big-endian" in refusal(data)[1]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_object(tmp_path / "none.o")
    assert caught.value.diagnostics[0].id == "unreadable-file"


def read_all(data: bytes) -> bool:
    """Reads everything there is to read; False when the tool refused it."""
    try:
        obj = read_object(data)
        assert obj.loadable_btf is None or obj.loadable_btf
        for program in obj.programs:
            obj.info_for(program)
            obj.core_relos(program)
    except ToolError as error:
        assert error.diagnostics[0].message
        return False
    return True


def test_every_truncation_is_refused() -> None:
    data = compile_c(RICH)
    assert read_all(data)
    assert not any(read_all(data[:length]) for length in range(0, len(data), 251))


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bytes_give_an_object_or_a_refusal(seed: int) -> None:
    source = compile_c(RICH)
    rng = random.Random(seed)
    headers = range(len(source) - 2400, len(source))
    refused = 0
    for _ in range(40):
        data = bytearray(source)
        for _ in range(rng.choice([1, 2, 30])):
            position = rng.choice(headers) if rng.random() < 0.5 else rng.randrange(len(data))
            data[position] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        refused += not read_all(bytes(data))
    assert 0 < refused < 40
