"""The engine's side of lanes: a session on a scheduler in this process.

What the engine submits is gathered until the loop is free, made into batches, and sent to workers with room; records
come back and become events. A task run that no lane can take, as it asks for resources, goes as a Dask task; one beside
the engine stays here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import Any

from distributed import Client, Future, Scheduler, Worker
from distributed.diagnostics.plugin import SchedulerPlugin

from headwater.core.states import Failed, Success
from headwater.engine.drive import Drive
from headwater.engine.events import NO_REF, SubmitTask, TaskEnded, TaskStarted
from headwater.executors.dask_session import INPUT_LOST, WORKER_LOST, DaskSession
from headwater.executors.failures import summary_of
from headwater.executors.here import ended
from headwater.executors.inline import Inline
from headwater.executors.lanes.batch import Began, Done, Ended, Lost, Record, Refused, Unrun
from headwater.executors.lanes.book import Book, Told
from headwater.executors.lanes.dispatch import Dispatcher, Place, name_of
from headwater.executors.lanes.records import RecordServer, host_of
from headwater.executors.lanes.worker import open_lanes
from headwater.executors.program import Program, RunInfo
from headwater.executors.work import Outcome

logger = logging.getLogger("headwater.executors.lanes")

# How long what a lost worker has written may take to arrive; longer, and nobody knows what it has run.
LAST_WORDS_SECONDS = 5.0


def missing_parts(scheduler: Scheduler) -> list[str]:
    """Return which of the parts that lanes need this version of distributed has not got."""
    wanted = [(scheduler, name) for name in ("client_comms", "stream_comms", "update_data", "client_releases_keys")]
    wanted += [(Worker, name) for name in ("update_data", "batched_send")]
    return [f"{owner}.{name}" for owner, name in wanted if not hasattr(owner, name)]


class LaneSession(DaskSession):
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
        self._book = Book()
        self._dispatcher = Dispatcher(scheduler, drive, self._book)
        self._plugin = _Watcher(self)
        self._connections: Counter[str] = Counter()
        self._server = RecordServer(self._on_connections, self._on_records)
        self._meet_at = meet_at or (host_of(scheduler.address), 0)
        self._opening = 0
        self._without_lanes = False
        self._closed = False

    async def start(self) -> None:
        await super().start()
        self._loop = asyncio.get_running_loop()
        context = self._scheduler.security.get_listen_args("scheduler").get("ssl_context")
        self._meeting = await self._server.start(*self._meet_at, context)
        # Each message at once: those of lanes are few and large, and somebody waits for each.
        for stream in (self._client.scheduler_comm, *self._scheduler.client_comms.values()):
            stream.interval = 0
        self._scheduler.add_plugin(self._plugin)
        for address in list(self._scheduler.workers):
            self.open(address)

    def close(self) -> None:
        self._closed = True
        super().close()
        if self._plugin.name in self._scheduler.plugins:
            self._scheduler.remove_plugin(self._plugin.name)
        self._dispatcher.close()
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
        elif not self._dispatcher.has_places and not self._opening and address in self._scheduler.workers:
            logger.warning("Task runs go as Dask tasks: no worker has lanes")
            self._without_lanes = True
            for command in self._dispatcher.take_all():
                super().submit(command)

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
            self._follow(self._judge(place))

    async def _judge(self, place: Place) -> None:
        certain = True
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while self._connections[place.address] > 0:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            certain = False
        judged = self._book.judge(place.address, certain)
        for command in judged.crashed:
            self._crash(command, WORKER_LOST)
        self._dispatcher.put(judged.again)

    def _on_connections(self, worker: str, more: int) -> None:
        self._connections[worker] += more

    # From the engine

    def submit(self, command: SubmitTask) -> None:
        plan = self._drive.run.plan.tasks[command.task]
        if plan.beside or plan.resources or self._without_lanes:
            super().submit(command)
            return
        name = name_of(command)
        if not self._book.knows(name):
            self._dispatcher.put([command])
            return
        told = self._book.submit(name, command)
        if told is None:
            self._later(self._crash, command, WORKER_LOST)
        elif told:
            self._later(self._post, told)

    # From the workers

    def _on_records(self, worker: str, records: list[Record]) -> None:
        for record in records:
            if self._closed:
                return
            match record:
                case Done(number):
                    self._dispatcher.done(worker, number)
                case Unrun(names):
                    self._dispatcher.put(self._book.put_back(names))
                case Refused():
                    self._refused(worker, record)
                case _:
                    if isinstance(record, Ended) and record.key is not None:
                        self._keep(worker, record)
                    self._post(self._book.take(record))

    def _keep(self, worker: str, record: Ended) -> None:
        """Let the scheduler know of a result that stays on its worker."""
        if worker in self._scheduler.workers:
            sizes = {record.key: record.nbytes}
            who_has = {record.key: [worker]}
            self._scheduler.update_data(who_has=who_has, nbytes=sizes, client=self._client.id)

    def _refused(self, worker: str, record: Refused) -> None:
        """A batch cannot be read where it was sent: each of its task runs goes by itself, to find which is to blame."""
        names = self._dispatcher.done(worker, record.number)
        commands = self._book.put_back(names)
        if len(names) > 1:
            self._dispatcher.put(commands, alone=True)
            return
        for command in commands:
            words = f"what it is given cannot be read on its worker ({record.words})"
            self._drive.post(ended(command, Outcome(Failed(words, TypeError(words)))))

    def _post(self, told: list[Told]) -> None:
        for command, record in told:
            if isinstance(record, Lost):
                self._crash(command, INPUT_LOST)
            elif isinstance(record, Began):
                task, index, count = record.name
                self._drive.post(TaskStarted(task, count, record.at, index, record.run_name))
            else:
                self._dispatcher.saw(command, record.seconds)
                self._drive.post(self._event(command, record))

    def _event(self, command: SubmitTask, record: Ended) -> TaskEnded:
        ref: Any = NO_REF
        if record.data is not None:
            ref = Inline(record.data)
        elif record.key is not None:
            ref = Future(record.key, self._client)
        if record.outcome is None:
            state, at = Success("Task run succeeded."), command.map_index
            return TaskEnded(command.task, command.run_count, record.at, state, ref, record.length, at)
        try:
            outcome = record.outcome.load(ref)
        except Exception as error:
            outcome = Outcome(Failed(f"How it ended cannot be read here: {summary_of(error)}", error))
        return replace(ended(command, outcome), at=record.at)


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
