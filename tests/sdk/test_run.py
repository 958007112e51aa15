"""Running a flow: the same on every executor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, Parameter, context, task
from headwater.executors import DaskExecutor, LocalExecutor
from headwater.states import Crashed, Failed, Success, TriggerFailed

EXECUTORS: dict[str, Callable[[], Any]] = {
    "local": LocalExecutor,
    "dask": lambda: DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1}),
}


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Any:
    return EXECUTORS[request.param]()


@task
def extract(n: int) -> list[int]:
    return list(range(n))


@task
def transform(rows: list[int], factor: int = 2) -> list[int]:
    return [row * factor for row in rows]


@task
def fail(rows: list[int]) -> None:
    raise ValueError("no such airport\nsecond line")


@task
def after(x: Any) -> str:
    return "ran"


@task(max_retries=2, retry_delay=timedelta(seconds=0.05))
def flaky(rows: list[int]) -> int:
    if context.task_run_count < 3:
        raise RuntimeError(f"try {context.task_run_count}")
    return context.task_run_count


@task
def unpicklable() -> Any:
    import threading

    return threading.Lock()


@task
def leave() -> None:
    raise SystemExit(3)


def test_results_of_every_task_in_the_state(executor: Any) -> None:
    with Flow("etl") as flow:
        n = Parameter("n", default=3)
        rows = extract(n)
        doubled = transform(rows)
    state = flow.run(n=4, executor=executor)
    assert isinstance(state, Success)
    assert {t: s.result for t, s in state.result.items()} == {n: 4, rows: [0, 1, 2, 3], doubled: [0, 2, 4, 6]}


def test_a_failure_stops_what_needs_it_and_nothing_else(executor: Any) -> None:
    with Flow("etl") as flow:
        rows = extract(3)
        bad = fail(rows)
        never = after(bad)
        other = after(rows)
    state = flow.run(executor=executor)
    assert isinstance(state, Failed)
    assert state.message == "Some reference tasks failed."
    assert type(state.result[bad]) is Failed
    assert state.result[bad].message == "ValueError: no such airport"
    assert isinstance(state.result[bad].result, ValueError)
    assert isinstance(state.result[never], TriggerFailed)
    assert '"fail"' in state.result[never].message
    assert state.result[other].result == "ran"


def test_retries_count_their_runs(executor: Any) -> None:
    with Flow("etl") as flow:
        value = flaky(extract(1))
    state = flow.run(executor=executor)
    assert state.result[value].result == 3


def test_a_task_that_exits_fails(executor: Any) -> None:
    with Flow("etl") as flow:
        gone = leave()
    state = flow.run(executor=executor)
    assert state.result[gone].message == "SystemExit: 3"


@task
def raise_long() -> None:
    raise ValueError("x" * 10_000_000)


def test_strange_exceptions_are_told(executor: Any) -> None:
    class Mute(Exception):
        def __init__(self, a: int, b: int) -> None:  # does not unpickle: its args are not these
            super().__init__("mute")

        def __str__(self) -> str:
            raise RuntimeError("no words")

    @task
    def raise_mute() -> None:
        raise Mute(1, 2)

    with Flow("etl") as flow:
        mute, long = raise_mute(), raise_long()
    state = flow.run(executor=executor)
    assert state.result[mute].message == "Mute: (its message cannot be read: RuntimeError)"
    assert state.result[long].message.startswith("ValueError: xxx")
    assert len(state.result[long].message) < 25_000


def test_an_unpicklable_result_is_named_on_dask() -> None:
    with Flow("etl") as flow:
        lock = unpicklable()
        after(lock)
    state = flow.run(executor=EXECUTORS["dask"]())
    assert "a lock, cannot be pickled" in state.result[lock].message


def test_a_killed_worker_crashes_its_task_and_no_task_runs_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"

    @task
    def note(x: int) -> int:
        with log.open("a") as file:
            file.write(f"{x}\n")
        return x

    @task
    def kill(x: int) -> None:
        import os

        os._exit(9)

    with Flow("etl") as flow:
        value = note(1)
        dead = kill(value)
    state = flow.run(executor=EXECUTORS["dask"]())
    assert isinstance(state.result[dead], Crashed)
    assert "went away" in state.result[dead].message
    assert log.read_text() == "1\n"


def test_a_crash_is_retried(tmp_path: Path) -> None:
    @task(max_retries=1, retry_delay=timedelta(0))
    def kill_once() -> int:
        import os

        if context.task_run_count == 1:
            os._exit(9)
        return context.task_run_count

    with Flow("etl") as flow:
        value = kill_once()
    assert flow.run(executor=EXECUTORS["dask"]()).result[value].result == 2


def test_an_address_without_a_scheduler_is_an_error() -> None:
    from headwater.core.errors import ClusterError

    with Flow("etl") as flow:
        extract(1)
    with pytest.raises(ClusterError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        flow.run(executor=DaskExecutor("tcp://127.0.0.1:9"))


def test_logs_say_what_people_know(caplog: pytest.LogCaptureFixture) -> None:
    with Flow("etl") as flow:
        fail(extract(1))
    with caplog.at_level(logging.INFO, logger="headwater"):
        flow.run()
    lines = [record.getMessage().splitlines()[0] for record in caplog.records]
    assert lines == [
        "Beginning Flow run for 'etl'",
        "Task 'extract': Starting task run...",
        "Task 'extract': Finished task run for task with final state: 'Success'",
        "Task 'fail': Starting task run...",
        "Task 'fail': Exception encountered during task execution!",
        "Task 'fail': Finished task run for task with final state: 'Failed'",
        "Flow run FAILED: some reference tasks failed",
    ]


def test_reference_tasks_decide() -> None:
    with Flow("etl") as flow:
        rows = extract(1)
        fail(rows)
        flow.set_reference_tasks([rows])
    assert flow.run().is_successful()


def test_a_chain_of_thousands_runs_here() -> None:
    with Flow("long") as flow:
        value: Any = extract(1)
        for _ in range(3000):
            value = transform(value, factor=1)
    assert flow.run().result[value].result == [0]
