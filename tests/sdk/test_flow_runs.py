"""Flows of flows in one process, on every executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import headwater
from headwater import Flow, Parameter, Task, task, unmapped
from headwater.core.errors import FlowError
from headwater.core.flow_runs import by_slug
from headwater.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from headwater.resources.names import NAME_LENGTH, child_run_name, object_name
from headwater.states import State
from headwater.tasks.headwater import (
    FlowRunView,
    StartFlowRun,
    create_flow_run,
    get_task_run_result,
    wait_for_flow_run,
)
from headwater.triggers import always_run

EXECUTORS: dict[str, Callable[[], Any]] = {
    "local": LocalExecutor,
    "threads": lambda: LocalDaskExecutor("threads", num_workers=2),
    "processes": lambda: LocalDaskExecutor("processes", num_workers=2),
    "dask": lambda: DaskExecutor(cluster_kwargs={"n_workers": 1, "threads_per_worker": 1, "processes": False}),
}


def child_flow(name: str = "child") -> Flow:
    @task
    def double(n: int) -> int:
        if n == 13:
            raise ValueError("unlucky")
        return n * 2

    @task
    def name_of_run() -> str:
        return str(headwater.context.flow_run_name)

    with Flow(name) as flow:
        double(Parameter("n"))
        double.map([1, 2, 3])
        name_of_run()
    return flow


def message(state: State) -> str:
    return state.message or ""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_flow_runs_another_and_reads_its_results(executor: str) -> None:
    child = child_flow()

    @task
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    with Flow("parent") as flow:
        run = create_flow_run("child", parameters={"n": 4})
        done = wait_for_flow_run(run, raise_final_state=True)
        one = get_task_run_result(run, "double-1", upstream_tasks=[done])
        item = get_task_run_result(run, "double-2", map_index=1)
        items = get_task_run_result(run, "double-2")
        many = create_flow_run.map(flow_name=unmapped("child"), parameters=[{"n": i} for i in range(5)])
        total = add(get_task_run_result.map(many, task_slug=unmapped("double-1")))
    state = flow.run(executor=EXECUTORS[executor]())
    assert state.is_successful()
    results = {name: state.result[it].result for name, it in (("one", one), ("item", item), ("items", items))}
    assert results == {"one": 8, "item": 4, "items": [2, 4, 6]}
    assert state.result[total].result == 2 * (0 + 1 + 2 + 3 + 4)
    view = state.result[done].result
    assert isinstance(view, FlowRunView)
    assert (view.name, view.flow_name, view.parameters) == (state.result[run].result, child.name, {"n": 4})
    assert view.task_states["double-1"].is_successful()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_failed_run_fails_who_waits_for_it_only_when_asked(executor: str) -> None:
    child = child_flow()
    with Flow("parent") as flow:
        run = create_flow_run(child, parameters={"n": 13})
        calm = wait_for_flow_run(run)
        strict = wait_for_flow_run(run, raise_final_state=True)
        lost = get_task_run_result(run, "double-1")
    state = flow.run(executor=EXECUTORS[executor]())
    assert state.result[calm].is_successful()
    assert state.result[calm].result.state.is_failed()
    assert state.result[strict].is_failed()
    assert isinstance(state.result[strict].result, FlowRunView)
    assert 'Task "double" of flow run' in message(state.result[lost])


def test_a_retry_and_a_second_call_find_the_run_that_is_there() -> None:
    child, began = child_flow(), []
    child.state_handlers.append(lambda flow, old, new: began.append(new.name) if new.is_running() else None)

    class Nervous(type(create_flow_run)):  # type: ignore[misc]
        def run(self, **arguments: Any) -> str:
            name = super().run(**arguments)
            if headwater.context.task_run_count == 1:
                raise ConnectionError("after it was made")
            return str(name)

    with Flow("parent") as flow:
        nervous = Nervous(max_retries=1, retry_delay=timedelta(0))(flow_name="child", parameters={"n": 1})
        wait_for_flow_run(nervous, raise_final_state=True)
        keyed = [create_flow_run("child", parameters={"n": 2}, idempotency_key="today") for _ in range(2)]
    state = flow.run()
    assert state.is_successful()
    assert len(began) == 2
    assert state.result[keyed[0]].result == state.result[keyed[1]].result


def test_what_cannot_run_is_said_where_it_is_started() -> None:
    child = child_flow()
    with Flow("parent") as flow:
        unknown = create_flow_run("nobody's flow")
        wrong = create_flow_run(child, parameters={"m": 1})
        text = create_flow_run("child", parameters="n=1")
        nameless = create_flow_run()
        stray = wait_for_flow_run("some-run")
        task_of = get_task_run_result(create_flow_run("child", parameters={"n": 1}), "triple-1")
        child_of = get_task_run_result(create_flow_run("child", parameters={"n": 1}), "double-2", map_index=3)
        hurry = wait_for_flow_run(stray, max_duration=5)
        labels = create_flow_run("child", parameters={"n": 1}, labels="prod")
    hurry.trigger = always_run
    states = flow.run().result
    assert 'There is no flow "nobody\'s flow" in this process' in message(states[unknown])
    assert 'Flow "child" received unexpected parameters: m' in message(states[wrong])
    assert "parameters is 'n=1'; give a dict" in message(states[text])
    assert 'Task "create_flow_run" has no flow_name' in message(states[nameless])
    assert 'There is no flow run "some-run" here' in message(states[stray])
    assert 'has no task "triple-1"; its tasks are ' in message(states[task_of])
    assert "has 3 children, none with map_index 3" in message(states[child_of])
    assert "give a timedelta" in message(states[hurry])
    assert "labels is 'prod'; give a list" in message(states[labels])


def test_outside_a_flow_run_there_is_nothing_to_start_runs() -> None:
    with pytest.raises(FlowError, match="use this task in a flow"):
        create_flow_run.run("child")


@pytest.mark.parametrize("executor", ["local", "threads", "dask"])
def test_waiting_has_an_end(executor: str) -> None:
    go = threading.Event()

    @task
    def nap() -> None:
        go.wait(30)

    with Flow("sleeper") as sleeper:
        nap()
    assert sleeper.name == "sleeper"
    with Flow("parent") as flow:
        run = create_flow_run("sleeper")
        short = wait_for_flow_run(run, max_duration=timedelta(milliseconds=50))
        timed = wait_for_flow_run(run, task_args={"timeout": 0.05})
    threading.Timer(1.0, go.set).start()
    states = flow.run(executor=EXECUTORS[executor]()).result
    assert states[short].name == "Failed"
    assert "is not finished after 0:00:00.050000; it goes on" in message(states[short])
    assert states[timed].name == "TimedOut"


def released(go: threading.Event) -> Task:
    @task
    def release() -> None:
        go.set()

    return release


def test_the_parents_run_lasts_until_its_children_have_ended() -> None:
    ended: list[float] = []

    @task
    def nap() -> None:
        time.sleep(0.2)
        ended.append(time.monotonic())

    with Flow("sleeper") as sleeper:
        nap()
    with Flow("parent") as flow:
        create_flow_run(sleeper)
    flow.run()
    assert len(ended) == 1


def test_waiting_takes_no_workers_place() -> None:
    """Ten tasks wait at once for a run that two threads' worth of other tasks has yet to let go."""
    go = threading.Event()

    @task
    def nap() -> None:
        assert go.wait(30)

    with Flow("sleeper") as sleeper:
        nap()
    with Flow("parent") as flow:
        run = create_flow_run(sleeper)
        waits = [wait_for_flow_run(run) for _ in range(10)]
        released(go)()
    states = flow.run(executor=LocalDaskExecutor("threads", num_workers=2)).result
    assert all(states[wait].is_successful() for wait in waits)


