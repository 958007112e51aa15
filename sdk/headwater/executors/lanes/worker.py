"""The worker's side of lanes: threads of ours that run batches step by step, and tell what became of each.

A lane runs beside Dask's own threads, so that a task may use Dask itself. It tells that a step begins before it calls
the step's function, and how it ended before the next one begins.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import queue
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dask.sizeof import sizeof
from distributed import get_worker
from distributed.worker import get_data_from_worker

from headwater.core.states import Failed, Success
from headwater.engine.events import NO_REF
from headwater.engine.inputs import resolve
from headwater.executors.dask_worker import AFTER_TASK_RUN, check_portable
from headwater.executors.failures import summary_of
from headwater.executors.inline import Inline
from headwater.executors.lanes.batch import (
    CLOSE,
    INLINE_BYTES,
    RECALL,
    RUN,
    Batch,
    Began,
    Done,
    Ended,
    Kept,
    Lost,
    Name,
    Refused,
    Step,
    Unrun,
)
from headwater.executors.lanes.records import Meeting, RecordSender
from headwater.executors.program import Program, RunInfo
from headwater.executors.wire import pack, pickle_value
from headwater.executors.work import Outcome, run_task

logger = logging.getLogger("headwater.executors.lanes")

# What may be small when it is pickled is pickled, to see.
MAYBE_SMALL_BYTES = 16 * INLINE_BYTES
FETCH_TRIES = 5


def open_lanes(program: Program, info: RunInfo, session: str, meeting: Meeting) -> int:
    """Open the lanes of this worker; a Dask task of its own, so that its threads know their worker. Return how many."""
    return Lanes(get_worker(), program, info, session, meeting).open()


class InputLostError(Exception):
    """What a step reads was lost with its holder."""


@dataclass
class Running:
    """A batch in the hands of a thread; *begun* steps were taken up, and from *called_back* on none will be."""

    batch: Batch
    begun: int = 0
    called_back: int | None = None
    results: list[Any] = field(default_factory=list)


class Lanes:
    """All lanes of one worker, for one run."""

    def __init__(self, worker: Any, program: Program, info: RunInfo, session: str, meeting: Meeting) -> None:
        self._worker = worker
        self._loop = worker.loop.asyncio_loop
        self._program = program
        self._info = info
        self._prefix = f"headwater-{session}"
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
        try:
            running = Running(pickle.loads(batch))
        except Exception as error:
            self._side.now(Refused(number, summary_of(error)))
            return
        with self._lock:
            self._running[number] = running
        self._batches.put(running)

    def _on_recall(self, number: int, **_: Any) -> None:
        """Give back at once what of a batch was not begun."""
        with self._lock:
            running = self._running.get(number)
            if running is None or running.called_back is not None:
                return
            running.called_back = running.begun
            unrun = tuple(step.name for step in running.batch.steps[running.begun :])
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
        batch = running.batch
        try:
            self._steps(running, sender)
        except OSError:
            raise
        except BaseException as error:  # of ours, or memory: who waits for the batch must hear of it
            logger.exception("A lane of this worker has failed")
            failure = pack(Outcome(Failed(summary_of(error), error)))
            for step in batch.steps[max(0, running.begun - 1) : running.called_back]:
                sender.later(Ended(step.name, time.time(), 0.0, failure, None, None, 0, None))
        with self._lock:
            self._running.pop(batch.number, None)
        sender.now(Done(batch.number))

    def _steps(self, running: Running, sender: RecordSender) -> None:
        kept = self._fetch([entry for entry in running.batch.table if isinstance(entry, Kept)])
        read = self._reader(running, kept)
        ran: set[int] = set()
        unrun: list[Name] = []
        for number, step in enumerate(running.batch.steps):
            if self._is_called_back(running, number):
                break
            if step.after >= 0 and step.after not in ran:
                unrun.append(step.name)
                running.results.append(None)
            elif self._step(running, step, read, sender):
                ran.add(number)
        if unrun:
            sender.later(Unrun(tuple(unrun)))
        for hook in AFTER_TASK_RUN:
            hook(self._worker)

    def _is_called_back(self, running: Running, number: int) -> bool:
        with self._lock:
            if running.called_back is not None and number >= running.called_back:
                return True
            running.begun = number + 1
            return False

    def _step(self, running: Running, step: Step, read: Callable[[int], Any], sender: RecordSender) -> bool:
        """Run a step; return whether those that come after it may begin."""
        began = time.time()

        def note_begin(run_name: str | None) -> None:
            nonlocal began
            began = time.time()
            sender.now(Began(step.name, began, run_name))

        travelling = Travelling()
        outcome = run_task(
            self._program,
            self._info,
            step.call,
            lambda: {key: resolve(given, read) for key, given in step.inputs.items()},
            began=note_begin,
            finish=travelling.finish,
        )
        if isinstance(outcome.state.result, InputLostError):
            sender.later(Lost(step.name))
            running.results.append(None)
            return False
        data, outcome = travelling.of(outcome)
        running.results.append(None if outcome.value is NO_REF else outcome.value)
        sender.later(self._record(step, began, outcome, data))
        return type(outcome.state) is Success and outcome.value is not NO_REF

    def _record(self, step: Step, began: float, outcome: Outcome, data: bytes | None) -> Ended:
        key, nbytes = None, 0
        if outcome.value is not NO_REF and data is None:
            key, nbytes = f"{self._prefix}-{'-'.join(map(str, step.name))}", sizeof(outcome.value)
            asyncio.run_coroutine_threadsafe(self._keep(key, outcome.value), self._loop).result()
        packed = None if _is_plain(outcome) else pack(outcome)
        now = time.time()
        return Ended(step.name, now, now - began, packed, data, key, nbytes, outcome.length)

    async def _keep(self, key: str, value: Any) -> None:
        """Make a result data of this worker, before anybody is told of it."""
        self._worker.update_data({key: value})

    # What a batch reads

    def _reader(self, running: Running, kept: dict[str, Any]) -> Callable[[int], Any]:
        table = running.batch.table
        small: dict[int, Any] = {}

        def read(number: int) -> Any:
            if number >= len(table):
                return running.results[number - len(table)]
            entry = table[number]
            if isinstance(entry, Inline):
                if number not in small:
                    small[number] = entry.load()
                return small[number]
            if entry.key not in kept:
                raise InputLostError(entry.key)
            return kept[entry.key]

        return read

    def _fetch(self, entries: list[Kept]) -> dict[str, Any]:
        if not entries:
            return {}
        return asyncio.run_coroutine_threadsafe(self._gather(entries), self._loop).result()

    async def _gather(self, entries: list[Kept]) -> dict[str, Any]:
        """Bring results here, from this worker or another that holds them; what cannot be had is left out."""
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
                answer = await get_data_from_worker(
                    self._worker.rpc,
                    keys,
                    holder,
                    who=self._worker.address,
                    # Dask's own way takes a list apart, item by item.
                    deserializers=["pickle", "error"],
                )
            except (OSError, TimeoutError) as error:
                logger.debug("Results cannot be fetched from %s: %s", holder, error)
                break
            if answer["status"] == "OK":
                return dict(answer["data"])
            await asyncio.sleep(0.05 * 2**attempt)  # it is busy with others
        return {}


class Travelling:
    """How a result travels: as bytes if it is small, else it stays where it was made."""

    def __init__(self) -> None:
        self._value: Any = NO_REF
        self._data: bytes | None = None

    def finish(self, value: Any) -> Any:
        """Look whether a result can travel at all. Raises TypeError that says what to return instead."""
        self._value = value
        self._data = None
        if sizeof(value) <= MAYBE_SMALL_BYTES:
            data = pickle_value(value)
            self._data = data if len(data) <= INLINE_BYTES else None
        else:
            check_portable(value)
        return value

    def of(self, outcome: Outcome) -> tuple[bytes | None, Outcome]:
        """Return the bytes of an outcome's result, None where it stays; a result that cannot travel is a failure."""
        if outcome.value is NO_REF:
            return None, outcome
        if outcome.value is not self._value:  # of a cache, or a state handler's
            try:
                self.finish(outcome.value)
            except TypeError as error:
                return None, Outcome(Failed(summary_of(error), error))
        return self._data, outcome


def _is_plain(outcome: Outcome) -> bool:
    return (
        type(outcome.state) is Success
        and outcome.value is not NO_REF
        and outcome.state.message == PLAIN_MESSAGE
        and outcome.loop is None
        and outcome.stored is None
    )


PLAIN_MESSAGE = "Task run succeeded."
