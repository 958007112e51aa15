"""Lanes: threads of ours on a worker that run batches, for one run.

A lane runs beside Dask's own threads, so that a task may use Dask itself.
"""

from __future__ import annotations

import logging
import pickle
import queue
import threading
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from distributed import get_worker

from headwater.executors.dask_worker import AFTER_TASK_RUN
from headwater.executors.failures import summary_of
from headwater.executors.lanes.batch import CLOSE, RECALL, RUN, Batch, Done, Kept, Refused, Unrun
from headwater.executors.lanes.data import Shelf
from headwater.executors.lanes.records import Meeting, RecordSender
from headwater.executors.lanes.steps import Steps
from headwater.executors.program import Program, RunInfo

logger = logging.getLogger("headwater.executors.lanes")


def open_lanes(program: Program, info: RunInfo, session: str, meeting: Meeting) -> int:
    """Open the lanes of this worker; a Dask task of its own, so that its threads know their worker. Return how many."""
    return Lanes(get_worker(), program, info, session, meeting).open()


@dataclass
class Running:
    """A batch on this worker; *begun* steps were taken up, and from *called_back* on none will be."""

    number: int
    data: bytes
    batch: Batch | None = None
    begun: int = 0
    called_back: int | None = None

    def load(self) -> Batch:
        if self.batch is None:
            self.batch = pickle.loads(self.data)
        return self.batch


class Lanes:
    """All lanes of one worker, for one run."""

    def __init__(self, worker: Any, program: Program, info: RunInfo, session: str, meeting: Meeting) -> None:
        self._worker = worker
        self._loop = worker.loop.asyncio_loop
        self._program = program
        self._info = info
        self._shelf = Shelf(worker, session)
        self._meeting = meeting
        self._batches: queue.SimpleQueue[Running | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[int, Running] = {}
        self._count = int(worker.state.nthreads)
        # For what the worker's loop has to say; never used while a lane writes to its own.
        self._side = RecordSender(meeting, worker)

    def open(self) -> int:
        self._worker.batched_stream.interval = 0
        senders = [RecordSender(self._meeting, self._worker) for _ in range(self._count)]
        for number, sender in enumerate(senders):
            lane = partial(copy_context().run, self._serve, sender)
            threading.Thread(target=lane, name=f"lane-{number}", daemon=True).start()
        handlers = {RUN: self._on_run, RECALL: self._on_recall, CLOSE: self._on_close}
        self._loop.call_soon_threadsafe(self._worker.stream_handlers.update, handlers)
        return self._count

    # In the worker's loop

    def _on_run(self, number: int, batch: bytes, **_: Any) -> None:
        running = Running(number, batch)
        with self._lock:
            self._running[number] = running
        self._batches.put(running)

    def _on_recall(self, number: int, **_: Any) -> None:
        """Give back at once what of a batch was not begun."""
        with self._lock:
            running = self._running.get(number)
            if running is None or running.called_back is not None:
                return
            try:
                batch = running.load()
            except Exception:
                return  # its lane will say so
            running.called_back = running.begun
            unrun = tuple(step.name for step in batch.steps[running.begun :])
        self._side.now(Unrun(unrun))

    def _on_close(self, **_: Any) -> None:
        for _lane in range(self._count):
            self._batches.put(None)
        self._side.close()

    # In a lane's thread

    def _serve(self, sender: RecordSender) -> None:
        try:
            while (running := self._batches.get()) is not None:
                self._run(running, sender)
                del running
        except OSError as error:
            logger.debug("A lane ends, as nobody listens to it any more: %s", error)
        finally:
            sender.close()

    def _run(self, running: Running, sender: RecordSender) -> None:
        try:
            with self._lock:
                batch = running.load()
        except Exception as error:
            self._forget(running)
            sender.now(Refused(running.number, summary_of(error)))
            return
        kept = self._shelf.fetch([entry for entry in batch.table if isinstance(entry, Kept)])
        steps = Steps(batch, kept, self._program, self._info, self._shelf, sender)
        try:
            steps.run(partial(self._goes_on, running))
            for hook in AFTER_TASK_RUN:
                hook(self._worker)
        except OSError:
            raise
        except BaseException as error:  # of ours, or memory: who waits for the batch must hear of it
            logger.exception("A lane of this worker has failed")
            steps.fail_rest(error, running.begun, running.called_back)
        self._forget(running)
        sender.now(Done(batch.number))

    def _forget(self, running: Running) -> None:
        with self._lock:
            self._running.pop(running.number, None)

    def _goes_on(self, running: Running, number: int) -> bool:
        with self._lock:
            if running.called_back is not None and number >= running.called_back:
                return False
            running.begun = number + 1
            return True
