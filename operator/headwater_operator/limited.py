"""A limit on how long a computation may keep the operator from everything else."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from headwater.core.errors import HeadwaterError


class TookTooLongError(HeadwaterError):
    """A computation was ended, as it took too long."""


@contextlib.contextmanager
def limited(seconds: float, words: str) -> Iterator[None]:
    """Raise TookTooLongError with *words* in the block when it has used so much CPU time.

    Only in the main thread, which is where the operator's loop runs; elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TookTooLongError(f"{words} (more than {seconds:g} s)")

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
