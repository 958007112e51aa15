"""What a task may know about the run it is in: `headwater.context`.

Filled for the thread that runs a task; empty outside. `headwater.context.get("logger")`
and `headwater.context.logger` are the same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

_values: ContextVar[dict[str, Any]] = ContextVar("headwater_context", default={})  # noqa: B039  # never mutated


class Context:
    """Attribute and `get` access to the values of the current context.

    In a task run: `flow_name, flow_run_name, parameters, task_name, task_full_name ("t[3]"), task_slug, task_tags,
    task_run_name, task_run_count` (1 for the first run, 2 for the first retry), `task_loop_count, task_loop_result,
    map_index` (in a child of a mapped task), `resume, logger`, and `date, today, yesterday, tomorrow` with
    `_nodash` beside each text: the day on which the run began, or that of the `date` it was given.
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

    def __call__(self, **values: Any) -> AbstractContextManager[Context]:
        """Add values for the length of a `with` block."""
        return _Block(self, values)

    def values(self) -> dict[str, Any]:
        """Return all that there is, as a dict of its own."""
        return dict(_values.get())

    def change(self, **values: Any) -> None:
        """Replace values until the innermost `with` block ends."""
        _values.set({**_values.get(), **values})

    def __repr__(self) -> str:
        shown = {name: "***" if name == "secrets" else value for name, value in _values.get().items()}
        return f"<headwater.context: {shown!r}>"


class _Block(AbstractContextManager[Context]):
    """A `with` block around a task run; a class, as each task run has one and a generator costs four times as much."""

    __slots__ = ("_context", "_more", "_token")

    def __init__(self, context: Context, more: dict[str, Any]) -> None:
        self._context = context
        self._more = more

    def __enter__(self) -> Context:
        self._token = _values.set({**_values.get(), **self._more})
        return self._context

    def __exit__(self, *_: object) -> None:
        _values.reset(self._token)


context = Context()


@functools.lru_cache(maxsize=64)  # asked for by every task run
def dates(began_at: float, date: datetime | str | None = None) -> Mapping[str, Any]:
    """Return `date`, `today` and its neighbours. A *date* that is given, also as ISO text, is the day that is meant.

    Raises ValueError when the text is no date.
    """
    if isinstance(date, str):
        try:
            date = datetime.fromisoformat(date)
        except ValueError:
            raise ValueError(f'context: date is "{date}"; write it as 2026-11-23 or 2026-11-23T04:00:00Z') from None
    day = date or datetime.fromtimestamp(began_at, UTC)
    if day.tzinfo is None:
        day = day.replace(tzinfo=UTC)
    values: dict[str, Any] = {"date": day}
    for name, days in (("today", 0), ("yesterday", -1), ("tomorrow", 1)):
        text = (day + timedelta(days=days)).strftime("%Y-%m-%d")
        values |= {name: text, f"{name}_nodash": text.replace("-", "")}
    return MappingProxyType(values)
