"""Between the machine and an executor: post events, carry out commands, keep the retries' clock.

The drive owns no thread and no loop. A loop posts what happened and asks when to come back:
`run_here` does so in the calling thread, `run_async` in an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from headwater.engine.events import (
    AskToResume,
    Command,
    Event,
    PauseAnswered,
    ReleaseResult,
    ReleaseResults,
    RunCancelled,
    SubmitTask,
    TimeCame,
    WakeAt,
)
from headwater.engine.gate import Gate
from headwater.engine.machine import Run, step

Post = Callable[[Event], None]

# Asks a person, by the task's name and why it was paused, whether it may go on.
Ask = Callable[[str, str], bool]


class Session(Protocol):
    """An executor at work. It posts exactly one TaskEnded or TaskCrashed per submitted task run."""

    def submit(self, command: SubmitTask) -> None:
        """Begin to run a task; return at once."""

    def release(self, ref: Any) -> None:
        """Forget a result."""


class AsyncSession(Session, Protocol):
    """A session beside an event loop, in which it posts."""

    def withdraw(self) -> None:
        """Begin nothing more but what cleans up: post TaskWithdrawn for what is submitted and not begun, now and
        from now on."""


class StepSession(Session, Protocol):
    """A session that the calling thread drives, a step a call."""

    def work(self, timeout: float | None) -> bool:
        """Run one submitted task run or take in one event; False when there is none within *timeout* seconds."""


class Drive:
    """One run under way. *observe* is called after each event with the event, when the run has taken it in.

    *ask* may block; without it a paused task that waits for a person fails, and says so. A *patient* one asks nobody
    and waits: PauseAnswered will be posted. At a *gate* the task runs wait whose tags are limited.
    """

    def __init__(
        self,
        run: Run,
        observe: Callable[[Event], None] | None = None,
        ask: Ask | None = None,
        patient: bool = False,
        gate: Gate | None = None,
    ) -> None:
        self.run = run
        self.gate = gate
        self.session: Session | None = None
        self.asked: deque[AskToResume] = deque()
        self._ask = ask
        self._patient = patient
        self._observe = observe or (lambda event: None)
        self._alarms: list[tuple[float, int, int, int]] = []
        self._changed = asyncio.Event()
        self._broken: BaseException | None = None

    def observed_by(self, observe: Callable[[Event], None]) -> None:
        """Let *observe* be called after each event."""
        self._observe = observe

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
        if self.gate is not None:
            self.gate.saw(event)
            self.admit()
        self._observe(event)
        self._changed.set()

    def admit(self) -> None:
        """Submit what may pass the gate now."""
        assert self.session is not None, "a drive is given its session before its first event"
        for command in self.gate.admitted() if self.gate is not None else ():
            self.session.submit(command)

    def wake(self, now: float) -> None:
        """Post the retries that are due."""
        while self._alarms and self._alarms[0][0] <= now:
            _, task, map_index, run_count = heapq.heappop(self._alarms)
            self.post(TimeCame(task, run_count, now, map_index))

    def give_up(self, error: BaseException | None) -> None:
        """Something that carries the run is broken: `run_async` raises it."""
        self._broken = self._broken or error
        self._changed.set()

    def cancel(self, session: AsyncSession, reason: str) -> None:
        """Let finish what runs and begin nothing more, but what cleans up."""
        self.post(RunCancelled(time.time(), reason))
        session.withdraw()
        for command in self.gate.opened() if self.gate is not None else ():
            session.submit(command)

    def answer(self) -> PauseAnswered:
        """Ask a person about the paused task that has waited longest."""
        question = self.asked.popleft()
        approved, reason = False, "there is nobody to ask here: run it in a terminal"
        if self._ask is not None:
            plan = self.run.plan.tasks[question.task]
            name = plan.name if question.map_index < 0 else f"{plan.name}[{question.map_index}]"
            approved, reason = self._ask(name, question.message), "a person said no"
        return PauseAnswered(question.task, question.run_count, time.time(), approved, question.map_index, reason)

    def _carry_out(self, command: Command) -> None:
        assert self.session is not None, "a drive is given its session before its first event"
        match command:
            case SubmitTask():
                if self.gate is None or self.gate.passes(command):
                    self.session.submit(command)
            case ReleaseResult():
                self.session.release(command.ref)
            case ReleaseResults(_, refs):
                for ref in refs:
                    self.session.release(ref)
            case WakeAt(at, task, run_count, map_index):
                heapq.heappush(self._alarms, (at, task, map_index, run_count))
            case AskToResume() if not self._patient:
                self.asked.append(command)


def run_here(drive: Drive, begin: Event, session: StepSession) -> None:
    """Run to the end in the calling thread; a retry waits until nothing else is to be done."""
    drive.session = session
    drive.post(begin)
    while not drive.finished:
        alarm = drive.next_alarm
        if session.work(None if alarm is None else max(0.0, alarm - time.time())):
            continue
        if drive.asked:
            drive.post(drive.answer())
            continue
        assert alarm is not None, "an unfinished run has work or waits for a time"
        time.sleep(max(0.0, alarm - time.time()))
        drive.wake(time.time())


async def run_async(drive: Drive, begin: Event, session: Session) -> None:
    """Run to the end in this event loop; `post` must be called in it."""
    drive.session = session
    drive.post(begin)
    while not drive.finished:
        if drive._broken is not None:
            raise drive._broken
        drive._changed.clear()
        if drive.asked:
            drive.post(await asyncio.to_thread(drive.answer))
            continue
        delay = None if drive.next_alarm is None else max(0.0, drive.next_alarm - time.time())
        # Not wait_for: in Python 3.11 it can lose a cancelling that comes together with a change.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await drive._changed.wait()
        drive.wake(time.time())
