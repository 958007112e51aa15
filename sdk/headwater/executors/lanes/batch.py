"""What travels between a lane session and its workers: named tuples, which pickle fastest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headwater.engine.inputs import Input, Length
from headwater.executors.inline import Inline
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


class Kept(NamedTuple):
    """A result that is data of Dask: its key, and who holds it."""

    key: str
    holders: tuple[str, ...]


class Step(NamedTuple):
    """One task run in a batch.

    The refs of *inputs* are numbers: below the length of the batch's table they point there, from there on to the
    results of its steps. A step with *after* >= 0 is run only when that step has succeeded.
    """

    name: Name
    call: TaskCall
    inputs: Mapping[str, Input]
    after: int = -1


class Batch(NamedTuple):
    """Steps to be run one after the other by one thread; *table* holds the results that they read."""

    number: int
    table: tuple[Inline | Kept, ...]
    steps: tuple[Step, ...]


class Began(NamedTuple):
    """A step's function is about to be called."""

    name: Name
    at: float
    run_name: str | None


class Ended(NamedTuple):
    """A step is over, *outcome* None for a plain Success. Its result is *data*, or behind *key*, or there is none."""

    name: Name
    at: float
    seconds: float
    outcome: PackedOutcome | None
    data: bytes | None
    key: str | None
    nbytes: int
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
