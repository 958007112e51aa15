"""What a task may know about the run it is in: `headwater.context`.

Filled for the thread that runs a task; empty outside. `headwater.context.get("logger")`
and `headwater.context.logger` are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_values: ContextVar[dict[str, Any]] = ContextVar("headwater_context", default={})  # noqa: B039  # never mutated


class Context:
    """Attribute and `get` access to the values of the current context.

    In a task run: `flow_name, flow_run_name, parameters, task_name, task_slug,
    task_run_count` (1 for the first run, 2 for the first retry) and `logger`.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return _values.get()[name]
        except KeyError:
            known = ", ".join(sorted(_values.get())) or "nothing: no task is running here"
            raise AttributeError(f'headwater.context has no "{name}"; it holds {known}') from None

    def get(self, name: str, default: Any = None) -> Any:
        return _values.get().get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in _values.get()

    @contextlib.contextmanager
    def __call__(self, **values: Any) -> Iterator[Context]:
        """Add values for the length of a `with` block."""
        token = _values.set({**_values.get(), **values})
        try:
            yield self
        finally:
            _values.reset(token)

    def __repr__(self) -> str:
        return f"<headwater.context: {_values.get()!r}>"


context = Context()
