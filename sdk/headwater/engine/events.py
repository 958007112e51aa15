"""What the engine is told, and what it asks for. Plain values; nothing here acts.

Events are past tense, commands imperative. A task run is named by its task's index in the plan and, for a child of a
mapped task, its *map_index*, else -1. Times are seconds since the epoch. A *ref* is the executor's handle of a result:
the engine hands it on and never looks inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.core.states import State
from headwater.engine.inputs import Input, Length
from headwater.engine.plan import UpstreamStates

UNMAPPED = -1


class NoRef:
    """In the place of a ref: there is no result. None may be a result."""

    def __repr__(self) -> str:
        return "NO_REF"

    def __reduce__(self) -> str:
        return "NO_REF"


NO_REF = NoRef()


@dataclass(frozen=True, slots=True)
class Loop:
    """Where a task that goes round is: which round, and what the last one left."""

    count: int
    result: Any


@dataclass(frozen=True, slots=True)
class Given:
    """A finished state, with the ref and the length of its result; of a mapped task those of its *children*.

    One that is given *in turn* waits for what is upstream of it, and needs it to succeed.
    """

    state: State
    ref: Any = NO_REF
    length: Length = None
    stored: Any = None
    children: Mapping[int, Given] | None = None
    in_turn: bool = False


# Events


@dataclass(frozen=True, slots=True)
class RunBegan:
    """*given* tasks are finished already, as an earlier run left them."""

    at: float
    parameters: dict[str, Any]
    given: dict[int, Given] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskStarted:
    task: int
    run_count: int
    at: float
    map_index: int = UNMAPPED
    run_name: str | None = None


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task run has come to a state: a finished one, Retrying or Paused.

    The state's own result is set for failures only; that of the others is behind *ref*. *loop* is where a task that
    is retried in the middle of its rounds goes on, *stored* where the result was stored, for who asks. With
    *started_at* it stands for the TaskStarted too, which was not worth a word of its own.
    """

    task: int
    run_count: int
    at: float
    state: State
    ref: Any = NO_REF
    length: Length = None
    map_index: int = UNMAPPED
    loop: Loop | None = None
    stored: Any = None
    started_at: float | None = None
    run_name: str | None = None


@dataclass(frozen=True, slots=True)
class TaskCrashed:
    """What ran the task went away, or took its inputs with it; *reason* says which, in one line."""

    task: int
    run_count: int
    at: float
    reason: str
    map_index: int = UNMAPPED


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The start time of a Retrying or Paused task has come."""

    task: int
    run_count: int
    at: float
    map_index: int = UNMAPPED


@dataclass(frozen=True, slots=True)
class PauseAnswered:
    """A person has let a Paused task go on, or not."""

    task: int
    run_count: int
    at: float
    approved: bool
    map_index: int = UNMAPPED
    reason: str = "a person said no"


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """Somebody wants the run to stop: *reason* says who, in one line. What runs is let finish."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class TaskWithdrawn:
    """A submitted task run was taken back before it began."""

    task: int
    run_count: int
    at: float
    map_index: int = UNMAPPED


@dataclass(frozen=True, slots=True)
class TaskMarked:
    """Somebody has said how a task is to end, with its result at *stored*; what it does meanwhile does not count."""

    task: int
    at: float
    state: State
    map_index: int = UNMAPPED
    stored: Any = None


Event = (
    RunBegan
    | TaskStarted
    | TaskEnded
    | TaskCrashed
    | TimeCame
    | PauseAnswered
    | RunCancelled
    | TaskWithdrawn
    | TaskMarked
)


# Commands


@dataclass(frozen=True, slots=True)
class SubmitTask:
    """Run a task, and post TaskStarted and one TaskEnded or TaskCrashed.

    *inputs* maps its arguments to where they come from. *upstream* are the states of what stands upstream, for those
    that ask. With *enter* nothing is run: its state handlers are told of that state and may choose another. *number*
    is 1 for the first run of the task, 2 for the first retry.
    """

    task: int
    run_count: int
    inputs: dict[str, Input] = field(default_factory=dict)
    map_index: int = UNMAPPED
    previous: State | None = None
    upstream: UpstreamStates | None = None
    enter: State | None = None
    loop: Loop | None = None
    resumed: bool = False
    number: int = 1


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send TimeCame at this time."""

    at: float
    task: int
    run_count: int
    map_index: int = UNMAPPED


@dataclass(frozen=True, slots=True)
class AskToResume:
    """Ask a person whether a Paused task may go on; post PauseAnswered."""

    task: int
    run_count: int
    message: str
    map_index: int = UNMAPPED


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """Nobody reads this result any more."""

    task: int
    ref: Any
    map_index: int = UNMAPPED


@dataclass(frozen=True, slots=True)
class ReleaseResults:
    """Nobody reads these results of a mapped task's children any more."""

    task: int
    refs: list[Any]


Command = SubmitTask | WakeAt | AskToResume | ReleaseResult | ReleaseResults
