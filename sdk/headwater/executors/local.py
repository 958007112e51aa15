"""Run tasks in this process: one after another in the thread that called, or in threads beside it."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from headwater.core.flow import Flow
from headwater.engine.drive import Drive, Post, run_here
from headwater.engine.events import Event, SubmitTask, TaskEnded
from headwater.engine.intervene import is_marked
from headwater.executors.beside import Beside
from headwater.executors.here import execute_here, withdrawn
from headwater.executors.program import FlowProgram, Program, RunInfo


class LocalExecutor:
    """Run each task in the thread that called `flow.run()`, one after another. The default."""

    def execute(self, flow: Flow, drive: Drive, info: RunInfo) -> None:
        session = LocalSession(FlowProgram.of(flow), info, drive)
        run_here(drive, info.begin(), session)

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

    def release(self, ref: Any) -> None:
        """The ref was the value; the engine has dropped it."""

    def work(self, timeout: float | None) -> bool:
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
        self._beside = Beside(program, info, drive.run)
        self._calls: dict[tuple[int, int, int], tuple[SubmitTask, Future[None]]] = {}
        self._withdrawing = False

    def submit(self, command: SubmitTask) -> None:
        def post(event: Event) -> None:
            self._loop.call_soon_threadsafe(self._drive.post, event)

        plan = self._drive.run.plan.tasks[command.task]
        if self._withdrawing and not plan.cleans_up:
            self._take_back(command)
        elif plan.beside:
            self._beside.start(command, post)
        else:
            name = (command.task, command.map_index, command.run_count)
            future = self._pool.submit(self._execute, command, post)
            self._calls[name] = command, future
            future.add_done_callback(lambda _: self._calls.pop(name, None))

    def _execute(self, command: SubmitTask, post: Post) -> None:
        if not is_marked(self._drive.run, command):
            execute_here(self._program, self._info, self._drive.run, command, post)

    def withdraw(self) -> None:
        self._withdrawing = True
        for command, future in list(self._calls.values()):
            if not self._drive.run.plan.tasks[command.task].cleans_up and future.cancel():
                self._take_back(command)

    def _take_back(self, command: SubmitTask) -> None:
        self._loop.call_soon(self._drive.post, withdrawn(command))

    def release(self, ref: Any) -> None:
        """The ref was the value; the engine has dropped it."""

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class PooledSession:
    """Task runs go to *threads* threads; the engine stays in the thread that called, which waits for their events."""

    def __init__(
        self, program: Program, info: RunInfo, drive: Drive, threads: int, own_program: Program | None = None
    ) -> None:
        self.program = program
        self.info = info
        self.drive = drive
        self._beside = Beside(own_program or program, info, drive.run)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._calls: queue.SimpleQueue[SubmitTask | None] = queue.SimpleQueue()
        self._under_way = 0
        self._threads = [
            threading.Thread(target=self._serve, name=f"task-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, command: SubmitTask) -> None:
        self._under_way += 1
        if self.drive.run.plan.tasks[command.task].beside:
            self._beside.start(command, self._take)
            return
        self._calls.put(command)

    def _take(self, event: Event) -> None:
        """Take in what a task run beside has posted; its last word ends it."""
        self._events.put(event)
        if isinstance(event, TaskEnded):
            self._events.put(None)

    def release(self, ref: Any) -> None:
        """The ref was the value; the engine has dropped it."""

    def _serve(self) -> None:
        while (command := self._calls.get()) is not None:
            self.execute(command, self._events.put)
            self._events.put(None)

    def execute(self, command: SubmitTask, post: Post) -> None:
        """Run one task, in one of the threads."""
        execute_here(self.program, self.info, self.drive.run, command, post)

    def work(self, timeout: float | None) -> bool:
        """Take in one event; False when none comes, as nothing is under way or not within *timeout* seconds."""
        self.drive.wake(time.time())
        if not self._under_way:
            return False
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return False
        if event is None:
            self._under_way -= 1
        else:
            self.drive.post(event)
        return True

    def close(self) -> None:
        for _ in self._threads:
            self._calls.put(None)
