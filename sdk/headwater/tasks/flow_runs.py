"""Flows of flows: tasks that start other flows, wait for them and read their results.

    with Flow("parent") as flow:
        run = create_flow_run(flow_name="child", parameters={"airport": "ZRH"})
        done = wait_for_flow_run(run, raise_final_state=True)
        rows = get_task_run_result(run, "extract", upstream_tasks=[done])

In `flow.run()` the other flow runs in the same process, in a thread of its own, by its own executor; the parent's run
lasts until it has ended. In a cluster it is a FlowRun, owned by the parent's. Whatever a task run of the parent starts,
it starts once: a retry, or the parent's next attempt, finds the run that is there already.

These tasks run beside the engine and take no worker's place while they wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Unpack

from headwater.core.attributes import defaults_from_attrs
from headwater.core.context import context
from headwater.core.flow import Flow
from headwater.core.flow_runs import FlowRunRequest, FlowRunView, served
from headwater.core.options import TaskOptions
from headwater.core.signals import signal_from_state
from headwater.core.task import Task
from headwater.executors.call import TimedOutError
from headwater.tasks.attributes import missing

LONGEST = timedelta(hours=12)


class CreateFlowRun(Task):
    """Start a flow and return the name of its run, at once."""

    beside_engine = True

    def run(
        self,
        flow_name: str | Flow | None = None,
        project_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | Iterable[str] | None = None,
        run_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Return the name of the run, which `wait_for_flow_run` and `get_task_run_result` take.

        *flow_name* is what the flow is called in `Flow(...)`, or the flow itself; in a cluster, the name or title of
        its resource. *project_name* is a namespace, by default that of the parent. *labels* are put on the FlowRun.
        *run_name* is what the run calls itself. *idempotency_key* says by itself which run is meant, in place of the
        task run that asks. *context* is for runs in this process.
        """
        if flow_name is None:
            raise missing(self, "flow_name")
        return served().create(
            FlowRunRequest(
                flow_name.name if isinstance(flow_name, Flow) else str(flow_name),
                _key(),
                flow=flow_name if isinstance(flow_name, Flow) else None,
                project_name=project_name or None,
                parameters=_mapping(self, "parameters", parameters),
                run_name=run_name,
                labels=_labels(self, labels),
                context=_mapping(self, "context", context),
                idempotency_key=idempotency_key,
            )
        )


class WaitForFlowRun(Task):
    """Wait for a flow run to finish and return a FlowRunView of it."""

    beside_engine = True

    def run(
        self,
        flow_run_id: Any,
        stream_states: bool = True,
        stream_logs: bool = False,
        raise_final_state: bool = False,
        max_duration: timedelta = LONGEST,
    ) -> FlowRunView:
        """Wait; with *raise_final_state* this task ends in the state that the run has ended in.

        *stream_states* logs the states of the run. Its log lines are in its own pods; *stream_logs* says where. Raises
        TimeoutError after *max_duration*; the run goes on.
        """
        if stream_logs:
            self.logger.info("Flow run '%s' writes its log lines where it runs", flow_run_id)
        with _limited(self, max_duration) as limit:
            view = served().wait(str(flow_run_id), limit, stream_states)
        if raise_final_state:
            final = view.state.bare()
            final.result = view
            raise signal_from_state(final)
        return view


class GetTaskRunResult(Task):
    """Return the result of one task of another flow run."""

    beside_engine = True

    def run(self, flow_run_id: Any, task_slug: str, map_index: int = -1, max_duration: timedelta = LONGEST) -> Any:
        """Wait for the run to finish and return the task's result; of a mapped task the child's, or with -1 all.

        *task_slug* is the task's slug, such as "extract-1", or its name where only one task has it. In a cluster the
        task must store its result where the parent's runner can read it: see `result` and `checkpoint`.
        """
        with _limited(self, max_duration) as limit:
            return served().result(str(flow_run_id), task_slug, map_index, limit)


class StartFlowRun(Task):
    """Start a flow and, with *wait*, end in the state that its run ends in.

    What is given here may be given, or replaced, in the call.
    """

    beside_engine = True

    def __init__(
        self,
        flow_name: str | Flow | None = None,
        project_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        wait: bool = False,
        run_name: str | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        named = flow_name.name if isinstance(flow_name, Flow) else flow_name
        options.setdefault("name", f"Flow {named}" if named else None)  # type: ignore[typeddict-item]
        super().__init__(**options)
        self.flow_name, self.project_name, self.parameters = flow_name, project_name, parameters
        self.wait, self.run_name = wait, run_name

    @defaults_from_attrs("flow_name", "project_name", "parameters", "run_name")
    def run(
        self,
        flow_name: str | Flow | None = None,
        project_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        run_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Return the name of the run, or with *wait* what became of it."""
        run_id = create_flow_run.run(
            flow_name, project_name, parameters, run_name=run_name, idempotency_key=idempotency_key
        )
        if not self.wait:
            return run_id
        with _limited(self, LONGEST) as limit:
            view = served().wait(run_id, limit, follow=True)
        final = view.state.bare()
        final.result = view
        raise signal_from_state(final)


create_flow_run = CreateFlowRun("create_flow_run")
wait_for_flow_run = WaitForFlowRun("wait_for_flow_run")
get_task_run_result = GetTaskRunResult("get_task_run_result")


def _key() -> str:
    """Say which task run asks: the same for its retries, another for each child and each round of a loop."""
    parts = [str(context.get("task_slug", "run"))]
    if "map_index" in context:
        parts.append(str(context.map_index))
    if context.get("task_loop_count", 1) > 1:
        parts.append(f"round-{context.task_loop_count}")
    return "-".join(parts)


@contextlib.contextmanager
def _limited(task: Task, longest: timedelta) -> Iterator[timedelta]:
    """Give the time that a task may wait; when that was its own timeout, the task has timed out."""
    if not isinstance(longest, timedelta):
        raise TypeError(f'Task "{task.name}": max_duration is {longest!r}; give a timedelta.')
    own = timedelta(seconds=task.timeout) if task.timeout is not None else None
    try:
        yield longest if own is None else min(own, longest)
    except TimeoutError as error:
        if own is not None and own <= longest:
            raise TimedOutError(f"{task.name} timed out: {error}") from None
        raise


def _mapping(task: Task, argument: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f'Task "{task.name}": {argument} is {given!r}; give a dict of values by name.')
    return dict(given or {})


def _labels(task: Task, given: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    if isinstance(given, str):
        raise TypeError(f'Task "{task.name}": labels is {given!r}; give a list of words or a dict.')
    if isinstance(given, Mapping):
        return {str(name): str(value) for name, value in given.items()}
    return {str(word): "" for word in given or ()}
