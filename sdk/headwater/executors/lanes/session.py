"""The engine's side of batches: what it submits becomes batches, and the records that come back become events.

How batches reach the workers, and what is known of them, is different on a scheduler of ours (`own`) and on any other
(`foreign`). A task run that asks for resources goes as a Dask task; one beside the engine stays here.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from distributed import Client, Future

from headwater.core.states import Failed, Success
from headwater.engine.drive import Drive
from headwater.engine.events import NO_REF, SubmitTask, TaskEnded, TaskStarted
from headwater.executors.dask_session import INPUT_LOST, WORKER_LOST, DaskSession
from headwater.executors.failures import summary_of
from headwater.executors.here import ended
from headwater.executors.inline import Inline
from headwater.executors.lanes.batch import Began, Done, Ended, Lost, Record, Refused, Unrun
from headwater.executors.lanes.book import Book, Told
from headwater.executors.lanes.dispatch import Dispatcher, Transport
from headwater.executors.lanes.making import Store
from headwater.executors.lanes.places import name_of
from headwater.executors.lanes.spared import Spared
from headwater.executors.program import Program, RunInfo
from headwater.executors.work import Outcome

logger = logging.getLogger("headwater.executors.lanes")

# Of all that simply succeeded; their results are not in their states.
SUCCESS = Success("Task run succeeded.")


class BatchSession(DaskSession):
    """Task runs in batches. Used in the event loop of *client* only."""

    def __init__(
        self, client: Client, program: Program, info: RunInfo, drive: Drive, own_program: Program | None = None
    ) -> None:
        super().__init__(client, program, info, drive, own_program)
        self._book = Book()
        self._closed = False
        self._without_batches = False
        self._spared = Spared()

    def _dispatch_by(self, transport: Transport, store: Store) -> None:
        self._dispatcher = Dispatcher(transport, store, self._drive, self._book)
        self._spared.begin()

    def close(self) -> None:
        self._closed = True
        super().close()
        self._dispatcher.close()
        self._spared.end()

    # From the engine

    def submit(self, command: SubmitTask) -> None:
        plan = self._drive.run.plan.tasks[command.task]
        if plan.beside or plan.resources or self._without_batches:
            super().submit(command)
            return
        name = name_of(command)
        if not self._book.knows(name):
            self._put([command])
            return
        told = self._book.submit(name, command)
        if told is None:
            self._later(self._crash, command, WORKER_LOST)
        elif told:
            self._later(self._post, told)

    def withdraw(self) -> None:
        """Take back what is not sent, and ask the workers for what they have not begun."""
        super().withdraw()
        self._put(self._dispatcher.take_all())
        self._dispatcher.call_all_back()

    def _put(self, commands: list[SubmitTask], alone: bool = False) -> None:
        self._dispatcher.put([command for command in commands if not self._taken_back(command)], alone)

    def _go_without_batches(self) -> None:
        self._without_batches = True
        for command in self._dispatcher.take_all():
            super().submit(command)

    # From the workers

    def _take(self, place: str, records: list[Record]) -> None:
        """Take in what was told by a place where batches go."""
        over = {record.name for record in records if isinstance(record, Ended)}
        for record in records:
            if self._closed:
                return
            kind = type(record)
            if kind is Began:
                # One that has ended meanwhile is told of once.
                if record.name not in over:  # type: ignore[union-attr]  # by its kind
                    self._post(self._book.take(record))  # type: ignore[arg-type]
            elif kind is Ended or kind is Lost:
                self._post(self._book.take(record))  # type: ignore[arg-type]
            elif isinstance(record, Done):
                self._dispatcher.done(place, record.number)
            elif isinstance(record, Unrun):
                self._put(self._book.put_back(record.names))
            elif isinstance(record, Refused):
                self._refused(place, record)

    def _refused(self, place: str, record: Refused) -> None:
        """A batch cannot be read where it was sent: each of its task runs goes by itself, to find which is to blame."""
        names = self._dispatcher.done(place, record.number)
        commands = self._book.put_back(names)
        if len(names) > 1:
            self._put(commands, alone=True)
            return
        for command in commands:
            words = f"what it is given cannot be read on its worker ({record.words})"
            self._drive.post(ended(command, Outcome(Failed(words, TypeError(words)))))

    def _post(self, told: list[Told]) -> None:
        for command, record in told:
            if isinstance(record, Ended):
                if record.began is not None:
                    self._dispatcher.saw(command, record.at - record.began)
                self._drive.post(self._event(command, record))
                self._spared.one_more()
            elif isinstance(record, Began):
                task, index, count = record.name
                self._drive.post(TaskStarted(task, count, record.at, index, record.run_name))
            else:
                self._crash(command, INPUT_LOST)

    def _event(self, command: SubmitTask, record: Ended) -> TaskEnded:
        ref: Any = NO_REF
        if record.data is not None:
            ref = Inline(record.data)
        elif record.key is not None:
            ref = Future(record.key, self._client)
        _, began, at, run_name, packed, _, _, _, _, length = record
        if packed is None:
            count, index = command.run_count, command.map_index
            return TaskEnded(command.task, count, at, SUCCESS, ref, length, index, None, None, began, run_name)
        try:
            outcome = packed.load(ref)
        except Exception as error:
            outcome = Outcome(Failed(f"How it ended cannot be read here: {summary_of(error)}", error))
        return replace(ended(command, outcome), at=at, started_at=began, run_name=run_name)

    def _judge(self, place: str, certain: bool, reason: str | None = None) -> None:
        """A place is lost, and with it what was under way there."""
        judged = self._book.judge(place, certain)
        for command in judged.crashed:
            self._crash(command, reason or WORKER_LOST)
        self._put(judged.again)
