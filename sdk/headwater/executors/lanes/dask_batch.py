"""The worker's side of batches as Dask tasks: run the steps in the thread that Dask gives, and stream their records."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from typing import Any

from distributed import get_worker

from headwater.executors.boxed import unboxed
from headwater.executors.dask_worker import AFTER_TASK_RUN
from headwater.executors.failures import summary_of
from headwater.executors.lanes.batch import Batch, Done, Kept, Record, Refused
from headwater.executors.lanes.data import Shelf
from headwater.executors.lanes.steps import Steps
from headwater.executors.program import Program, RunInfo

logger = logging.getLogger("headwater.executors.lanes")

# Records wait so long for others; who looks at a run sees no difference, and each message costs.
STREAM_SECONDS = 0.05


class Stream:
    """Records on their way over Dask's event log, which keeps their order, many in a message."""

    def __init__(self, worker: Any, topic: str, number: int) -> None:
        self._worker = worker
        self._topic = topic
        self._number = number
        self._lock = threading.Lock()
        self._waiting: list[Record] = []
        self._last = 0.0
        self._armed = False

    def later(self, record: Record) -> None:
        with self._lock:
            self._waiting.append(record)

    def now(self, record: Record) -> None:
        """Tell at once when nothing was told for a while, else soon: the step may take long."""
        with self._lock:
            self._waiting.append(record)
            due = time.monotonic() - self._last > STREAM_SECONDS
            arm = not due and not self._armed
            self._armed = self._armed or arm
        if due:
            self.flush()
        elif arm:
            loop = self._worker.loop.asyncio_loop
            loop.call_soon_threadsafe(loop.call_later, STREAM_SECONDS, self._fire)

    def _fire(self) -> None:
        with self._lock:
            self._armed = False
        self.flush()

    def flush(self) -> None:
        with self._lock:
            records, self._waiting = self._waiting, []
            self._last = time.monotonic()
            if records:
                self._worker.log_event(self._topic, (self._number, pickle.dumps(records, protocol=5)))


def run_batch(
    program: Program, info: RunInfo, session: str, topic: str, number: int, data: bytes, kept: list[Any]
) -> None:
    """Run a batch as a Dask task; *kept* are the results that it reads, in the order of its table."""
    worker = get_worker()
    stream = Stream(worker, topic, number)
    try:
        batch: Batch = pickle.loads(data)
    except Exception as error:
        stream.later(Refused(number, summary_of(error)))
        stream.flush()
        return
    begun = 0

    def goes_on(step: int) -> bool:
        nonlocal begun
        begun = step + 1
        return True

    keys = [entry.key for entry in batch.table if isinstance(entry, Kept)]
    found = dict(zip(keys, map(unboxed, kept), strict=True))
    steps = Steps(batch, found, program, info, Shelf(worker, session), stream)
    try:
        steps.run(goes_on)
    except BaseException as error:  # of ours, or memory: who waits for the batch must hear of it
        logger.exception("A batch has failed")
        steps.fail_rest(error, begun, None)
    for hook in AFTER_TASK_RUN:
        hook(worker)
    stream.later(Done(number))
    stream.flush()
