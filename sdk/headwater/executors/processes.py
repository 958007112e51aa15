"""Processes of our own for work that has to be stopped or kept apart: killed when it takes too long, and alone to blame
when it dies.

Parent and child exchange frames: a length, then a pickle. The child sends what it prints and logs as it comes, and one
answer at last. It is a plain `python -m`, so that it works inside any worker, also where daemons may have no children.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pickle
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from headwater.core.context import context
from headwater.core.errors import TaskCrashedError
from headwater.core.task import Task
from headwater.executors.call import TimedOutError, run_function

HEADER = struct.Struct("!Q")
IDLE_PROCESSES = 4  # kept for the next call; a new one takes a moment to start


class TaskProcess:
    """A child that runs one callable at a time. Used by one thread at a time."""

    def __init__(self) -> None:
        folders = os.pathsep.join(folder for folder in sys.path if folder)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "headwater.executors.task_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": folders},
            start_new_session=True,  # what it starts in its turn is killed with it
        )
        assert self._child.stdin is not None, "it was asked for"
        assert self._child.stdout is not None, "it was asked for"
        self._to, self._from = self._child.stdin, self._child.stdout
        self._buffer = bytearray()

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def call(self, work: bytes, timeout: float | None, on_frame: Callable[[str, Any], None]) -> Any:
        """Let the child run a pickled callable, and return its pickled answer.

        Other frames go to *on_frame*. Raises TimedOutError and TaskCrashedError; the child is gone then.
        """
        deadline = None
        try:
            self._send(work)
            while True:
                kind, content = pickle.loads(self._receive(deadline))
                if kind == "answer":
                    return content
                if kind == "begun":
                    # Starting Python and importing the user's modules is not the task's time.
                    deadline = None if timeout is None else time.monotonic() + timeout
                else:
                    on_frame(kind, content)
        except BaseException:
            self.kill()
            raise

    def _send(self, data: bytes) -> None:
        try:
            self._to.write(HEADER.pack(len(data)) + data)
            self._to.flush()
        except OSError:
            raise TaskCrashedError(self._how_it_ended()) from None

    def _receive(self, deadline: float | None) -> bytes:
        head = HEADER.size
        self._fill(head, deadline)
        (length,) = HEADER.unpack(self._buffer[:head])
        self._fill(head + length, deadline)
        data = bytes(self._buffer[head : head + length])
        del self._buffer[: head + length]
        return data

    def _fill(self, wanted: int, deadline: float | None) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            while len(self._buffer) < wanted:
                left = None if deadline is None else deadline - time.monotonic()
                if (left is not None and left <= 0) or not selector.select(left):
                    raise TimedOutError("the process was killed, as it took too long")
                data = os.read(self._from.fileno(), 1 << 20)
                if not data:
                    raise TaskCrashedError(self._how_it_ended())
                self._buffer += data

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5.0)
        code = self._child.returncode
        if code is not None and code < 0:
            return f"the process that ran it was killed by {signal.Signals(-code).name}"
        return f"the process that ran it ended with exit code {code}"

    def kill(self) -> None:
        """End the child, and all that it has started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()


_idle: list[TaskProcess] = []
_lock = threading.Lock()


def take() -> TaskProcess:
    """Return an idle child, or a new one."""
    with _lock:
        while _idle:
            process = _idle.pop()
            if process.alive:
                return process
            process.kill()
    return TaskProcess()


def give_back(process: TaskProcess) -> None:
    """Keep a child that has answered for the next call."""
    with _lock:
        if process.alive and len(_idle) < IDLE_PROCESSES:
            _idle.append(process)
            return
    process.kill()


def stop_idle() -> None:
    """End the children that wait for work."""
    with _lock:
        while _idle:
            _idle.pop().kill()


atexit.register(stop_idle)


def call_in_process(task: Task, arguments: Mapping[str, Any], timeout: float | None) -> Any:
    """Run a task's function in a child and return its value.

    Raises what the function raises; TaskError in the place of what cannot be brought here, TimedOutError and
    TaskCrashedError for a child that was killed or died, and TypeError when the arguments cannot be brought there.
    """
    values = {name: value for name, value in context.values().items() if name != "logger"}
    try:
        work = cloudpickle.dumps(_FunctionCall(task, dict(arguments), values))
    except Exception as error:
        raise TypeError(
            f'task "{task.name}" has a timeout and runs in a process of its own in this executor, but its function or '
            f"arguments cannot be pickled ({error}); hand over plain data, or leave out the timeout"
        ) from None
    process = take()
    ok, answer = process.call(work, timeout, show)
    give_back(process)
    if ok:
        return pickle.loads(answer)
    raise answer.load()


class _FunctionCall:
    """A task's function with its arguments and what headwater.context holds; called in the child."""

    def __init__(self, task: Task, arguments: dict[str, Any], values: dict[str, Any]) -> None:
        self.task, self.arguments, self.values = task, arguments, values

    def __call__(self, emit: Callable[[str, Any], None]) -> tuple[bool, Any]:
        with context(**self.values, logger=self.task.logger):
            try:
                return True, cloudpickle.dumps(run_function(self.task, self.arguments))
            except BaseException as error:
                from headwater.executors.wire import pack_error

                return False, pack_error(error)


def show(kind: str, content: Any) -> None:
    """Print and log here what the child printed and logged."""
    if kind == "log":
        name, level, text = content
        logging.getLogger(name).log(level, "%s", text)
    elif kind in ("stdout", "stderr"):
        getattr(sys, kind).write(content)
