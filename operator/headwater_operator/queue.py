"""Keys that want to be looked at: each once at a time, several at once, failures again with growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

logger = logging.getLogger("headwater.operator.queue")

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, order=True)
class WorkKey:
    kind: str
    namespace: str
    name: str


Reconcile = Callable[[WorkKey], Awaitable[float | None]]
# Told of each reconciliation: its key, its seconds, whether it failed.
Told = Callable[[WorkKey, float, bool], None]


class WorkQueue:
    """`add` a key and one of the workers calls *reconcile* with it soon.

    A key that is added while it is being worked on is worked on once more afterwards. What
    *reconcile* returns is the number of seconds after which it wants to see the key again.
    """

    def __init__(self, reconcile: Reconcile, workers: int = 16, told: Told = lambda *_: None) -> None:
        self._told = told
        self._reconcile = reconcile
        self._workers = workers
        self._due: list[tuple[float, WorkKey]] = []
        self._when: dict[WorkKey, float] = {}  # the time a waiting key is due; older heap entries are void
        self._active: dict[WorkKey, float] = {}
        self._failures: dict[WorkKey, int] = {}
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        self._stopping = False
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]

    async def stop(self) -> None:
        """End the workers where they are; even one whose *reconcile* was not to be cancelled begins no other key."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add(self, key: WorkKey, delay_seconds: float = 0.0) -> None:
        """Look at a key after a delay, or earlier when it was to be looked at earlier."""
        async with self._changed:
            self._add(key, delay_seconds)
            self._changed.notify()

    def oldest_seconds(self) -> float:
        """How long the longest running reconciliation, or the most overdue key, has been at it."""
        now = time.monotonic()
        waiting = [now - due for key, due in self._when.items() if due <= now and key not in self._active]
        return max([now - since for since in self._active.values()] + waiting, default=0.0)

    def due(self) -> int:
        """How many keys wait for a worker although it is their time."""
        now = time.monotonic()
        return sum(1 for due in self._when.values() if due <= now)

    def _add(self, key: WorkKey, delay_seconds: float) -> None:
        due = time.monotonic() + delay_seconds
        if self._when.get(key, float("inf")) <= due:
            return
        self._when[key] = due
        heapq.heappush(self._due, (due, key))

    async def _take(self) -> WorkKey:
        async with self._changed:
            while True:
                pause = self._pause()
                if pause == 0.0:
                    key = self._pop()
                    if key is not None:
                        self._active[key] = time.monotonic()
                        return key
                    continue
                # Not wait_for: in Python 3.11 it can lose a cancelling, and the worker would never end.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()

    def _pause(self) -> float | None:
        """Seconds until a key may be due; 0 when one is; None when there is none."""
        while self._due and self._when.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None

    def _pop(self) -> WorkKey | None:
        _, key = heapq.heappop(self._due)
        if key in self._active:
            # Come back when it is done: `_work` sees the due time that stays in _when.
            return None
        del self._when[key]
        return key

    async def _work(self) -> None:
        while not self._stopping:
            key = await self._take()
            try:
                again = await self._reconcile(key)
                self._failures.pop(key, None)
            except Exception as error:
                count = self._failures[key] = self._failures.get(key, 0) + 1
                again = min(FIRST_PAUSE_SECONDS * 2 ** (count - 1), LONGEST_PAUSE_SECONDS)
                level = logging.INFO if count == 1 else logging.WARNING
                logger.log(
                    level,
                    "%s %s/%s: %s; again in %.1f s",
                    key.kind,
                    key.namespace,
                    key.name,
                    error,
                    again,
                    exc_info=not isinstance(error, ConnectionError) and count == 3,
                )
            async with self._changed:
                began = self._active.pop(key)
                self._told(key, time.monotonic() - began, key in self._failures)
                if key in self._when:  # it was added meanwhile; its heap entry is gone
                    heapq.heappush(self._due, (self._when[key], key))
                if again is not None:
                    self._add(key, again)
                self._changed.notify()
