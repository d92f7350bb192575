"""Frames out of a capture file, the classic pcap format (draft-ietf-opsawg-pcap).

header:  magic(32)  major(16) minor(16)  reserved(64)  snaplen(32)  linktype(32)       in the byte order of magic
packet:  seconds(32)  fraction(32)  captured(32)  original(32)  captured bytes
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

LINKTYPE_ETHERNET = 1

_HEADER_BYTES, _RECORD_BYTES = 24, 16
_MAGIC = {0xA1B2C3D4, 0xA1B23C4D}  # times in micro- or nanoseconds
_PCAPNG = 0x0A0D0D0A


def is_capture(data: bytes) -> bool:
    """Does `data` begin as a pcap or pcapng file does?"""
    magic = data[:4]
    return bool({int.from_bytes(magic, "little"), int.from_bytes(magic, "big")} & (_MAGIC | {_PCAPNG}))


def frames(data: bytes) -> Iterator[bytes]:
    """The Ethernet frames of a capture, as far as they were captured. Raises ValueError with the reason where it has none."""
    order = next((sign for sign in "<>" if len(data) >= 4 and struct.unpack_from(f"{sign}I", data)[0] in _MAGIC), None)
    if order is None:
        raise ValueError("it is a pcapng file" if is_capture(data) else "it does not begin as a pcap file does")
    if len(data) < _HEADER_BYTES:
        raise ValueError("it ends within its header")
    (linktype,) = struct.unpack_from(f"{order}I", data, 20)
    if linktype & 0xFFFF != LINKTYPE_ETHERNET:
        raise ValueError(f"its link type is {linktype & 0xFFFF}, and Ethernet is {LINKTYPE_ETHERNET}")
    at = _HEADER_BYTES
    while at < len(data):
        if at + _RECORD_BYTES > len(data):
            raise ValueError("it ends within a packet")
        (captured,) = struct.unpack_from(f"{order}I", data, at + 8)
        at += _RECORD_BYTES
        if at + captured > len(data):
            raise ValueError("it ends within a packet")
        yield data[at : at + captured]
        at += captured
