"""Where things that take long to fetch or make are kept between runs: below $XDG_CACHE_HOME, ~/.cache by default."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory(*parts: str) -> Path:
    """A directory of ours in the user's cache, made if it is not there."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if root.startswith("/") else Path.home() / ".cache"
    path = base.joinpath("bpfsmith", *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path
