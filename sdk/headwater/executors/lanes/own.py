"""Lanes on a scheduler of ours: batches go over its streams, records come back on connections of our own."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import Any

from distributed import Client, Scheduler, Worker
from distributed.diagnostics.plugin import SchedulerPlugin

from headwater.engine.drive import Drive
from headwater.executors.failures import summary_of
from headwater.executors.lanes.batch import CLOSE, RECALL, RUN, Ended, Kept, Record
from headwater.executors.lanes.making import Making
from headwater.executors.lanes.places import Place
from headwater.executors.lanes.records import RecordServer, host_of
from headwater.executors.lanes.session import BatchSession
from headwater.executors.lanes.worker import open_lanes
from headwater.executors.program import Program, RunInfo

logger = logging.getLogger("headwater.executors.lanes")

# How long what a lost worker has written may take to arrive; longer, and nobody knows what it has run.
LAST_WORDS_SECONDS = 5.0


def missing_parts(scheduler: Scheduler) -> list[str]:
    """Return which of the parts that lanes need this version of distributed has not got."""
    wanted = [(scheduler, name) for name in ("client_comms", "stream_comms", "update_data", "client_releases_keys")]
    return [f"Scheduler.{name}" for owner, name in wanted if not hasattr(owner, name)] + missing_on_workers()


def missing_on_workers() -> list[str]:
    """Return which of the parts that batches need on a worker this version of distributed has not got."""
    return [f"Worker.{name}" for name in ("update_data", "batched_send", "log_event") if not hasattr(Worker, name)]


class Streams:
    """A scheduler's streams to its workers, and what it knows of results."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def send(self, place: str, number: int, data: bytes, making: Making) -> None:
        self.tell(place, {"op": RUN, "number": number, "batch": data})

    def recall(self, place: str, number: int) -> None:
        self.tell(place, {"op": RECALL, "number": number})

    def tell(self, place: str, message: dict[str, Any]) -> None:
        stream = self._scheduler.stream_comms.get(place)
        if stream is not None and not stream.closed():
            stream.send(message)

    def find(self, ref: Any) -> Kept | None:
        state = self._scheduler.tasks.get(ref.key)
        if state is None or not state.who_has:
            return None
        return Kept(ref.key, tuple(worker.address for worker in state.who_has))

    def nbytes(self, key: str) -> int:
        return max(0, int(self._scheduler.tasks[key].nbytes))


class LaneSession(BatchSession):
    """Task runs in lanes. Used in the event loop of scheduler and client only."""

    def __init__(
        self,
        client: Client,
        scheduler: Scheduler,
        program: Program,
        info: RunInfo,
        drive: Drive,
        own_program: Program | None = None,
        meet_at: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(client, program, info, drive, own_program)
        self._scheduler = scheduler
        self._streams = Streams(scheduler)
        self._plugin = _Watcher(self)
        self._connections: Counter[str] = Counter()
        self._server = RecordServer(self._on_connections, self._on_records)
        self._meet_at = meet_at or (host_of(scheduler.address), 0)
        self._opening = 0

    async def start(self) -> None:
        await super().start()
        self._dispatch_by(self._streams, self._streams)
        context = self._scheduler.security.get_listen_args("scheduler").get("ssl_context")
        self._meeting = await self._server.start(*self._meet_at, context)
        # Each message at once: those of lanes are few and large, and somebody waits for each.
        for stream in (self._client.scheduler_comm, *self._scheduler.client_comms.values()):
            stream.interval = 0
        self._scheduler.add_plugin(self._plugin)
        for address in list(self._scheduler.workers):
            self.open(address)

    def close(self) -> None:
        super().close()
        if self._plugin.name in self._scheduler.plugins:
            self._scheduler.remove_plugin(self._plugin.name)
        for place in self._dispatcher.places:
            self._streams.tell(place, {"op": CLOSE})
        self._server.close()

    # Workers

    def open(self, address: str) -> None:
        if not self._closed:
            self._follow(self._open(address))

    async def _open(self, address: str) -> None:
        self._opening += 1
        threads = await self._opened(address)
        self._opening -= 1
        if threads is not None and address in self._scheduler.workers:
            self._dispatcher.add(Place(address, threads))
        elif not self._dispatcher.places and not self._opening and address in self._scheduler.workers:
            logger.warning("Task runs go as Dask tasks: no worker has lanes")
            self._go_without_batches()

    async def _opened(self, address: str) -> int | None:
        """Open the lanes of a worker and return how many they are, None when that does not work."""
        if address in self._scheduler.stream_comms:
            self._scheduler.stream_comms[address].interval = 0
        future = self._client.submit(
            open_lanes,
            self._program,
            replace(self._info, given={}),
            self._id,
            self._meeting,
            key=f"open-lanes-{self._id}-{address}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        try:
            return int(await future)
        except Exception as error:
            logger.error("The lanes of worker %s cannot be opened: %s", address, summary_of(error))
            return None
        finally:
            future.release()

    def lost(self, address: str) -> None:
        """A worker is gone; what it has written may still be on its way."""
        place = self._dispatcher.remove(address)
        if place is not None and not self._closed:
            self._follow(self._judge_when_read(address))

    async def _judge_when_read(self, address: str) -> None:
        certain = True
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while self._connections[address] > 0:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            certain = False
        self._judge(address, certain)

    def _on_connections(self, worker: str, more: int) -> None:
        self._connections[worker] += more

    def _on_records(self, worker: str, records: list[Record]) -> None:
        try:
            self._take_records(worker, records)
        except Exception as error:
            self._drive.give_up(error)

    def _take_records(self, worker: str, records: list[Record]) -> None:
        for record in records:
            if isinstance(record, Ended) and record.key is not None and worker in self._scheduler.workers:
                # Let the scheduler know of a result that stays on its worker.
                sizes, who_has = {record.key: record.nbytes}, {record.key: [worker]}
                self._scheduler.update_data(who_has=who_has, nbytes=sizes, client=self._client.id)
        self._take(worker, records)


class _Watcher(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Tell a session of workers that come and go."""

    def __init__(self, session: LaneSession) -> None:
        self.name = f"headwater-lanes-{id(session):x}"
        self._session = session

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        asyncio.get_running_loop().call_soon(self._session.open, worker)

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        self._session.lost(worker)


__all__ = ["LaneSession", "missing_parts"]
