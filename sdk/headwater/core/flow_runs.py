"""Flow runs that a task starts, waits for and reads from, wherever they run.

Tasks of `headwater.tasks.flow_runs` speak to a `FlowRuns`: in `flow.run()` the one that runs flows in this process, in
a cluster the one that makes FlowRuns. They find it in `serving`, which holds for the process of the engine only.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headwater.core.errors import FlowError
from headwater.core.states import State

if TYPE_CHECKING:
    from headwater.core.flow import Flow


T = TypeVar("T")


@dataclass(frozen=True)
class FlowRunRequest:
    """A flow run that is wanted. *key* is the same whenever the same task run of the same parent asks again."""

    flow_name: str
    key: str
    flow: Flow | None = None
    project_name: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    run_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True)
class FlowRunView:
    """A flow run as it is now. *task_states* are by slug, or by name where that is enough; none has a result in it."""

    name: str
    flow_name: str
    state: State
    parameters: Mapping[str, Any] = field(default_factory=dict)
    task_states: Mapping[str, State] = field(default_factory=dict)

    @property
    def flow_run_id(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name  # what takes the id of a run takes the view of one, too


class FlowRuns(Protocol):
    """Where flow runs are. Names of runs are what `create` returned. Used by many threads at once."""

    def create(self, request: FlowRunRequest) -> str:
        """Start a flow run, once, and return its name; a second request with the same key finds the first run."""

    def wait(self, name: str, limit: timedelta, follow: bool) -> FlowRunView:
        """Return a flow run when it is finished; with *follow* its states are logged.

        Raises TimeoutError when it takes longer.
        """

    def result(self, name: str, task_slug: str, map_index: int, limit: timedelta) -> Any:
        """Return the result of a task of a flow run, when that is finished."""


_serving: ContextVar[FlowRuns | None] = ContextVar("headwater_flow_runs", default=None)


@contextlib.contextmanager
def serving(flow_runs: FlowRuns) -> Iterator[None]:
    """Let the tasks of a run find *flow_runs*."""
    token = _serving.set(flow_runs)
    try:
        yield
    finally:
        _serving.reset(token)


def served() -> FlowRuns:
    """Return what serves the run around this task. Raises FlowError when there is none."""
    found = _serving.get()
    if found is None:
        raise FlowError("There is no flow run here that could start others or look at them: use this task in a flow.")
    return found


def by_slug(slug: str, tasks: Mapping[str, T], run: str) -> T:
    """Return what *tasks* has for a slug, or for a name that only one of them has. Raises FlowError when none fits."""
    if slug in tasks:
        return tasks[slug]
    fitting = [task for known, task in tasks.items() if known.rpartition("-")[0] == slug]
    if len(fitting) == 1:
        return fitting[0]
    what = "has no task" if not fitting else "has several tasks"
    raise FlowError(f'Flow run "{run}" {what} "{slug}"; its tasks are {", ".join(sorted(tasks)) or "none"}.')


# Flows by name


_known: dict[str, list[weakref.ref[Flow]]] = {}


def remember_flow(flow: Flow) -> None:
    """Let a flow be found by its name for as long as it lives."""
    alive = [ref for ref in _known.get(flow.name, []) if ref() is not None]
    _known[flow.name] = [*alive, weakref.ref(flow)]


def find_flow(name: str) -> Flow:
    """Return the flow of a name that was made last in this process. Raises FlowError when there is none."""
    for ref in reversed(_known.get(name, [])):
        flow = ref()
        if flow is not None:
            return flow
    known = sorted(each for each, refs in _known.items() if any(ref() is not None for ref in refs))
    raise FlowError(
        f'There is no flow "{name}" in this process; it knows {", ".join(known) or "none"}. '
        "Import the module that makes it, or give create_flow_run the flow itself."
    )
