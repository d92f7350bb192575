"""Reads the records of a BPF ring buffer from userspace.

Layout (kernel/bpf/ringbuf.c): a page with the consumer's position, which is ours to write; a page with the producer's; then the
data twice in a row, so that a record that wraps can be read in one piece. A record is

    +------------------------------+-------------+----------------------------+
    | length, bit 31 busy,         | page offset | the record, padded to a    |
    | bit 30 discarded (u32)       | (u32)       | multiple of 8              |
    +------------------------------+-------------+----------------------------+
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_BUSY, _DISCARD, _HEADER = 1 << 31, 1 << 30, 8


class RingBuffer:
    """A map of type BPF_MAP_TYPE_RINGBUF of `size` bytes, by file descriptor. A context manager."""

    def __init__(self, fd: int, size: int) -> None:
        self._size = size
        self._consumer = mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        try:
            self._producer = mmap.mmap(fd, mmap.PAGESIZE + 2 * size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()
        self._producer.close()

    def records(self) -> Iterator[bytes]:
        """The records that are complete, each given back to the kernel when the next is asked for."""
        (at,) = struct.unpack_from("<Q", self._consumer, 0)
        while at < struct.unpack_from("<Q", self._producer, 0)[0]:
            place = mmap.PAGESIZE + (at & self._size - 1)
            (head,) = struct.unpack_from("<I", self._producer, place)
            if head & _BUSY:
                return
            length = head & ~(_BUSY | _DISCARD)
            record = b"" if head & _DISCARD else self._producer[place + _HEADER : place + _HEADER + length]
            at += (_HEADER + length + 7) // 8 * 8
            struct.pack_into("<Q", self._consumer, 0, at)
            if record:
                yield record
