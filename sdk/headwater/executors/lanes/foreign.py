"""Batches as tasks of a scheduler somewhere else: Dask chooses the worker and brings what a batch reads.

Records come over Dask's event log, so that after the loss of a worker nobody knows the last of them: all of a batch
that has not ended counts as begun.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from dataclasses import replace
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from headwater.engine.drive import Drive
from headwater.executors.dask_session import INPUT_LOST, WORDS_SECONDS
from headwater.executors.failures import summary_of
from headwater.executors.lanes.batch import Ended, Kept, Record, Refused
from headwater.executors.lanes.dask_batch import run_batch
from headwater.executors.lanes.making import Making
from headwater.executors.lanes.places import Place
from headwater.executors.lanes.session import BatchSession
from headwater.executors.program import Program, RunInfo

logger = logging.getLogger("headwater.executors.lanes")

# All workers together, as Dask chooses among them.
CLUSTER = "cluster"

# How often it is asked how many threads there are.
COUNT_SECONDS = 2.0

# A cluster that grows with its work shall see some, though it has no worker yet.
FEWEST_THREADS = 4


class ForeignSession(BatchSession):
    """Task runs in batches that are Dask tasks. Used in the event loop of *client* only."""

    def __init__(
        self, client: Client, program: Program, info: RunInfo, drive: Drive, own_program: Program | None = None
    ) -> None:
        super().__init__(client, program, info, drive, own_program)
        self._batch_topic = f"{self._topic}-batches"
        self._sizes: dict[str, int] = {}
        self._told: asyncio.Queue[tuple[int, list[Record]]] = asyncio.Queue()
        self._place = Place(CLUSTER, FEWEST_THREADS, alone_answerable=True)

    async def start(self) -> None:
        await super().start()
        self._dispatch_by(self, self)
        self._client.subscribe_topic(self._batch_topic, self._on_told)
        await self._count()
        self._dispatcher.add(self._place)
        self._follow(self._keep_counting())
        self._follow(self._take_told())

    async def _count(self) -> None:
        threads = await self._client.scheduler.ncores()
        self._place.threads = max(FEWEST_THREADS, sum(threads.values()))

    async def _keep_counting(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            await self._count()

    # A transport

    def send(self, place: str, number: int, data: bytes, making: Making) -> None:
        plan = self._drive.run.plan.tasks[making.steps[0].name[0]]
        future = self._client.submit(
            run_batch,
            self._program,
            replace(self._info, given={}),
            self._id,
            self._batch_topic,
            number,
            data,
            making.refs,
            # The part before the id is what Dask's dashboard calls it.
            key=f"{plan.name}-{self._id}-batch-{number:x}",
            pure=False,
            retries=0,
        )
        self._follow(self._await_batch(number, future))

    def recall(self, place: str, number: int) -> None:
        """What a Dask task has not begun cannot be taken back from it."""

    # A store

    def find(self, ref: Any) -> Kept | None:
        lost = not isinstance(ref, Future) or ref.status in ("cancelled", "lost", "error")
        return None if lost else Kept(ref.key, ())

    def nbytes(self, key: str) -> int:
        return self._sizes.get(key, 0)

    def release(self, ref: Any) -> None:
        if isinstance(ref, Future):
            self._sizes.pop(ref.key, None)
        super().release(ref)

    # From the workers

    def _on_told(self, event: tuple[float, tuple[int, bytes]]) -> None:
        number, data = event[1]
        self._told.put_nowait((number, pickle.loads(data)))

    async def _take_told(self) -> None:
        """Take in what is told, in its order."""
        while True:
            _, records = await self._told.get()
            kept = [record for record in records if isinstance(record, Ended) and record.key is not None]
            if kept:
                await self._register(kept)
            self._take(CLUSTER, records)

    async def _register(self, kept: list[Ended]) -> None:
        """Let the scheduler know of results that stay on their worker, before anybody asks for them."""
        sizes = {str(record.key): record.nbytes for record in kept}
        self._sizes |= sizes
        who_has = {str(record.key): [record.worker] for record in kept}
        await self._client.scheduler.update_data(who_has=who_has, nbytes=sizes, client=self._client.id)

    async def _await_batch(self, number: int, future: Future) -> None:
        """A batch tells by itself how it goes; here its loss is noticed."""
        error = await future.exception()
        if error is None and future.status == "finished":
            await asyncio.sleep(WORDS_SECONDS)
            error = KilledWorker("its records were lost", None, 0)
        if number not in self._place.batches or self._closed:
            return
        if isinstance(error, KilledWorker):
            self._lose(number)
        elif error is None or future.status in ("cancelled", "lost"):
            await self._count()  # raises when it is the scheduler that was lost
            self._lose(number, INPUT_LOST)
        else:
            self._take(CLUSTER, [Refused(number, summary_of(error))])

    def _lose(self, number: int, reason: str | None = None) -> None:
        self._dispatcher.done(CLUSTER, number)
        self._judge(f"{CLUSTER}/{number}", certain=False, reason=reason)