def test_start_flow_run_takes_its_arguments_early_or_late() -> None:
    child = child_flow()
    start = StartFlowRun(child, parameters={"n": 1}, wait=True)
    with Flow("parent") as flow:
        early = start()
        late = start(parameters={"n": 13})
        told = StartFlowRun(child.name, parameters={"n": 1}, run_name="monday")()
        name = get_task_run_result(told, "name_of_run")
    states = flow.run().result
    assert early.name == "Flow child"
    assert states[early].is_successful()
    assert states[late].is_failed()
    assert states[name].result == "monday"


def test_names_of_runs_tell_whose_they_are_and_fit() -> None:
    assert child_run_name("etl-1", "load-1") == "etl-1-load-1"
    assert object_name("Datalake - Extra\u00e7\u00e3o (Cloud SQL)").startswith("datalake-extracao-cloud-sql-")
    texts = ["a_b", "a-b", "A-b", "x" * 80, "x" * 81, "7 up", "\u6d41\u308c", "\u6c34", "-", "a-", "a--b"]
    names = [object_name(text) for text in texts]
    assert len(set(names)) == len(texts)
    for name in names:
        assert len(name) <= NAME_LENGTH
        assert name[0].isalpha()
        assert name[-1] != "-"


def test_a_task_is_found_by_its_slug_or_its_only_name() -> None:
    tasks = {"load-1": 1, "load-2": 2, "extract-eu-1": 3, "clean-1": 4}
    assert by_slug("load-2", tasks, "run") == 2
    assert by_slug("clean", tasks, "run") == 4
    with pytest.raises(FlowError, match='several tasks "load"'):
        by_slug("load", tasks, "run")
