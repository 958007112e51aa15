"""For tasks of one's own in the manner of this package: `run` takes from the instance what it is not given.

class Greet(Task):
    def __init__(self, name_of=None, **options):
        super().__init__(**options)
        self.name_of = name_of

    @defaults_from_attrs("name_of")
    def run(self, name_of=None): ...
"""

from __future__ import annotations

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


__all__ = ["defaults_from_attrs", "missing", "needed"]
