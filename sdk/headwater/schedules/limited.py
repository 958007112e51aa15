"""A limit on how long a computation may take: a text of somebody's can say what no computer finishes."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from headwater.core.errors import HeadwaterError

# Who has less than this share of a budget left and does not come to an end is put off, not given up.
ENOUGH = 0.5


class TookTooLongError(HeadwaterError):
    """A computation was ended, as it took too long."""


class PutOffError(HeadwaterError):
    """A computation was ended, or not begun, as others before it had used up the time: it may be tried anew."""


@contextlib.contextmanager
def limited(seconds: float, words: str) -> Iterator[None]:
    """Raise TookTooLongError with *words* in the block when it has used so much CPU time.

    Only in the main thread, which is where the operator's loop runs; elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TookTooLongError(f"{words} (more than {seconds:.1g} s)")

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Budget:
    """CPU time for several computations together."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds

    @contextlib.contextmanager
    def spend(self, words: str) -> Iterator[None]:
        """Raise TookTooLongError in a block that does not come to an end, PutOffError in one that had not enough."""
        if self._left <= 0:
            raise PutOffError(words)
        enough, began = self._left >= ENOUGH * self._seconds, time.thread_time()
        try:
            with limited(self._left, words):
                yield
        except TookTooLongError:
            self._left = 0.0
            if enough:
                raise
            raise PutOffError(words) from None
        finally:
            self._left -= time.thread_time() - began
