"""Call a task's function: plain or async, with or without a limit on its time.

A function that takes too long is really stopped. In the main thread a signal interrupts it; elsewhere Python cannot,
so that it runs in a process of its own, which is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import FrameType
from typing import Any

from headwater.core.task import Task

# An interrupted function may swallow the first signal; the next ones come until it is over.
REPEAT_SECONDS = 0.5


class TimedOutError(TimeoutError):
    """The task took longer than its timeout; not to be mistaken for a TimeoutError of its own."""

    headwater_timed_out = True


def call_task(task: Task, arguments: Mapping[str, Any], name: str) -> Any:
    """Return what the task's function returns. Raises what it raises, TimedOutError when it took too long."""
    if task.timeout is None or task.beside_engine:  # what runs beside the engine keeps its time itself
        return run_function(task, arguments)
    if inspect.iscoroutinefunction(task.run):
        return _await(_limited(task, arguments))
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        with _alarm(task, name):
            return run_function(task, arguments)
    from headwater.executors.processes import call_in_process

    return call_in_process(task, arguments, task.timeout)


def run_function(task: Task, arguments: Mapping[str, Any]) -> Any:
    """Call the function here, and wait for it if it is async."""
    result = task.run(**arguments)
    return _await(result) if inspect.iscoroutine(result) else result


async def _limited(task: Task, arguments: Mapping[str, Any]) -> Any:
    try:
        async with asyncio.timeout(task.timeout) as limit:
            return await task.run(**arguments)
    except TimeoutError:
        if limit.expired():
            raise TimedOutError(f"{task.name} timed out") from None
        raise


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # Called in a thread that has a loop, as notebooks do: the task gets a loop of its own beside it.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, coroutine).result()


@contextlib.contextmanager
def _alarm(task: Task, name: str) -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimedOutError(f"{name} timed out")

    assert task.timeout is not None, "without a limit there is no alarm"
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, task.timeout, REPEAT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
