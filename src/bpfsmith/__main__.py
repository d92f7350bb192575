"""`python -m bpfsmith` is the command `bpfsmith`."""

from __future__ import annotations

import sys

from bpfsmith.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
