"""Signals: exceptions by which a task says in which state it ends, instead of by returning.

    raise SKIP("nothing new today")

They derive from BaseException, so that a task's own `except Exception` does not swallow them. An explicit *result* is
the state's result; without one, those that fail have the signal itself as their result and the others None.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from headwater.core.states import (
    Failed,
    Looped,
    Paused,
    Retrying,
    Skipped,
    State,
    Success,
    TriggerFailed,
    ValidationFailed,
)

_NOT_GIVEN: Any = object()


class Signal(BaseException):
    """What all signals have in common; `state()` is the state that a task run enters by it."""

    kind: ClassVar[type[State]] = State

    def __init__(self, message: str = "", *, result: Any = _NOT_GIVEN, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.has_result = result is not _NOT_GIVEN
        self.result = None if result is _NOT_GIVEN else result
        self.extra = extra

    def state(self) -> State:
        result = self if not self.has_result and issubclass(self.kind, Failed) else self.result
        return self.kind(self.message or None, result=result, **self.extra)

    def __reduce__(self) -> Any:
        result = {"result": self.result} if self.has_result else {}
        return _rebuild, (type(self), self.message, {**result, **self.extra})


def _rebuild(kind: type[Signal], message: str, arguments: dict[str, Any]) -> Signal:
    return kind(message, **arguments)


class FAIL(Signal):
    """End as Failed; retries apply."""

    kind = Failed


class TRIGGERFAIL(FAIL):
    """End as TriggerFailed: what a trigger raises to say why."""

    kind = TriggerFailed


class VALIDATIONFAIL(FAIL):
    """End as ValidationFailed: the result is not what it has to be."""

    kind = ValidationFailed


class SUCCESS(Signal):
    """End as Success."""

    kind = Success


class SKIP(Signal):
    """End as Skipped; what comes after is skipped too, unless it says skip_on_upstream_skip=False."""

    kind = Skipped


class RETRY(Signal):
    """Run again at *start_time*, or after the task's retry_delay; also beyond max_retries."""

    kind = Retrying

    def __init__(self, message: str = "", *, start_time: datetime | None = None, **extra: Any) -> None:
        super().__init__(message, start_time=start_time, **extra)


class PAUSE(Signal):
    """Wait for a person, or until *start_time*; then run again with `context.resume` set."""

    kind = Paused

    def __init__(self, message: str = "", *, start_time: datetime | None = None, **extra: Any) -> None:
        super().__init__(message, start_time=start_time, **extra)


class LOOP(Signal):
    """Run again at once; `context.task_loop_result` is *result*, `context.task_loop_count` counts from 1."""

    kind = Looped


class ENDRUN(Signal):
    """End in the state that is given."""

    def __init__(self, state: State) -> None:
        if not isinstance(state, State):
            raise TypeError(f"ENDRUN takes a state, such as ENDRUN(Failed('why')); got {state!r}.")
        super().__init__(state.message or "")
        self._state = state

    def state(self) -> State:
        return self._state

    def __reduce__(self) -> Any:
        return ENDRUN, (self._state,)


_BY_STATE: dict[type[State], type[Signal]] = {
    kind.kind: kind for kind in (FAIL, TRIGGERFAIL, VALIDATIONFAIL, SUCCESS, SKIP, RETRY, PAUSE, LOOP)
}


def signal_from_state(state: State) -> Signal:
    """Return the signal that leads to a state like this one, with its message and result."""
    kind = _BY_STATE.get(type(state))
    return ENDRUN(state) if kind is None else kind(state.message or "", result=state.result)
