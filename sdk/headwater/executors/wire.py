"""How a task run ended, as bytes that always arrive: an exception that does not survive pickling goes as text."""

from __future__ import annotations

import contextlib
import pickle
from dataclasses import dataclass
from typing import Any

import cloudpickle

from headwater.core.errors import TaskError
from headwater.core.states import Failed, State
from headwater.engine.events import NO_REF, Loop
from headwater.engine.inputs import Length
from headwater.executors.failures import summary_of, traceback_of, words_of
from headwater.executors.work import OWN_FILES, Outcome

# An exception larger than this goes as text.
EXCEPTION_BYTES = 1 << 20

# What pickle does well by itself; cloudpickle takes five times as long to begin.
PLAIN_TYPES = frozenset({type(None), bool, int, float, str, bytes})


@dataclass(frozen=True, slots=True)
class PackedError:
    """An exception: as a pickle, if it survives one, and as text."""

    pickled: bytes | None
    type: str
    message: str
    traceback: str

    def load(self) -> BaseException:
        """Return the exception; TaskError in its place when it cannot be brought here."""
        if self.pickled is not None:
            with contextlib.suppress(Exception):
                found = pickle.loads(self.pickled)
                if isinstance(found, BaseException):
                    return found
        return TaskError(self.type, self.message, self.traceback)


def pack_error(error: BaseException) -> PackedError:
    try:
        data: bytes | None = cloudpickle.dumps(error)
        pickle.loads(data or b"")  # many exceptions pickle and then fail to unpickle
    except Exception:
        data = None
    if data is not None and len(data) > EXCEPTION_BYTES:
        data = None
    return PackedError(data, type(error).__name__, words_of(error), traceback_of(error, OWN_FILES))


@dataclass(frozen=True, slots=True)
class PackedOutcome:
    """An outcome without its value."""

    state: bytes
    error: PackedError | None
    length: Length
    loop: bytes | None
    stored: Any = None

    def load(self, value: Any = NO_REF) -> Outcome:
        state: State = pickle.loads(self.state)
        if self.error is not None:
            state.result = self.error.load()
        loop: Loop | None = pickle.loads(self.loop) if self.loop is not None else None
        return Outcome(state, value, self.length, loop, self.stored)


def pack(outcome: Outcome) -> PackedOutcome:
    """Pack all but the value. What cannot be pickled makes a failure that says so."""
    state = outcome.state
    error = pack_error(state.result) if isinstance(state.result, BaseException) else None
    try:
        bare = cloudpickle.dumps(state.bare() if error is not None else state)
        loop = cloudpickle.dumps(outcome.loop) if outcome.loop is not None else None
    except Exception as problem:
        words = TypeError(f"the result of state {state.name} cannot be pickled and so cannot travel ({problem})")
        return PackedOutcome(cloudpickle.dumps(Failed(summary_of(words))), pack_error(words), None, None)
    return PackedOutcome(bare, error, outcome.length, loop, outcome.stored)


def pickle_value(value: Any) -> bytes:
    """Pickle a result. Raises TypeError that says what to return instead."""
    if type(value) in PLAIN_TYPES:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    try:
        data: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"the result, a {type(value).__name__}, cannot be pickled and so cannot travel ({error}); "
            "return plain data, and open files, locks and connections in the task that uses them"
        ) from None
    return data
