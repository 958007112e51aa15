"""What travels between a session and its workers: named tuples, which pickle fastest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headwater.engine.inputs import Input, Length
from headwater.executors.inline import Stored
from headwater.executors.wire import PackedOutcome
from headwater.executors.work import TaskCall

# A task run of the run at hand: task, map index, run count.
Name = tuple[int, int, int]

# Operations of the stream to a worker.
RUN = "headwater-run"
RECALL = "headwater-recall"
CLOSE = "headwater-close"

# A result up to this size, pickled, travels in its record and with whoever reads it; a larger one stays where it is.
INLINE_BYTES = 4096


# In the place of a ref: the result of the step before.
LAST = -1


class Kept(NamedTuple):
    """A result that is data of Dask: its key, and who holds it, as far as that is known."""

    key: str
    holders: tuple[str, ...]


class Step(NamedTuple):
    """One task run in a batch.

    The refs of *inputs* are numbers, places in the batch's table, or LAST. A step that *follows* is run only when the
    step before it has succeeded. *call* is there where it says more than that the task is run for the first time.
    """

    name: Name
    inputs: Mapping[str, Input]
    follows: bool = False
    call: TaskCall | None = None


class Batch(NamedTuple):
    """Steps to be run one after the other by one thread.

    *table* holds the results that they read, pickled where they are small, *tasks* the slug of each task in it and how
    deep its result is measured.
    """

    number: int
    table: tuple[bytes | Stored | Kept, ...]
    tasks: Mapping[int, tuple[str, int]]
    steps: tuple[Step, ...]

    def call_of(self, step: Step) -> TaskCall:
        if step.call is not None:
            return step.call
        slug, depth = self.tasks[step.name[0]]
        return TaskCall(slug, 1, step.name[1], measure=depth)


class Began(NamedTuple):
    """A step's function is about to be called."""

    name: Name
    at: float
    run_name: str | None


class Ended(NamedTuple):
    """A step is over, *outcome* None for a plain Success. Its result is *data*, or behind *key*, or there is none.

    *began* and *run_name* repeat what Began said; *worker* holds the key.
    """

    name: Name
    began: float | None
    at: float
    run_name: str | None
    outcome: PackedOutcome | None
    data: bytes | None
    key: str | None
    nbytes: int
    worker: str | None
    length: Length


class Lost(NamedTuple):
    """A step could not be run, as what it reads was lost with its holder."""

    name: Name


class Unrun(NamedTuple):
    """Steps that will not be run: what they follow did not succeed, or they were called back."""

    names: tuple[Name, ...]


class Refused(NamedTuple):
    """A batch that cannot be read on its worker; nothing of it was run."""

    number: int
    words: str


class Done(NamedTuple):
    """A batch is over."""

    number: int


StepRecord = Began | Ended | Lost
Record = StepRecord | Unrun | Refused | Done
