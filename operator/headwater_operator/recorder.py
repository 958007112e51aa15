"""Writes Events, beside the reconciliations: nothing waits for it, and nothing fails with it.

Each object has one Event for each reason. What is told again is counted there, after growing pauses, so that what
flaps costs a write in a while; what is withdrawn before it has settled is not written at all. Events are worth
an attempt and no more: the status has the facts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from headwater.core.errors import ClusterError
from headwater.resources.names import event_name
from headwater_operator.api import Api, ApiError
from headwater_operator.events import Event
from headwater_operator.kinds import EVENT, Manifest
from headwater_operator.objects.event import again, event_manifest

logger = logging.getLogger("headwater.operator.events")

# Between two writes of one Event, doubled with each.
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0

# So many Events wait to be written; more are left out, and counted.
MOST_WAITING = 2000
# So many are remembered, to be counted without being read.
MOST_KNOWN = 10_000

Key = tuple[str, str]  # uid of the object, reason


@dataclass
class _Waiting:
    event: Event
    about: Manifest
    settled: float
    due: float
    count: int = 1


@dataclass
class _Written:
    count: int
    at: float
    pause: float = FIRST_PAUSE_SECONDS


class Recorder:
    """`tell` what happened; it is written soon. *outcomes* counts what became of it."""

    def __init__(self, api: Api, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._api = api
        self._now = now
        self._waiting: dict[Key, _Waiting] = {}
        self._written: dict[Key, _Written] = {}  # the oldest first
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.outcomes = {"written": 0, "failed": 0, "dropped": 0}

    def start(self) -> None:
        self._task = asyncio.create_task(self._write_for_ever())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def tell(self, about: Manifest, events: Iterable[Event]) -> None:
        """Take in what happened to an object. Never waits, never raises."""
        for event in events:
            self._tell(about, event)

    def withdraw(self, about: Manifest) -> None:
        """Leave out what has not lasted, as the object's state has changed or it is gone."""
        now, uid = asyncio.get_running_loop().time(), about["metadata"]["uid"]
        for key in [key for key, held in self._waiting.items() if key[0] == uid and held.settled > now]:
            del self._waiting[key]

    def _tell(self, about: Manifest, event: Event) -> None:
        now, key = asyncio.get_running_loop().time(), (about["metadata"]["uid"], event.reason)
        held = self._waiting.get(key)
        if held is not None:
            held.event, held.count = event, held.count + 1
            return
        if len(self._waiting) >= MOST_WAITING:
            self.outcomes["dropped"] += 1
            return
        written = self._written.get(key)
        settled = now + event.settle_seconds
        due = max(settled, written.at + written.pause if written is not None else now)
        self._waiting[key] = _Waiting(event, about, settled, due)
        self._changed.set()

    async def _write_for_ever(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            due = [key for key, held in self._waiting.items() if held.due <= now]
            for key in due:
                held = self._waiting.pop(key, None)  # it may be withdrawn while another is written
                if held is not None:
                    await self._try(key, held)
            if due:
                continue
            self._changed.clear()
            pause = min((held.due - now for held in self._waiting.values()), default=None)
            # Not wait_for: in Python 3.11 it can lose a cancelling, and the recorder would never end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    async def _try(self, key: Key, held: _Waiting) -> None:
        try:
            count = await self._write(key, held)
        except Exception as error:  # whatever it is, the next Event is to be written
            self.outcomes["failed"] += 1
            level = logging.DEBUG if isinstance(error, ClusterError) else logging.ERROR
            logger.log(level, "Event %s of %s: %s", key[1], held.about["metadata"]["name"], error)
            return
        self.outcomes["written"] += 1
        before = self._written.pop(key, None)
        pause = FIRST_PAUSE_SECONDS if before is None else min(2 * before.pause, LONGEST_PAUSE_SECONDS)
        self._written[key] = _Written(count, asyncio.get_running_loop().time(), pause)
        if len(self._written) > MOST_KNOWN:
            del self._written[next(iter(self._written))]

    async def _write(self, key: Key, held: _Waiting) -> int:
        """Write an Event or count it on; return how often it has been told."""
        known = self._written.get(key)
        if known is not None:
            with contextlib.suppress(_Gone):
                return await self._count_on(held, known.count)
        try:
            await self._api.create(event_manifest(held.event, held.about, held.count, self._now()))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            # An operator before this one has told it.
            name, namespace = self._name(held), held.about["metadata"]["namespace"]
            found = await self._api.get(EVENT, namespace, name)
            return await self._count_on(held, int(found.get("count") or 0))
        return held.count

    async def _count_on(self, held: _Waiting, before: int) -> int:
        count = before + held.count
        fields = again(held.event, count, self._now())
        try:
            await self._api.patch(EVENT, held.about["metadata"]["namespace"], self._name(held), fields)
        except ApiError as error:
            if error.status == 404:  # Events live for an hour or so
                raise _Gone from None
            raise
        return count

    def _name(self, held: _Waiting) -> str:
        metadata = held.about["metadata"]
        return event_name(metadata["name"], metadata["uid"], held.event.reason)


class _Gone(Exception):
    """The Event that was to be counted on is not there any more."""
