"""The results that a worker holds, as its batches use them: kept, fetched from other workers, released by Dask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from dask.sizeof import sizeof
from distributed.worker import get_data_from_worker

from headwater.executors.boxed import boxed, unboxed
from headwater.executors.lanes.batch import Kept, Name

logger = logging.getLogger("headwater.executors.lanes")

FETCH_TRIES = 5
# How long after the first try the second one comes; each further one takes twice as long.
BUSY_SECONDS = 0.05


class Shelf:
    """The data of one worker. Its methods are called in threads of ours, never in the worker's event loop."""

    def __init__(self, worker: Any, session: str) -> None:
        self._worker = worker
        self._loop = worker.loop.asyncio_loop
        self._prefix = f"headwater-{session}"
        self.address: str = worker.address

    def keep(self, name: Name, value: Any) -> tuple[str, int]:
        """Make a result data of this worker, before anybody is told of it; return its key and its size in bytes."""
        key = f"{self._prefix}-{'-'.join(map(str, name))}"
        asyncio.run_coroutine_threadsafe(self._keep(key, boxed(value)), self._loop).result()
        return key, int(sizeof(value))

    async def _keep(self, key: str, value: Any) -> None:
        self._worker.update_data({key: value})

    def fetch(self, entries: list[Kept]) -> dict[str, Any]:
        """Return results of this worker, or of another that holds them; what cannot be had is left out."""
        if not entries:
            return {}
        found = asyncio.run_coroutine_threadsafe(self._gather(entries), self._loop).result()
        return {key: unboxed(value) for key, value in found.items()}

    async def _gather(self, entries: Iterable[Kept]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        by_holder: dict[str, list[str]] = {}
        for entry in entries:
            if entry.key in self._worker.data:
                found[entry.key] = self._worker.data[entry.key]
            else:
                by_holder.setdefault(entry.holders[0], []).append(entry.key)
        for holder, keys in by_holder.items():
            fetched = await self._get(holder, keys)
            self._hold(fetched)
            found |= fetched
        return found

    def _hold(self, fetched: dict[str, Any]) -> None:
        """Let what was fetched stay here for the batches that come, until the scheduler releases it everywhere."""
        if fetched:
            self._worker.update_data(fetched)
            self._worker.batched_send({"op": "add-keys", "keys": list(fetched)})

    async def _get(self, holder: str, keys: list[str]) -> dict[str, Any]:
        for attempt in range(FETCH_TRIES):
            try:
                answer = await get_data_from_worker(self._worker.rpc, keys, holder, who=self._worker.address)
            except (OSError, TimeoutError) as error:
                logger.debug("Results cannot be fetched from %s: %s", holder, error)
                break
            if answer["status"] == "OK":
                return dict(answer["data"])
            await asyncio.sleep(BUSY_SECONDS * 2**attempt)  # it is busy with others
        return {}
