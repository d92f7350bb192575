"""Workloads: counters, lists of outcomes and captures say the same share."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from bpfsmith.cost.model import Model
from bpfsmith.cost.predict import predict
from bpfsmith.cost.profile import load_profile
from bpfsmith.cost.workload import Workload, read_workload
from bpfsmith.diagnostic import InputError
from bpfsmith.isa.asm import assemble

MODEL = Model(load_profile())
# Answers packets whose byte 14 is 1, and passes the others.
PROGRAM = assemble(
    """
    .section xdp
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 15
    r0 = 2
    if r4 > r3 goto out
    r4 = *(u8 *)(r2 +14)
    if r4 != 1 goto out
    r0 = 3
out: exit
    """,
    "test.s",
)[0]
PREDICTION = predict(PROGRAM, MODEL)


def workload(file: Path, contents: str | bytes) -> Workload:
    file.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return read_workload(str(file), PROGRAM, PREDICTION, MODEL, {})


def capture(frames: list[bytes]) -> bytes:
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return header + b"".join(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames)


def test_three_forms_say_the_same(tmp_path: Path) -> None:
    """61 of 100 requests hit, whoever counts them."""
    hit, miss = bytes(14) + b"\x01" + bytes(45), bytes(60)
    found = [
        workload(tmp_path / "counters.json", json.dumps({"XDP_TX": 61, "XDP_PASS": 39})),
        workload(tmp_path / "trace.txt", "# requests\n" + "hit\n" * 61 + "miss\n" * 39),
        workload(tmp_path / "requests.pcap", capture([hit] * 61 + [miss] * 39)),
    ]
    assert [item.hits for item in found] == pytest.approx([0.61] * 3)
    assert all(item.fast_ns is not None and item.slow_ns is not None for item in found)


def test_paths_can_be_counted_by_number(tmp_path: Path) -> None:
    """`path 1` is the first that `cost` prints."""
    number = 1 + next(index for index, item in enumerate(PREDICTION.paths) if item.answers)
    found = workload(tmp_path / "w.json", json.dumps({f"path {number}": 3, "XDP_PASS": 1}))
    assert found.hits == pytest.approx(0.75)


def test_the_mean_is_weighted(tmp_path: Path) -> None:
    """The program's mean time lies where the shares put it."""
    found = workload(tmp_path / "w.json", json.dumps({"hit": 1, "miss": 3}))
    assert found.fast_ns is not None
    assert found.slow_ns is not None
    assert found.program_ns == pytest.approx(0.25 * found.fast_ns + 0.75 * found.slow_ns)


@pytest.mark.parametrize(
    "contents",
    [
        "{", "[1]", '{"XDP_TX": -1}', '{"XDP_TX": "many"}', '{"XDP_TX": true}', '{"NO_SUCH": 1}', "{}", "", "bogus\n",
        b"\xff\xfe\x00", '{"path 99": 1}', capture([]),
    ],
)  # fmt: skip
def test_what_is_no_workload_is_refused(contents: str | bytes, tmp_path: Path) -> None:
    """With a diagnostic that says what was found."""
    with pytest.raises(InputError) as caught:
        workload(tmp_path / "w", contents)
    assert caught.value.diagnostics[0].id == "bad-workload"
