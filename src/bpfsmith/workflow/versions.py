"""The versions that a bug report needs: ours, of what does the work, and of the machine."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from bpfsmith import __version__

TOOLS = {
    "clang": "ziglang", "z3": "z3-solver", "bitwuzla": "bitwuzla", "libclang": "libclang", "lark": "lark",
    "pyelftools": "pyelftools", "capstone": "capstone",
}  # fmt: skip
"""What moves verdicts, counts and messages: name and distribution."""


def tool_versions() -> dict[str, str]:
    """Each tool with the version of its distribution, "missing" where it is not installed."""
    return {name: _version(distribution) for name, distribution in TOOLS.items()}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "missing"


def version_lines() -> Iterator[str]:
    """`bpfsmith --version`."""
    yield f"bpfsmith {__version__}"
    for name, version in tool_versions().items():
        origin = f" (ziglang {version})" if name == "clang" else f" {version}"
        yield f"  {name}{origin}"
    yield f"  Python {platform.python_version()}, kernel {platform.release()}, {platform.machine()}"
