"""The states of a flow run and of a task run.

    State
    ├─ Pending ─ Scheduled ─ Paused · Resume · Retrying
    ├─ Running
    └─ Finished
       ├─ Looped
       ├─ Success ─ Cached · Mapped · Skipped
       ├─ Failed ─ TimedOut · TriggerFailed · ValidationFailed · Crashed
       └─ Cancelled

`Failed` says that the user's code raised; `Crashed` that what ran it went away.
A state is a value: equal when its class, its result and what its class adds are equal, whatever the message says.
States are replaced, never changed; a handler that wants another state returns a new one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar


class State:
    """A state with an optional message for people and an optional result.

    For a task run the result of Success is what the task returned, that of Failed is
    the exception it raised. For a flow run the result is `{task: State}`.
    """

    color: ClassVar[str] = "#696969"
    __slots__ = ("message", "result")
    compared: ClassVar[tuple[str, ...]] = ("result",)

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

    def is_skipped(self) -> bool:
        return isinstance(self, Skipped)

    def is_mapped(self) -> bool:
        return isinstance(self, Mapped)

    def is_cached(self) -> bool:
        return isinstance(self, Cached)

    def is_looped(self) -> bool:
        return isinstance(self, Looped)

    def is_paused(self) -> bool:
        return isinstance(self, Paused)

    def bare(self) -> State:
        """Return a copy without the result."""
        if type(self) is Success:
            return Success(self.message)  # by far the most frequent
        copied = copy.copy(self)
        copied.result = None
        return copied

    @classmethod
    def children(cls) -> list[type[State]]:
        """Return the classes directly below this one."""
        return cls.__subclasses__()

    @classmethod
    def parents(cls) -> list[type[State]]:
        """Return the classes above this one, the nearest first."""
        return [base for base in cls.__mro__[1:] if issubclass(base, State)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State) or type(self) is not type(other):
            return False
        return all(bool(getattr(self, name) == getattr(other, name)) for name in self.compared)

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
    compared: ClassVar[tuple[str, ...]] = ("result", "start_time")

    def __init__(self, message: str | None = None, result: Any = None, start_time: datetime | None = None) -> None:
        super().__init__(message, result)
        self.start_time = start_time


class Paused(Scheduled):
    """Waits for a person, or for *start_time* when there is one."""

    color = "#99a8e8"
    __slots__ = ()


class Resume(Scheduled):
    """A person has let it go on."""

    color = "#ffab00"
    __slots__ = ()


class Retrying(Scheduled):
    """Failed, and will be run again; *run_count* runs have been made so far."""

    color = "#f66a0a"
    __slots__ = ("run_count",)
    compared = ("result", "start_time", "run_count")

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


class Looped(Finished):
    """One round of a task that goes round is over; *loop_count* says which, its result is handed to the next."""

    color = "#003ccb"
    __slots__ = ("loop_count",)
    compared = ("result", "loop_count")

    def __init__(self, message: str | None = None, result: Any = None, loop_count: int = 1) -> None:
        super().__init__(message, result)
        self.loop_count = loop_count


class Cached(Success):
    """Did not run: its result was stored by an earlier run."""

    color = "#34d058"
    __slots__ = ()


class Skipped(Success):
    """Did not run, and this is right: a branch not taken."""

    color = "#62757f"
    __slots__ = ()


class Mapped(Success):
    """Stands for its children, one per item; *map_states* are theirs, the result lists theirs in their order."""

    color = "#003ccb"
    __slots__ = ("map_states",)
    compared = ("result", "map_states")

    def __init__(
        self, message: str | None = None, result: Any = None, map_states: Sequence[State] | None = None
    ) -> None:
        super().__init__(message, result)
        self.map_states = list(map_states or [])

    @property
    def n_map_states(self) -> int:
        return len(self.map_states)


class Failed(Finished):
    """The user's code raised."""

    color = "#eb0000"
    __slots__ = ()


class TriggerFailed(Failed):
    """Never ran, because its upstream tasks did not end as its trigger asks."""

    color = "#ff5131"
    __slots__ = ()


class ValidationFailed(Failed):
    """Ran, and its result is not what it has to be."""

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


class Cancelled(Finished):
    """Ended because somebody asked for it."""

    color = "#bdbdbd"
    __slots__ = ()
