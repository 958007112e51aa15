"""Which task runs are on their way, and what is known of each. Pure: no Dask, no clock, no I/O.

    new ──send──> sent ──Began──> begun ──Ended──> gone
    fuse ──send──> ahead ──submit──> sent            it is in a batch before the engine has asked for it

Records of those ahead wait until the engine submits them. After a loss a task run that was begun is crashed, one that
was not begun is run elsewhere, and one that was begun ahead is crashed once the engine submits it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from headwater.engine.events import SubmitTask
from headwater.executors.lanes.batch import Began, Name, StepRecord


class Told(NamedTuple):
    """A record of a task run that the engine has submitted."""

    command: SubmitTask
    record: StepRecord


class Judged(NamedTuple):
    """What becomes of the task runs of a worker that is lost."""

    crashed: list[SubmitTask]
    again: list[SubmitTask]


@dataclass
class Book:
    """The task runs of one run that are in batches."""

    sent: dict[Name, SubmitTask] = field(default_factory=dict)
    at: dict[Name, str] = field(default_factory=dict)  # the worker that has it, of those sent and ahead
    ahead: set[Name] = field(default_factory=set)
    begun: set[Name] = field(default_factory=set)
    early: dict[Name, list[StepRecord]] = field(default_factory=dict)
    doubtful: set[Name] = field(default_factory=set)

    def knows(self, name: Name) -> bool:
        """Whether this task run need not be sent: it is in a batch, or was on a worker that is lost."""
        return name in self.sent or name in self.ahead or name in self.early or name in self.doubtful

    def send(self, name: Name, command: SubmitTask | None, worker: str) -> None:
        """Note a task run that goes to a worker; *command* is None for one that the engine has not submitted."""
        self.at[name] = worker
        if command is None:
            self.ahead.add(name)
        else:
            self.sent[name] = command

    def submit(self, name: Name, command: SubmitTask) -> list[Told] | None:
        """The engine submits a task run that is known. Return what was told of it; None: it may have been run, and
        nobody can say how it ended."""
        if name in self.doubtful:
            self.doubtful.discard(name)
            return None
        self.ahead.discard(name)
        self.sent[name] = command
        return [told for record in self.early.pop(name, []) for told in self.take(record)]

    def take(self, record: StepRecord) -> list[Told]:
        """Take in a record; return it if the engine is waiting for it."""
        name = record.name
        if isinstance(record, Began):
            self.begun.add(name)
        if name in self.ahead:
            self.early.setdefault(name, []).append(record)
            return []
        command = self.sent.get(name)
        if command is None:
            return []
        if not isinstance(record, Began):
            del self.sent[name]
            self.at.pop(name, None)
            self.begun.discard(name)
        return [Told(command, record)]

    def put_back(self, names: Iterable[Name]) -> list[SubmitTask]:
        """Task runs that will not be run where they were sent. Return those that the engine has submitted."""
        found = []
        for name in names:
            self.ahead.discard(name)
            self.at.pop(name, None)
            command = self.sent.pop(name, None)
            if command is not None:
                found.append(command)
        return found

    def judge(self, worker: str, certain: bool) -> Judged:
        """A worker is lost. It is *certain* when all that it has written was read: then what was not begun was not
        run. What was called back from it and sent elsewhere is not its any more."""
        judged = Judged([], [])
        for name in [name for name, holder in self.at.items() if holder == worker]:
            del self.at[name]
            began = name in self.begun or not certain
            self.begun.discard(name)
            if name in self.sent:
                (judged.crashed if began else judged.again).append(self.sent.pop(name))
            elif name in self.ahead:
                if any(not isinstance(record, Began) for record in self.early.get(name, [])):
                    continue  # it has ended, and the engine will hear of it when it submits it
                self.ahead.discard(name)
                self.early.pop(name, None)
                if began:
                    self.doubtful.add(name)
        return judged
