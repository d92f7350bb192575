"""The programs in `programs/`, for tests that want realistic AppNet text."""

from __future__ import annotations

from pathlib import Path

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.appnet"))


def program(body: str, state: str = "", init: str = "pass") -> str:
    """A whole program around the lines of `req`."""
    sections = (("state:", state or "pass"), ("init():", init), ("req(rpc):", body))
    return "".join(f"{heading}\n" + "".join(f"    {line}\n" for line in lines.split("\n")) for heading, lines in sections)
