"""Where a function of an executable or library starts in its file, which is what uprobes are attached by.

ELF-64, little-endian (System V ABI, chapter 4 and 5); read by hand, as nothing but symbols and segments is wanted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError

_SHT_SYMTAB, _SHT_DYNSYM, _PT_LOAD, _STT_FUNC, _STT_GNU_IFUNC = 2, 11, 1, 2, 10
_SECTION, _SEGMENT, _SYMBOL = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IIQQQQQQ"), struct.Struct("<IBBHQQ")


def function_offset(path: str | Path, name: str) -> int:
    """The file offset of the function `name`. InputError `unknown-function`, or `unreadable-file`."""
    data = _read(path)
    for address, symbol in _functions(data):
        if symbol == name.encode():
            return _in_file(data, address)
    close = sorted(symbol.decode("utf-8", "replace") for _, symbol in _functions(data) if name.encode() in symbol)[:5]
    raise InputError(
        Diagnostic(
            "unknown-function",
            f"{path} has no function called {name}",
            notes=(f"it has {', '.join(close)}",) if close else (),
            help="name one of its functions (`nm FILE`); a stripped file has those only that it exports",
        )
    )


def _read(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            Diagnostic("unreadable-file", f"{path} cannot be read: {error.strerror}", help="check the path and its permissions")
        ) from error
    if not data.startswith(b"\x7fELF\x02\x01") or len(data) < 64:
        raise InputError(Diagnostic("unreadable-file", f"{path} is no 64-bit little-endian ELF file", help="name a program"))
    return data


def _functions(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Address and name of every function that the symbol tables know."""
    (at,), (size, count) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<HH", data, 58)
    sections = [_SECTION.unpack_from(data, at + index * size) for index in range(count)]
    for section in sections:
        if section[1] not in (_SHT_SYMTAB, _SHT_DYNSYM):
            continue
        strings = sections[section[6]][4]
        for place in range(section[4], section[4] + section[5], _SYMBOL.size):
            name, info, _, index, value, _ = _SYMBOL.unpack_from(data, place)
            if info & 15 in (_STT_FUNC, _STT_GNU_IFUNC) and index:
                yield value, data[strings + name : data.index(b"\0", strings + name)]


def _in_file(data: bytes, address: int) -> int:
    (at,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, offset, start, _, length, *_ = _SEGMENT.unpack_from(data, at + index * size)
        if kind == _PT_LOAD and start <= address < start + length:
            return int(address - start + offset)
    return address
