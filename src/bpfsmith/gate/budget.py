"""Seconds that a proof may take: what is not decided by then is Unknown."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TimeUp(BaseException):
    """The seconds are over. No Exception: what handles those on the way must not take it for one of its own."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raises TimeUp in what runs inside after so many seconds. Only the main thread gets signals: no limit elsewhere."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    # Again each second: where Python is called by a solver, what it raises is lost.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1), 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
