"""Between the machine and an executor: post events, carry out commands, keep the retries' clock.

The drive owns no thread and no loop. A loop posts what happened and asks when to come back:
`run_here` does so in the calling thread, `run_async` in an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable
from typing import Protocol

from headwater.engine.events import Command, Event, ReleaseResult, RetryCame, SubmitTask, WakeAt
from headwater.engine.machine import Run, step

Post = Callable[[Event], None]


class Session(Protocol):
    """An executor at work. It posts TaskStarted and exactly one outcome per submitted task run."""

    def submit(self, command: SubmitTask) -> None:
        """Begin to run a task; return at once."""

    def release(self, command: ReleaseResult) -> None:
        """Forget a result."""


class StepSession(Session, Protocol):
    """A session that works in the calling thread, one task run a call."""

    def work(self) -> bool:
        """Run one submitted task run; False when there is none."""


class Drive:
    """One run under way. *observe* is called after each event with the event, when the run has taken it in."""

    def __init__(self, run: Run, observe: Callable[[Event], None] | None = None) -> None:
        self.run = run
        self.session: Session | None = None
        self._observe = observe or (lambda event: None)
        self._alarms: list[tuple[float, int, int]] = []
        self._changed = asyncio.Event()

    @property
    def finished(self) -> bool:
        return self.run.finished_at is not None

    @property
    def next_alarm(self) -> float | None:
        """When `wake` must be called, in seconds since the epoch, or None."""
        return self._alarms[0][0] if self._alarms else None

    def post(self, event: Event) -> None:
        """Take in what happened and carry out what follows from it."""
        for command in step(self.run, event):
            self._carry_out(command)
        self._observe(event)
        self._changed.set()

    def wake(self, now: float) -> None:
        """Post the retries that are due."""
        while self._alarms and self._alarms[0][0] <= now:
            _, task, run_count = heapq.heappop(self._alarms)
            self.post(RetryCame(task, run_count, now))

    def _carry_out(self, command: Command) -> None:
        assert self.session is not None, "a drive is given its session before its first event"
        match command:
            case SubmitTask():
                self.session.submit(command)
            case ReleaseResult():
                self.session.release(command)
            case WakeAt(at, task, run_count):
                heapq.heappush(self._alarms, (at, task, run_count))


def run_here(drive: Drive, begin: Event, session: StepSession) -> None:
    """Run to the end in the calling thread; a retry waits until nothing else is to be done."""
    drive.session = session
    drive.post(begin)
    while not drive.finished:
        if session.work():
            continue
        assert drive.next_alarm is not None, "an unfinished run has work or waits for a retry"
        time.sleep(max(0.0, drive.next_alarm - time.time()))
        drive.wake(time.time())


async def run_async(drive: Drive, begin: Event, session: Session) -> None:
    """Run to the end in this event loop; `post` must be called in it."""
    drive.session = session
    drive.post(begin)
    while not drive.finished:
        drive._changed.clear()
        delay = None if drive.next_alarm is None else max(0.0, drive.next_alarm - time.time())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(drive._changed.wait(), delay)
        drive.wake(time.time())
