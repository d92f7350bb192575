"""Seconds of CPU that a proof may take: what is not decided by then is Unknown, however busy the machine is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN_S = 5.0


class TimeUp(BaseException):
    """The seconds are over. No Exception: what handles those on the way must not take it for one of its own."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raises TimeUp in what runs inside after so many seconds of this process's CPU time. Only the main thread gets signals: no
    limit elsewhere."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGPROF, stop)
    # Again and again: what is raised at the first instruction of a solver's callback is lost in its C++.
    signal.setitimer(signal.ITIMER_PROF, max(seconds, 1), AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
