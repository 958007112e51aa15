"""`log_stdout`: what a task prints goes to its logger, for the thread that runs it and no other."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TextIO

from headwater.core.task import Task

_target: ContextVar[logging.Logger | None] = ContextVar("headwater_stdout", default=None)
_lock = threading.Lock()


class _Switch(io.TextIOBase):
    """In the place of sys.stdout: a line at a time to the logger where one is set, else on to where it went before."""

    def __init__(self, original: TextIO) -> None:
        self.original = original
        self._rest = threading.local()

    def write(self, text: str) -> int:
        logger = _target.get()
        if logger is None:
            return self.original.write(text)
        # A task that logs to stdout by itself would otherwise come round for ever.
        lines = (getattr(self._rest, "text", "") + text).split("\n")
        self._rest.text = lines.pop()
        for line in lines:
            _say(logger, line)
        return len(text)

    def flush(self) -> None:
        self.original.flush()

    def finish(self, logger: logging.Logger) -> None:
        rest, self._rest.text = getattr(self._rest, "text", ""), ""
        if rest:
            _say(logger, rest)

    def isatty(self) -> bool:
        return self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a text stream's is writable
        return self.original.encoding


def _say(logger: logging.Logger, line: str) -> None:
    token = _target.set(None)
    try:
        logger.info(line)
    finally:
        _target.reset(token)


@contextlib.contextmanager
def logged_stdout(task: Task) -> Iterator[None]:
    """For the length of the block let this thread's prints go to the task's logger, if the task asks for it."""
    if not task.log_stdout:
        yield
        return
    with _lock:
        if not isinstance(sys.stdout, _Switch):
            sys.stdout = _Switch(sys.stdout)
        switch = sys.stdout
    token = _target.set(task.logger)
    try:
        yield
    finally:
        switch.finish(task.logger)
        _target.reset(token)
