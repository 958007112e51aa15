"""What the engine is told, and what it asks for. Plain values; nothing here acts.

Events are past tense, commands imperative. A task is named by its index in the plan, times
are seconds since the epoch, and a *ref* is the executor's handle of a result: the engine hands
it on and never looks inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """What a task raised, as far as it survives the way here; *exception* is None when it does not."""

    type: str
    message: str
    traceback: str = ""
    exception: BaseException | None = field(default=None, compare=False)

    @property
    def summary(self) -> str:
        """One line: `ValueError: no such airport`."""
        first = self.message.strip().splitlines()[0] if self.message.strip() else ""
        return f"{self.type}: {first}" if first else self.type


# Events


@dataclass(frozen=True, slots=True)
class RunBegan:
    at: float
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TaskStarted:
    task: int
    run_count: int
    at: float


@dataclass(frozen=True, slots=True)
class TaskSucceeded:
    task: int
    run_count: int
    at: float
    ref: Any


@dataclass(frozen=True, slots=True)
class TaskFailed:
    task: int
    run_count: int
    at: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class TaskCrashed:
    """What ran the task went away, or took its inputs with it; *reason* says which, in one line."""

    task: int
    run_count: int
    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class RetryCame:
    """The start time of a Retrying task has come."""

    task: int
    run_count: int
    at: float


Event = RunBegan | TaskStarted | TaskSucceeded | TaskFailed | TaskCrashed | RetryCame


# Commands


@dataclass(frozen=True, slots=True)
class SubmitTask:
    """Run a task. *inputs* maps its arguments to the refs of their results."""

    task: int
    run_count: int
    inputs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send RetryCame at this time."""

    at: float
    task: int
    run_count: int


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """Nobody reads this result any more."""

    task: int
    ref: Any


Command = SubmitTask | WakeAt | ReleaseResult
