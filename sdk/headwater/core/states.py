"""The states of a flow run and of a task run.

    State
    ├─ Pending ─ Scheduled ─ Retrying
    ├─ Running
    └─ Finished
       ├─ Success
       └─ Failed ─ TriggerFailed · TimedOut · Crashed

`Failed` says that the user's code raised; `Crashed` that what ran it went away.
A state is a value: equal when its class and its result are equal, whatever the message says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar


class State:
    """A state with an optional message for people and an optional result.

    For a task run the result of Success is what the task returned, that of Failed is
    the exception it raised. For a flow run the result is `{task: State}`.
    """

    color: ClassVar[str] = "#696969"
    __slots__ = ("message", "result")

    def __init__(self, message: str | None = None, result: Any = None) -> None:
        self.message = message
        self.result = result

    @property
    def name(self) -> str:
        return type(self).__name__

    def is_pending(self) -> bool:
        return isinstance(self, Pending)

    def is_scheduled(self) -> bool:
        return isinstance(self, Scheduled)

    def is_retrying(self) -> bool:
        return isinstance(self, Retrying)

    def is_running(self) -> bool:
        return isinstance(self, Running)

    def is_finished(self) -> bool:
        return isinstance(self, Finished)

    def is_successful(self) -> bool:
        return isinstance(self, Success)

    def is_failed(self) -> bool:
        return isinstance(self, Failed)

    def is_crashed(self) -> bool:
        return isinstance(self, Crashed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and type(self) is type(other) and bool(self.result == other.result)

    __hash__ = None  # type: ignore[assignment]  # a state holds a result that need not be hashable

    def __repr__(self) -> str:
        return f'<{self.name}: "{self.message or ""}">'


class Pending(State):
    """Not started yet."""

    color = "#7ebdff"
    __slots__ = ()


class Scheduled(Pending):
    """Will start at *start_time*; None means as soon as possible."""

    color = "#ffab00"
    __slots__ = ("start_time",)

    def __init__(self, message: str | None = None, result: Any = None, start_time: datetime | None = None) -> None:
        super().__init__(message, result)
        self.start_time = start_time


class Retrying(Scheduled):
    """Failed, and will be run again; *run_count* runs have been made so far."""

    color = "#f66a0a"
    __slots__ = ("run_count",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = None,
        start_time: datetime | None = None,
        run_count: int = 1,
    ) -> None:
        super().__init__(message, result, start_time)
        self.run_count = run_count


class Running(State):
    """User code is being executed."""

    color = "#3d67ff"
    __slots__ = ()


class Finished(State):
    """Will not change any more."""

    color = "#003ccb"
    __slots__ = ()


class Success(Finished):
    """Ran to its end."""

    color = "#28a745"
    __slots__ = ()


class Failed(Finished):
    """The user's code raised."""

    color = "#eb0000"
    __slots__ = ()


class TriggerFailed(Failed):
    """Never ran, because its upstream tasks did not end as its trigger asks."""

    color = "#ff5131"
    __slots__ = ()


class TimedOut(Failed):
    """Took longer than it may."""

    color = "#ff4e33"
    __slots__ = ()


class Crashed(Failed):
    """What ran it went away: a killed process, a lost worker, a lost result."""

    color = "#b5179e"
    __slots__ = ()
