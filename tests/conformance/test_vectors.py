"""Vectors in the form of public suites are right, and a wrong one is said to be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tools.vectors import Vector, judge, read_vector, vectors_in

DIRECTORY = Path(__file__).parent / "vectors"
VECTORS = list(vectors_in(DIRECTORY))


def test_every_file_is_a_vector() -> None:
    assert sorted(vector.path for vector in VECTORS) == sorted(DIRECTORY.iterdir())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.path.stem)
def test_a_vector_is_right(vector: Vector) -> None:
    assert judge(vector) == ""


@pytest.mark.parametrize("vector", VECTORS[:6], ids=lambda vector: vector.path.stem)
def test_a_vector_with_another_result_is_wrong(vector: Vector) -> None:
    other = 1 if vector.expected is None else None if vector.expected == 7 else vector.expected ^ 7
    assert judge(replace(vector, expected=other)) != ""


def test_what_is_no_vector_is_none(tmp_path: Path) -> None:
    for text in ("", "hello", "-- asm\nexit\n", "-- result\n1\n"):
        (tmp_path / "file").write_text(text)
        assert read_vector(tmp_path / "file") is None
