"""Arguments of `run` that a task's constructor may have been given already."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Run = TypeVar("Run", bound=Callable[..., Any])


def defaults_from_attrs(*names: str) -> Callable[[Run], Run]:
    """Decorate `run` so that these arguments, where they are None, are the task's attributes of the same names.

    class Shell(Task):
        def __init__(self, command=None, **options): ...

        @defaults_from_attrs("command")
        def run(self, command=None): ...
    """

    def decorate(run: Run) -> Run:
        signature = inspect.signature(run)
        unknown = [name for name in names if name not in signature.parameters]
        if unknown:
            raise TypeError(f"defaults_from_attrs: {run.__qualname__} has no argument {', '.join(unknown)}.")

        @functools.wraps(run)
        def filled(self: Any, *args: Any, **kwargs: Any) -> Any:
            arguments = signature.bind(self, *args, **kwargs)
            for name in names:
                if arguments.arguments.get(name) is None:
                    arguments.arguments[name] = getattr(self, name)
            return run(*arguments.args, **arguments.kwargs)

        return filled  # type: ignore[return-value]  # the same signature

    return decorate
