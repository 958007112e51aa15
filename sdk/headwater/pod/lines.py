"""What a worker prints and logs, brought to the runner: the workers are gone when somebody wants to read it.

A worker's output still goes to its own pod log; besides, whole lines are sent to the runner at most every
FLUSH_SECONDS, and at the end of each task run. They go over Dask's event log, many lines a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
from typing import Any, TextIO

TOPIC = "headwater-lines"
FLUSH_SECONDS = 0.05
# How long the last lines may take.
LAST_SECONDS = 2.0
# What one message may hold; a task that prints more in that time loses the middle, not the run.
MAX_LINES = 2000


class Tee(io.TextIOBase):
    """A text stream that writes to another and keeps whole lines until they are taken."""

    def __init__(self, stream: TextIO, lines: LineBuffer) -> None:
        self._stream = stream
        self._lines = lines
        self._rest = ""

    def write(self, text: str) -> int:
        self._stream.write(text)
        *whole, self._rest = (self._rest + text).split("\n")
        if whole:
            self._lines.add(whole)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def buffer(self) -> Any:
        """For bytes, which go to the worker's own log only."""
        return getattr(self._stream, "buffer", None)

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]  # TextIOBase says it may be None
        return self._stream.encoding


class LineBuffer:
    """Lines of all threads, in the order in which they were written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._dropped = 0

    def add(self, lines: list[str]) -> None:
        with self._lock:
            room = MAX_LINES - len(self._lines)
            self._lines += lines[: max(0, room)]
            self._dropped += max(0, len(lines) - max(0, room))

    def take(self) -> list[str]:
        with self._lock:
            lines, dropped = self._lines, self._dropped
            self._lines, self._dropped = [], 0
        return [*lines, f"... {dropped} more lines in the worker's own log"] if dropped else lines


LINES = LineBuffer()


def capture() -> None:
    """Let this process keep what it writes from now on. Before logging is set up, so that logs count too."""
    sys.stdout = Tee(sys.stdout, LINES)
    sys.stderr = Tee(sys.stderr, LINES)


def send(worker: Any) -> None:
    """Send what has been written since; from any thread."""
    lines = LINES.take()
    if lines:
        worker.log_event(TOPIC, {"pod": worker.name, "lines": lines})


async def send_for_ever(worker: Any) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        send(worker)


async def bring_last(client: Any) -> None:
    """Show what workers have written and not sent yet, at the end of a run: they are about to go."""
    with contextlib.suppress(Exception):  # a worker that is lost has no more to say
        async with asyncio.timeout(LAST_SECONDS):
            for worker, said in (await client.run(take_here, on_error="ignore")).items():
                show((0.0, {"worker": worker, **said}))
            # What was sent a moment ago comes by another way than this answer.
            await asyncio.sleep(0.01)


def take_here(dask_worker: Any = None) -> dict[str, Any]:
    """Return the last lines of the worker that this runs on."""
    return {"pod": dask_worker.name if dask_worker is not None else "", "lines": LINES.take()}


def show(event: tuple[float, Any]) -> None:
    """Write a worker's lines into the runner's own log."""
    message = event[1]
    text = "".join(f"{message['worker']} | {line}\n" for line in message["lines"])
    sys.stdout.write(text)
    sys.stdout.flush()
