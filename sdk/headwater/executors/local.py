"""Run tasks in this process: one after another (LocalExecutor), or in threads of an event loop's process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from headwater.core.flow import Flow
from headwater.engine.drive import Drive, Post, run_here
from headwater.engine.events import Event, ReleaseResult, RunBegan, SubmitTask, TaskFailed, TaskStarted, TaskSucceeded
from headwater.engine.machine import Run
from headwater.executors.work import FlowProgram, Program, RunInfo, run_task


class LocalExecutor:
    """Run tasks one at a time in the thread that called `flow.run()`. The default."""

    def execute(self, flow: Flow, drive: Drive, info: RunInfo) -> None:
        session = LocalSession(FlowProgram.of(flow), info, drive)
        run_here(drive, RunBegan(time.time(), dict(info.parameters)), session)

    def __repr__(self) -> str:
        return "<LocalExecutor>"


class LocalSession:
    """Task runs wait in a line and are run by `work`, in the order in which they became ready."""

    def __init__(self, program: Program, info: RunInfo, drive: Drive) -> None:
        self._program = program
        self._info = info
        self._drive = drive
        self._line: deque[SubmitTask] = deque()

    def submit(self, command: SubmitTask) -> None:
        self._line.append(command)

    def release(self, command: ReleaseResult) -> None:
        """The ref was the value; the engine has dropped it."""

    def work(self) -> bool:
        if not self._line:
            return False
        execute_here(self._program, self._info, self._drive.run, self._line.popleft(), self._drive.post)
        return True


class ThreadSession:
    """Task runs go to *threads* threads of this process; the engine stays in the event loop.

    For runs without workers. A result is a plain object in memory and its ref the object itself.
    """

    def __init__(self, program: Program, info: RunInfo, drive: Drive, threads: int) -> None:
        self._program = program
        self._info = info
        self._drive = drive
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="task")

    def submit(self, command: SubmitTask) -> None:
        def post(event: Event) -> None:
            self._loop.call_soon_threadsafe(self._drive.post, event)

        self._pool.submit(execute_here, self._program, self._info, self._drive.run, command, post)

    def release(self, command: ReleaseResult) -> None:
        """The ref was the value; the engine has dropped it."""

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def execute_here(program: Program, info: RunInfo, run: Run, command: SubmitTask, post: Post) -> None:
    """Run one task in this thread and post how it went."""
    i, count = command.task, command.run_count
    post(TaskStarted(i, count, time.time()))
    value, failure = run_task(program, info, run.plan.tasks[i].slug, count, command.inputs)
    if failure is None:
        post(TaskSucceeded(i, count, time.time(), value))
    else:
        post(TaskFailed(i, count, time.time(), failure))
