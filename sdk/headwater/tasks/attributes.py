"""For tasks of one's own in the manner of this package: `run` takes from the instance what it is not given.

class Greet(Task):
    def __init__(self, name_of=None, **options):
        super().__init__(**options)
        self.name_of = name_of

    @defaults_from_attrs("name_of")
    def run(self, name_of=None): ...
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from headwater.core.attributes import defaults_from_attrs

Value = TypeVar("Value")


def needed(value: Value | None, task: Any, argument: str) -> Value:
    """Return an argument that has to be there. Raises ValueError that names the task when it is None."""
    if value is None:
        raise missing(task, argument)
    return value


def missing(task: Any, argument: str) -> ValueError:
    """Return the error that says that an argument was given nowhere."""
    return ValueError(
        f'Task "{task.name}" has no {argument}; give one to {type(task).__name__}({argument}=...) or to its call.'
    )


def above_zero(seconds: Any, where: Any, what: str = "timeout_seconds") -> float:
    """Return a limit on time, which there has to be. *where* is a task, or says whose it is."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        whose = where if isinstance(where, str) else f'Task "{where.name}"'
        raise ValueError(f"{whose}: {what} is {seconds!r}; give a number of seconds above 0.")
    return seconds


__all__ = ["above_zero", "defaults_from_attrs", "missing", "needed"]
