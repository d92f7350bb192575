#!/usr/bin/env python3
"""Write the C headers and the pages that are generated from the package's own definitions; `make tables` runs this.

    tools/generate.py [--check]

With --check nothing is written: the exit status is 1 when a committed file is not what its definition gives. (The tables of
helpers and types behind helpers.h come from the kernel's linux/bpf.h: tools/gen_tables.py.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bpfsmith.appnet.ctext import fixed_header
from bpfsmith.codegen.headers import INCLUDE_DIR, helpers_header
from bpfsmith.repair.page import PAGES, page
from bpfsmith.repair.table import KINDS
from tools import public_api

GENERATED: Mapping[Path, Callable[[], str]] = {
    INCLUDE_DIR / "bpfsmith" / "helpers.h": helpers_header,
    INCLUDE_DIR / "bpfsmith" / "fixed.h": fixed_header,
    public_api.FILE: public_api.public_api,
    **{PAGES / f"{kind.id}.md": partial(page, kind) for kind in KINDS},
}
"""Each generated file and what gives its text."""


def stale(generated: Mapping[Path, Callable[[], str]] = GENERATED) -> dict[Path, str]:
    """The files that are missing or differ from their definition, with the text that they should have."""
    texts = {path: text() for path, text in generated.items()}
    return {path: text for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text}


def main() -> int:
    parser = argparse.ArgumentParser(description="write the generated C headers and pages")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when one is stale")
    options = parser.parse_args()
    found = stale()
    for path, text in found.items():
        if options.check:
            sys.stderr.write(f"{path} is stale; run `make tables`\n")
        else:
            path.write_text(text, encoding="utf-8")
    return int(options.check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
