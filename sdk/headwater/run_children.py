"""Flow runs that tasks of a local run start: in this process, each in a thread of its own, by its own flow's executor.

A run ends when those that it has started have ended too: they would die with the process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from headwater.core.errors import FlowError
from headwater.core.flow import Flow
from headwater.core.flow_runs import FlowRunRequest, FlowRunView, by_slug, find_flow
from headwater.core.states import Failed, Running, State
from headwater.core.task import Task
from headwater.resources.names import child_run_name

logger = logging.getLogger("headwater.flow_runs")

# Runs a flow to its end: the flow, its parameters, the name of the run and what is added to its context.
RunOnce = Callable[[Flow, Mapping[str, Any], str, Mapping[str, Any]], State]

# So many child runs are under way at once; the others wait for their turn.
AT_ONCE = 32


@dataclass
class ChildRun:
    """One flow run of this process."""

    name: str
    flow: Flow
    parameters: Mapping[str, Any]
    state: State = field(default_factory=lambda: Running("Running flow."))
    finished: threading.Event = field(default_factory=threading.Event)

    def view(self) -> FlowRunView:
        results = self.state.result if isinstance(self.state.result, dict) else {}
        tasks = {slug: results[task].bare() for task, slug in self.flow.slugs.items() if task in results}
        return FlowRunView(self.name, self.flow.name, self.state.bare(), self.parameters, tasks)

    def task(self, slug: str) -> Task:
        return by_slug(slug, {name: task for task, name in self.flow.slugs.items()}, self.name)


class LocalFlowRuns:
    """The child runs of one run of this process."""

    def __init__(self, parent: str, run_once: RunOnce) -> None:
        self._parent = parent
        self._run_once = run_once
        self._runs: dict[str, ChildRun] = {}
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def create(self, request: FlowRunRequest) -> str:
        """Start a run in a thread. Raises FlowError and ParameterError when it cannot begin."""
        name = child_run_name(self._parent, request.idempotency_key or request.key)
        with self._lock:
            if name in self._runs:
                return name
            flow = request.flow or find_flow(request.flow_name)
            child = ChildRun(name, flow, flow.check_parameters(request.parameters))
            self._runs[name] = child
        logger.info("Flow run '%s' of flow '%s' begins", request.run_name or name, flow.name)
        arguments = (child, dict(request.parameters), request.run_name or name, request.context)
        threading.Thread(target=self._run, args=arguments, name=name, daemon=True).start()
        return name

    def _run(self, child: ChildRun, given: Mapping[str, Any], run_name: str, context: Mapping[str, Any]) -> None:
        try:
            with self._places:
                child.state = self._run_once(child.flow, given, run_name, context)
        except BaseException as error:
            logger.exception("Flow run '%s' could not run", child.name)
            child.state = Failed(f"The flow could not run: {error}", error)
        finally:
            child.finished.set()

    def wait(self, name: str, limit: timedelta, follow: bool) -> FlowRunView:
        child = self._finished(name, limit)
        if follow:
            logger.info("Flow run '%s' of flow '%s': %s", name, child.flow.name, child.state.name)
        return child.view()

    def result(self, name: str, task_slug: str, map_index: int, limit: timedelta) -> Any:
        child = self._finished(name, limit)
        task = child.task(task_slug)
        results = child.state.result if isinstance(child.state.result, dict) else {}
        state = results.get(task)
        children = getattr(state, "map_states", None)
        if map_index >= 0 and children is not None:
            if map_index >= len(children):
                raise FlowError(
                    f'Task "{task.name}" of flow run "{name}" has {len(children)} children, none with map_index '
                    f"{map_index}."
                )
            state = children[map_index]
        if state is None or not state.is_successful():
            raise FlowError(
                f'Task "{task.name}" of flow run "{name}" has no result: it is '
                f"{'not run' if state is None else state.name}."
            )
        return state.result

    def _finished(self, name: str, limit: timedelta) -> ChildRun:
        with self._lock:
            child = self._runs.get(str(name))
            known = ", ".join(self._runs) or "none"
        if child is None:
            raise FlowError(
                f'There is no flow run "{name}" here; this run has started {known}. '
                "Hand on what create_flow_run returns."
            )
        if not child.finished.wait(limit.total_seconds()):
            raise TimeoutError(f'Flow run "{name}" is not finished after {limit}; it goes on.')
        return child

    def close(self) -> None:
        """Wait for the runs that nobody has waited for."""
        left = [child for child in self._runs.values() if not child.finished.is_set()]
        if left:
            logger.info("Waiting for the flow runs that this one has started: %s", ", ".join(c.name for c in left))
        for child in left:
            child.finished.wait()
